"""Events for exactly one receiver that wait for the first to come. Bounded; the oldest give way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gatewayd.core.counts import Drop

if TYPE_CHECKING:
    from gatewayd.core.events import Event
    from gatewayd.hub.keeper import Keeper

MAX_CHANNELS = 256
MAX_EVENTS = 1000
MAX_BYTES = 1048576
"""Bounds on the channels, and on the events of each."""


class Waiting:
    """By channel, in order; the journal is told."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._channels: dict[str, deque[Event]] = {}
        self._bytes: dict[str, int] = {}

    def __iter__(self) -> Iterator[Event]:
        for events in self._channels.values():
            yield from events

    def refuses(self, event: Event) -> Drop | None:
        """Why it cannot wait here."""
        if event.channel not in self._channels and len(self._channels) >= MAX_CHANNELS:
            return Drop.TOO_MANY_WAIT
        return Drop.TOO_BIG if event.size > MAX_BYTES else None

    def keep(self, event: Event) -> int:
        """Let it wait; how many are lost for it, which may be itself."""
        channel = event.channel
        if self.refuses(event) is not None:
            return 1
        events = self._channels.setdefault(channel, deque())
        events.append(event)
        self._bytes[channel] = self._bytes.get(channel, 0) + event.size
        self._keeper.wait(event, channel)
        lost = 0
        while len(events) > MAX_EVENTS or self._bytes[channel] > MAX_BYTES:
            oldest = events.popleft()
            self._bytes[channel] -= oldest.size
            self._keeper.release(oldest, channel)
            lost += 1
        return lost

    def take(self, channels: Iterable[str]) -> list[Event]:
        """All that wait on these channels, in order within each; they wait no more."""
        found: list[Event] = []
        for channel in sorted(self._channels.keys() & set(channels)):
            del self._bytes[channel]
            for event in self._channels.pop(channel):
                self._keeper.release(event, channel)
                found.append(event)
        return found
