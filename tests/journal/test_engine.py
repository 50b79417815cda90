"""The engine on real files: what is recorded is on disk a moment later, and the daemon outlives its disk.

Threads and a jumping clock do not go together: these tests run in real time, and wait for events.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from attrs import define

from gatewayd.config.limits import JournalLimits
from gatewayd.core.record import Key, Row, Table
from gatewayd.journal.engine import Journal, Source
from gatewayd.journal.file import JournalFile
from gatewayd.journal.opening import Opening
from gatewayd.journal.pending import OPERATION_BYTES, Batch
from gatewayd.journal.pinned import JournalError
from tests.journal.disks import no_writes, small_disk


class Truth:
    """Whose rows they are: it tells the journal every change at once."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.rows: dict[tuple[Table, Key], bytes] = {}

    def put(self, table: Table, key: Key, value: bytes = b"1") -> None:
        self.rows[table, key] = value
        self.journal.put(table, key, value)

    def gather(self) -> None:
        """Nothing is told later."""

    def snapshot(self) -> Iterable[Row]:
        return [(table, key, value) for (table, key), value in self.rows.items()]


@define
class Asked:
    """Whose rows they are, as a test says."""

    gather: Callable[[], None] = lambda: None
    snapshot: Callable[[], Iterable[Row]] = tuple


class Slow(JournalFile):
    """A disk that holds a write up until it is let go."""

    def __init__(self, directory: Path) -> None:
        super().__init__(Opening(directory))
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.writes = 0

    def write(self, batch: Batch) -> int:
        self.entered.set()
        assert self.gate.wait(10)
        written = super().write(batch)
        self.writes += 1  # when it is over: who closes the file then takes it from nobody
        return written

    def close(self) -> None:
        self.closed = True
        super().close()


def limited(file: JournalFile, *, interval: float = 0.1, **limits: Any) -> Journal:
    """A journal with limits of its own."""
    return Journal(file, interval=interval, limits=JournalLimits(**limits))


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not true():
            await trio.sleep(0.002)


@asynccontextmanager
async def running(journal: Journal, source: Source | None = None) -> AsyncIterator[Journal]:
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, source or Asked())
        yield journal
        await journal.aclose()


@asynccontextmanager
async def true_to(journal: Journal) -> AsyncIterator[tuple[Journal, Truth]]:
    truth = Truth(journal)
    async with running(journal, truth):
        yield journal, truth


def on_disk(directory: Path, table: Table) -> dict[Key, bytes]:
    """As the next start sees it."""
    journal = Journal.open(directory)
    rows = dict(journal.load(table))
    journal.close()
    return rows


async def test_what_is_recorded_is_there_at_the_next_start(tmp_path: Path) -> None:
    async with running(Journal.open(tmp_path, interval=60)) as journal:
        journal.put(Table.SESSIONS, "s", b'{"a":1}')
        for number in range(3):
            journal.put(Table.NOTIFICATIONS, ("r", "s", number), b"%d" % number)
        journal.delete(Table.NOTIFICATIONS, ("r", "s", 0))
        assert len(journal.pending) == 4
        assert journal.pending.bytes == 3 * OPERATION_BYTES + 7 + 2 + OPERATION_BYTES
        assert await journal.committed()
        assert await journal.committed()
        assert (journal.pending.bytes, journal.stats.commits) == (0, 1)
        assert journal.stats.size_bytes > 0
        assert journal.stats.commit_seconds > 0
        journal.delete(Table.NOTIFICATIONS, ("r", "s", 1))
        journal.put(Table.NOTIFICATIONS, ("r", "s", 7), b"7")  # written at the end
    assert on_disk(tmp_path, Table.SESSIONS) == {"s": b'{"a":1}'}
    assert on_disk(tmp_path, Table.NOTIFICATIONS) == {("r", "s", 2): b"2", ("r", "s", 7): b"7"}
    assert not await journal.committed()
    await journal.aclose()
    journal.put(Table.SESSIONS, "late", b"1")
    assert len(journal.pending) == 0


async def test_it_is_written_without_anybody_waiting(tmp_path: Path) -> None:
    async with running(Journal.open(tmp_path, interval=0.01)) as journal:
        journal.put(Table.SESSIONS, "r", b"1")
        await until(lambda: journal.stats.commits == 1)
        with closing(sqlite3.connect(journal.file.path)) as connection:
            assert connection.execute("SELECT * FROM sessions").fetchall() == [("r", "1")]
        journal.put(Table.SESSIONS, "s", b"1")  # an operator who looked and left has taken nothing away
        assert await journal.committed()


async def test_one_turn_is_one_transaction(tmp_path: Path) -> None:
    file = Slow(tmp_path)
    async with running(Journal(file, interval=0)) as journal:
        for number in range(50):
            journal.put(Table.SESSIONS, f"s{number}", b"1")
            journal.put(Table.LIFECYCLE, number, b"1")
            await trio.lowlevel.checkpoint()
        await journal.committed()
        assert file.writes < 50
        file.gate.clear()
        file.entered.clear()
        journal.put(Table.META, "a", b"1")
        await trio.to_thread.run_sync(file.entered.wait)
        journal.put(Table.META, "b", b"1")
        before = journal.stats.commits
        results: list[bool] = []

        async def wait() -> None:
            results.append(await journal.committed())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert results == []
            file.gate.set()
        assert results == [True]
        assert journal.stats.commits == before + 2


async def test_who_waits_for_what_is_under_way(tmp_path: Path) -> None:
    file = Slow(tmp_path)
    file.gate.clear()
    async with running(Journal(file, interval=0)) as journal:
        journal.put(Table.META, "a", b"1")
        await trio.to_thread.run_sync(file.entered.wait)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.committed)
            await trio.testing.wait_all_tasks_blocked()
            file.gate.set()
        assert journal.stats.commits == 1


async def test_a_known_table_is_not_asked_for_what_was_never_there(tmp_path: Path) -> None:
    async with running(Journal.open(tmp_path)) as journal:
        journal.put(Table.SESSIONS, "r", b"1")
    again = Journal.open(tmp_path)
    assert [key for key, _ in again.load(Table.SESSIONS)] == ["r"]
    again.delete(Table.SESSIONS, "never there")
    assert len(again.pending) == 0
    again.delete(Table.META, "not loaded, so who knows")
    again.delete(Table.SESSIONS, "r")
    assert len(again.pending) == 2
    async with running(again):
        await again.committed()
        assert list(again.load(Table.SESSIONS)) == []


async def test_unfit_keys_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(Journal.open(tmp_path)) as journal:
        journal.put(Table.SESSIONS, "half \ud800", b"1")
        journal.put(Table.SESSIONS, "whole", b"1")
        assert await journal.committed()
        assert (journal.stats.refused, journal.degraded) == (1, None)
    assert "1 rows were left out" in caplog.text
    assert list(on_disk(tmp_path, Table.SESSIONS)) == ["whole"]


async def test_an_input_output_error_and_the_way_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with true_to(limited(JournalFile(Opening(tmp_path / "state")), first_retry=0.01)) as (journal, truth):
        truth.put(Table.SESSIONS, "before")
        assert await journal.committed()
        with no_writes():
            truth.put(Table.SESSIONS, "during")
            assert not await journal.committed()
            assert journal.degraded is not None
            truth.put(Table.SESSIONS, "later")
            assert len(journal.pending) == 0
            assert not await journal.committed()
            await until(lambda: journal.stats.failures > 1)
        await until(lambda: journal.degraded is None)
        truth.put(Table.SESSIONS, "after")
        assert await journal.committed()
        assert "is written again" in caplog.text
    assert list(on_disk(tmp_path / "state", Table.SESSIONS)) == ["after", "before", "during", "later"]


async def test_a_full_disk_and_the_way_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = JournalFile(Opening(tmp_path))
    async with true_to(limited(file, first_retry=0.01)) as (journal, truth):
        assert file.connection is not None
        file.connection.execute("PRAGMA max_page_count = 30").fetchall()
        truth.put(Table.SESSIONS, "large", b"1" * 200_000)
        assert not await journal.committed()
        assert journal.degraded == "the disk is full (SQLITE_FULL)"
        await until(lambda: journal.degraded is None)  # a new connection knows nothing of that limit
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
    assert list(on_disk(tmp_path, Table.SESSIONS)) == ["large"]


async def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024) as directory:
        async with true_to(limited(JournalFile(Opening(directory)), first_retry=0.01)) as (journal, truth):
            truth.put(Table.SESSIONS, "before")
            assert await journal.committed()
            filler = directory / "filler"
            with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            for number in range(100):
                truth.put(Table.SESSIONS, f"r{number}", b"1" * 500)
            assert not await journal.committed()
            assert "full" in str(journal.degraded)
            await until(lambda: journal.stats.failures > 2)
            assert "full" in str(journal.degraded)
            filler.unlink()
            await until(lambda: journal.degraded is None)
        assert len(on_disk(directory, Table.SESSIONS)) == 101


@pytest.mark.parametrize("idle", [True, False])
async def test_the_file_is_removed(tmp_path: Path, idle: bool) -> None:
    journal = limited(JournalFile(Opening(tmp_path)), first_retry=0.01, watch=0.01 if idle else 60)
    async with true_to(journal) as (_, truth):
        truth.put(Table.SESSIONS, "before")
        assert await journal.committed()
        journal.file.path.unlink()
        if not idle:
            truth.put(Table.SESSIONS, "unwritten")
            assert not await journal.committed()
            assert journal.degraded == f"{tmp_path}/journal.db was removed"
        await until(lambda: journal.stats.failures > 0 and journal.degraded is None)
    assert set(on_disk(tmp_path, Table.SESSIONS)) == {key for _, key in truth.rows}


async def test_the_file_is_replaced(tmp_path: Path) -> None:
    other = Journal.open(tmp_path / "other")
    other.close()
    journal = limited(JournalFile(Opening(tmp_path / "state")), first_retry=0.01)
    async with true_to(journal) as (_, truth):
        other.file.path.replace(journal.file.path)
        truth.put(Table.SESSIONS, "ours")
        assert not await journal.committed()
        await until(lambda: "restart gatewayd to use that" in str(journal.degraded))
        journal.file.path.rename(tmp_path / "moved away")
        await until(lambda: journal.degraded is None)
    assert list(on_disk(tmp_path / "state", Table.SESSIONS)) == ["ours"]


async def test_another_program_holds_it(tmp_path: Path) -> None:
    file = JournalFile(Opening(tmp_path))
    async with true_to(limited(file, first_retry=0.01)) as (journal, truth):
        assert file.connection is not None
        file.connection.execute("PRAGMA busy_timeout = 1").fetchall()
        with closing(sqlite3.connect(file.path, isolation_level=None)) as operator:
            operator.execute("BEGIN IMMEDIATE")
            truth.put(Table.SESSIONS, "r")
            assert not await journal.committed()
            assert journal.degraded == "another program keeps the database locked (SQLITE_BUSY)"
        await until(lambda: journal.degraded is None)
    assert list(on_disk(tmp_path, Table.SESSIONS)) == ["r"]


async def test_too_much_waits(tmp_path: Path) -> None:
    file = Slow(tmp_path)
    async with true_to(limited(file, pending_bytes=1000, interval=0, first_retry=0.01)) as (journal, truth):
        file.gate.clear()
        truth.put(Table.META, "a")
        await trio.to_thread.run_sync(file.entered.wait)
        waited: list[bool] = []

        async def wait() -> None:
            waited.append(await journal.committed())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(100):
                truth.put(Table.META, f"k{number}")
        assert waited == [False]  # at once, though the disk has not answered
        assert "too slow" in str(journal.degraded)
        assert journal.pending.bytes == 0
        file.gate.set()
        await until(lambda: journal.degraded is None)
        assert await journal.committed()
    assert len(on_disk(tmp_path, Table.META)) == 101


async def test_too_much_changes_while_the_snapshot_is_written(tmp_path: Path) -> None:
    file = Slow(tmp_path)
    async with true_to(limited(file, pending_bytes=1000, interval=60, first_retry=0.01)) as (journal, truth):
        for number in range(20):  # nothing is under way, and it is too much all the same
            truth.put(Table.META, f"k{number}")
        assert "too slow" in str(journal.degraded)
        file.gate.clear()
        await trio.to_thread.run_sync(file.entered.wait)
        for number in range(20, 40):
            truth.put(Table.META, f"k{number}")
        file.gate.set()
        await until(lambda: journal.degraded is None)
        assert file.writes == 2
    assert len(on_disk(tmp_path, Table.META)) == 40


async def test_a_disk_that_hangs_and_comes_back(tmp_path: Path) -> None:
    file = Slow(tmp_path)
    async with true_to(limited(file, patience=0.02, first_retry=0.01)) as (journal, truth):
        file.gate.clear()
        truth.put(Table.META, "a")
        assert not await journal.committed()
        assert journal.degraded == "a write has not ended after 0.02 s"
        await until(lambda: journal.stats.failures > 2)
        assert file.writes == 0
        file.gate.set()
        await until(lambda: journal.degraded is None)
    assert list(on_disk(tmp_path, Table.META)) == ["a"]


async def test_a_disk_that_hangs_does_not_hold_up_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = Slow(tmp_path)
    journal = limited(file, interval=0, close_seconds=0.02)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, Asked())
        file.gate.clear()
        journal.put(Table.META, "a", b"1")
        await trio.to_thread.run_sync(file.entered.wait)
        nursery.start_soon(journal.committed)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5):
            await journal.aclose()
    assert "was not closed within 0.02 s" in caplog.text
    journal.close()  # the thread is still inside: what it uses is not taken from under it
    assert not file.closed
    file.gate.set()
    await until(lambda: file.writes == 1)
    file.close()


async def test_a_run_that_is_cancelled_loses_nothing(tmp_path: Path) -> None:
    file = Slow(tmp_path)
    journal = Journal(file, interval=0)
    for number in range(3):
        file.gate.clear()
        file.entered.clear()
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.run, Asked())
            journal.put(Table.META, f"k{number}", b"1")
            await trio.to_thread.run_sync(file.entered.wait)
            nursery.cancel_scope.cancel()
        journal.put(Table.META, f"between{number}", b"1")
        file.gate.set()
    await journal.aclose()
    assert len(on_disk(tmp_path, Table.META)) == 6
    assert journal.degraded is None


async def test_without_a_snapshot_there_is_no_way_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterable[Row]:
        raise KeyError("a mistake of ours")

    journal = limited(JournalFile(Opening(tmp_path)), first_retry=0.001)
    async with running(journal, Asked(snapshot=broken)):
        journal.put(Table.SESSIONS, "before", b"1")
        await journal.committed()
        with no_writes():
            journal.put(Table.SESSIONS, "lost", b"1")
            journal.delete(Table.SESSIONS, "before")
            assert not await journal.committed()
        journal.delete(Table.SESSIONS, "before")
        journal.delete(Table.NOTIFICATIONS, ("r", "s", 1))
        await trio.sleep(0.02)
        assert journal.degraded is not None
        await until(lambda: "a mistake of ours" in caplog.text)
    assert list(on_disk(tmp_path, Table.SESSIONS)) == ["before"]


async def test_closing_is_the_last_try(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with true_to(Journal(JournalFile(Opening(tmp_path)))) as (journal, truth):
        with no_writes():
            truth.put(Table.SESSIONS, "r")
            assert not await journal.committed()
    assert journal.degraded is None
    assert list(on_disk(tmp_path, Table.SESSIONS)) == ["r"]


async def test_the_log_reminds_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = limited(JournalFile(Opening(tmp_path)), first_retry=0.001)
    async with true_to(journal) as (_, truth):
        with no_writes():
            truth.put(Table.SESSIONS, "r")
            await journal.committed()
            await until(lambda: journal.stats.failures > 3)
            assert len({r.getMessage() for r in caplog.records}) == len(caplog.records)


def test_a_start_that_failed_gives_the_file_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with pytest.raises(JournalError, match="in use"):
        Journal.open(tmp_path)
    journal.close()
    Journal.open(tmp_path, full_sync=True).close()


async def test_closed_without_having_run(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.put(Table.SESSIONS, "a", b"1")
    journal.put(Table.SESSIONS, "b", b"1")
    await journal.aclose()
    with trio.fail_after(5):
        await journal.run(Asked())  # nothing left to do
    assert list(on_disk(tmp_path, Table.SESSIONS)) == ["a", "b"]


async def test_what_a_batch_leaves_behind_is_asked_for_after_the_interval(tmp_path: Path) -> None:
    """Whoever has still more to say than it could says so while it is asked; nobody else has to wake us."""
    asked = 0

    def gather() -> None:
        nonlocal asked
        asked += 1
        journal.put(Table.SESSIONS, f"r{asked}", b"1")
        if asked < 5:
            journal.stir()

    journal = Journal.open(tmp_path, interval=0.01)
    async with running(journal, Asked(gather)):
        assert asked == 0
        journal.stir()
        await until(lambda: journal.stats.commits == 5)  # much sooner than the 5 s of an idle journal's look
        assert asked == 5
    assert len(on_disk(tmp_path, Table.SESSIONS)) == 6  # the end asks once more


async def test_who_waits_is_asked_first(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, interval=60)
    async with running(journal, Asked(lambda: journal.put(Table.SESSIONS, "r", b"1"))):
        assert not journal.pending.bytes
        assert await journal.committed()
        assert not journal.pending.bytes
        assert journal.stats.commits == 1


async def test_a_fault_in_making_rows_ends_nothing_but_the_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: dict[str, bytes] = {}
    bad = True

    def gather() -> None:
        if bad:
            journal.put(Table.SESSIONS, "half", b"1")
            raise RuntimeError("oops")

    def snapshot() -> Iterable[Row]:
        if bad:
            raise RuntimeError("oops again")
        return [(Table.SESSIONS, name, value) for name, value in rows.items()]

    journal = limited(JournalFile(Opening(tmp_path)), interval=0.01, first_retry=0.01, last_retry=0.02)
    async with running(journal, Asked(gather, snapshot)):
        journal.stir()
        await until(lambda: journal.degraded is not None)
        assert journal.degraded == "a fault of ours, which the log tells of"
        assert not await journal.committed()
        journal.stir()
        rows["whole"] = b"1"
        await until(lambda: "oops again" in caplog.text)
        bad = False
        await until(lambda: journal.degraded is None)
    assert on_disk(tmp_path, Table.SESSIONS) == {"whole": b"1"}
    assert "oops" in caplog.text


async def test_a_fault_in_making_rows_is_told_to_who_waits(tmp_path: Path) -> None:
    def gather() -> None:
        raise RuntimeError("oops")

    journal = Journal.open(tmp_path, interval=60)
    async with running(journal, Asked(gather)):
        assert not await journal.committed()


async def test_a_journal_that_never_ran_has_nobody_to_ask(tmp_path: Path) -> None:
    journal = limited(JournalFile(Opening(tmp_path)), pending_bytes=1)
    journal.put(Table.SESSIONS, "r", b"1")
    assert journal.degraded is not None
    await journal.aclose()
    assert not on_disk(tmp_path, Table.SESSIONS)
