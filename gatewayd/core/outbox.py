"""The frames in front of one client's socket: what of its backlog is not written, and what is said beside that.

Law 1: bytes leave in the order they were pushed; nothing is pushed behind a close frame.
Law 2: bounded by bytes, by count and by the age of its oldest entry; a full one is a verdict, never a wait.
Law 3: events are in the backlog. Those that its client is given and that wait here are counted there, until the socket
has taken them; `hand_over` has it keep them itself, once anybody asks for them or the client goes.
Law 4: where nothing waits, a frame may go to the socket without ever having been an entry.
Law 5: of events that stay when they are written, the last few are here, and are told to the backlog together, or when
it is asked: a publish touches nothing else of a receiver.
Law 6: where nothing waits, its client may be a member of sets that are written to in one go (`InSync`); it leaves them
all before anything waits here, and with them what they have not written yet.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from gatewayd.core.backlog import Backlog
from gatewayd.core.events import Event
from gatewayd.core.insync import UNTOLD, UNTOLD_BYTES, Place, Unwritten, in_order, waiting
from gatewayd.core.pace import Pace
from gatewayd.core.retention import Retention
from gatewayd.core.settings import Settings
from gatewayd.core.source import NO_CLIENT, Source

BATCH_BYTES = 65536
"""How much one write joins at the most."""
PIECE_BYTES = 262144
"""How much of the rest of one frame is tried at a time: more than the kernel takes, and little enough to copy."""
MOST_SETS = 8
"""Sets that a client is a member of at a time: each makes it dearer to leave, and to count where clients see that."""
CONTROL = 8
"""The bit of a frame's first byte that tells a control frame (RFC 6455 §5.2)."""

Entry = tuple[bytes, Event | int, float, int]
"""A frame; its event, or the sequence of one that the backlog keeps itself, or 0; since when it waits; and what it
counts against the bounds."""

_NONE: deque[Entry] = deque()
"""Of an outbox where nothing waits, which is nearly all of them: a deque of its own costs each client 760 bytes."""


_NEVER = Pace()


def nobody() -> None:
    """There is nobody to be told."""


class Outbox(Source):
    """`push` or `give` what is to go out, `batch` what to write next, `advance` by what the socket took.

    `send` writes at once and returns the bytes taken, or raises `OSError`; `wake` says that something waits.
    """

    __slots__ = (
        "_away_until", "_count", "_entries", "_offset", "_queued", "_retains", "_sent_in", "_untold", "backlog",
        "charged", "descriptor", "events", "finished", "max_age", "max_bytes", "max_events", "pace", "places", "send",
        "wake",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, *, send: Callable[[bytes], int] = len, wake: Callable[[], None] = nobody,
        pace: Pace = _NEVER,
    ) -> None:  # fmt: skip
        self.max_bytes = settings.outbox_bytes
        self.max_events = settings.outbox_events
        self.max_age = settings.outbox_age
        self.send, self.wake, self.pace = send, wake, pace
        self._entries = _NONE
        self._offset = 0  # bytes of the first entry that are written already
        self.charged = 0
        """Bytes that count against the bound: replayed events and control frames do not."""
        self.events = 0
        self.finished = False
        self._sent_in = -1  # the tick of the last frame that left at once
        self.backlog: Backlog | None = None  # what the client is given events of, from identify on
        self._retains = False
        self._untold: list[Event] | None = None  # written and kept; None where not every event is
        self._count = 0  # the newest sequence, but for what its sets have given since
        self._queued = 0  # events in here that the backlog does not keep
        self.descriptor = -1
        """Of a plain socket, as long as that is open."""
        self.places: tuple[Place, ...] = ()
        """In the sets that its client is a member of."""
        self._away_until = 0  # the tick from which on it may join sets again

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def given(self) -> int:
        """The newest sequence."""
        count = self._count
        for place in self.places:
            count += place.within.given - place.since
        return count

    @given.setter
    def given(self, sequence: int) -> None:
        self.leave()
        self._count = sequence

    @property
    def waiting(self) -> int:
        """How many of the newest events are not written, and not in the backlog."""
        count = self._queued
        for place in self.places:
            count += len(place.within.pending)
        return count

    @property
    def next(self) -> int:
        """The sequence that the next event gets."""
        return 1 if self.backlog is None else self.given + 1

    @property
    def keeps_up(self) -> bool:
        """Whether its client could be a member of a set."""
        backlog = self.backlog
        return (
            self._entries is _NONE
            and not self.finished
            and backlog is not None
            and backlog.source is self
            and not len(backlog)
        )

    @property
    def size(self) -> int:
        """Bytes of all that waits, replayed events and control frames too."""
        return sum(len(data) for data, *_ in self._entries) - self._offset

    def attach(self, backlog: Backlog) -> None:
        """From here on the client is given the events of this backlog."""
        self.backlog = backlog
        self._retains = backlog.policy.retention is not Retention.WRITTEN
        self._untold = [] if backlog.policy.keeps_all else None
        backlog.attach(self)

    def push(self, data: bytes, now: float, *, free: bool = False) -> bool:
        """Queue a frame that is no event. False: it did not fit, or the oldest entry is too old; nothing was queued.

        `free` frames do not count against the bounds: what causes them is bounded. They may take as long as the bounds
        allow for as many bytes, and what is queued behind them ages from then on.
        """
        return self._send(data, free=free) or self._queue(data, 0, now, 0 if free else len(data))

    def give(self, data: bytes, event: Event, now: float) -> bool:
        """The frame of a new event, which the backlog takes as given; False as above, and nothing is given then."""
        backlog, pace = self.backlog, self.pace
        assert backlog is not None, "events are for sessions that have identified"
        if self.places:
            self.step_aside()
        if (  # as `_send`, which would be one call more for each receiver of each publish
            self._entries is _NONE
            and self._sent_in != pace.number
            and not pace.held
            and not self.finished
            and len(data) <= self.max_bytes
        ):
            self._sent_in = pace.number
            try:
                sent = self.send(data)
            except OSError:
                sent = 0
            if sent == len(data):
                self._count += 1
                if self._retains:
                    if (untold := self._untold) is None:
                        backlog.retain(event, now)
                    else:
                        untold.append(event)
                        if not self._count % UNTOLD or event.size > UNTOLD_BYTES:
                            self.report(now)
                return True
            self._offset = sent
        if self.finished:  # it is for the next client
            backlog.append(event)
            return True
        if self._queue(data, event, now, len(data)):
            self._count += 1
            self._queued += 1
            return True
        return False

    def replay(self, data: bytes, sequence: int, now: float) -> None:
        """The frame of the next event of the backlog that is not written; free of the bounds."""
        assert self.backlog is not None
        if self._entries is _NONE and self._send(data, free=True):
            self.backlog.wrote(sequence)
        else:
            self._queue(data, sequence, now, 0)

    def _send(self, data: bytes, *, free: bool = False) -> bool:
        """Write a frame at once if nothing waits; whether all of it is out. Of one that is half out the rest waits."""
        pace = self.pace
        if (
            self._entries is not _NONE
            or self._sent_in == pace.number
            or pace.held
            or self.finished
            or (len(data) > self.max_bytes and not free)
            or (self.places and self.overtakes())
        ):
            return False
        self._sent_in = pace.number
        try:
            sent = self.send(data)
        except OSError:
            sent = 0  # it is queued: who writes the queue waits, or meets the same error where it belongs
        if sent == len(data):
            return True
        self._offset = sent
        return False

    def _queue(self, data: bytes, what: Event | int, now: float, charge: int) -> bool:
        """Queue a frame that counts `charge` bytes against the bounds (0: none); False when it does not fit."""
        if self.finished:
            return True  # nothing follows a close frame; who waits for it learns of the end elsewhere
        if self.places:
            self.leave()
        if charge and (self.charged + charge > self.max_bytes or self.events >= self.max_events or self.stale(now)):
            return False
        self._append(data, what, now, charge)
        return True

    def _append(self, data: bytes, what: Event | int, now: float, charge: int) -> None:
        entries = self._entries
        if entries is _NONE:
            entries = self._entries = deque()
        elif (last := entries[-1][2]) > now:
            now = last
        if charge:
            self.charged += charge
            self.events += 1
        else:
            now += self.max_age * len(data) / self.max_bytes
        entries.append((data, what, now, charge))
        self.wake()  # which may write at once

    def settle(self) -> None:
        """Count by itself what its sets have written."""
        if self._untold is not None:
            self._untold += in_order(self.places)
        for place in self.places:
            written = place.within.written
            self._count += written - place.since
            place.since = written

    def overtakes(self) -> bool:
        """Whether a frame that left now would overtake what its sets have said."""
        for place in self.places:  # noqa: SIM110  # a generator costs each answer to a member half a microsecond
            if place.within.pending:
                return True
        return False

    def step_aside(self) -> None:
        """An event is for its client alone: it leaves where that changes what it is in a set, or would overtake one."""
        for place in self.places:
            if place.within.strict or place.within.pending:
                self.stay_away()
                return

    @property
    def may_join(self) -> bool:
        """Whether its client may be a member of one set more."""
        return self.descriptor >= 0 and len(self.places) < MOST_SETS and self.pace.number >= self._away_until

    def stay_away(self) -> None:
        """Leave, and join no set for a while: what called its client away may go on, and each time costs more than a
        few events do.
        """
        self.leave()
        self._away_until = self.pace.number + self.pace.apart

    def leave(self) -> None:
        """Its client is a member of no set any more: from here on it counts by itself."""
        places = self.places
        if places:
            said = waiting(places)
            self.settle()
            self.places = ()
            for place in places:
                place.within.drop(place, places)
            if said:
                self._take_along(said, places[0])

    def _take_along(self, said: Sequence[Unwritten], place: Place) -> None:
        """Queue what was said to its client in sets, as in that place, and not written: bounded from here on."""
        for _, made, event, now in said:
            self._count += 1
            self._queued += 1
            frame = place.within.frame(made, self._count)
            self._append(frame, event, now, len(frame))
        if self._over:
            self.pace.soon(partial(self._judge, place.connection.overrun))

    @property
    def _over(self) -> bool:
        """Whether more waits than may."""
        return self.charged > self.max_bytes or self.events > self.max_events

    def _judge(self, overrun: Callable[[], None]) -> None:
        """It was given more than may wait here; by now its socket has taken what it can."""
        if self._over:
            overrun()

    def finish(self) -> None:
        """A close frame is the last entry: refuse, silently, whatever comes behind it."""
        self.leave()
        self.finished = True

    def stale(self, now: float) -> bool:
        """Whether the oldest entry has waited longer than it may."""
        return bool(self._entries) and now - self._entries[0][2] > self.max_age

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

    def advance(self, count: int) -> bool:
        """The socket took `count` bytes of the last batch; whether events are out whole by that."""
        replayed = 0
        given: list[Event] = []
        count += self._offset
        entries = self._entries
        while entries:
            data, what, _, charge = entries[0]
            if count < len(data):
                break
            entries.popleft()
            count -= len(data)
            if charge:
                self.charged -= charge
                self.events -= 1
            if isinstance(what, Event):
                given.append(what)
            elif what:
                replayed = what
        self._offset = count
        if not entries:
            self._entries = _NONE
        backlog = self.backlog
        if backlog is not None and backlog.source is self:  # else a newer client is being said all of it again
            if replayed:
                backlog.wrote(replayed)
            if given:
                self._queued -= len(given)
                if self._untold is not None:
                    self._untold += given
                    self.report()
                elif self._retains:
                    backlog.retain_all(backlog.given - self.waiting - len(given) + 1, given)
        return bool(replayed or given)

    def report(self, now: float = -math.inf) -> None:
        """Have the backlog keep what was written of late."""
        if self.places:
            self.settle()
        if self._untold:
            assert self.backlog is not None
            written, self._untold = self._untold, []
            self.backlog.retain_all(self._count - self._queued - len(written) + 1, written, now)

    def hand_over(self) -> None:
        """Have the backlog itself keep the events that wait here."""
        if self.waiting > self._queued:
            self.leave()
        self.report()
        if not self._queued or self.backlog is None:
            return
        sequence, kept = self.backlog.given - self._queued, deque[Entry]()
        for data, what, at, charge in self._entries:
            if isinstance(what, Event):
                sequence += 1
                self.backlog.take_back(sequence, what)
                what = sequence
            kept.append((data, what, at, charge))
        self._entries, self._queued = kept, 0

    def cut(self, *, stream: bool = False) -> bool:
        """The session goes on without this client: forget the events that the socket has not taken whole, and tell
        whether there were any.

        Other frames stay, and so does one that is partly on the wire, or the next would land inside it. Behind a lost
        event of a compressed `stream` only control frames can be read, and stay.
        """
        self.leave()
        self.hand_over()
        lost, half, kept = False, self._entries[0] if self._offset else None, deque[Entry]()
        for entry in self._entries:
            if entry[1] and entry is not half:
                lost = True
            elif not (lost and stream) or entry[0][0] & CONTROL:
                kept.append((entry[0], entry[1], entry[2], 0))
        self._entries = kept or _NONE
        self.charged = self.events = 0
        return lost

    def close(self) -> None:
        """The socket is about to be closed: no set may write to its descriptor again."""
        self.leave()
        self.descriptor = -1

    def release(self) -> None:
        """The client is gone: let go of its socket and its writer, which hold this outbox themselves."""
        self.close()
        self.hand_over()
        if self.backlog is not None and self.backlog.source is self:
            self.backlog.attach(NO_CLIENT)  # a session that is away holds no outbox
        self.send, self.wake, self.pace, self.backlog = len, nobody, _NEVER, None
