"""One transaction: what a thread writes, and who waits for it; how the engine is doing."""

from __future__ import annotations

import sqlite3
import time

import trio
from attrs import define, field

from gatewayd.journal.file import JournalFile
from gatewayd.journal.opening import reason
from gatewayd.journal.pending import Batch
from gatewayd.journal.pinned import JournalError


@define(kw_only=True)
class Stats:
    """How the journal is doing."""

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


@define(eq=False)
class Job:
    """One transaction: first those who wait for it, then its batch and what comes of that."""

    batch: Batch = field(factory=Batch)
    over: trio.Event = field(factory=trio.Event)
    committed: bool = False
    something: trio.Event = field(factory=trio.Event)
    """Set when there is anything to write."""
    urgent: trio.Event = field(factory=trio.Event)
    """Set when somebody waits for it."""
    done: bool = False
    failure: str | None = None
    seconds: float = 0.0
    size: int = 0
    refused: int = 0

    def end(self, *, committed: bool) -> None:
        """Tell those who wait; the first word counts."""
        if not self.over.is_set():
            self.committed = committed
            self.over.set()

    def run(self, file: JournalFile) -> None:
        """In a thread; once, however often it is asked to."""
        if self.done:
            return
        started = time.perf_counter()
        try:
            if self.batch.replaces:
                file.reopen()
            self.refused = file.write(self.batch)
            self.size = file.size()
        except (sqlite3.Error, OSError, JournalError) as error:
            self.failure = reason(error)
        self.seconds = time.perf_counter() - started
        self.done = True
