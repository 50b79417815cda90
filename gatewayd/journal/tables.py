"""The journal's tables: their keys, the statements that write them, and how an older file becomes today's.

A value is JSON text, so that `sqlite3 journal.db` shows it; to the journal it is opaque bytes. Rows live in rowid
tables, where new ones are appended, except the small ones: clustering 2 KB values by key cost two thirds of the
throughput.
"""

from __future__ import annotations

from gatewayd.core.record import Key, Table

__all__ = ["COLUMNS", "Key", "Table"]

COLUMNS: dict[Table, tuple[str, ...]] = {
    Table.SESSIONS: ("id",),
    Table.EVENTS: ("sequence",),
    Table.DOCUMENTS: ("key",),
    Table.NOTIFICATIONS: ("user", "sequence"),
    Table.ROOMS: ("name",),
    Table.LIFECYCLE: ("sequence",),
    Table.IDEMPOTENCY: ("id",),
    Table.META: ("key",),
}
"""The key's columns; two of them make a group, which can be deleted as a whole."""

APPLICATION_ID = 0x67617465
"""Stands in the file's head, "gate": whose database this is, for file(1) and for us."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE sessions (id TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE events (sequence INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE documents (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE notifications (user TEXT NOT NULL, sequence INTEGER NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (user, sequence))",
        "CREATE TABLE rooms (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE lifecycle (sequence INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE idempotency (id TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
)
"""By version: the statements that lead from version n to n + 1. What was released is never changed, only added to."""


def columns_of(table: Table, key: Key) -> tuple[str | int, ...] | None:
    """The key as a row's first columns, or None for one that the table cannot hold."""
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) != len(COLUMNS[table]):
        return None
    for part, column in zip(parts, COLUMNS[table], strict=True):
        if column == "sequence":
            if not isinstance(part, int) or not -(2**63) <= part < 2**63:
                return None
        elif not isinstance(part, str) or not storable(part):
            return None
    return parts


def storable(text: str) -> bool:
    """Whether SQLite can hold the text: it cannot hold half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def select(table: Table) -> str:
    """All rows in key order: the key's columns, the value as bytes."""
    columns = ", ".join(COLUMNS[table])
    return f"SELECT {columns}, CAST(value AS BLOB) FROM {table} ORDER BY {columns}"


def upsert(table: Table, rows: int) -> str:
    """Write that many rows with one statement."""
    columns = COLUMNS[table]
    row = f"({', '.join('?' * len(columns))}, CAST(? AS TEXT))"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}, value) VALUES {', '.join([row] * rows)}"
        f" ON CONFLICT ({', '.join(columns)}) DO UPDATE SET value = excluded.value"
    )


def delete(table: Table, rows: int) -> str:
    """Delete that many keys with one statement."""
    columns = COLUMNS[table]
    if len(columns) == 1:
        return delete_groups(table, rows)
    first, second = columns  # an index is used for (a, b) IN (...) only when it is asked for like this
    return (
        f"WITH gone(a, b) AS (VALUES {', '.join(['(?, ?)'] * rows)}) DELETE FROM {table} WHERE rowid IN"
        f" (SELECT {table}.rowid FROM gone CROSS JOIN {table} ON {first} = a AND {second} = b)"
    )


def delete_groups(table: Table, rows: int) -> str:
    """Delete all keys that begin with one of so many first parts."""
    return f"DELETE FROM {table} WHERE {COLUMNS[table][0]} IN (VALUES {', '.join(['(?)'] * rows)})"
