"""The bounded queue in front of one client's socket: what is to be written, in order, and what was not.

Law 1: bytes leave in the order they were pushed; nothing is pushed behind a close frame.
Law 2: bounded by bytes, by count and by the age of its oldest entry; a full one is a verdict, never a wait.
Law 3: what the socket did not take whole is still here, so that its events can be taken back and replayed.
Law 4: where nothing waits, a frame may go to the socket without ever having been an entry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from gatewayd.core.events import Event

BATCH_BYTES = 65536
"""How much one write joins at the most."""
PIECE_BYTES = 262144
"""How much of the rest of one frame is tried at a time: more than the kernel takes, and little enough to copy."""

Entry = tuple[bytes, Event | None, float, int]

_NONE: deque[Entry] = deque()
"""Of an outbox where nothing waits, which is nearly all of them: a deque of its own costs each client 760 bytes."""


class Pace(Protocol):
    """Tells when a frame may leave at once: the first one of a client's in a turn of the loop, unless all is held."""

    number: int
    """Of the turn."""
    held: bool
    """Whether even a lone frame waits for the end of this turn, since more are coming."""


class _Never:
    number = 0
    held = True


def _nobody() -> None:
    """There is nobody to be told."""


class Outbox:
    """`push` what is to go out, `batch` what to write next, `advance` by what the socket took. Sizes in bytes.

    `send` writes at once, tells how many bytes were taken, and may raise `OSError`; `wake` says that something waits.
    """

    __slots__ = (
        "_entries", "_offset", "_sent_in", "charged", "events", "finished", "max_age", "max_bytes", "max_events",
        "pace", "send", "wake", "written",
    )  # fmt: skip

    def __init__(self, *, max_bytes: int, max_events: int, max_age: float) -> None:
        self.max_bytes = max_bytes
        self.max_events = max_events
        self.max_age = max_age
        self._entries = _NONE
        self._offset = 0  # bytes of the first entry that are written already
        self.charged = 0
        """Bytes that count against the bound: replayed events and control frames do not."""
        self.events = 0
        self.finished = False
        self._sent_in = -1  # the turn of the last frame that left at once
        self.pace: Pace = _Never
        self.send: Callable[[bytes], int] = len
        self.wake: Callable[[], None] = _nobody
        self.written: Callable[[list[Event]], None] | None = None
        """Told of events that are out whole after they had to wait here; only while somebody follows one of them."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all that waits, replayed events and control frames too."""
        return sum(len(data) for data, *_ in self._entries) - self._offset

    def waiting(self) -> list[Event]:
        """The events that are not written whole, in order."""
        return [event for _, event, _, _ in self._entries if event is not None]

    def latest(self) -> Iterator[Event]:
        """The same, newest first."""
        return (event for _, event, _, _ in reversed(self._entries) if event is not None)

    @property
    def oldest(self) -> Event | None:
        """The first of them."""
        return next((event for _, event, _, _ in self._entries if event is not None), None)

    def push(self, data: bytes, event: Event | None, now: float, *, free: bool = False) -> bool:
        """Queue one frame. False: it did not fit, or the oldest entry is too old, and nothing was queued.

        `free` frames are not counted against the bounds: what was missed comes out of another bounded buffer, and the
        library's own frames (pong, close) are bounded by what it answers. They may take as long as the bounds would
        give to so many bytes, and what is queued behind them grows old from then on.
        """
        size = len(data)
        pace = self.pace
        if (
            self._entries is _NONE
            and self._sent_in != pace.number
            and not pace.held
            and not self.finished
            and (free or size <= self.max_bytes)
        ):
            self._sent_in = pace.number
            try:
                sent = self.send(data)
            except OSError:
                sent = 0  # it is queued: who writes the queue waits, or meets the same error where it belongs
            if sent == size:
                return True
            self._offset = sent
        return self._queue(data, event, now, size, free=free)

    def _queue(self, data: bytes, event: Event | None, now: float, size: int, *, free: bool) -> bool:
        if self.finished:
            return True  # nothing follows a close frame; whoever waits for it learns of the end elsewhere
        at = now
        if self._entries and self._entries[-1][2] > now:
            at = self._entries[-1][2]
        if free:
            at += self.max_age * size / self.max_bytes
            size = 0
        else:
            if self.charged + size > self.max_bytes or self.events >= self.max_events or self.stale(now):
                return False
            self.charged += size
            self.events += 1
        if self._entries is _NONE:
            self._entries = deque()
        self._entries.append((data, event, at, size))
        self.wake()
        return True

    def finish(self) -> None:
        """A close frame is the last entry: refuse, silently, whatever comes behind it."""
        self.finished = True

    def stale(self, now: float) -> bool:
        """Whether the oldest entry has waited longer than it may."""
        return now - self._entries[0][2] > self.max_age if self._entries else False

    def batch(self) -> bytes:
        """What to write next: whole entries joined up to `BATCH_BYTES`, at least one; b"" when empty."""
        if not self._entries:
            return b""
        first = self._entries[0][0]
        if self._offset:
            return first[self._offset : self._offset + PIECE_BYTES]
        if len(self._entries) == 1:
            return first
        parts, size = [first], len(first)
        for data, *_ in islice(self._entries, 1, None):
            size += len(data)
            if size > BATCH_BYTES:
                break
            parts.append(data)
        return b"".join(parts)

    def advance(self, count: int) -> list[Event]:
        """The socket took `count` bytes of the last batch; the events whose frames are now out whole."""
        done: list[Event] = []
        count += self._offset
        entries = self._entries
        while entries:
            data, event, _, charge = entries[0]
            if count < len(data):
                break
            entries.popleft()
            count -= len(data)
            if charge:
                self.charged -= charge
                self.events -= 1
            if event is not None:
                done.append(event)
        self._offset = count
        if not entries:
            self._entries = _NONE
        if self.written is not None and done:
            self.written(done)
        return done

    def cut(self) -> list[Event]:
        """Take back the events that the socket has not taken whole, in order.

        What is no event stays, and so does a frame of which a part is on the wire already, or whatever follows would
        land inside it.
        """
        unsent = self.waiting()
        kept: deque[Entry] = deque((data, None, at, 0) for data, event, at, _ in self._entries if event is None)
        if self._offset and self._entries[0][1] is not None:
            data, event, at, _ = self._entries[0]
            kept.appendleft((data, event, at, 0))
        self._entries = kept or _NONE
        self.charged = self.events = 0
        return unsent

    def release(self) -> None:
        """The client is gone: let go of its socket and its writer, which hold this outbox themselves."""
        self.send, self.wake, self.pace, self.written = len, _nobody, _Never, None
