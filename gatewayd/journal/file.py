"""The journal's file: read at the start, then written batch by batch, by one thread at a time.

Law: whoever is in a method owns the connection; the caller sees to it that only one is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from gatewayd.journal.opening import NAME, database, explained, prepare, transaction
from gatewayd.journal.pending import Batch, Changes
from gatewayd.journal.pinned import JournalError, Lock, Pinned
from gatewayd.journal.tables import MIGRATIONS, Key, Table, columns_of, delete, delete_groups, select, storable, upsert

Parameters = tuple[str | int | bytes, ...]
"""Of one row's part of a statement."""

ROWS = 128
"""Rows a statement. Python gives up its lock at every statement, and to get it back from a busy loop takes long."""


class JournalFile:
    """An open journal."""

    def __init__(
        self, directory: Path, *, full_sync: bool = False, migrations: Sequence[Sequence[str]] = MIGRATIONS
    ) -> None:
        self.directory = directory
        self.path = directory / NAME
        self.full_sync = full_sync
        self.migrations = migrations
        self.look: Callable[[], object] = int
        """Called at every row that is read; what it raises ends the reading."""
        self.connection: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self._pinned: list[Pinned] = []
        self._open()

    def _open(self) -> None:
        """Have the directory, the lock and the database."""
        prepare(self.directory)
        lock = self._lock or Lock(self.directory / "journal.lock")
        pinned: list[Pinned] = []
        try:
            self.connection = database(self.directory, full_sync=self.full_sync, migrations=self.migrations)
            with explained(self.path):
                for suffix in ("", "-wal", "-shm"):
                    pinned.append(Pinned(self.path.with_name(NAME + suffix)))
        except BaseException:  # whatever it is, nothing that was opened stays open
            for file in (*pinned, *(() if self._lock else (lock,))):
                file.close()
            self._disconnect()
            raise
        self._unpin()
        self._lock, self._pinned = lock, pinned

    def load(self, table: Table) -> Iterator[tuple[Key, bytes]]:
        """All rows of a table, in key order."""
        with explained(self.path):
            for *key, value in self._connection().execute(select(table)):
                self.look()
                yield (key[0] if len(key) == 1 else (key[0], key[1])), value

    def write(self, batch: Batch) -> int:
        """Write a batch in one transaction; the answer is how many rows were left out since SQLite cannot hold
        their keys. Raises `sqlite3.Error`, `OSError` or `JournalError`.
        """
        connection = self._connection()
        self._check()
        if not batch.changes and not batch.replaces:
            return 0
        with transaction(connection):
            if batch.replaces:
                for table in Table:
                    connection.execute(f"DELETE FROM {table}")
            return sum([write(connection, changes) for changes in batch.changes])

    def size(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        return sum(pinned.path.stat().st_size for pinned in self._pinned[:2])

    def reopen(self) -> None:
        """Open it again, as at the start; what somebody else put in its place is not ours to write to."""
        database, *logs = self._pinned
        fault = database.fault()
        if fault is not None and os.path.lexists(self.path):
            raise JournalError(f"{fault}; restart gatewayd to use that, or move it away to go on with a new one")
        self._disconnect()
        if fault is not None:
            for log in logs:  # what belongs to a database that is no more would spoil the new one
                if log.fault() is None:
                    log.path.unlink()
        if self._lock is not None and self._lock.fault() is not None:
            self._lock.close()
            self._lock = None
        self._open()

    def close(self) -> None:
        """Close the database and let the lock go."""
        self._disconnect()
        self._unpin()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _connection(self) -> sqlite3.Connection:
        if self.connection is None:
            raise JournalError(f"{self.path}: is not open")
        return self.connection

    def _check(self) -> None:
        """Is everything where others will look for it? What is written to a removed file is lost."""
        for pinned in (*self._pinned, *([self._lock] if self._lock else ())):
            fault = pinned.fault()
            if fault is not None:
                raise JournalError(fault)

    def _disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _unpin(self) -> None:
        for pinned in self._pinned:
            pinned.close()
        self._pinned = []


def write(connection: sqlite3.Connection, changes: Changes) -> int:
    """Write one table's part; the answer is how many rows were left out."""
    table = changes.table
    for groups in chunks([(first,) for first in changes.groups if storable(first)]):
        connection.execute(delete_groups(table, len(groups)), list(chain.from_iterable(groups)))
    for keys in chunks([columns for key in changes.deleted() if (columns := columns_of(table, key)) is not None]):
        connection.execute(delete(table, len(keys)), list(chain.from_iterable(keys)))
    written = [(columns_of(table, key), value) for key, value in changes.written()]
    kept = [(*columns, value) for columns, value in written if columns is not None]
    for rows in chunks(kept):
        connection.execute(upsert(table, len(rows)), list(chain.from_iterable(rows)))
    return len(written) - len(kept)


def chunks(rows: Sequence[Parameters]) -> Iterator[Sequence[Parameters]]:
    """Full chunks first, then halves down to one: few different statements, so that all stay prepared."""
    start, size = 0, ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size
