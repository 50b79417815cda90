"""Where a session's events are counted, and may wait, while its backlog does not do that itself."""

from __future__ import annotations

from gatewayd.core.entries import Entry


class Source:
    """An outbox or an away log, as a backlog sees it: it counts what the session is given, and may hold events that the
    backlog has not got, so that a publish need not touch the backlog. A session that has neither has `NO_CLIENT`.
    """

    __slots__ = ()

    @property
    def given(self) -> int:
        """The newest sequence."""
        return 0

    @given.setter
    def given(self, sequence: int) -> None:
        """Where it goes on from."""

    @property
    def waiting(self) -> int:
        """How many of the newest events the backlog does not keep itself."""
        return 0

    @property
    def lost(self) -> int:
        """How many gave way there, which are the oldest that were given there."""
        return 0

    @property
    def bytes(self) -> int:
        """Size of those that wait there and stay there, whatever the backlog is asked."""
        return 0

    def entries(self, after: int) -> list[Entry]:
        """Those of them that are behind a cursor."""
        return []

    def hand_over(self) -> None:
        """Let the backlog keep what waits here for one client (`take_back`)."""

    def let_go(self) -> None:
        """Let the backlog keep all that waits here, of a log too, and count what comes behind that."""
        self.hand_over()

    def report(self) -> None:
        """Let the backlog keep what was written of late (`retain_all`)."""


NO_CLIENT = Source()
