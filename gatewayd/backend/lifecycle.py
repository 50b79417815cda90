"""Lifecycle events on their way to the backend: queued, and delivered in order, at least once.

Law 1: an entry leaves the queue when the backend has taken it, and in no other way but the queue's own bound.
Law 2: one batch is under way at a time, the oldest first; so each session's events arrive in their order.
"""

from __future__ import annotations

import heapq
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import define, field, frozen

from gatewayd.backend.errors import REJECTED, BackendError
from gatewayd.backend.request import Entry
from gatewayd.core.observer import Observer
from gatewayd.core.rate import Rate

if TYPE_CHECKING:
    from gatewayd.core.close import Disconnect
    from gatewayd.core.session import Session

FAULT = "fault"
"""Slug of a delivery that a bug of ours has stopped."""

log = logging.getLogger("gatewayd.backend")


class Queue(Protocol):
    """What waits to be delivered, oldest first."""

    dropped: int
    """How many had to give way."""
    last: int
    """The number of the newest entry that there ever was."""

    def append(self, entry: Entry) -> None:
        """Take one more; never waits."""

    def peek(self, limit: int) -> list[Entry]:
        """The oldest, `limit` of them at most; they stay."""

    async def arrived(self) -> None:
        """Wait for the next entry."""

    async def committed(self) -> None:
        """Wait until all of them are as safe as they will be: the backend must know nothing that we may forget."""

    def done(self, upto_n: int) -> None:
        """Forget all whose `n` is not larger."""

    def __len__(self) -> int:
        """How many wait."""


class MemoryQueue:
    """A `Queue` that ends with the process.

    Of more than `limit`, the oldest of the realm with the most give way, and are counted.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self.last = 0
        self._limit = limit
        self._arrived = trio.Event()
        self._count = 0
        self._entries: dict[str, deque[Entry]] = {}
        """By realm, oldest first; none is empty."""

    def __len__(self) -> int:
        return self._count

    def append(self, entry: Entry) -> None:
        """Take one more; never waits."""
        self.last = entry.n
        self._add(entry)
        if self._count > self._limit:  # a tenant whose clients come and go makes nobody else's go missing
            self._drop(max(self._entries, key=lambda realm: len(self._entries[realm])))
            if not self.dropped & (self.dropped - 1):  # at 0, 1, 2, 4, 8 …: seen, and no storm
                log.error("more than %d lifecycle events wait: %d were dropped", self._limit, self.dropped + 1)
            self.dropped += 1
        self._arrived.set()

    def _add(self, entry: Entry) -> None:
        self._entries.setdefault(entry.realm, deque()).append(entry)
        self._count += 1

    def entries(self) -> Iterator[Entry]:
        """All of them, oldest first."""
        return heapq.merge(*self._entries.values(), key=attrgetter("n"))

    def peek(self, limit: int) -> list[Entry]:
        """The oldest, `limit` of them at most; they stay."""
        return list(islice(self.entries(), limit))

    async def arrived(self) -> None:
        """Wait for the next entry."""
        self._arrived = trio.Event()
        await self._arrived.wait()

    async def committed(self) -> None:
        """They end with the process, whatever is waited for."""

    def done(self, upto_n: int) -> None:
        """Forget all whose `n` is not larger."""
        for realm in tuple(self._entries):
            while realm in self._entries and self._entries[realm][0].n <= upto_n:
                self._drop(realm)

    def _drop(self, realm: str) -> Entry:
        """The oldest of a realm, which waits no more."""
        entry = self._entries[realm].popleft()
        self._count -= 1
        if not self._entries[realm]:
            del self._entries[realm]
        return entry


class Recorder(Observer):
    """What the hub tells of its sessions, as entries of a queue."""

    def __init__(self, queue: Queue, kinds: Collection[str], *, wall: Callable[[], float] = time.time) -> None:
        self._queue = queue
        self._kinds = frozenset(kinds)
        self._wall = wall

    def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
        """Queue a lifecycle event, if its kind is wanted."""
        if kind not in self._kinds:
            return
        self._queue.append(
            Entry(
                n=self._queue.last + 1,
                session=session.id,
                generation=session.generation,
                sequence=session.lifecycle_sequence,
                kind=kind,
                cause="" if verdict is None else verdict.cause.value,
                at=self._wall(),
                listener=session.listener,
                protocol=session.protocol,
                realm=session.realm,
                identity=session.identity,
                metadata=dict(session.metadata),
                lost=lost,
            )
        )


class Tells(Protocol):
    """Whoever is told of sessions."""

    async def tell(self, entries: Sequence[Entry]) -> None:
        """Take all of them, or raise `BackendError`, whose `taken` says how many it did take."""


@frozen(kw_only=True)
class Pace:
    """How much at once, how much in a time, and how long to leave a backend alone that fails; seconds."""

    batch: int = 100
    rate: Rate = Rate(1000, 1.0)  # noqa: RUF009 - frozen
    retry_min: float = 0.5
    retry_max: float = 60.0

    def pause(self, failures: int, chance: float) -> float:
        """After so many failures in a row; doubled each time, and spread by `chance` (0 to 1) over its upper half."""
        longest = min(self.retry_max, self.retry_min * 2.0 ** min(failures - 1, 60))
        return max(self.retry_min, longest * (0.5 + 0.5 * chance))


@define
class Deliveries:
    """What has become of lifecycle events, in plain integers; `failed` counts batches by slug."""

    sent: int = 0
    failed: Counter[str] = field(factory=Counter)


async def deliver(
    queue: Queue,
    backend: Tells,
    pace: Pace,
    totals: Deliveries,
    *,
    until_empty: bool = False,
    chance: Callable[[], float] = random.random,
) -> None:
    """Deliver for as long as this runs; with `until_empty`, return when nothing waits."""
    failures = 0
    most = min(pace.batch, pace.rate.count)
    while True:
        entries = queue.peek(most)
        if not entries:
            if until_empty:
                return
            await queue.arrived()
            continue
        await queue.committed()
        taken = await _tell(backend, entries, totals, failures)
        if taken:
            queue.done(entries[taken - 1].n)
            totals.sent += taken
        if taken == len(entries):
            failures = 0
            await trio.sleep(taken * pace.rate.period / pace.rate.count)
        else:
            failures = 1 if taken else failures + 1
            await trio.sleep(pace.pause(failures, chance()))


async def _tell(backend: Tells, entries: list[Entry], totals: Deliveries, failures: int) -> int:
    """How many of them the backend has taken."""
    try:
        await backend.tell(entries)
    except BackendError as error:
        totals.failed[error.slug] += 1
        if not failures:  # once, not at every attempt
            log.warning("lifecycle events cannot be delivered and will be sent again: %s", error)
        elif error.slug == REJECTED:
            log.warning("lifecycle events are rejected again (%d times): %s", failures + 1, error)
        return error.taken
    except Exception:  # a bug of ours must not stop all later events
        totals.failed[FAULT] += 1
        log.exception("fault while delivering lifecycle events")
        return 0
    if failures:
        log.info("lifecycle events are delivered again, after %d failures", failures)
    return len(entries)
