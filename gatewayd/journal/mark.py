"""Up to which commit the journal was written, noted beside it: so that one that has lost the end of its log is known.

SQLite cannot tell. It takes a write-ahead log that is missing for an empty one, and one that is damaged in its middle
for one that ends there.

Law 1: the database counts its commits in the very transaction that it counts, and the mark is written after that one.
So the mark is never ahead, at whatever moment the process is killed.
Law 2: a machine that fails loses what was not synced. After a reboot only what was synced is owed.
Law 3: without a mark nothing is owed: whoever puts an older copy in place removes it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import msgspec
from attrs import evolve, frozen

from gatewayd.core.record import Table
from gatewayd.journal.pinned import JournalError
from gatewayd.journal.tables import upsert

NAME = "journal.mark"
BYTES = 192
"""The mark is overwritten in its place, in one piece."""
OWN = JOURNAL, COMMITS = "journal", "commits"
"""Keys of the meta table that are the file's own: which journal this is, and the number of its newest commit."""


@frozen
class Mark:
    """Of one journal: its newest commit, and the newest that a failing machine cannot take away."""

    journal: int
    commits: int
    synced: int = 0
    boot: str = ""

    def owed(self) -> int:
        """The commit that has to be there."""
        return self.commits if self.boot and self.boot == boot() else self.synced


def boot(place: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Names this boot of the machine; "" where it has no name."""
    try:
        return place.read_text().strip()
    except OSError:
        return ""


def counted(connection: sqlite3.Connection) -> Mark | None:
    """What the database says itself; None where a version without marks has made it."""
    rows = connection.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (JOURNAL, COMMITS))
    found = {key: int(value) for key, value in rows}
    return Mark(found[JOURNAL], found[COMMITS]) if len(found) == 2 else None


def count(connection: sqlite3.Connection, mark: Mark) -> None:
    """Have the database say it, within a transaction."""
    connection.execute(upsert(Table.META, 2), (JOURNAL, str(mark.journal), COMMITS, str(mark.commits)))


def compare(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a journal that lacks what its mark says was written. Raises `JournalError`."""
    place = path.with_name(NAME)
    known, found = read(place), counted(connection)
    if known is None:
        return
    meant = f"restore what belongs together, or remove {place.name} to start with what is there"
    if found is not None and found.journal != known.journal:
        raise JournalError(f"{path}: is not the journal that {place.name} beside it belongs to; {meant}")
    missing = known.owed() - (0 if found is None else found.commits)
    if missing > 0:
        raise JournalError(
            f"{path}: the last {missing} of {known.owed()} commits are missing: {path.name}-wal was removed or "
            f"damaged, or an older copy was put in place; {meant}"
        )


def read(place: Path) -> Mark | None:
    """The mark of the last run; None where there is none, or a failing machine has left half of one."""
    try:
        return msgspec.json.decode(place.read_bytes(), type=Mark)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


class MarkFile:
    """The mark, open for writing, which the next commit does."""

    def __init__(self, place: Path, mark: Mark) -> None:
        known = read(place)
        synced = known.synced if known is not None and known.journal == mark.journal else 0
        self.mark = evolve(mark, synced=min(synced, mark.commits), boot=boot())
        self._fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def next(self, *, synced: bool) -> Mark:
        """Of the commit that comes now."""
        number = self.mark.commits + 1
        return evolve(self.mark, commits=number, synced=number if synced else self.mark.synced)

    def all_synced(self) -> None:
        """Nothing that was written can be taken away any more."""
        self.write(evolve(self.mark, synced=self.mark.commits))

    def write(self, mark: Mark) -> None:
        """Write it down. Never synced: an older mark asks for less, and asks for nothing wrong."""
        self.mark = mark
        os.pwrite(self._fd, msgspec.json.encode(mark).ljust(BYTES) + b"\n", 0)

    def close(self) -> None:
        """Let it go."""
        os.close(self._fd)
