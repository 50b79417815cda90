"""One transaction: what a thread writes, and who waits for it; how the engine is doing."""

from __future__ import annotations

import sqlite3
import time

import trio
from attrs import define

from gatewayd.journal.file import JournalFile
from gatewayd.journal.opening import reason
from gatewayd.journal.pending import Batch
from gatewayd.journal.pinned import JournalError


@define(kw_only=True)
class Stats:
    """How the journal is doing."""

    pending_operations: int = 0
    pending_bytes: int = 0
    commits: int = 0
    """Transactions that were written."""
    commit_seconds: float = 0.0
    """How long the last one took, in its thread."""
    size_bytes: int = 0
    """On disk, the write-ahead log included."""
    failures: int = 0
    """Times that something could not be written."""
    refused: int = 0
    """Operations left out because SQLite cannot hold their key."""


class Round:
    """A transaction as those see it who wait for it."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.committed = False

    def end(self, *, committed: bool) -> None:
        """The first word counts."""
        if not self.over.is_set():
            self.committed = committed
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
