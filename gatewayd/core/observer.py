"""Who is told of what happens to sessions: one list, in one fixed order.

Law: an observer looks on. It never waits, raises, or changes what it is told of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gatewayd.core.close import Disconnect
from gatewayd.core.counts import Drop
from gatewayd.core.session import Session


class Observer:
    """Override what you want to be told of; the rest does nothing."""

    def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
        """A lifecycle event of an identified session: opened, detached, resumed, ended, and why.

        `lost` counts by reason the events that its client has not been told of; of `resumed`, those it is told of now.
        """

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


class Observers(Observer):
    """Several as one. Each is told only of what it overrides: a publish may tell of thousands of sessions."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        for name, idle in vars(Observer).items():
            told = [getattr(item, name) for item in observers if getattr(type(item), name) is not idle]
            if told and not name.startswith("_"):
                setattr(self, name, told[0] if len(told) == 1 else partial(_each, told))


def _each(told: Sequence[Callable[..., None]], *what: Any) -> None:
    for tell in told:
        tell(*what)
