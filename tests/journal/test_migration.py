"""A journal of an older version becomes today's, in whole steps: one that does not end leaves the file as it was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gatewayd.core.record import Table, decode_event, decode_session
from gatewayd.journal.engine import Journal
from gatewayd.journal.file import JournalFile
from gatewayd.journal.opening import Opening
from gatewayd.journal.pinned import JournalError
from gatewayd.journal.tables import MIGRATIONS
from tests.journal.disks import small_disk

DUMPS = {version: Path(__file__).with_name(f"version{version}.sql") for version in (1, 2, 3)}
AWAY, BEHIND, READER, OVERTAKEN, SHARDER, COMMANDS, ANN = (
    "a1a1a1a1a1a1a1a1", "b2b2b2b2b2b2b2b2", "c3c3c3c3c3c3c3c3", "d4d4d4d4d4d4d4d4", "e5e5e5e5e5e5e5e5",
    "f6f6f6f6f6f6f6f6", "0707070707070707",
)  # fmt: skip
"""The sessions of version 2."""


def older(state: Path, version: int, *edits: tuple[str, Any]) -> None:
    """Put the journal of an older version in place, with what somebody has done to it."""
    state.mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(state / "journal.db")) as connection:
        connection.executescript(DUMPS[version].read_text())
        for statement, value in edits:
            connection.execute(statement, (value,))
        connection.commit()


def content(state: Path) -> list[str]:
    """All of it, and its version."""
    with closing(sqlite3.connect(state / "journal.db")) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()
        return [str(version), *connection.iterdump()]


def rows(state: Path) -> tuple[dict[str, Any], dict[int, Any]]:
    """Sessions and events, as they are after the migration."""
    journal = Journal.open(state)
    sessions = {str(key): decode_session(value) for key, value in journal.load(Table.SESSIONS)}
    events = {int(str(key)): decode_event(value) for key, value in journal.load(Table.EVENTS)}
    journal.close()
    return sessions, events


def test_what_was_said_becomes_cursors_and_sequences(tmp_path: Path) -> None:
    older(tmp_path, 2)
    sessions, events = rows(tmp_path)
    assert {id_: (item.written, item.given, item.mark, item.gaps, item.lost) for id_, item in sessions.items()} == {
        AWAY: (1, 3, 3, {}, 0),
        BEHIND: (1, 3, 3, {}, 0),
        READER: (1, 1, 1, {}, 0),
        OVERTAKEN: (4, 6, 6, {}, 0),
        SHARDER: (2, 5, 5, {"resume_buffer_full": 2}, 2),
        COMMANDS: (1, 2, 2, {}, 0),
        ANN: (1, 2, 2, {}, 0),
    }
    assert {number: item.holders for number, item in events.items()} == {
        2: {AWAY: 2, BEHIND: 2},  # the other one has it: of what came late only 5 is still to be said to it
        3: {AWAY: 3},
        4: {BEHIND: 3},
        5: {OVERTAKEN: 5},
        7: {OVERTAKEN: 6},
        10: {SHARDER: 3},
        11: {SHARDER: 4},
        12: {SHARDER: 5},
        13: {"service:commands": 0},
        14: {COMMANDS: 2},
        15: {ANN: 2},
    }
    assert not [line for line in content(tmp_path) if '"late"' in line or '"said"' in line or '"untold"' in line]


def test_what_was_held_for_each_session_stays_so(tmp_path: Path) -> None:
    """Nothing of it changes but the version, by which an older daemon refuses a journal with claims on away logs."""
    for version in (2, 3):
        older(tmp_path / str(version), version)
    assert rows(tmp_path / "3") == rows(tmp_path / "2")
    assert content(tmp_path / "3")[0] == f"({len(MIGRATIONS)},)"
    with pytest.raises(JournalError, match="is of version 4, and this gatewayd knows versions up to 3"):
        JournalFile(Opening(tmp_path / "3", migrations=MIGRATIONS[:3]))


def test_two_steps_at_once(tmp_path: Path) -> None:
    older(tmp_path, 1)
    sessions, events = rows(tmp_path)
    assert {id_: (item.written, item.given) for id_, item in sessions.items()} == {AWAY: (0, 1), "b2" * 8: (0, 0)}
    assert {number: item.holders for number, item in events.items()} == {1: {AWAY: 1}, 2: {"service:commands": 0}}


@pytest.mark.parametrize("done", range(len(MIGRATIONS[2]) + 1))
def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, done: int) -> None:
    older(tmp_path, 2)
    before = content(tmp_path)
    half = (*MIGRATIONS[:2], (*MIGRATIONS[2][:done], "SELECT nonsense"))
    with pytest.raises(JournalError) as caught:
        JournalFile(Opening(tmp_path, migrations=half))
    assert str(caught.value) == (
        f"{tmp_path}/journal.db: cannot be brought from version 2 to 3 (no such column: nonsense) and is left as it "
        'was; move it away to start with an empty journal, restore a copy, or set gateway.state_dir = ""'
    )
    assert content(tmp_path) == before
    assert len(rows(tmp_path)[0]) == 7


HALF = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL").fetchall()
connection.execute("PRAGMA cache_size = 1")  # what is not committed goes to the disk, too
connection.execute("BEGIN IMMEDIATE")
from gatewayd.journal.tables import MIGRATIONS
for statement in MIGRATIONS[2][:int(sys.argv[2])]:
    connection.execute(statement)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("done", [1, len(MIGRATIONS[2]) - 3, len(MIGRATIONS[2])])
def test_a_step_that_is_killed_begins_again(tmp_path: Path, done: int) -> None:
    older(tmp_path, 2)
    before = content(tmp_path)
    killed = subprocess.run([sys.executable, "-c", HALF, tmp_path / "journal.db", str(done)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert content(tmp_path) == before
    assert len(rows(tmp_path)[0]) == 7


def test_a_disk_that_fills_in_the_middle_of_a_step(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2048) as directory:
        older(directory, 2)
        with closing(sqlite3.connect(directory / "journal.db")) as connection:
            long = f"json_set(value, '$.data', '{'x' * 2000}')"
            for number in range(100, 300):
                connection.execute(f"INSERT INTO events SELECT {number}, {long} FROM events WHERE sequence = 2")
            connection.commit()
        before = content(directory)
        with (directory / "filler").open("wb", buffering=0) as filler:
            filler.write(b"x" * (os.statvfs(directory).f_bavail * 4096 - 200_000))
        with pytest.raises(
            JournalError,
            match=r"from version 2 to 3 \(the disk is full \(SQLITE_FULL\)\) and is left as it was; make room",
        ):
            Journal.open(directory)
        (directory / "filler").unlink()
        assert content(directory) == before
        assert len(rows(directory)[1]) == 211


def test_a_row_that_makes_no_sense_is_left_for_the_reader_to_name(tmp_path: Path) -> None:
    deep = b"[" * 3000 + b"]" * 3000
    rows: tuple[tuple[str, bytes], ...] = (
        ("sessions VALUES ('x', CAST(? AS TEXT))", b"{"),
        ("sessions VALUES ('x', CAST(? AS TEXT))", b'{"data":' + deep + b"}"),
        ("sessions VALUES ('x', ?)", b"\xff"),
        ("events VALUES (100, CAST(? AS TEXT))", b"{"),
        ("events VALUES (100, CAST(? AS TEXT))", b'{"holders":5}'),
        ("events VALUES (100, CAST(? AS TEXT))", b'{"channel":"a","name":"E","data":1,"at":1.0}'),
        ("events VALUES (100, CAST(? AS TEXT))", f'{{"holders":["{AWAY}"],"data":'.encode() + deep + b"}"),
    )
    for number, (statement, value) in enumerate(rows):
        state = tmp_path / str(number)
        older(state, 2, (f"INSERT INTO {statement}", value))
        journal = Journal.open(state)
        table = Table.SESSIONS if "sessions" in statement else Table.EVENTS
        kept = dict(journal.load(table))
        assert kept["x" if table is Table.SESSIONS else 100] == value
        journal.close()


def test_numbers_and_strings_are_not_touched(tmp_path: Path) -> None:
    """What a backend has published is kept letter by letter."""
    data = json.dumps({"a": 10**40, "b": 1e-300, "c": '\u2028 " \\ \0', "d": [1.0, -0.0, 12345678901234567890.5]})
    data = data.replace("}", ',"e":"ä🙂","e":1}')
    row = f'{{"channel":"user:a","name":"E","data":{data},"at":1.0,"holders":["{AWAY}","nobody"]}}'
    older(tmp_path, 2, ("INSERT INTO events VALUES (100, ?)", row))
    event = rows(tmp_path)[1][100]
    assert bytes(event.data).decode().replace(" ", "") == data.replace(" ", "")
    assert event.holders == {AWAY: 4}
