"""One transaction: what a thread writes, and who waits for it; what the engine may take, and how it is doing."""

from __future__ import annotations

import sqlite3
import time

import trio
from attrs import frozen

from gatewayd.journal.file import JournalFile
from gatewayd.journal.opening import reason
from gatewayd.journal.pending import Batch
from gatewayd.journal.pinned import JournalError


@frozen(kw_only=True)
class Limits:
    """Times in seconds."""

    pending_bytes: int = 64 * 1024 * 1024
    """Values, and 64 bytes an operation, that may wait for a slow disk: at most a million operations."""
    patience: float = 10.0
    """How long a write may take before the journal counts as degraded."""
    watch: float = 5.0
    """How often an idle journal looks whether its file is still there."""
    first_retry: float = 1.0
    last_retry: float = 30.0
    remind: float = 60.0
    """At most so often the log says again that nothing is written."""


@frozen(kw_only=True)
class Stats:
    """How the journal is doing."""

    pending_operations: int
    pending_bytes: int
    commits: int
    """Transactions that were written."""
    commit_seconds: float
    """How long the last one took, in its thread."""
    size_bytes: int
    """On disk, the write-ahead log included."""
    failures: int
    """Times that something could not be written."""
    refused: int
    """Operations left out because SQLite cannot hold their key."""


class Round:
    """A transaction as those see it who wait for it."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.kept = False

    def end(self, *, kept: bool) -> None:
        """The first word counts."""
        if not self.over.is_set():
            self.kept = kept
            self.over.set()


class Job:
    """What a thread is to write, and what came of it. Runs once, however often it is asked to."""

    def __init__(self, file: JournalFile, batch: Batch, waiting: Round) -> None:
        self.file = file
        self.batch = batch
        self.round = waiting
        self.done = False
        self.failure: str | None = None
        self.seconds = 0.0
        self.size = 0
        self.refused = 0

    def run(self) -> None:
        """In a thread."""
        if self.done:
            return
        started = time.perf_counter()
        try:
            if self.batch.replaces:
                self.file.reopen()
            self.refused = self.file.write(self.batch)
            self.size = self.file.size()
        except (sqlite3.Error, OSError, JournalError) as error:
            self.failure = reason(error)
        self.seconds = time.perf_counter() - started
        self.done = True
