"""Events of one realm for exactly one receiver, which wait for the first to come. Bounded; the oldest give way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from gatewayd.config.limits import FirstReceiverLimits
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.hub.journaling import Journaling

Place = tuple[str, str]
"""The channel, and the protocol whose sessions alone may get it, or ""."""


class FirstReceiver:
    """By channel and protocol, in order; the journal is told."""

    def __init__(self, journaling: Journaling, limits: FirstReceiverLimits) -> None:
        self._journaling = journaling
        self._limits = limits
        self._places: dict[Place, deque[Event]] = {}
        self._bytes: dict[Place, int] = {}

    def __iter__(self) -> Iterator[Event]:
        for events in self._places.values():
            yield from events

    def keep(self, event: Event) -> tuple[Drop | None, int]:
        """Let it wait. Why it cannot, if so, and how many are lost for it, itself included."""
        place = event.channel, event.protocol
        if place not in self._places and len(self._places) >= self._limits.channels:
            return Drop.TOO_MANY_WAIT, 1
        if event.size > self._limits.bytes:
            return Drop.TOO_BIG, 1
        events = self._places.setdefault(place, deque())
        events.append(event)
        self._bytes[place] = self._bytes.get(place, 0) + event.size
        self._journaling.park(event)
        lost = 0
        while len(events) > self._limits.events or self._bytes[place] > self._limits.bytes:
            oldest = events.popleft()
            self._bytes[place] -= oldest.size
            self._journaling.unpark(oldest)
            lost += 1
        return None, lost

    def take(self, channels: Iterable[str], protocol: str) -> list[Event]:
        """All that wait on these channels for a session of that protocol, in order; they wait no more."""
        if not self._places:
            return []
        found: list[Event] = []
        for place in self._places.keys() & {(channel, own) for channel in channels for own in ("", protocol)}:
            del self._bytes[place]
            for event in self._places.pop(place):
                self._journaling.unpark(event)
                found.append(event)
        return sorted(found, key=lambda event: event.number)
