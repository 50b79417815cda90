"""A journal without a file: rows in a dictionary, applied when a batch is written, as the engine would have it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from gatewayd.core.ports import Resource
from gatewayd.core.record import Key, Row, Store, Table, decode_event, decode_session, parts
from gatewayd.core.settings import Settings
from gatewayd.hub.hub import Hub
from gatewayd.hub.restore import restore
from gatewayd.protocols import utilbot
from tests.playbook import Person, Playbook

Rows = dict[tuple[Table, Key], bytes]


class Disk(Store):
    """A `Store` with what was written (`rows`) and what only waits to be. Nothing is written that nobody asked for."""

    def __init__(self, rows: Rows | None = None) -> None:
        self.rows: Rows = dict(rows or {})
        self.waiting: dict[tuple[Table, Key], bytes | None] = {}
        self.stirred = False
        """Something was recorded, or said to be there, that no batch has asked for."""
        self._gathering = False

    def put(self, table: Table, key: Key, value: bytes) -> None:
        self.waiting[table, key] = value
        self.stirred |= not self._gathering

    def delete(self, table: Table, key: Key) -> None:
        self.waiting[table, key] = None
        self.stirred |= not self._gathering

    def stir(self) -> None:
        self.stirred = True

    def write(self, hub: Hub) -> set[tuple[Table, Key]]:
        """What one batch does, where something has stirred the journal; the keys that were put."""
        if not self.stirred:
            return set()
        self.stirred = False
        self._gathering = True
        hub.journaling.gather()
        self._gathering = False
        changes, self.waiting = self.waiting, {}
        for place, value in changes.items():
            if value is None:
                self.rows.pop(place, None)
            else:
                self.rows[place] = value
        return {place for place, value in changes.items() if value is not None}

    def anew(self, hub: Hub) -> None:
        """The way back from a failure: what waits was dropped, and everything there is, is written."""
        self.rows = snapshot(hub)
        self.waiting = {}

    def keys(self, table: Table) -> set[Key]:
        return {key for place, key in self.rows if place is table}

    def values(self, table: Table) -> list[tuple[Key, bytes]]:
        """As a journal loads them: in the order of their keys."""
        found = [(key, value) for (place, key), value in self.rows.items() if place is table]
        return sorted(found, key=lambda item: item[0])


def kept(protocol: Any = utilbot.PROTOCOL, **settings: Any) -> tuple[Playbook, Disk]:
    disk = Disk()
    hub = Hub(lambda: talk.now, store=disk)
    talk = Playbook(protocol, hub=hub, **settings)
    return talk, disk


def deaf(person: Person) -> None:
    """Its socket takes no more from now on, as the writer would find at the end of the turn."""
    person.reads = False
    person.book.hub.observers.behind(person.session)


def snapshot(hub: Hub) -> Rows:
    """All rows that the hub says there have to be."""
    rows: list[Row] = [*hub.journaling.rows(iter(hub.sessions.values()))]
    rows += [row for realm in hub.realms.by_name.values() for row in realm.rows() if row[0] is not Table.DOCUMENTS]
    return {(table, key): value for table, key, value in rows}


def within(key: Key) -> Key:
    """A key without its realm."""
    _, *rest = parts(key)
    return tuple(rest) if len(rest) > 1 else rest[0]


def take_up(disk: Disk, hub: Hub, settings: dict[str, Settings], lived: float) -> None:
    """As a start does it."""
    for resource in (Resource.NOTIFICATIONS, Resource.ROOMS):
        for name, rows in groupby(disk.values(Table(resource)), key=lambda row: parts(row[0])[0]):
            hub.realms.make(str(name)).kept[resource].restore([(within(key), value) for key, value in rows])
    sessions = [(str(key), decode_session(value)) for key, value in disk.values(Table.SESSIONS)]
    events = [(int(str(key)), decode_event(value)) for key, value in disk.values(Table.EVENTS)]
    restore(hub, settings, sessions, events, lived)


def plain(
    rows: Rows, tables: Iterable[Table] = (Table.SESSIONS, Table.EVENTS, Table.ROOMS, Table.NOTIFICATIONS)
) -> Any:
    """Rows for a comparison: without what moves with the clock, without counters that nobody relies on, and without
    holders that are gone, or of whom their own rows say that they have the event, and logs of which nobody has a span.
    """
    found = {}
    spans = [
        (span, record.written)
        for (table, _), value in rows.items()
        if table is Table.SESSIONS and (record := decode_session(value))
        for span in record.spans
    ]
    written = {key: json.loads(value)["written"] for (table, key), value in rows.items() if table is Table.SESSIONS}
    for (table, key), value in rows.items():
        if table in tables:
            row = json.loads(value)
            if isinstance(row, dict):
                for name in ("given", "written", "acknowledged", "mark", "at", "detached"):
                    row[name] = row.get(name) is not None if name == "detached" else 0
                for name in ("channels", "granted"):
                    row[name] = sorted(row.get(name, ()))
                holders = row.get("holders", {})
                place = row.get("channel")
                row["logs"] = {
                    name: position
                    for name, (position, _) in row.get("logs", {}).items()
                    if any(
                        span.log == name
                        and span.position < position
                        and written < span.sequence + position - span.position <= span.last
                        for span, written in spans
                    )
                }
                row["holders"] = sorted(one for one in holders if one == place or holders[one] > written.get(one, 1e9))
            found[table.value, key] = row
    return found
