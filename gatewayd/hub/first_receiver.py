"""Events of one realm for exactly one receiver, which wait for the first to come. Bounded; the oldest give way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatewayd.config.limits import FirstReceiverLimits
from gatewayd.core.counts import Drop
from gatewayd.core.entries import Entries
from gatewayd.core.events import Event
from gatewayd.hub.journaling import Journaling

Place = tuple[str, str]
"""The channel, and the protocol whose sessions alone may get it, or ""."""


class FirstReceiver:
    """By channel and protocol, in order; the journal is told."""

    def __init__(self, journaling: Journaling, limits: FirstReceiverLimits) -> None:
        self._journaling = journaling
        self._limits = limits
        self._places: dict[Place, Entries] = {}

    def __iter__(self) -> Iterator[Event]:
        for waiting in self._places.values():
            yield from waiting.events

    def keep(self, event: Event) -> tuple[Drop | None, int]:
        """Let it wait. Why it cannot, if so, and how many are lost for it, itself included."""
        place = event.channel, event.protocol
        if place not in self._places and len(self._places) >= self._limits.channels:
            return Drop.TOO_MANY_WAIT, 1
        if event.size > self._limits.bytes:
            return Drop.TOO_BIG, 1
        waiting = self._places.setdefault(place, Entries())
        waiting.append(waiting.newest + 1, event)
        self._journaling.hold(event, event.channel, 0)
        lost = 0
        while len(waiting) > self._limits.events or waiting.bytes > self._limits.bytes:
            self._journaling.release(waiting.popleft()[1])
            lost += 1
        return None, lost

    def take(self, channels: Iterable[str], protocol: str) -> list[Event]:
        """All that wait on these channels for a session of that protocol, in order; they wait no more."""
        if not self._places:
            return []
        found: list[Event] = []
        for place in self._places.keys() & {(channel, own) for channel in channels for own in ("", protocol)}:
            found += self._places.pop(place).events
        for event in found:
            self._journaling.release(event)
        return sorted(found, key=lambda event: event.number)
