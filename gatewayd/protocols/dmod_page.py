"""What one dmod session remembers: its guild, its live application sessions, and which notifications it was shown."""

from __future__ import annotations

from attrs import define, field, frozen

from gatewayd.core.rate import Timer

NOTHING_SHOWN = (0, 0)


@define(eq=False)
class Application:
    """One live application session, of a member of a guild. `answered` is False while a heartbeat waits for that."""

    uid: str
    gid: str
    answered: bool = True
    beat: Timer | None = None
    reauth: Timer | None = None

    def stop(self) -> None:
        """Let nothing more fall due."""
        for timer in (self.beat, self.reauth):
            if timer is not None:
                timer.cancel()


@define
class Page:
    """What one session remembers: its guild, its application sessions, and which notifications it was shown."""

    guild: str | None = None
    applications: dict[str, Application] = field(factory=dict)
    shown: tuple[int, int] = NOTHING_SHOWN
    """Number of the newest notification that it was shown, and how many it was told to have lost."""


@frozen
class PageRecord:
    """What the journal knows of a page: of each application session, whether it has been asked who it is."""

    guild: str | None
    applications: dict[str, bool]
    users: dict[str, str] = field(factory=dict)
    """Whose they are, where that is not the user of the session."""
