"""Who is told of what happens to sessions: one list, in one fixed order.

Law: an observer looks on. It never waits, raises, or changes what it is told of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gatewayd.core.close import Verdict
from gatewayd.core.counts import Drop
from gatewayd.core.session import Session


class Observer:
    """Override what you want to be told of; the rest does nothing."""

    def happened(self, session: Session, kind: str, verdict: Verdict | None) -> None:
        """A lifecycle event of an identified session: opened, detached, resumed, ended, and why."""

    def changed(self, session: Session) -> None:
        """Its channels, metadata, cursors, or what its protocol remembers are not what they were."""

    def behind(self, session: Session) -> None:
        """Its backlog keeps an event that it may not have kept before."""

    def advanced(self, session: Session) -> None:
        """It has written or acknowledged more, or its new client has been said what it missed."""

    def lost(self, session: Session, losses: Mapping[Drop, int]) -> None:
        """It will never get so many events."""

    def over(self, session: Session) -> None:
        """It has ended, identified or not; what it has not got is in its backlog no more, or is still being written."""


Lifecycle = Callable[[Session, str, Verdict | None], None]
"""Told of a session, of what has happened to it (opened, detached, resumed, ended), and why; never waits."""


class LifecycleObserver(Observer):
    """Tells the backend of lifecycle events, for which it has a queue of its own."""

    def __init__(self, tell: Lifecycle) -> None:
        self._tell = tell

    def happened(self, session: Session, kind: str, verdict: Verdict | None) -> None:
        """Pass it on."""
        self._tell(session, kind, verdict)


class Observers(Observer):
    """All of them; each is told of what it has overridden."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._happened = _told(observers, "happened")
        self._changed = _told(observers, "changed")
        self._behind = _told(observers, "behind")
        self._advanced = _told(observers, "advanced")
        self._lost = _told(observers, "lost")
        self._over = _told(observers, "over")

    def happened(self, session: Session, kind: str, verdict: Verdict | None) -> None:
        """See `Observer`, as for all below."""
        for tell in self._happened:
            tell(session, kind, verdict)

    def changed(self, session: Session) -> None:
        for tell in self._changed:
            tell(session)

    def behind(self, session: Session) -> None:
        for tell in self._behind:
            tell(session)

    def advanced(self, session: Session) -> None:
        for tell in self._advanced:
            tell(session)

    def lost(self, session: Session, losses: Mapping[Drop, int]) -> None:
        for tell in self._lost:
            tell(session, losses)

    def over(self, session: Session) -> None:
        for tell in self._over:
            tell(session)


def _told(observers: Sequence[Observer], name: str) -> list[Callable[..., Any]]:
    """The methods of that name which do something; a publish may call them for thousands of sessions."""
    return [getattr(item, name) for item in observers if getattr(type(item), name) is not getattr(Observer, name)]
