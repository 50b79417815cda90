"""The clock that stands still while the loop does: by hand, and under a real loop whose source of time jumps."""

from __future__ import annotations

import logging
import time

import pytest
import trio

from gatewayd.net.clock import SteadyClock
from gatewayd.net.tick import Tick


class Source:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def next_turn(clock: SteadyClock) -> None:
    clock.expire()
    clock.current_time()


def test_time_passes_from_turn_to_turn() -> None:
    source = Source()
    clock = SteadyClock(source=source)
    clock.start_clock()
    start = clock.current_time()
    source.at += 0.25
    assert clock.current_time() == start  # still the same tick
    assert clock.deadline_to_sleep_time(start + 0.5) == 0.25
    next_turn(clock)
    assert clock.current_time() == start + 0.25
    assert clock.deadline_to_sleep_time(start + 0.5) == 0.25
    assert clock.deadline_to_sleep_time(start + 3600) == 0.5  # a tick
    assert clock.status() == {"stalls": 0, "longest": 0.0, "last": None}


def test_a_stall_takes_one_tick(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    clock = SteadyClock(source=source)
    clock.start_clock()
    start = clock.current_time()
    for stall in (40.0, 2.0):
        source.at += stall
        next_turn(clock)
    assert clock.current_time() == start + 1.0
    source.at += 0.5
    assert clock.deadline_to_sleep_time(start + 1.75) == 0.25
    next_turn(clock)
    assert clock.current_time() == start + 1.5
    assert clock.status() == {"stalls": 2, "longest": 40.0, "last": {"seconds": 2.0, "ago": 0.5}}
    assert [record.getMessage() for record in caplog.records] == [
        "the event loop stalled for 40.0 s: all deadlines are moved by that",
        "the event loop stalled for 2.0 s: all deadlines are moved by that",
    ]


def test_deadlines_come_where_every_turn_is_slow() -> None:
    source = Source()
    clock = SteadyClock(source=source)
    clock.start_clock()
    due = clock.current_time() + 10
    for _ in range(20):
        source.at += 3
        next_turn(clock)
    assert clock.current_time() == due


def test_work_that_had_to_be_done_is_no_stall(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    clock = SteadyClock(source=source)
    source.at += 7  # between its making and the loop
    clock.start_clock()
    start = clock.current_time()
    source.at += 30
    clock.excuse()
    source.at += 0.25
    next_turn(clock)
    assert clock.current_time() == start + 0.25
    assert clock.stalls == 0
    assert not caplog.records


def test_no_deadline_expires_in_a_stall(caplog: pytest.LogCaptureFixture) -> None:
    """The loop blocks, which is what a stopped process looks like to it; then it sleeps on as if nothing had been."""
    jumped = 0.0

    async def main() -> None:
        nonlocal jumped
        with trio.move_on_after(5) as patience:
            woken = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 0.05)
                await trio.lowlevel.checkpoint()
                jumped = 40.0  # all at once, in the middle of this tick
                await trio.lowlevel.checkpoint()
                assert trio.current_time() < patience.deadline - 4
                woken.set()
                await trio.sleep(0.01)
        assert not patience.cancelled_caught
        with trio.move_on_after(0.05) as short:
            await trio.sleep_forever()
        assert short.cancelled_caught

    clock = SteadyClock(source=lambda: time.perf_counter() + jumped)
    begun = time.perf_counter()
    with caplog.at_level(logging.WARNING):
        trio.run(main, clock=clock)
    assert time.perf_counter() - begun < 2
    assert clock.stalls == 1
    assert clock.longest == pytest.approx(40, abs=0.5)


def test_a_busy_loop_does_not_stop_the_clock() -> None:
    """It never sleeps, so it never asks how long it may: the ticks are counted by an instrument."""

    async def main() -> None:
        with Tick(clock), trio.move_on_after(0.05) as patience:
            while True:
                await trio.lowlevel.checkpoint()
        assert patience.cancelled_caught

    clock = SteadyClock()
    trio.run(main, clock=clock)


def test_a_quiet_loop_is_not_stalled() -> None:
    class Ticks(trio.abc.Instrument):
        seen = 0

        def after_io_wait(self, timeout: float) -> None:
            self.seen += 1
            assert timeout <= 0.01

    clock, ticks = SteadyClock(longest_sleep=0.01), Ticks()
    trio.run(trio.sleep, 0.2, clock=clock, instruments=[ticks])
    assert ticks.seen > 5
