"""A server under test as a process: its start and end, and what it has used of CPU and memory."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Server:
    """A running server under test: one process, or several that share a port."""

    pids: tuple[int, ...]
    port: int
    admins: tuple[Path, ...]
    """The admin socket of each process."""

    @property
    def admin(self) -> Path:
        """The admin socket of the first process."""
        return self.admins[0]

    def cpu(self) -> float:
        """Seconds of CPU that it and its children have used."""
        return sum(cpu_seconds(pid) for pid in self.pids)

    def rss(self) -> int:
        """Resident memory in KB, its children included."""
        return self._memory("VmRSS")

    def watch_memory(self) -> int:
        """Forget the peak so far; returns the resident memory in KB."""
        for pid in self._tree():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.rss()

    def peak(self) -> int:
        """The most resident memory, in KB, since it was last watched."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> int:
        total = 0
        for pid in self._tree():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
        return total

    def _tree(self) -> list[int]:
        return [each for pid in self.pids for each in _tree(pid)]


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process and its children have used, in all threads that they have now.

    From the scheduler's own account, in nanoseconds; clock ticks, of 10 ms, are too coarse for a sample of a second. It
    is made up when a thread stops running: a server that has done its work waits. A thread that has ended is not in it:
    the servers keep theirs while they are measured.
    """
    threads = (task for each in _tree(pid) for task in Path(f"/proc/{each}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in threads) / 1e9


@contextlib.contextmanager
def running(name: str, command: Sequence[str], ready: str) -> Iterator[int]:
    """A process, from the line that says that it listens; it is killed at the end."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        try:
            if not any(line.startswith(ready) for line in process.stdout):
                errors.seek(0)
                raise RuntimeError(f"{name} did not start: {errors.read().strip()[-500:]}")
            yield process.pid
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
