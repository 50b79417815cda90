"""A journal that has lost what was written does not start as if nothing had been; whatever a crash can leave does."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gatewayd.core.record import Table
from gatewayd.journal import mark
from gatewayd.journal.file import JournalFile
from gatewayd.journal.job import Job
from gatewayd.journal.opening import Opening
from gatewayd.journal.pending import Pending
from gatewayd.journal.pinned import JournalError

COMMITS = 30
REBOOTED = "another boot"


def put(file: JournalFile, key: str) -> None:
    pending = Pending()
    pending.put(Table.SESSIONS, key, b'"%s"' % (b"x" * 2000))
    file.write(pending.take())


def keys(directory: Path) -> list[Any]:
    """What a start finds there."""
    file = JournalFile(Opening(directory))
    try:
        return [key for key, _ in file.load(Table.SESSIONS)]
    finally:
        file.close()


def refused(directory: Path) -> str:
    before = (directory / "journal.db").read_bytes()
    with pytest.raises(JournalError) as caught:
        JournalFile(Opening(directory))
    assert (directory / "journal.db").read_bytes() == before
    return str(caught.value)


class Crashed:
    """What is left of a journal of so many commits when its process is killed."""

    def __init__(self, directory: Path, *, full_sync: bool = False, checkpoint: int = 0) -> None:
        directory.mkdir(exist_ok=True)
        file = JournalFile(Opening(directory / "running", full_sync=full_sync))
        for number in range(COMMITS):
            put(file, f"k{number:02d}")
            if number == checkpoint:
                assert file.connection is not None
                file.connection.execute("PRAGMA wal_checkpoint").fetchall()
        self.directory = directory / "crashed"
        shutil.copytree(file.directory, self.directory)
        file.close()
        self.db, self.wal = self.directory / "journal.db", self.directory / "journal.db-wal"
        self.mark = self.directory / "journal.mark"

    def cut(self, size: int) -> None:
        with self.wal.open("r+b") as file:
            file.truncate(size)

    def spoil(self, at: int, data: bytes) -> None:
        with self.wal.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def reboot(self) -> None:
        self.mark.write_text(json.dumps({**json.loads(self.mark.read_text()), "boot": REBOOTED}))

    @property
    def size(self) -> int:
        return self.wal.stat().st_size


@pytest.fixture(params=[False, True], ids=["batched", "always"])
def crashed(request: pytest.FixtureRequest, tmp_path: Path) -> Crashed:
    return Crashed(tmp_path, full_sync=request.param)


ALL = [f"k{number:02d}" for number in range(COMMITS)]


@pytest.mark.parametrize("rebooted", [False, True])
def test_a_crash_leaves_what_starts(crashed: Crashed, rebooted: bool) -> None:
    if rebooted:
        crashed.reboot()
    crashed.spoil(crashed.size, b"half of a frame" * 50)  # of a commit that was never said to be one
    assert keys(crashed.directory) == ALL
    assert keys(crashed.directory) == ALL


def removed(crashed: Crashed) -> None:
    crashed.wal.unlink()


def without_index(crashed: Crashed) -> None:
    crashed.wal.unlink()
    (crashed.directory / "journal.db-shm").unlink()


def emptied(crashed: Crashed) -> None:
    crashed.cut(0)


def cut(crashed: Crashed) -> None:
    crashed.cut(crashed.size // 2)


def flipped(crashed: Crashed) -> None:
    crashed.spoil(crashed.size // 2, b"\xff")


def headless(crashed: Crashed) -> None:
    crashed.spoil(0, bytes(32))


@pytest.mark.parametrize("harm", [removed, without_index, emptied, cut, flipped, headless])
def test_a_log_that_was_harmed(crashed: Crashed, harm: Callable[[Crashed], None]) -> None:
    harm(crashed)
    said = refused(crashed.directory)
    assert "commits are missing: journal.db-wal was removed or damaged" in said
    assert "remove journal.mark to start with what is there" in said
    crashed.mark.unlink()
    left = keys(crashed.directory)
    assert 0 < len(left) < COMMITS
    assert left == ALL[: len(left)]
    assert keys(crashed.directory) == left  # which is what counts from now on


def test_what_a_power_failure_may_take(tmp_path: Path) -> None:
    """With `batched` the tail of the log; with `always` nothing that was answered."""
    batched = Crashed(tmp_path / "batched")
    batched.cut(batched.size - 3000)
    batched.reboot()
    assert keys(batched.directory) == ALL[:-1]
    always = Crashed(tmp_path / "always", full_sync=True)
    always.cut(always.size - 3000)
    always.reboot()
    assert "the last 1 of 30 commits are missing" in refused(always.directory)


def test_an_older_copy(tmp_path: Path) -> None:
    file = JournalFile(Opening(tmp_path))
    put(file, "a")
    file.close()
    copy = (tmp_path / "journal.db").read_bytes()
    assert keys(tmp_path) == ["a"]
    file = JournalFile(Opening(tmp_path))
    put(file, "b")
    file.close()
    assert json.loads((tmp_path / "journal.mark").read_text())["synced"] == 2
    for boot in (mark.boot(), REBOOTED):
        known = json.loads((tmp_path / "journal.mark").read_text())
        (tmp_path / "journal.mark").write_text(json.dumps({**known, "boot": boot}))
        (tmp_path / "journal.db").write_bytes(copy)
        assert "the last 1 of 2 commits are missing" in refused(tmp_path)
    (tmp_path / "journal.mark").unlink()
    assert keys(tmp_path) == ["a"]


def test_another_journal(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        file = JournalFile(Opening(tmp_path / name))
        put(file, name)
        file.close()
    shutil.copy(tmp_path / "theirs" / "journal.db", tmp_path / "ours" / "journal.db")
    assert "is not the journal that journal.mark beside it belongs to; restore" in refused(tmp_path / "ours")
    with closing(sqlite3.connect(tmp_path / "theirs" / "journal.db")) as connection, connection:
        connection.execute("DELETE FROM meta")  # as of a version without marks
    assert "the last 1 of 1 commits are missing" in refused(tmp_path / "theirs")
    (tmp_path / "theirs" / "journal.mark").unlink()
    assert keys(tmp_path / "theirs") == ["theirs"]
    # Moved away, to begin with an empty one: the mark of the old one asks for nothing.
    (tmp_path / "ours" / "journal.db").unlink()
    assert keys(tmp_path / "ours") == []
    assert keys(tmp_path / "ours") == []


def test_a_machine_that_fails_at_the_first_start_of_this_version(tmp_path: Path) -> None:
    """The mark was there sooner than the first commit that counts."""
    file = JournalFile(Opening(tmp_path))
    put(file, "a")
    file.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("DELETE FROM meta")
    known = json.loads((tmp_path / "journal.mark").read_text())
    (tmp_path / "journal.mark").write_text(json.dumps({**known, "synced": 0, "boot": REBOOTED}))
    assert keys(tmp_path) == ["a"]


@pytest.mark.parametrize("left", [b"", b"\0" * 193, b'{"journal": 1', b"\xff", b'{"journal": "x", "commits": 1}'])
def test_a_mark_that_a_failing_machine_has_spoiled(crashed: Crashed, left: bytes) -> None:
    crashed.mark.write_bytes(left)
    assert keys(crashed.directory) == ALL


def test_a_machine_whose_boots_have_no_name() -> None:
    assert mark.boot()
    assert mark.Mark(1, commits=9, synced=4, boot=mark.boot()).owed() == 9
    assert mark.Mark(1, commits=9, synced=4, boot="").owed() == 4
    assert mark.Mark(1, commits=9, synced=4, boot=REBOOTED).owed() == 4
    assert mark.boot(Path("/proc/nowhere")) == ""


def test_the_mark_is_bounded_and_overwritten(tmp_path: Path) -> None:
    file = JournalFile(Opening(tmp_path))
    for number in range(12):
        put(file, str(number))
    place = tmp_path / "journal.mark"
    assert place.stat().st_size == mark.BYTES + 1
    assert place.stat().st_mode & 0o777 == 0o600
    assert len(json.dumps({"journal": 2**48, "commits": 2**63, "synced": 2**63, "boot": mark.boot()})) < mark.BYTES
    assert (json.loads(place.read_text())["commits"], json.loads(place.read_text())["synced"]) == (12, 0)
    place.unlink()  # by an operator, who may: it is written to no more, and the next start asks for nothing
    put(file, "x")
    file.close()
    assert len(keys(tmp_path)) == 13


# --- under the running daemon ---------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Any:
    file = JournalFile(Opening(tmp_path))
    for number in range(COMMITS):
        put(file, f"k{number:02d}")
    assert file.connection is not None
    file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    put(file, "in the log")
    yield file
    file.close()


def failure(file: JournalFile) -> str | None:
    """What comes of the next look, as every commit takes one, and an idle journal from time to time."""
    job = Job(Pending().take())
    job.run(file)
    return job.failure


def size(file: JournalFile) -> int:
    return file.path.stat().st_size


@pytest.mark.parametrize("left", [0, 100, 4096, 20_000, 40_960])
def test_a_database_that_is_cut_off(file: JournalFile, left: int) -> None:
    assert failure(file) is None
    with file.path.open("r+b") as other:
        other.truncate(left)
    assert "damaged" in str(failure(file))
    with pytest.raises(JournalError, match="damaged"):
        file.reopen()
    file.close()
    assert "damaged" in refused(file.directory)


def test_a_database_that_is_written_over(file: JournalFile) -> None:
    with file.path.open("r+b") as other:
        other.seek(4096)
        other.write(b"\xff" * 40_000)
    assert "damaged" in str(failure(file))


def test_a_log_that_is_cut_off(file: JournalFile) -> None:
    with file.path.with_name("journal.db-wal").open("r+b") as other:
        other.truncate(100)
    assert failure(file) is not None
    file.reopen()  # whoever has everything writes it again, and then it is whole
    pending = Pending()
    file.write(pending.replace([(Table.SESSIONS, "all", b"1")]))
    file.close()
    assert keys(file.directory) == ["all"]


def test_an_operator_may_do_what_operators_do(file: JournalFile) -> None:
    said = (
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "DELETE FROM sessions WHERE id < 'k20'",
        "VACUUM",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "INSERT INTO sessions VALUES ('theirs', '1')",
    )
    before = size(file)
    for statement in said:
        with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
            other.execute(statement).fetchall()
        assert failure(file) is None
        put(file, "ours")
    assert size(file) < before
