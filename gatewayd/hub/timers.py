"""Calls that are due later, in one heap for the whole node; one task of the daemon makes them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

Call = Callable[[], Coroutine[Any, Any, None] | None]
"""What it returns may have to wait: who makes the calls awaits that, without holding up the others."""

SWEPT = 64
"""As many cancelled calls may stay in any case."""


class Due:
    """One call that is due; `cancel` lets it not happen."""

    __slots__ = ("_timers", "call")

    def __init__(self, call: Call, timers: Timers) -> None:
        self.call: Call | None = call
        self._timers = timers

    def cancel(self) -> None:
        """Let it not happen; harmless when it has."""
        if self.call is not None:
            self.call = None
            self._timers.sweep()


class Timers:
    """Monotonic seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Due]] = []
        self._order = count()
        self._cancelled = 0
        self._awaited = math.inf  # until then whoever makes the calls sleeps
        self._earlier: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._heap)

    def when_earlier(self, call: Callable[[], None]) -> float:
        """When the next call is due, until which whoever makes them may sleep; from now on `call`, and no other, is
        called whenever one is due before that.
        """
        self._earlier, self._awaited = call, self.next
        return self._awaited

    def at(self, when: float, call: Call) -> Due:
        """Make a call at that time, or at the first chance after it."""
        due = Due(call, self)
        heapq.heappush(self._heap, (when, next(self._order), due))
        if when < self._awaited:
            self._awaited = when
            self._earlier()
        return due

    def sweep(self) -> None:
        """One more was cancelled: once they are the most, they go; those of a far future would pile up till then."""
        self._cancelled += 1
        if self._cancelled > max(SWEPT, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    @property
    def next(self) -> float:
        """When the next call is due; infinity when none is. Cancelled ones in front are dropped."""
        while self._heap and self._heap[0][2].call is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else math.inf

    def pop_due(self, now: float) -> Call | None:
        """One call that is due by now, taken out; None when there is none."""
        if self.next > now:
            return None
        due = heapq.heappop(self._heap)[2]
        call, due.call = due.call, None
        return call
