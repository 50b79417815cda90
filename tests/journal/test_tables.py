"""The tables: which keys they hold, and that every statement finds its rows by an index."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import chain

import pytest

from gatewayd.core.record import Key, Table
from gatewayd.journal.tables import COLUMNS, MIGRATIONS, columns_of, delete, select, upsert


@pytest.mark.parametrize(
    ("table", "key", "columns"),
    [
        (Table.SESSIONS, "s", ("s",)),
        (Table.SESSIONS, "ü\0🙂", ("ü\0🙂",)),
        (Table.SESSIONS, "half \ud800", None),
        (Table.SESSIONS, 1, None),
        (Table.SESSIONS, ("s", 1), None),
        (Table.NOTIFICATIONS, ("r", "s", 1), ("r", "s", 1)),
        (Table.NOTIFICATIONS, ("s", 1), None),
        (Table.NOTIFICATIONS, "s", None),
        (Table.NOTIFICATIONS, ("r", "\udfff", 1), None),
        (Table.LIFECYCLE, 2**63 - 1, (2**63 - 1,)),
        (Table.LIFECYCLE, 2**63, None),
        (Table.LIFECYCLE, "1", None),
    ],
)
def test_what_a_table_can_hold(table: Table, key: Key, columns: tuple[object, ...] | None) -> None:
    assert columns_of(table, key) == columns


@pytest.mark.parametrize("table", list(Table))
def test_no_statement_reads_a_whole_table(table: Table) -> None:
    width = len(COLUMNS[table])
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in chain.from_iterable(MIGRATIONS):
            connection.execute(statement)
        gone = connection.execute(f"EXPLAIN QUERY PLAN {delete(table, 3)}", ["x"] * (3 * width))
        assert f"SCAN {table}" not in [row[3] for row in gone]
        assert "USE TEMP B-TREE" not in str(connection.execute(f"EXPLAIN QUERY PLAN {select(table)}").fetchall())
        connection.execute(upsert(table, 1), [1] * width + [b"{}"])
        connection.execute(upsert(table, 2), ([1] * width + [b"[]"]) + ([2] * width + [b"1"]))
        assert [row[-1] for row in connection.execute(select(table))] == [b"[]", b"1"]
