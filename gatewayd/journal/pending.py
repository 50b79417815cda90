"""What is recorded and not yet written: the last word on every key, by table.

Law 1: recording is dictionary work and nothing else; it never waits and never raises.
Law 2: a key that cannot be on disk and is put and deleted in one batch leaves no trace. Where it is not known what is
on disk, a delete is written: one too many does no harm.
Law 3: a batch that was taken belongs to the thread that writes it, and is never touched by us again.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, field, frozen

from gatewayd.core.record import Key, Table

OPERATION_BYTES = 64
"""What an operation weighs beside its value."""

Changes = dict[Key, bytes | None]
"""The last word on each key of a table: its value, or None where it is deleted."""


@frozen
class Batch:
    """What one transaction writes."""

    changes: dict[Table, Changes] = field(factory=dict)
    replaces: bool = False
    """Whether it is everything: all tables are emptied first."""


class Pending:
    """What is recorded for all tables, and how much that is."""

    def __init__(self) -> None:
        self._changes: dict[Table, Changes] = {table: {} for table in Table}
        self._known: dict[Table, set[Key]] = {}  # keys that may be on disk; of a table that is not here, any may
        self.bytes = 0
        """Values, and a fixed amount for every operation; nothing is recorded where this is 0."""

    def __len__(self) -> int:
        return sum(map(len, self._changes.values()))

    def put(self, table: Table, key: Key, value: bytes) -> None:
        """Record a value."""
        self._forget(table, key)
        self._changes[table][key] = value
        self.bytes += len(value) + OPERATION_BYTES

    def delete(self, table: Table, key: Key) -> None:
        """Record that a key is gone."""
        self._forget(table, key)
        if (known := self._known.get(table)) is None or key in known:
            self._changes[table][key] = None
            self.bytes += OPERATION_BYTES

    def _forget(self, table: Table, key: Key) -> None:
        changes = self._changes[table]
        if key in changes:
            self.bytes -= len(changes.pop(key) or b"") + OPERATION_BYTES

    def learn(self, table: Table, keys: Iterable[Key]) -> None:
        """These keys are on disk in this table, and no others."""
        if table is not Table.NOTIFICATIONS:  # a million of them would be remembered, to save a few deletes
            self._known[table] = set(keys)

    def take(self) -> Batch:
        """Hand out all that is recorded, at one moment."""
        taken = {table: changes for table, changes in self._changes.items() if changes}
        for table, changes in taken.items():
            self._changes[table] = {}
            if (known := self._known.get(table)) is not None:
                known.difference_update(changes)
                known.update(key for key, value in changes.items() if value is not None)
        self.bytes = 0
        return Batch(taken)

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
        self._known.clear()
