"""The journal's file: read at the start, then written batch by batch, by one thread at a time.

Law: whoever is in a method owns the connection; the caller sees to it that only one is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import chain
from typing import Any

from gatewayd.core.record import Key, Table
from gatewayd.journal import mark
from gatewayd.journal.opening import NAME, Opening, explained, prepare, transaction
from gatewayd.journal.pending import Batch, Changes
from gatewayd.journal.pinned import JournalError, Lock, Pinned
from gatewayd.journal.tables import columns_of, delete, select, upsert


class JournalFile:
    """An open journal."""

    def __init__(self, opening: Opening) -> None:
        """Open or make it. Raises `JournalError`, and then has changed nothing there."""
        self.opening, self.directory, self.path = opening, opening.directory, opening.path
        self.connection: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self._pinned: list[Pinned] = []
        self._found: list[os.stat_result] = []  # of database and log, as we left them
        self._mark: mark.MarkFile | None = None
        self._open()

    def _open(self) -> None:
        """Have the directory, the lock and the database."""
        prepare(self.directory)
        with ExitStack() as failing:  # nothing that was opened stays open
            lock = self._lock or failing.enter_context(closing(Lock(self.directory / "journal.lock")))
            failing.callback(self._disconnect)
            self.connection = self.opening.database(again=self._lock is not None)
            with explained(self.path):
                paths = [self.path.with_name(NAME + suffix) for suffix in ("", "-wal", "-shm")]
                pinned = [failing.enter_context(closing(Pinned(path))) for path in paths]
                found = mark.counted(self.connection)
                assert found is not None  # opening has seen to it
                marked = mark.MarkFile(self.directory / mark.NAME, found)
            failing.pop_all()
        self._unpin()
        self._lock, self._pinned, self._mark = lock, pinned, marked
        self._note()

    def load(self, table: Table) -> Iterator[tuple[Key, bytes]]:
        """All rows of a table, in key order, but for what the file keeps for itself."""
        with explained(self.path):
            for *key, value in self._connection().execute(select(table)):
                if table is Table.META and key[0] in mark.OWN:
                    continue
                yield (key[0] if len(key) == 1 else tuple(key)), value

    def write(self, batch: Batch) -> int:
        """Write a batch in one transaction; how many rows were left out for keys that SQLite cannot hold."""
        connection = self._connection()
        self._check()
        if not batch.changes and not batch.replaces:
            return 0
        assert self._mark is not None
        here = self._mark.next(synced=self.opening.full_sync)
        with transaction(connection):
            if batch.replaces:
                for table in Table:
                    connection.execute(f"DELETE FROM {table}")
            most = self.opening.limits.statement_rows
            refused = sum([write(connection, table, changes, most) for table, changes in batch.changes.items()])
            mark.count(connection, here)
        self._mark.write(here)
        self._note()
        return refused

    def size(self) -> int:
        """Bytes on disk after the last write, the write-ahead log included."""
        return sum(found.st_size for found in self._found)

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
        if self._mark is not None and not self.path.with_name(f"{NAME}-wal").exists():
            with suppress(OSError):  # without a log everything is in the database, and that is synced
                self._mark.all_synced()
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
        found = [(pinned.found, left) for pinned, left in zip(self._pinned, self._found, strict=False)]
        if any(now.st_mtime_ns != left.st_mtime_ns or now.st_size < left.st_size for now, left in found):
            with self.opening.whole("ro"):  # somebody else has written: an operator perhaps, with whom nothing is wrong
                self._note()

    def _note(self) -> None:
        """Note how we leave the files."""
        self._found = [pinned.path.stat() for pinned in self._pinned[:2]]

    def _disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _unpin(self) -> None:
        for pinned in self._pinned:
            pinned.close()
        if self._mark is not None:
            self._mark.close()
        self._pinned, self._mark = [], None


def write(connection: sqlite3.Connection, table: Table, changes: Changes, most: int) -> int:
    """Write one table's part, so many rows a statement; the answer is how many rows were left out."""
    rows = [(columns_of(table, key), value) for key, value in changes.items()]
    gone = [columns for columns, value in rows if columns is not None and value is None]
    kept = [(*columns, value) for columns, value in rows if columns is not None and value is not None]
    for statement, found in ((delete, gone), (upsert, kept)):
        for part in chunks(found, most):
            connection.execute(statement(table, len(part)), list(chain.from_iterable(part)))
    return sum(columns is None and value is not None for columns, value in rows)


def chunks(rows: Sequence[tuple[Any, ...]], most: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Full chunks first, then halves down to one: few different statements, so that all stay prepared."""
    start, size = 0, most
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size
