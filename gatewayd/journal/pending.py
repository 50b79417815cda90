"""What is recorded and not yet written: the last word on every key, by table.

Law 1: recording is dictionary work and nothing else; it never waits and never raises.
Law 2: a key that cannot be on disk and is put and deleted in one batch leaves no trace. Where it is not known what is
on disk, a delete is written: one too many does no harm.
Law 3: a batch that was taken belongs to the thread that writes it, and is never touched by us again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve, field, frozen

from gatewayd.core.record import parts
from gatewayd.journal.tables import GROUPED, Key, Table

Group = tuple[str | int, ...]
"""All parts of a key but the last."""
OPERATION_BYTES = 64
"""What an operation weighs beside its value."""


@frozen
class Changes:
    """One table's part of a batch: groups are deleted first, then keys, and then the puts are written."""

    table: Table
    puts: dict[Any, Any]
    deletes: dict[Any, Any]
    groups: frozenset[Group] = frozenset()

    def written(self) -> Iterator[tuple[Key, bytes]]:
        """The puts, flat."""
        if self.table not in GROUPED:
            yield from self.puts.items()
            return
        for group, rows in self.puts.items():
            for last, value in rows.items():
                yield (*group, last), value

    def deleted(self) -> Iterator[Key]:
        """The deletes, flat."""
        if self.table not in GROUPED:
            yield from self.deletes
            return
        for group, rows in self.deletes.items():
            for last in rows:
                yield (*group, last)


@frozen
class Batch:
    """What one transaction writes."""

    changes: list[Changes] = field(factory=list)
    replaces: bool = False
    """Whether it is everything: all tables are emptied first."""


class Plain:
    """What is recorded for a table whose keys are unrelated."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.known: set[Any] | None = None
        """Keys that may be on disk; None: any may."""
        self._puts: dict[Any, bytes] = {}
        self._deletes: dict[Any, None] = {}

    def __len__(self) -> int:
        return len(self._puts) + len(self._deletes)

    def put(self, key: Any, value: bytes) -> int:
        """Record a value; the answer is the growth in weight."""
        old = self._puts.get(key)
        self._puts[key] = value
        if old is not None:
            return len(value) - len(old)
        if key in self._deletes:
            del self._deletes[key]
            return len(value)
        return len(value) + OPERATION_BYTES

    def delete(self, key: Any) -> int:
        """Record that the key is gone; the answer is the growth in weight."""
        old = self._puts.pop(key, None)
        grown = 0 if old is None else -len(old) - OPERATION_BYTES
        if key not in self._deletes and (self.known is None or key in self.known):
            self._deletes[key] = None
            grown += OPERATION_BYTES
        return grown

    def learn(self, keys: Iterable[Any]) -> None:
        """These keys are on disk, and no others."""
        self.known = set(keys)

    def take(self) -> Changes:
        """Hand out all that is recorded."""
        changes = Changes(self.table, self._puts, self._deletes)
        if self.known is not None:
            self.known.difference_update(self._deletes)
            self.known.update(self._puts)
        self._puts, self._deletes = {}, {}
        return changes


class Grouped:
    """What is recorded for a table of keys (*group, last). Known is the highest last part of every group.

    Last parts grow, so one number says of all keys of a group whether they may be on disk. A group that is over is
    given up with `delete_group`; else its number stays.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.known: dict[Group, int] | None = None
        """By group, the highest last part that may be on disk; None: any key may."""
        self._puts: dict[Group, dict[int, bytes]] = {}
        self._deletes: dict[Group, dict[int, None]] = {}
        self._groups: dict[Group, None] = {}

    def __len__(self) -> int:
        return (
            sum(map(len, self._puts.values())) + sum(map(len, self._deletes.values())) + len(self._groups)
        )  # asked for by status and at a flush only

    def put(self, key: Any, value: bytes) -> int:
        """Record a value; the answer is the growth in weight."""
        group, last = key[:-1], key[-1]
        rows = self._puts.get(group)
        if rows is None:
            rows = self._puts[group] = {}
        old = rows.get(last)
        rows[last] = value
        if old is not None:
            return len(value) - len(old)
        if last in self._deletes.get(group, ()):
            self._forget(self._deletes, group, last)
            return len(value)
        return len(value) + OPERATION_BYTES

    def delete(self, key: Any) -> int:
        """Record that the key is gone; the answer is the growth in weight."""
        group, last = key[:-1], key[-1]
        grown = 0
        old = self._puts.get(group, {}).get(last)
        if old is not None:
            self._forget(self._puts, group, last)
            grown -= len(old) + OPERATION_BYTES
        if group in self._groups:
            return grown
        if self.known is None or last <= self.known.get(group, last - 1):
            rows = self._deletes.setdefault(group, {})
            if last not in rows:
                rows[last] = None
                grown += OPERATION_BYTES
        return grown

    def delete_group(self, group: Group) -> int:
        """Record that all keys of the group are gone; the answer is the growth in weight."""
        puts = self._puts.pop(group, {})
        deletes = self._deletes.pop(group, {})
        grown = -sum(map(len, puts.values())) - OPERATION_BYTES * (len(puts) + len(deletes))
        if group not in self._groups and (self.known is None or group in self.known):
            self._groups[group] = None
            grown += OPERATION_BYTES
        return grown

    def learn(self, keys: Iterable[Any]) -> None:
        """These keys, in order, are on disk, and no others."""
        self.known = {tuple(group): last for *group, last in keys}

    def take(self) -> Changes:
        """Hand out all that is recorded."""
        changes = Changes(self.table, self._puts, self._deletes, frozenset(self._groups))
        if self.known is not None:
            for group in self._groups:
                self.known.pop(group, None)
            for group, rows in self._puts.items():
                highest = max(rows)
                self.known[group] = max(highest, self.known.get(group, highest))
        self._puts, self._deletes, self._groups = {}, {}, {}
        return changes

    @staticmethod
    def _forget(groups: dict[Group, dict[int, Any]], group: Group, last: int) -> None:
        rows = groups[group]
        del rows[last]
        if not rows:
            del groups[group]


class Pending:
    """What is recorded for all tables, and how much that is."""

    def __init__(self) -> None:
        self._plain = {table: Plain(table) for table in Table if table not in GROUPED}
        self._grouped = {table: Grouped(table) for table in Table if table in GROUPED}
        self._tables: dict[Table, Plain | Grouped] = {**self._plain, **self._grouped}
        self.bytes = 0
        """Values, and a fixed amount for every operation; nothing is recorded where this is 0."""

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def put(self, table: Table, key: Key, value: bytes) -> None:
        """Record a value."""
        self.bytes += self._tables[table].put(key, value)

    def delete(self, table: Table, key: Key) -> None:
        """Record that a key is gone."""
        self.bytes += self._tables[table].delete(key)

    def delete_group(self, table: Table, group: Key) -> None:
        """Record that all keys of a group are gone."""
        self.bytes += self._grouped[table].delete_group(parts(group))

    def learn(self, table: Table, keys: Iterable[Key]) -> None:
        """These keys, in order, are on disk in this table, and no others."""
        self._tables[table].learn(keys)

    def take(self) -> Batch:
        """Hand out all that is recorded, at one moment."""
        self.bytes = 0
        return Batch([kept.take() for kept in self._tables.values() if len(kept)])

    def replace(self, rows: Iterable[tuple[Table, Key, bytes]]) -> Batch:
        """Forget all that is recorded: hand out these rows as everything there is."""
        self.drop()
        for kept in self._tables.values():
            kept.learn(())
        for table, key, value in rows:
            self.put(table, key, value)
        return evolve(self.take(), replaces=True)

    def drop(self) -> None:
        """Forget all that is recorded, and what is on disk."""
        self.take()
        for kept in self._tables.values():
            kept.known = None
