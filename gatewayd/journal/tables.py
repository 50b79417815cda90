"""The journal's tables: their keys, the statements that write them, and how an older file becomes today's.

A value is JSON text, so that `sqlite3 journal.db` shows it; to the journal it is opaque bytes. Rows live in rowid
tables, where new ones are appended, except the small ones: clustering 2 KB values by key cost two thirds of the
throughput.
"""

from __future__ import annotations

from gatewayd.core.record import Key, Table, parts

COLUMNS: dict[Table, tuple[str, ...]] = {
    Table.SESSIONS: ("id",),
    Table.EVENTS: ("sequence",),
    Table.DOCUMENTS: ("realm", "key"),
    Table.NOTIFICATIONS: ("realm", "user", "sequence"),
    Table.ROOMS: ("realm", "name"),
    Table.LIFECYCLE: ("sequence",),
    Table.IDEMPOTENCY: ("scope", "id"),
    Table.META: ("key",),
}
"""The key's columns."""

APPLICATION_ID = 0x67617465
"""Stands in the file's head, "gate": whose database this is, for file(1) and for us."""


def _keyed(table: Table, *key: str, more: str = "") -> tuple[str, ...]:
    """Statements that put another column in front of a table's key; in the rows that it has, that one is empty."""
    columns = ", ".join(f"{name} {'INTEGER' if name == 'sequence' else 'TEXT'} NOT NULL" for name in key)
    old = ", ".join(("''", *key[1:]))
    return (
        f"CREATE TABLE new_{table} ({columns}, value TEXT NOT NULL, PRIMARY KEY ({', '.join(key)})){more}",
        f"INSERT INTO new_{table} SELECT {old}, value FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE new_{table} RENAME TO {table}",
    )


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
    (  # realms: "" stands for the one that the start has still to find
        *_keyed(Table.DOCUMENTS, "realm", "key"),
        *_keyed(Table.NOTIFICATIONS, "realm", "user", "sequence"),
        *_keyed(Table.ROOMS, "realm", "name"),
        *_keyed(Table.IDEMPOTENCY, "scope", "id", more=" WITHOUT ROWID"),
    ),
    (  # backlogs: sessions number their events, and have cursors; what makes no sense is left for `Reading` to name
        "CREATE TEMP TABLE cursors AS SELECT id AS session, value ->> '$.said' AS said, value ->> '$.untold' AS untold,"
        " (value ->> '$.delivered') + (value ->> '$.lost') AS written FROM sessions WHERE json_valid(value)",
        "CREATE TEMP TABLE kept AS SELECT sequence AS number, value, value ->> '$.channel' AS channel FROM events"
        " WHERE json_valid(value) AND json_type(value, '$.holders') = 'array'",
        "CREATE TEMP TABLE places AS SELECT number, session,"
        " written + row_number() OVER (PARTITION BY session ORDER BY number) AS place"
        " FROM kept, json_each(kept.value, '$.holders') AS holder JOIN cursors ON session = holder.value"
        " WHERE number > said OR session IN (SELECT late.value FROM json_each(kept.value, '$.late') AS late)",
        "INSERT INTO places SELECT number, channel, 0 FROM kept"
        " WHERE channel IN (SELECT holder.value FROM json_each(kept.value, '$.holders') AS holder)",
        "CREATE INDEX temp.by_number ON places (number)",
        "CREATE INDEX temp.by_session ON places (session)",
        "UPDATE events SET value = json_remove(json_set(value, '$.holders', (SELECT json_group_object(session, place)"
        " FROM places WHERE number = sequence)), '$.late') WHERE sequence IN (SELECT number FROM kept)",
        "UPDATE sessions SET value = json_remove(json_set(value, '$.written', written, '$.given', given,"
        " '$.mark', given, '$.gaps', json(iif(untold > 0, json_object('resume_buffer_full', untold), '{}'))),"
        " '$.said', '$.delivered', '$.untold') FROM (SELECT session, written, untold, written + (SELECT count(*)"
        " FROM places WHERE places.session = cursors.session) AS given FROM cursors) AS found"
        " WHERE sessions.id = found.session",
        "DROP TABLE places",
        "DROP TABLE kept",
        "DROP TABLE cursors",
    ),
    (),  # away logs: sessions have spans of them, which an older daemon would take for lost
)
"""By version: the statements that lead from version n to n + 1. What was released is never changed, only added to."""


def columns_of(table: Table, key: Key) -> tuple[str | int, ...] | None:
    """The key as a row's first columns, or None for one that the table cannot hold."""
    columns = parts(key)
    if len(columns) != len(COLUMNS[table]):
        return None
    for part, column in zip(columns, COLUMNS[table], strict=True):
        if column == "sequence":
            if not isinstance(part, int) or not -(2**63) <= part < 2**63:
                return None
        elif not isinstance(part, str) or (
            not part.isascii() and any("\ud800" <= letter <= "\udfff" for letter in part)
        ):
            return None  # SQLite cannot hold half of a surrogate pair
    return columns


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
    """Delete so many keys."""
    columns = COLUMNS[table]
    row = f"({', '.join('?' * len(columns))})"  # an index is used for (a, b) IN ... only where it has a name
    return f"WITH gone AS (VALUES {', '.join([row] * rows)}) DELETE FROM {table} WHERE ({', '.join(columns)}) IN gone"
