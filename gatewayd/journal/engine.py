"""The journal: what is recorded on the event loop is on disk a moment later, written by a thread.

Law 1: `put` and `delete` only record. What is recorded between two awaits lands in one transaction.
Law 2: one thread at a time works on the file, with a batch that nobody else touches. A thread that hangs with its
disk is left alone; nothing waits for it for ever.
Law 3: the daemon outlives its disk. From the first failure on nothing is recorded, `degraded` says why, and the way
back is always the same: open the file as at the start, and write everything there is, in one transaction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import trio

from gatewayd.config.limits import JournalLimits
from gatewayd.core.record import Key, Row, Store, Table
from gatewayd.journal.file import JournalFile
from gatewayd.journal.job import Job, Stats
from gatewayd.journal.opening import Opening
from gatewayd.journal.pending import Pending

log = logging.getLogger("gatewayd.journal")


class Source(Protocol):
    """Whose rows these are."""

    def gather(self) -> None:
        """Record what is made into rows as late as when a batch is taken."""

    def snapshot(self) -> Iterable[Row]:
        """Everything there is, at one moment: the way back from a failure."""


class Journal(Store):
    """One per daemon. Open it, `load` every table, run `run` in a nursery, and close it with `aclose`."""

    def __init__(self, file: JournalFile, *, interval: float = 0.1, limits: JournalLimits = JournalLimits()) -> None:
        self.file = file
        self.interval = interval
        self.degraded: str | None = None  # why nothing is being written, or None
        self._source: Source | None = None
        self._limits = limits
        self._retry = self._limits.first_retry
        self.pending = Pending()
        self._next = Job()
        self._job: Job | None = None  # the one that a thread works on
        self._threads = trio.CapacityLimiter(1)  # a thread that was left alone still counts
        self._scope: trio.CancelScope | None = None
        self._stirred = self._closed = False
        self._deaf = False  # nothing is recorded: a snapshot has to come first
        self.stats = Stats()
        self._said: tuple[str, float] | None = None

    @classmethod
    def open(
        cls, state_dir: Path, *, interval: float = 0.1, full_sync: bool = False, limits: JournalLimits = JournalLimits()
    ) -> Journal:
        """Open or make the journal of a directory. Raises `JournalError`, and then has changed nothing there."""
        opening = Opening(state_dir, full_sync=full_sync, limits=limits)
        return cls(JournalFile(opening), interval=interval, limits=limits)

    # --- at the start -----------------------------------------------------------------------------------------

    def load(self, table: Table) -> Iterator[tuple[Key, bytes]]:
        """All rows of a table in key order; before `run` only. Raises `JournalError`."""
        keys = []
        for key, value in self.file.load(table):
            keys.append(key)
            yield key, value
        if self._source is None:
            self.pending.learn(table, keys)

    # --- recording --------------------------------------------------------------------------------------------

    def put(self, table: Table, key: Key, value: bytes) -> None:
        """Record a value. Never waits and never raises; nothing happens while degraded."""
        if not self._deaf:
            self.pending.put(table, key, value)
            self._recorded()

    def delete(self, table: Table, key: Key) -> None:
        """Record that a key is gone."""
        if not self._deaf:
            self.pending.delete(table, key)
            self._recorded()

    def _recorded(self) -> None:
        self._next.something.set()
        if self.pending.bytes > self._limits.pending_bytes:
            self._degrade("the disk is too slow: more has to be written than may wait in memory")

    def stir(self) -> None:
        """There is something that the source will record when it is asked to."""
        if not self._deaf:
            self._stirred = True
            self._next.something.set()

    def _ask(self) -> None:
        try:
            if self._source is not None and not self._deaf:
                self._stirred = False
                self._source.gather()
        except Exception:  # a bug of ours must not end the daemon, nor leave a gap in the journal unseen
            log.exception("the rows for the journal could not be made")
            self._degrade("a fault of ours, which the log tells of")

    async def committed(self) -> bool:
        """Wait until all that is recorded by now is written; False when it is not, at once while degraded."""
        self._ask()
        well = self.degraded is None and not self._closed
        waiting = self._next if self.pending.bytes else self._job
        if waiting is None or not well:
            await trio.lowlevel.checkpoint()
            return well
        if waiting is self._next:
            waiting.urgent.set()
        await waiting.over.wait()
        return waiting.committed

    # --- writing ----------------------------------------------------------------------------------------------

    async def run(self, source: Source, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what is recorded, until cancelled or closed; may be run again."""
        self._source = source
        with trio.CancelScope() as self._scope:
            task_status.started()
            if self._job is not None:  # an earlier run was cancelled in the middle of it
                await self._write(self._job)
            while not self._closed:
                if self.degraded is not None:
                    await trio.sleep(self._retry)
                    await self._recover()
                    continue
                with trio.move_on_after(self._limits.watch):
                    await self._next.something.wait()
                if self._next.something.is_set():
                    with trio.move_on_after(self.interval):
                        await self._next.urgent.wait()
                if self.degraded is None:
                    await self._write(self._take())

    def _take(self) -> Job:
        """All that is recorded, at one moment."""
        self._ask()
        job, self._next = self._next, Job()
        job.batch = self.pending.take()
        if self._stirred:  # while we asked: there is more, that only the next batch can ask for
            self._next.something.set()
        return job

    async def _write(self, job: Job) -> None:
        """Have a thread do it, and look no longer than our patience lasts; a snapshot may take its time."""
        self._job = job
        with trio.CancelScope() as scope:
            if not job.batch.replaces:
                scope.deadline = trio.current_time() + self._limits.patience
            # Left alone when we are cancelled: else a disk that hangs would hang the daemon's end.
            await trio.to_thread.run_sync(job.run, self.file, abandon_on_cancel=True, limiter=self._threads)
        if job.done:
            self._settle(job)
        else:
            self._degrade(f"a write has not ended after {self._limits.patience:g} s")

    def _settle(self, job: Job) -> None:
        """What came of it."""
        if job is not self._job:  # `run` and `aclose` may both have waited for it
            return
        self._job = None
        self.stats.commit_seconds = job.seconds
        if job.failure is not None:
            job.end(committed=False)
            self._degrade(job.failure)
            return
        self.stats.size_bytes = job.size
        self.stats.commits += bool(job.batch.changes or job.batch.replaces)
        if job.refused:
            self.stats.refused += job.refused
            log.error("%d rows were left out of the journal: it cannot hold their keys", job.refused)
        job.end(committed=True)
        if job.batch.replaces and job.committed:  # it is False where a change since then was not recorded
            log.warning("the journal is written again: %s holds everything there is", self.file.path)
            self.degraded = self._said = None
            self._retry = self._limits.first_retry

    def _degrade(self, why: str) -> None:
        """From here on nothing is recorded and nobody waits."""
        self._deaf = True
        self.stats.failures += 1
        self.pending.drop()
        self._wake_all()
        self._next.urgent.set()
        self._next.something.set()
        self._next = Job()
        self.degraded = why
        now = time.monotonic()
        if self._said is None or self._said[0] != why or now - self._said[1] >= self._limits.remind:
            self._said = (why, now)
            log.error("the journal is not written, what happens now would not outlive the daemon: %s", why)

    def _wake_all(self) -> None:
        """Nobody waits any longer."""
        for job in (self._job, self._next):
            if job is not None:
                job.end(committed=False)

    async def _recover(self) -> None:
        """Try the way back once."""
        self._retry = min(self._retry * 2, self._limits.last_retry)
        if self._job is not None:  # the one that hung; while its thread does, this ends as before
            await self._write(self._job)
        if self._job is None and (everything := self._everything()) is not None:
            await self._write(everything)

    def _everything(self) -> Job | None:
        """Ask the source for everything there is; from that moment on changes are recorded again."""
        if self._source is None:
            return None
        try:
            batch = self.pending.replace(self._source.snapshot())
        except Exception:  # the same: half of everything must not pass for everything
            log.exception("the snapshot for the journal failed")
            self.pending.drop()
            return None
        self._deaf = False
        return Job(batch)

    # --- the end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give the file back without writing; one in which a thread hangs ends with the process."""
        self._deaf = self._closed = True
        if self._job is None or self._job.done:
            self.file.close()

    async def aclose(self) -> None:
        """Write the rest, or everything while degraded, then close; what takes longer than `close_seconds` is lost."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        if self._scope is not None:
            self._scope.cancel()
        with trio.move_on_after(self._limits.close_seconds, shield=True) as scope:
            if self._job is not None:
                await self._write(self._job)
            rest = self._take() if self.degraded is None else self._everything()
            self._deaf = True
            if rest is not None:
                await self._write(rest)
            await trio.to_thread.run_sync(self.file.close, abandon_on_cancel=True, limiter=self._threads)
        self._deaf = True
        self._wake_all()
        if scope.cancelled_caught:
            text = "the journal was not closed within %g s; what was not written by then is lost"
            log.error(text, self._limits.close_seconds)
