"""Events in the order of their sequences: what a backlog is made of.

Law: an event costs 8 bytes in here, however many sessions keep it. Sequences are kept as runs, of which there is one
more for each hole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile

from gatewayd.core.events import Event

Entry = tuple[int, Event]
"""An event at its sequence. A sequence that has no entry is a hole: nothing of it is kept."""


class Entries:
    """A queue with two ends; `bytes` is the sum of `Event.size`."""

    __slots__ = ("_runs", "bytes", "events")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.events: deque[Event] = deque()
        self._runs: list[list[int]] = []  # the first and the last sequence of each
        self.bytes = 0
        for entry in entries:
            self.append(*entry)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def first(self) -> Entry:
        """The oldest."""
        return self._runs[0][0], self.events[0]

    @property
    def newest(self) -> int:
        """The newest sequence; 0 where there is none."""
        return self._runs[-1][1] if self._runs else 0

    def __reversed__(self) -> Iterator[Entry]:
        """The newest first."""
        events = reversed(self.events)
        for first, last in reversed(self._runs):
            yield from zip(range(last, first - 1, -1), events, strict=False)

    def after(self, cursor: int) -> list[Entry]:
        """What is behind a cursor, oldest first; of few, and of all, it takes no longer than there are."""
        if self._runs and cursor < self._runs[0][0]:
            found: list[Entry] = []
            events = iter(self.events)
            for first, last in self._runs:
                found += zip(range(first, last + 1), events, strict=False)
            return found
        found = list(takewhile(lambda entry: entry[0] > cursor, reversed(self)))
        found.reverse()
        return found

    def drop(self, sequence: int) -> None:
        """Let go of all up to this one."""
        runs, count = self._runs, 0
        while runs and runs[0][1] <= sequence:
            first, last = runs.pop(0)
            count += last - first + 1
        if runs and runs[0][0] <= sequence:
            count += sequence - runs[0][0] + 1
            runs[0][0] = sequence + 1
        for _ in range(count):
            self.bytes -= self.events.popleft().size

    def append(self, sequence: int, event: Event) -> None:
        """A newer one."""
        runs = self._runs
        if runs and (last := runs[-1])[1] == sequence - 1:
            last[1] = sequence
        else:
            runs.append([sequence, sequence])
        self.events.append(event)
        self.bytes += event.size

    def extend(self, first: int, events: Collection[Event]) -> None:
        """Newer ones, with the sequences from `first` on."""
        runs, newest = self._runs, first + len(events) - 1
        if runs and (last := runs[-1])[1] == first - 1:
            last[1] = newest
        else:
            runs.append([first, newest])
        self.events.extend(events)
        self.bytes += sum([event.size for event in events])

    def shed(self, count: int) -> int:
        """Let go of so many of the oldest, of which there is one at least; the sequence of the last of them."""
        for _ in range(count):
            self.bytes -= self.events.popleft().size
        runs = self._runs
        while (length := runs[0][1] - runs[0][0] + 1) < count:
            count -= length
            del runs[0]
        runs[0][0] += count
        last = runs[0][0] - 1
        if last == runs[0][1]:
            del runs[0]
        return last

    def popleft(self) -> Entry:
        """Take the oldest."""
        run, event = self._runs[0], self.events.popleft()
        run[0] += 1
        if run[0] > run[1]:
            del self._runs[0]
        self.bytes -= event.size
        return run[0] - 1, event

    def pop(self) -> Entry:
        """Take the newest."""
        run, event = self._runs[-1], self.events.pop()
        run[1] -= 1
        if run[0] > run[1]:
            self._runs.pop()
        self.bytes -= event.size
        return run[1] + 1, event


NOTHING = Entries()
"""Of a backlog that keeps nothing, which is nearly all of them; nothing is ever added to this one."""
