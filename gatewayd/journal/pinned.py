"""A path and the very file that was found there: tells when somebody takes it away or puts another in its place."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class JournalError(Exception):
    """The journal cannot be used: what is wrong, where, and what to do about it, in one sentence."""


class Pinned:
    """Holds the file without opening it for reading, which would end SQLite's locks when it is closed again."""

    def __init__(self, path: Path, flags: int = os.O_PATH) -> None:
        self.path = path
        self._fd = os.open(path, flags, 0o600)
        self._held = self.found = os.fstat(self._fd)  # what `fault` has found at the path last

    def close(self) -> None:
        """Let it go."""
        os.close(self._fd)

    def fault(self) -> str | None:
        """What happened to the file, or None while it is in its place."""
        try:
            self.found = self.path.stat()
        except FileNotFoundError:
            return f"{self.path} was removed"
        return None if os.path.samestat(self.found, self._held) else f"{self.path} was replaced by another file"


class Lock(Pinned):
    """An exclusive lock on a file that says who holds it. The file stays: to remove it would race with the next."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise JournalError(
                f"{path}: cannot be created or written ({error.strerror}); give gatewayd a state_dir it may write, "
                f'or set gateway.state_dir = ""'
            ) from error
        try:
            self._take()
        except BaseException:  # whatever it is, the descriptor is not left open
            os.close(self._fd)
            raise

    def _take(self) -> None:
        try:
            self._flock()
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            raise JournalError(
                f"{self.path.parent}: in use by another gatewayd (process {holder or 'unknown'}); stop it, or give "
                f"this one a state_dir of its own"
            ) from error
        except OSError as error:
            raise JournalError(
                f"{self.path}: cannot be locked ({error.strerror}); put state_dir on a local file system"
            ) from error
        with suppress(OSError):  # a full disk: the lock is held all the same, it only does not say by whom
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _flock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
