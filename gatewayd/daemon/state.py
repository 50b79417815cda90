"""What the journal keeps of a node: read into its parts at the start, and given back whole when it has to begin anew.

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
from itertools import groupby
from typing import TYPE_CHECKING, Any

import trio

from gatewayd.core.ports import Resource
from gatewayd.core.record import Key, Row, Table, Within, decode_event, decode_session, parts
from gatewayd.daemon.reading import Reading, nothing
from gatewayd.hub.restore import restore

if TYPE_CHECKING:
    from gatewayd.admin.idempotency import Remembered
    from gatewayd.core.settings import Settings
    from gatewayd.daemon.lifecycle_queue import JournalQueue
    from gatewayd.hub.hub import Hub
    from gatewayd.hub.realm import Realm
    from gatewayd.journal.engine import Journal

log = logging.getLogger("gatewayd.journal")

LIVED, NUMBERS = "lived", "numbers"
"""Keys of the meta table: the node's own time, and a number that no event has."""


class State:
    """The journal of one node, and the parts that it is read into; the journal's `Source` once it runs.

    `dropped` counts rows that were dropped at the start, by table.
    """

    def __init__(
        self,
        journal: Journal,
        hub: Hub,
        remembered: Remembered,
        queue: JournalQueue | None,
        dropped: Counter[str],
    ) -> None:
        self.journal = journal
        self._hub = hub
        self._remembered = remembered
        self._queue = queue
        self._dropped = dropped
        self._reserved = 0

    def read(self, settings: Mapping[str, Settings], check: Callable[[], None] = nothing) -> None:
        """Fill the parts with what the last run has left. Raises `JournalError` where that makes no sense.

        `settings` are those of the listeners. `check` is called at every row; what it raises ends the reading.
        """
        journal, hub = self.journal, self._hub
        with Reading(journal, self._dropped, check) as reading:
            meta = {str(key): float(value) for key, value in reading.load(Table.META)}
            for resource in Resource:
                self._restore(resource, reading)
            self._remembered.restore(reading.load(Table.IDEMPOTENCY), hub.clock(), meta.get(LIVED, 0.0))
            sessions = [(str(key), decode_session(value)) for key, value in reading.load(Table.SESSIONS)]
            events = [(int(str(key)), decode_event(value)) for key, value in reading.load(Table.EVENTS)]
            reading.place = "what is remembered of a session"
            hub.delivery.numbers = int(meta.get(NUMBERS, 0.0))
            restore(hub, settings, sessions, events, meta.get(LIVED, 0.0), reading.gaps)
        journal.put(Table.META, NUMBERS, self._reserve())
        for realm in hub.realms.by_name.values():
            if not realm.behaviours and (any(realm.rows()) or any(realm.waiting)):
                log.warning("realm %s has no listener: what the journal keeps for it stays there", realm.name)
        if sessions:
            log.info("%d sessions of the last run, %d of them can be resumed", len(sessions), len(hub.sessions))

    def _restore(self, resource: Resource, reading: Reading) -> None:
        """Fill the realms with what is kept of one kind. Raises `ValueError`.

        What a version without realms has kept goes to the first that has a use for it.
        """
        table, hub = Table(resource), self._hub
        for name, rows in groupby(reading.load(table), key=lambda row: parts(row[0])[0]):
            realm = hub.realms.make(str(name)) if name else _first_with(hub, resource)
            if not name:
                log.warning("%s kept before there were realms are in realm %s from now on", resource, realm.name)
            if unfit := realm.kept[resource].restore(self._inner(table, realm, rows)):
                raise ValueError(f"{unfit} values are not JSON, or too many")

    def _inner(self, table: Table, realm: Realm, rows: Iterable[tuple[Key, bytes]]) -> Iterator[tuple[Key, bytes]]:
        """Rows by the keys that they have within their realm; those that had none are moved there."""
        for key, value in rows:
            name, *rest = parts(key)
            inner = rest[0] if len(rest) == 1 else tuple(rest)
            if not name:
                self.journal.delete(table, key)
                Within(self.journal, realm.name).put(table, inner, value)
            yield inner, value

    def gather(self) -> None:
        """Record what is made into rows as late as when a batch is taken."""
        if self._hub.delivery.numbers > self._reserved - self._hub.limits.ahead // 2:
            self._hub.journaling.reserve(self._hub.sessions.values())
            self.journal.put(Table.META, NUMBERS, self._reserve())
        self._hub.journaling.gather()
        if self.journal.pending.bytes:
            self.journal.put(Table.META, LIVED, b"%f" % self._hub.journaling.lived())

    def _reserve(self) -> bytes:
        """The number after which the next run begins, should this one crash."""
        self._reserved = self._hub.delivery.numbers + self._hub.limits.ahead
        return b"%d" % self._reserved

    def snapshot(self) -> Iterator[Row]:
        """All rows there have to be."""
        hub = self._hub
        yield from hub.journaling.rows(iter(hub.sessions.values()))
        for realm in hub.realms.by_name.values():
            yield from realm.rows()
        yield from self._remembered.rows()
        if self._queue is not None:
            yield from self._queue.rows()
        yield Table.META, LIVED, b"%f" % hub.journaling.lived()
        yield Table.META, NUMBERS, self._reserve()

    async def aclose(self) -> None:
        """Write the rest and close. The next run goes on with the very next number."""
        self._reserved = sys.maxsize
        self._hub.journaling.finish(self._hub.sessions.values())
        self.journal.put(Table.META, NUMBERS, b"%d" % self._hub.delivery.numbers)
        await self.journal.aclose()

    async def committed(self) -> bool:
        """Wait until all that was done by now is on disk, or has reached its client; False when it is not."""
        # What a socket does not take is known when this tick is over, and told in the next.
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        return await self.journal.committed()

    def status(self) -> dict[str, Any]:
        """What `/v1/status` shows."""
        stats, pending = self.journal.stats, self.journal.pending
        return {
            "path": str(self.journal.file.path),
            "degraded": self.journal.degraded,
            "pending": {"operations": len(pending), "bytes": pending.bytes},
            "commits": stats.commits,
            "commit_ms": round(stats.commit_seconds * 1000, 3),
            "size": stats.size_bytes,
            "failures": stats.failures,
            "refused": stats.refused,
            "dropped": self._dropped,
        }


def _first_with(hub: Hub, resource: Resource) -> Realm:
    """The realm of the first listener that uses such a resource, or of the first."""
    listeners = list(hub.behaviours.values())
    first = next((behaviour for behaviour in listeners if resource in behaviour.uses), listeners[0])
    return hub.realms.make(first.port.realm)
