"""The journal between the node's parts: opened, read back at the start, asked for everything when it has to begin anew.

Law 1: a node that cannot read all that its journal holds does not start.
A row that is nested too deep to be said again is the exception: it is dropped, logged and counted, and an event
among them is a gap to those it waited for.
Law 2: whoever is asked to wait until something is kept is told when it is not.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import trio

from gatewayd.backend.lifecycle import MemoryQueue
from gatewayd.backend.request import Entry
from gatewayd.core.depth import MAX_DEPTH, OWN_DEPTH, too_deep
from gatewayd.core.kept import Resource
from gatewayd.core.record import EventRecord, Key, Row, Table, Within, decode_event, decode_session, encode, parts
from gatewayd.hub.recall import lose, recall
from gatewayd.journal.engine import Journal, JournalError

if TYPE_CHECKING:
    from gatewayd.admin.idempotency import Remembered
    from gatewayd.core.settings import Settings
    from gatewayd.hub.hub import Hub
    from gatewayd.hub.realm import Realm

log = logging.getLogger("gatewayd.journal")

LIVED, LAST, NUMBERS = "lived", "lifecycle", "numbers"
"""Keys of the meta table: the node's own time, the number of its newest lifecycle event, and one that no event has."""
NUMBERS_AHEAD = 1_000_000
"""So many numbers of events are reserved at a time. The journal is asked for changes every few seconds at least, so
that half of them outlast what can be published until then."""
NONSENSE = (msgspec.MsgspecError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What comes of a row that somebody has edited, or of a hook that does not know what it finds there."""


def _nothing() -> None:
    """Nobody wants to end the reading."""


class JournalQueue(MemoryQueue):
    """Lifecycle events that wait for the backend, in the journal.

    Before an entry is handed out it is on disk, together with what has happened to its session: what the backend knows,
    the next run knows too. Where the disk fails it is handed out all the same, and a crash in that time may say an end
    twice.
    """

    def __init__(self, journal: Journal, limit: int) -> None:
        super().__init__(limit)
        self.last = 0
        self._journal = journal

    def append(self, entry: Entry) -> None:
        """Take one more."""
        self.last = entry.n
        self._journal.put(Table.LIFECYCLE, entry.n, encode(entry))
        self._journal.put(Table.META, LAST, b"%d" % entry.n)
        super().append(entry)

    async def kept(self) -> None:
        """Wait until all that was appended is on disk; at once where the disk fails, since waiting would not help."""
        await self._journal.committed()

    def _drop(self, realm: str) -> Entry:
        entry = super()._drop(realm)
        self._journal.delete(Table.LIFECYCLE, entry.n)
        return entry

    def rows(self) -> Iterator[Row]:
        """All rows there have to be."""
        for entry in self.entries():
            yield Table.LIFECYCLE, entry.n, encode(entry)

    def restore(self, dropped: Counter[str]) -> None:
        """Take up what the last run has not delivered. Raises `JournalError`."""
        with Reading(self._journal, dropped) as reading:
            for _, value in reading.load(Table.LIFECYCLE):
                self._add(msgspec.json.decode(value, type=Entry))
            for key, value in reading.load(Table.META):
                if key == LAST:
                    self.last = int(value)


class Reading:
    """Makes whatever goes wrong with a row a `JournalError` that names it.

    Rows that are nested too deep are counted in `dropped`, by table. `look` is called at every row, and what it raises
    ends the reading.
    """

    def __init__(self, journal: Journal, dropped: Counter[str], look: Callable[[], None] = _nothing) -> None:
        self._journal = journal
        self._look = look
        self._dropped = dropped
        self.place = ""
        """Where we are."""
        self.gaps: list[tuple[int, EventRecord]] = []
        """The events among those that were dropped."""

    def load(self, table: Table) -> Iterator[tuple[Key, bytes]]:
        """The rows of a table; those that are nested too deep are left out, and go from the journal."""
        for key, value in self._journal.load(table):
            self._look()
            self.place = f"the row {key!r} of {table}"
            if too_deep(value, MAX_DEPTH + OWN_DEPTH):
                self._drop(table, key, value)
            else:
                yield key, value
        self.place = f"the table {table}"
        if count := self._dropped[table.value]:
            text = "rows of %s that were dropped, since they are nested deeper than %d levels: %d"
            log.warning(text, table, MAX_DEPTH, count)

    def _drop(self, table: Table, key: Key, value: bytes) -> None:
        self._dropped[table.value] += 1
        self._journal.delete(table, key)
        if table is Table.EVENTS:
            with suppress(RecursionError):  # deeper than this daemon ever wrote: nobody can tell whose it was
                self.gaps.append((int(str(key)), decode_event(value)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, NONSENSE):
            raise JournalError(
                f"{self._journal.file.path}: {self.place} makes no sense ({fault}); restore the file from a backup, "
                f"or move it away"
            ) from fault


class Keeping:
    """One node's journal, opened when this is made; `read` it into the parts before `journal.run` is started."""

    def __init__(self, state_dir: Path, *, interval: float, full_sync: bool) -> None:
        self.journal = Journal.open(state_dir, interval=interval, full_sync=full_sync)
        self.queue: JournalQueue | None = None
        self._hub: Hub | None = None
        self._remembered: Remembered | None = None
        self.dropped: Counter[str] = Counter()
        """Rows that were dropped at the start, by table."""
        self._reserved = 0

    def lifecycle(self, limit: int) -> JournalQueue:
        """The queue for the backend, with what the last run left in it."""
        self.queue = JournalQueue(self.journal, limit)
        self.queue.restore(self.dropped)
        return self.queue

    def read(
        self, hub: Hub, settings: Mapping[str, Settings], remembered: Remembered, look: Callable[[], None] = _nothing
    ) -> None:
        """Fill the parts with what the last run has left. Raises `JournalError` where that makes no sense.

        `look` is called at every row; what it raises ends the reading.
        """
        journal = self.journal
        self._hub, self._remembered = hub, remembered
        with Reading(journal, self.dropped, look) as reading:
            meta = {str(key): float(value) for key, value in reading.load(Table.META)}
            for resource in Resource:
                self._restore(hub, resource, reading)
            remembered.store = journal
            remembered.restore(reading.load(Table.IDEMPOTENCY), hub.clock(), meta.get(LIVED, 0.0))
            sessions = [(str(key), decode_session(value)) for key, value in reading.load(Table.SESSIONS)]
            events = [(int(str(key)), decode_event(value)) for key, value in reading.load(Table.EVENTS)]
            reading.place = "what is remembered of a session"
            hub.numbers = int(meta.get(NUMBERS, 0.0))
            recall(hub, settings, sessions, events, meta.get(LIVED, 0.0))
        journal.put(Table.META, NUMBERS, self._reserve())
        for gap in reading.gaps:
            lose(hub, *gap)
        for realm in hub.all_realms:
            if not realm.behaviours and realm.keeps_anything:
                log.warning("realm %s has no listener: what the journal keeps for it stays there", realm.name)
        journal.gather, journal.snapshot = self._gather, self._everything
        if sessions:
            log.info("%d sessions of the last run, %d of them can be resumed", len(sessions), len(hub.sessions))

    def _restore(self, hub: Hub, resource: Resource, reading: Reading) -> None:
        """Fill the realms with what is kept of one kind. Raises `ValueError`.

        What a version without realms has kept goes to the first that has a use for it.
        """
        table = Table(resource)
        for name, rows in groupby(reading.load(table), key=lambda row: parts(row[0])[0]):
            realm = hub.realm(str(name)) if name else _first_with(hub, resource)
            if not name:
                log.warning("%s kept before there were realms are in realm %s from now on", resource, realm.name)
            if unfit := realm.keeps(resource).restore(self._inner(table, realm, rows)):
                raise ValueError(f"{unfit} values are no JSON, or too many")

    def _inner(self, table: Table, realm: Realm, rows: Iterable[tuple[Key, bytes]]) -> Iterator[tuple[Key, bytes]]:
        """Rows by the keys that they have within their realm; those that had none are moved there."""
        for key, value in rows:
            name, *rest = parts(key)
            inner = rest[0] if len(rest) == 1 else tuple(rest)
            if not name:
                self.journal.delete(table, key)
                Within(self.journal, realm.name).put(table, inner, value)
            yield inner, value

    def _gather(self) -> None:
        assert self._hub is not None
        self._hub.keeper.gather()
        if self._hub.numbers > self._reserved - NUMBERS_AHEAD // 2:
            self.journal.put(Table.META, NUMBERS, self._reserve())
        if not self.journal.idle:
            self.journal.put(Table.META, LIVED, b"%f" % self._hub.keeper.lived())

    def _reserve(self) -> bytes:
        """The number after which the next run begins, should this one crash."""
        assert self._hub is not None
        self._reserved = self._hub.numbers + NUMBERS_AHEAD
        return b"%d" % self._reserved

    def _everything(self) -> Iterator[Row]:
        hub, remembered = self._hub, self._remembered
        assert hub is not None
        assert remembered is not None
        yield from hub.keeper.rows(iter(hub.sessions.values()), hub.waiting())
        for realm in hub.all_realms:
            yield from realm.rows()
        yield from remembered.rows()
        if self.queue is not None:
            yield from self.queue.rows()
            yield Table.META, LAST, b"%d" % self.queue.last
        yield Table.META, LIVED, b"%f" % hub.keeper.lived()
        yield Table.META, NUMBERS, self._reserve()

    async def aclose(self) -> None:
        """Write the rest and close. The next run goes on with the very next number."""
        if self._hub is not None:
            self._reserved = sys.maxsize
            self.journal.put(Table.META, NUMBERS, b"%d" % self._hub.numbers)
        await self.journal.aclose()

    async def committed(self) -> bool:
        """Wait until all that was done by now is on disk, or has reached its client; False when it is not."""
        # What a socket does not take is known when this turn is over, and told in the next.
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        return await self.journal.committed()

    def status(self) -> dict[str, Any]:
        """What `/v1/status` shows."""
        stats = self.journal.stats
        return {
            "path": str(self.journal.file.path),
            "degraded": self.journal.degraded,
            "pending": {"operations": stats.pending_operations, "bytes": stats.pending_bytes},
            "commits": stats.commits,
            "commit_ms": round(stats.commit_seconds * 1000, 3),
            "size": stats.size_bytes,
            "failures": stats.failures,
            "refused": stats.refused,
            "dropped": self.dropped,
        }


def _first_with(hub: Hub, resource: Resource) -> Realm:
    """The realm of the first listener that uses such a resource, or of the first."""
    listeners = list(hub.behaviours.values())
    first = next((behaviour for behaviour in listeners if resource in behaviour.uses), listeners[0])
    return hub.realm(first.port.realm)
