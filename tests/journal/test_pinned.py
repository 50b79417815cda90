"""A pinned file tells when it is taken away; a lock says who holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatewayd.journal.pinned import JournalError, Lock, Pinned


def test_a_file_that_is_taken_away_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("1")
    pinned = Pinned(path)
    assert pinned.fault() is None
    path.rename(tmp_path / "g")
    assert pinned.fault() == f"{path} was removed"
    path.write_text("2")
    assert pinned.fault() == f"{path} was replaced by another file"
    (tmp_path / "g").replace(path)
    assert pinned.fault() is None
    pinned.close()


def test_one_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal.lock"
    lock = Lock(path)
    with pytest.raises(JournalError, match=rf"in use by another gatewayd \(process {os.getpid()}\); stop it"):
        Lock(path)
    assert lock.fault() is None
    lock.close()
    Lock(path).close()
    path.unlink()
    with pytest.raises(JournalError, match="cannot be created or written"):
        Lock(tmp_path / "missing" / "journal.lock")


def test_a_file_that_cannot_be_locked() -> None:
    lock = Lock(Path("/dev/full"))  # every write to it says that the disk is full: the lock holds all the same
    lock.close()
    with pytest.raises(JournalError, match="cannot be locked"):
        Unlockable(Path("/dev/null"))


class Unlockable(Lock):
    """As on a file system that knows no locks."""

    def _flock(self) -> None:
        raise OSError(37, "No locks available")
