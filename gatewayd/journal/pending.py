"""What is recorded and not yet written: the last word on every key, by table.

Law 1: recording is dictionary work and nothing else; it never waits and never raises.
Law 2: a key that cannot be on disk and is put and deleted in one batch leaves no trace. Where it is not known what is
on disk, a delete is written: one too many does no harm.
Law 3: a batch that was taken belongs to the thread that writes it, and is never touched by us again.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, field, frozen

from gatewayd.journal.tables import Key, Table

OPERATION_BYTES = 64
"""What an operation weighs beside its value."""


@frozen
class Changes:
    """One table's part of a batch: keys are deleted first, and then the puts are written."""

    table: Table
    puts: dict[Key, bytes]
    deletes: dict[Key, None]


@frozen
class Batch:
    """What one transaction writes."""

    changes: list[Changes] = field(factory=list)
    replaces: bool = False
    """Whether it is everything: all tables are emptied first."""


class Recorded:
    """What is recorded for one table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.known: set[Key] | None = None  # keys that may be on disk; None: any may
        self._puts: dict[Key, bytes] = {}
        self._deletes: dict[Key, None] = {}

    def __len__(self) -> int:
        return len(self._puts) + len(self._deletes)

    def put(self, key: Key, value: bytes) -> int:
        """Record a value; the answer is the growth in weight."""
        old = self._puts.get(key)
        self._puts[key] = value
        if old is not None:
            return len(value) - len(old)
        if key in self._deletes:
            del self._deletes[key]
            return len(value)
        return len(value) + OPERATION_BYTES

    def delete(self, key: Key) -> int:
        """Record that the key is gone; the answer is the growth in weight."""
        old = self._puts.pop(key, None)
        grown = 0 if old is None else -len(old) - OPERATION_BYTES
        if key not in self._deletes and (self.known is None or key in self.known):
            self._deletes[key] = None
            grown += OPERATION_BYTES
        return grown

    def learn(self, keys: Iterable[Key]) -> None:
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


class Pending:
    """What is recorded for all tables, and how much that is."""

    def __init__(self) -> None:
        self._tables = {table: Recorded(table) for table in Table}
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

    def learn(self, table: Table, keys: Iterable[Key]) -> None:
        """These keys are on disk in this table, and no others."""
        if table is not Table.NOTIFICATIONS:  # a million of them would be remembered, to save a few deletes
            self._tables[table].learn(keys)

    def take(self) -> Batch:
        """Hand out all that is recorded, at one moment."""
        self.bytes = 0
        return Batch([kept.take() for kept in self._tables.values() if len(kept)])

    def replace(self, rows: Iterable[tuple[Table, Key, bytes]]) -> Batch:
        """Forget all that is recorded: hand out these rows as everything there is."""
        self.drop()
        for table in Table:
            self.learn(table, ())
        for table, key, value in rows:
            self.put(table, key, value)
        return evolve(self.take(), replaces=True)

    def drop(self) -> None:
        """Forget all that is recorded, and what is on disk."""
        self.take()
        for kept in self._tables.values():
            kept.known = None
