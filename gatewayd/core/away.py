"""What many sessions without a client are given alike: kept once, and counted once, however many they are.

Law 1: a log is of sessions with the same bounds. The newest events that fit in these are kept, and what a session has
of them is what came since it joined: exactly what its own backlog would have kept.
Law 2: an event costs a log the same whatever number of sessions are in it. Only those that came with events of their
own are looked at, once these have to give way.
Law 3: whoever is given anything else leaves first, with what it has still to get.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from gatewayd.core.counts import Drop
from gatewayd.core.entries import Entry
from gatewayd.core.events import Event
from gatewayd.core.session import Session
from gatewayd.core.source import Source


class AwayLog:
    """Positions count from 1; events up to `floor` are kept no more, and `head` is the newest.

    `left` is told of a session that leaves, before it does.
    """

    __slots__ = (
        "_full_at", "_full_bytes", "_joined", "_left", "_old", "_own", "audience", "bytes", "durable", "events",
        "floor", "head", "max_bytes", "max_events", "members", "name", "total",
    )  # fmt: skip

    def __init__(
        self, name: str, *, max_events: int, max_bytes: int, durable: bool, left: Callable[[Absent], None],
        audience: object = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.audience = audience
        """Of all its sessions."""
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.durable = durable
        """Whether the journal is told of its sessions."""
        self.members: dict[Session, Absent] = {}
        self.events: deque[Event] = deque()
        self.bytes = 0
        """Size of these."""
        self.head = self.floor = 0
        self.total = 0
        """Size of all that there ever was."""
        self._left = left
        self._old = 0  # sessions that lose the oldest event when it gives way
        self._joined: dict[int, int] = {}  # how many more there are once a position has given way
        self._own: dict[Absent, None] = {}  # they came with events of their own, which give way first
        self._full_at: float = math.inf  # none of these is too long up to this position, and this `total`
        self._full_bytes: float = math.inf

    def join(self, session: Session) -> None:
        """A session without a client, whose backlog is counted nowhere else, has the log's bounds."""
        absent = Absent(self, session)
        self.members[session] = absent
        if self.head == self.floor:
            self._old += 1
        else:
            self._joined[self.head] = self._joined.get(self.head, 0) + 1
        session.backlog.share(absent)
        if session.backlog.own_size[0]:
            self._own[absent] = None
            self._expect(absent)

    def leave(self, absent: Absent) -> None:
        """A session goes its own way: it takes along what it has still to get."""
        session, position = absent.session, absent.position
        self._left(absent)
        session.backlog.unshare(self.after(position))
        del self.members[session]
        self._own.pop(absent, None)
        if position <= self.floor:
            self._old -= 1
        elif self._joined[position] > 1:
            self._joined[position] -= 1
        else:
            del self._joined[position]
        while self.events and not self._old:  # nobody else has these
            self._give_way()

    def append(self, event: Event) -> tuple[int, Sequence[tuple[Session, Mapping[Drop, int]]]]:
        """All sessions are given an event, which is not too big; how many older ones of the log they lose, and who
        loses what of its own.
        """
        self.head += 1
        self.events.append(event)
        self.bytes += event.size
        self.total += event.size
        own = self._trim() if self.head > self._full_at or self.total > self._full_bytes else ()
        lost = 0
        while len(self.events) > self.max_events or self.bytes > self.max_bytes:
            lost += self._give_way()
        return lost, own

    def _give_way(self) -> int:
        """The oldest event is kept no more; how many sessions lose it."""
        lost = self._old
        self.bytes -= self.events.popleft().size
        self.floor += 1
        self._old += self._joined.pop(self.floor, 0)
        return lost

    def _trim(self) -> list[tuple[Session, Mapping[Drop, int]]]:
        """What is a session's own is older, and gives way first."""
        found: list[tuple[Session, Mapping[Drop, int]]] = []
        self._full_at = self._full_bytes = math.inf
        for absent in tuple(self._own):
            losses = absent.session.backlog.trim()
            if losses:
                found.append((absent.session, losses))
            if absent.session.backlog.own_size[0]:
                self._expect(absent)
            else:
                del self._own[absent]
        return found

    def _expect(self, absent: Absent) -> None:
        """From which event on it will have too many."""
        count, size = absent.session.backlog.own_size
        self._full_at = min(self._full_at, absent.position + self.max_events - count)
        self._full_bytes = min(self._full_bytes, absent.before + self.max_bytes - size)

    def after(self, position: int) -> list[Event]:
        """What is kept behind a position."""
        return list(islice(self.events, max(0, position - self.floor), None))


class Absent(Source):
    """The place of one session in a log: since which position, with which sequence and after how many bytes."""

    __slots__ = ("before", "log", "position", "sequence", "session")

    def __init__(self, log: AwayLog, session: Session) -> None:
        self.log = log
        self.session = session
        self.position = log.head
        self.sequence = session.backlog.given
        self.before = log.total

    @property  # type: ignore[misc]
    def given(self) -> int:  # nothing but the log counts here
        """The newest sequence."""
        return self.sequence + self.log.head - self.position

    @property
    def waiting(self) -> int:
        """What it has still to get of the log."""
        return self.log.head - max(self.position, self.log.floor)

    @property
    def lost(self) -> int:
        """What gave way."""
        return max(0, self.log.floor - self.position)

    @property
    def bytes(self) -> int:
        """Size of what it has still to get of the log."""
        log = self.log
        return log.bytes if self.position <= log.floor else log.total - self.before

    def entries(self, after: int) -> list[Entry]:
        """These, behind a cursor."""
        position = max(self.position + after - self.sequence, self.position, self.log.floor)
        return list(enumerate(self.log.after(position), self.sequence + position - self.position + 1))

    def hand_over(self) -> None:
        """They are for all."""

    def let_go(self) -> None:
        """The session goes its own way."""
        self.log.leave(self)
