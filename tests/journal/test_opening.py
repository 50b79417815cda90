"""Every way in which a state_dir can be wrong has its own sentence, and the file is left as it was."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gatewayd.core.record import Table
from gatewayd.journal import opening
from gatewayd.journal.file import JournalFile
from gatewayd.journal.opening import Opening
from gatewayd.journal.pending import Pending
from gatewayd.journal.pinned import JournalError
from gatewayd.journal.tables import APPLICATION_ID, MIGRATIONS
from tests.journal.disks import no_writes, read_only, small_disk


def written(directory: Path, rows: int = 3, size: int = 10) -> Path:
    """A journal with something in it, closed; its path."""
    file = JournalFile(Opening(directory))
    pending = Pending()
    for number in range(rows):
        pending.put(Table.SESSIONS, f"k{number:04d}", b'"%s"' % (b"x" * size))
    file.write(pending.take())
    file.close()
    return file.path


def refused(directory: Path) -> str:
    """What is said, and that whatever lies there stays as it was."""

    def contents() -> dict[str, bytes]:
        files = {f.name: f.read_bytes() for f in directory.iterdir() if f.is_file()} if directory.is_dir() else {}
        return {n: body for n, body in files.items() if body and not n.endswith((".lock", "-shm"))}

    before = contents()
    with pytest.raises(JournalError) as caught:
        JournalFile(Opening(directory))
    assert contents() == before
    said = str(caught.value)
    assert said.startswith(str(directory))
    assert "; " in said  # what to do about it
    return said


def test_a_new_journal(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    file = JournalFile(Opening(directory))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.close()
    assert sorted(f.name for f in directory.iterdir()) == ["journal.db", "journal.lock", "journal.mark"]
    with closing(sqlite3.connect(file.path)) as connection:
        pragmas = ("journal_mode", "user_version", "application_id")
        assert [connection.execute(f"PRAGMA {p}").fetchone()[0] for p in pragmas] == [
            "wal",
            len(MIGRATIONS),
            APPLICATION_ID,
        ]


def test_an_operator_can_read_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id, json_extract(value, '$') FROM sessions LIMIT 1").fetchall() == [
            ("k0000", "xxxxxxxxxx")
        ]


def test_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is not a directory" in refused(tmp_path / "file")
    assert f"create {tmp_path / 'a'}" in refused(tmp_path / "a" / "b")
    assert "cannot be created (Not a directory)" in refused(tmp_path / "file" / "b")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is not a directory" in refused(tmp_path / "link")
    assert "state_dir cannot be written" in refused(Path("/proc/sys"))  # not even for root


def test_a_read_only_directory(tmp_path: Path) -> None:
    written(tmp_path)
    with read_only(tmp_path):
        assert "cannot be written" in refused(tmp_path)
    JournalFile(Opening(tmp_path)).close()


def test_the_file_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.mkdir()
    assert "is not a regular file" in refused(tmp_path)
    path.rmdir()
    path.symlink_to(tmp_path / "nowhere")
    assert "No such file" in refused(tmp_path)
    path.unlink()
    path.write_bytes(b"")
    assert "is damaged, 0 bytes" in refused(tmp_path)
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    assert "not an SQLite database" in refused(tmp_path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert "of another program (application_id 0x0)" in refused(tmp_path)


def test_the_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "journal.db").symlink_to(Path(sys.executable).resolve())  # a running program: not even root may
    with pytest.raises(JournalError, match=r"cannot be written .*; give gatewayd the right to"):
        JournalFile(Opening(tmp_path))


@pytest.mark.parametrize("keep", [50, 4096, 8192, 4096 * 30, 4096 * 40 + 77])
def test_a_file_that_was_cut_off(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path, rows=300, size=1000)
    os.truncate(path, keep)
    assert any(word in refused(tmp_path) for word in ("damaged", "not an SQLite database"))


def test_a_file_with_a_hole(tmp_path: Path) -> None:
    path = written(tmp_path, rows=300, size=1000)
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(os.urandom(4096 * 20))
    assert "damaged" in refused(tmp_path)


def test_a_log_without_its_database(tmp_path: Path) -> None:
    (tmp_path / "journal.db-wal").write_bytes(b"half of a journal")
    assert "is there without its journal.db" in refused(tmp_path)


def test_a_table_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE rooms")
    with pytest.raises(JournalError, match="no such table: rooms; move it away"):
        JournalFile(Opening(tmp_path))


def test_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    newer = (*MIGRATIONS, ("CREATE TABLE future (x)",))
    file = JournalFile(Opening(tmp_path, migrations=newer))
    assert "in use by another gatewayd" in refused(tmp_path)
    crashed = tmp_path.parent / f"{tmp_path.name}-crashed"
    shutil.copytree(tmp_path, crashed)  # with its log, as after a kill
    file.close()
    version = len(MIGRATIONS)
    words = f"version {version + 1}, and this gatewayd knows versions up to {version}; start the newer"
    assert words in refused(tmp_path)
    (crashed / "journal.db-shm").unlink()
    before = {name: (crashed / name).read_bytes() for name in ("journal.db", "journal.db-wal")}
    with pytest.raises(JournalError, match=f"version {version + 1}"):
        JournalFile(Opening(crashed))
    assert before == {name: (crashed / name).read_bytes() for name in ("journal.db", "journal.db-wal")}


def test_an_older_version_is_brought_forward(tmp_path: Path) -> None:
    path = written(tmp_path)
    second = ("ALTER TABLE rooms ADD COLUMN owner TEXT", "UPDATE sessions SET value = '2' WHERE id = 'k0000'")
    third = ("CREATE TABLE extra (x)", "INSERT INTO extra VALUES (1)")
    broken = (*MIGRATIONS, second, ("CREATE TABLE extra (x)", "INSERT INTO nowhere VALUES (1)"))
    words = f"from version {len(MIGRATIONS) + 1} to {len(MIGRATIONS) + 2} .*no such table: nowhere.* left as it was"
    with pytest.raises(JournalError, match=words):
        JournalFile(Opening(tmp_path, migrations=broken))
    file = JournalFile(Opening(tmp_path, migrations=(*MIGRATIONS, second, third)))
    assert next(file.load(Table.SESSIONS)) == ("k0000", b"2")
    file.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT x FROM extra").fetchall() == [(1,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 2,)
    fresh = JournalFile(Opening(tmp_path / "fresh", migrations=(*MIGRATIONS, second, third)))
    fresh.close()


def test_a_start_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    for name in ("journal.db.new", "journal.db.new-journal"):
        (tmp_path / name).write_bytes(b"half")
    JournalFile(Opening(tmp_path)).close()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["journal.db", "journal.lock", "journal.mark"]


def test_a_database_in_memory_has_no_log(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(JournalError, match="cannot hold a write-ahead log"):
        Opening(tmp_path).ready(connection)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "empty", 64) as directory:
        (directory / "filler").write_bytes(b"x" * 60 * 1024)
        assert "the disk is full (SQLITE_FULL); make room" in refused(directory)
    with small_disk(tmp_path / "there", 256) as directory:
        written(directory)
        with pytest.raises(OSError, match="No space"), (directory / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        said = refused(directory)
        assert "the disk is full" in said


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    with no_writes():
        assert "reading or writing failed" in refused(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["journal.lock"]
    JournalFile(Opening(tmp_path)).close()


def test_the_words_for_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="f: the disk is full; make room"), opening.explained(Path("f")):
        raise OSError(errno.ENOSPC, "No space left on device")
    unsaid = sqlite3.OperationalError("disk I/O error")
    unsaid.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    unsaid.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    with pytest.raises(JournalError, match="f: the disk is full; make room"), opening.explained(Path("/proc/f")):
        raise unsaid  # /proc has no room at all
    with pytest.raises(JournalError, match=r"f: reading or writing failed .*; move it away"):
        with opening.explained(tmp_path / "f"):
            raise unsaid
    assert opening.reason(OSError(errno.EIO, "Input/output error")) == "[Errno 5] Input/output error"
    assert opening.reason(JournalError("so")) == "so"
    assert opening.reason(sqlite3.OperationalError("unheard of")) == "unheard of"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.Error) as caught, opening.transaction(connection):
            for number in range(9):
                connection.execute(f"CREATE TABLE t{number} (x)")
        assert opening.reason(caught.value) == "the disk is full (SQLITE_FULL)"
        assert not connection.in_transaction
        with pytest.raises(KeyError), opening.transaction(connection):
            raise KeyError
        assert not connection.in_transaction
