"""From a directory to an open database, or one clear sentence why not.

Law 1: a file that is there is never deleted, overwritten or made anew, however broken; and nothing is written to it
before it is known to be ours, whole, and not of a newer version.
Law 2: a new file gets its name when it is complete, so a file that has the name was complete once.
Law 3: a journal that has lost what was written is refused, unless its owner is who asks, and writes everything again.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from attrs import frozen

from gatewayd.config.limits import JournalLimits
from gatewayd.core.record import Table
from gatewayd.journal import mark
from gatewayd.journal.pinned import JournalError
from gatewayd.journal.tables import APPLICATION_ID, MIGRATIONS, select

NAME = "journal.db"
ANEW = 'move it away to start with an empty journal, restore a copy, or set gateway.state_dir = ""'
ROOM = 'make room, or set gateway.state_dir = "" to keep everything in memory'

REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another program keeps the database locked",
    sqlite3.SQLITE_LOCKED: "another program keeps the database locked",
    sqlite3.SQLITE_READONLY: "the file cannot be written",
    sqlite3.SQLITE_CANTOPEN: "a file cannot be opened or created",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
    sqlite3.SQLITE_IOERR: "reading or writing failed",
}


def reason(error: sqlite3.Error | OSError | JournalError) -> str:
    """What went wrong, in words."""
    if isinstance(error, sqlite3.Error):
        code: int = getattr(error, "sqlite_errorcode", 0)
        said = REASONS.get(code & 0xFF)
        return f"{said} ({error.sqlite_errorname})" if said else str(error)
    if isinstance(error, OSError):
        return "the disk is full" if error.errno == errno.ENOSPC else str(error)
    return str(error)


def prepare(directory: Path) -> None:
    """Have the directory; its parent must be there."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise JournalError(
            f"{directory}: state_dir is not a directory; give it another path, or move the file away"
        ) from None
    except FileNotFoundError:
        raise JournalError(
            f"{directory}: neither state_dir nor its parent directory exists; create {directory.parent}"
        ) from None
    except OSError as error:
        raise JournalError(f"{directory}: state_dir cannot be created ({error.strerror}); create it") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise JournalError(
            f'{directory}: state_dir cannot be written; give gatewayd the right to, or set gateway.state_dir = ""'
        )


@frozen
class Opening:
    """How the journal of a directory is opened."""

    directory: Path
    full_sync: bool = False
    migrations: Sequence[Sequence[str]] = MIGRATIONS
    limits: JournalLimits = JournalLimits()

    @property
    def path(self) -> Path:
        """The database."""
        return self.directory / NAME

    def database(self, *, again: bool = False) -> sqlite3.Connection:
        """The journal, made if there is none, brought to this version, and proved to be writable.

        `again` opens one for its owner, who is going to write everything there is: older content does no harm.
        """
        path = self.path
        with explained(path):
            if not os.path.lexists(path):
                leftover = path.with_name(f"{NAME}-wal")
                if leftover.exists():
                    raise JournalError(
                        f"{leftover}: is there without its {NAME}; restore that from a copy, or move {leftover.name} "
                        f"away to start with an empty journal"
                    )
                self._create()
            self._inspect(again=again)
            return self.ready(self.attach(path))

    def attach(self, path: Path, mode: str = "rw") -> sqlite3.Connection:
        """Connect to a file that exists, waiting for its lock. Any thread may use it, one at a time."""
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self.limits.busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )

    def _create(self) -> None:
        """Make an empty journal under another name, and give it its name when it is complete."""
        fresh = self.path.with_name(f"{NAME}.new")
        discard(fresh)  # of a start that was killed: nothing of worth was in it yet
        try:
            os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(self.attach(fresh)) as connection:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                migrate(fresh, connection, self.migrations)
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
            self.path.with_name(mark.NAME).unlink(missing_ok=True)  # of one that was moved away
            fresh.rename(self.path)
        finally:  # nothing half made stays behind
            discard(fresh)
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _inspect(self, *, again: bool) -> None:
        """Look without changing anything: is it ours, whole, of a version that we know, and may we write?"""
        path, newest = self.path, len(self.migrations)
        if not stat.S_ISREG(path.stat().st_mode):
            raise JournalError(f"{path}: is not a regular file; move it away")
        try:
            os.close(os.open(path, os.O_RDWR))
        except OSError as error:
            raise JournalError(
                f"{path}: cannot be written ({error.strerror}); give gatewayd the right to, or {ANEW}"
            ) from error
        with self.whole(looking(path)) as connection:
            found = number(connection, "application_id")
            if found != APPLICATION_ID:
                raise JournalError(f"{path}: is a database of another program (application_id {found:#x}); {ANEW}")
            version = number(connection, "user_version")
            if version > newest:
                raise JournalError(
                    f"{path}: is of version {version}, and this gatewayd knows versions up to {newest}; start the "
                    f"newer gatewayd again, or {ANEW}"
                )
            if not again:
                mark.compare(path, connection)

    @contextmanager
    def whole(self, mode: str) -> Iterator[sqlite3.Connection]:
        """A connection with nothing in its cache, once all of the file is there, as far as its structure tells."""
        path, size = self.path, self.path.stat().st_size
        if size < 512:  # SQLite would remove the log
            raise JournalError(f"{path}: is damaged, {size} bytes are less than any database has; {ANEW}")
        with closing(self.attach(path, mode)) as connection:
            says = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if says != "ok":
                raise JournalError(f"{path}: the file is damaged ({says.splitlines()[-1]}); {ANEW}")
            yield connection

    def ready(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """A connection that was opened for good, led to this version and proved to write; closed where that fails."""
        path, limits = self.path, self.limits
        with ExitStack() as failing:
            failing.callback(connection.close)
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise JournalError(
                    f"{path}: this file system cannot hold a write-ahead log; put state_dir on a local disk"
                )
            connection.execute(f"PRAGMA synchronous = {'FULL' if self.full_sync else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {limits.checkpoint_pages}").fetchall()
            connection.execute(f"PRAGMA journal_size_limit = {limits.log_bytes}").fetchall()
            connection.execute("PRAGMA secure_delete = FAST").fetchall()
            connection.execute("PRAGMA temp_store = MEMORY")
            migrate(path, connection, self.migrations)
            for table in Table:
                connection.execute(f"{select(table)} LIMIT 0").fetchall()
            with transaction(connection):  # the proof that we can write, which also brings the log into being
                connection.execute(f"PRAGMA user_version = {len(self.migrations)}")
                mark.count(connection, mark.counted(connection) or mark.Mark(secrets.randbits(48), 0))
            failing.pop_all()
        return connection


def looking(path: Path) -> str:
    """The mode to look at a database with: without a log nobody writes it, and a reader makes no files."""
    return "ro" if path.with_name(f"{NAME}-wal").exists() else "ro&immutable=1"


def discard(fresh: Path) -> None:
    """Remove a journal that never got its name."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)


def migrate(path: Path, connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Lead the file from its version to the newest, each step a transaction of its own."""
    for version in range(number(connection, "user_version"), len(migrations)):
        try:
            with transaction(connection):
                for statement in migrations[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            raise JournalError(
                f"{path}: cannot be brought from version {version} to {version + 1} ({reason(error)}) and is left as "
                f"it was; {ROOM if full else ANEW}"
            ) from error


def number(connection: sqlite3.Connection, pragma: str) -> int:
    """The value of a numeric pragma."""
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Whatever SQLite or the system say while opening becomes a `JournalError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC
        if code == sqlite3.SQLITE_IOERR and os.statvfs(path.parent).f_bavail == 0:
            raise JournalError(f"{path}: the disk is full; {ROOM}") from error
        raise JournalError(f"{path}: {reason(error)}; {ROOM if full else ANEW}") from error
