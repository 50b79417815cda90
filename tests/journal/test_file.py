"""The file: what was written is read in key order, and it is opened again as at the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd.core.record import Key, Table
from gatewayd.journal.file import JournalFile, chunks
from gatewayd.journal.opening import Opening
from gatewayd.journal.pending import Pending
from gatewayd.journal.pinned import JournalError


@pytest.fixture
def file(tmp_path: Path) -> Iterator[JournalFile]:
    file = JournalFile(Opening(tmp_path / "state", full_sync=True))
    yield file
    file.close()


def put(file: JournalFile, table: Table, *keys: Key) -> int:
    pending = Pending()
    for key in keys:
        pending.put(table, key, b"1")
    return file.write(pending.take())


def test_in_key_order_and_as_it_was(file: JournalFile) -> None:
    pending = Pending()
    odd = {"": b"{}", "a\0b": b'"\\u0000"', "\u00fc": '"🙂"'.encode(), "x": b"\xff not text \x00"}
    for key, value in odd.items():
        pending.put(Table.SESSIONS, key, value)
    for number in range(300, 0, -1):
        pending.put(Table.NOTIFICATIONS, ("r", f"s{number % 2}", number), b"%d" % number)
        pending.put(Table.LIFECYCLE, number, b"1")
    assert file.write(pending.take()) == 0
    assert dict(file.load(Table.SESSIONS)) == odd
    assert [key for key, _ in file.load(Table.NOTIFICATIONS)] == sorted(("r", f"s{n % 2}", n) for n in range(1, 301))
    assert [key for key, _ in file.load(Table.LIFECYCLE)] == list(range(1, 301))
    for number in range(1, 301):
        pending.delete(Table.NOTIFICATIONS, ("r", f"s{number % 2}", number))
    file.write(pending.take())
    assert list(file.load(Table.NOTIFICATIONS)) == []
    assert file.size() > 0


def test_keys_that_cannot_be_held_are_left_out(file: JournalFile) -> None:
    assert put(file, Table.SESSIONS, "good", "half \ud800", 7) == 2
    pending = Pending()
    pending.delete(Table.SESSIONS, "half \ud800")
    pending.delete(Table.NOTIFICATIONS, ("r", "half \ud800", 1))
    assert file.write(pending.take()) == 0
    assert [key for key, _ in file.load(Table.SESSIONS)] == ["good"]


def test_chunks_are_of_few_sizes() -> None:
    rows = [(number,) for number in range(3 * 128 + 7)]
    parts = list(chunks(rows, 128))
    assert [len(part) for part in parts] == [128, 128, 128, 4, 2, 1]
    assert [row for part in parts for row in part] == rows


def test_everything_is_replaced(file: JournalFile) -> None:
    put(file, Table.SESSIONS, "old")
    file.write(Pending().replace([(Table.SESSIONS, "new", b"1")]))
    assert list(file.load(Table.SESSIONS)) == [("new", b"1")]
    file.write(Pending().replace([]))
    assert list(file.load(Table.SESSIONS)) == []


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db-shm", "journal.lock"])
def test_what_is_removed_is_noticed_and_made_again(file: JournalFile, name: str) -> None:
    put(file, Table.SESSIONS, "r")
    (file.directory / name).unlink()
    with pytest.raises(JournalError, match=f"{name} was removed"):
        put(file, Table.SESSIONS, "lost")
    file.reopen()
    file.write(Pending().replace([(Table.SESSIONS, "r", b"1")]))
    assert rooms_of(file) == ["r"]


def rooms_of(file: JournalFile) -> list[Key]:
    """Its rooms, as the next start sees them."""
    file.close()
    again = JournalFile(Opening(file.directory))
    rooms = [key for key, _ in again.load(Table.SESSIONS)]
    again.close()
    return rooms


def test_the_whole_directory_is_removed(file: JournalFile) -> None:
    for path in file.directory.iterdir():
        path.unlink()
    file.directory.rmdir()
    with pytest.raises(JournalError, match="was removed"):
        put(file, Table.SESSIONS, "r")
    file.reopen()
    put(file, Table.SESSIONS, "r")
    assert rooms_of(file) == ["r"]


def test_what_somebody_else_put_there_is_not_written_to(file: JournalFile) -> None:
    theirs = JournalFile(Opening(file.directory.parent / "theirs"))
    put(theirs, Table.SESSIONS, "theirs")
    theirs.close()
    theirs.path.replace(file.path)
    before = file.path.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalError, match="was replaced by another file; restart gatewayd to use that"):
            file.reopen()
    assert file.path.read_bytes() == before
    file.path.unlink()
    (file.directory / "journal.db-wal").unlink()
    (file.directory / "journal.db-wal").write_bytes(b"of somebody else")
    with pytest.raises(JournalError, match=r"is there without its journal.db"):
        file.reopen()
    with pytest.raises(JournalError, match="is not open"):
        put(file, Table.SESSIONS, "r")
    (file.directory / "journal.db-wal").unlink()
    file.reopen()
    put(file, Table.SESSIONS, "r")
    assert rooms_of(file) == ["r"]


def test_another_took_the_lock_meanwhile(file: JournalFile) -> None:
    (file.directory / "journal.lock").unlink()
    other = JournalFile(Opening(file.directory))
    with pytest.raises(JournalError, match="in use by another gatewayd"):
        file.reopen()
    other.close()
    file.reopen()
    put(file, Table.SESSIONS, "r")


def test_closed_twice(file: JournalFile) -> None:
    file.close()
    file.close()
