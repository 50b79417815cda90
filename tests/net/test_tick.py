"""What is said in one tick of the loop leaves at its end, and what does not fit is handed to a task at once."""

from __future__ import annotations

import logging

import pytest
import trio

from gatewayd.net.tick import Tick


class Fake:
    """A speaker that notes what is asked of it."""

    def __init__(self, *, done: bool = True, broken: bool = False) -> None:
        self.done = done
        self.broken = broken
        self.asked: list[str] = []
        self.later = trio.Event()

    def write_now(self) -> bool:
        self.asked.append("now")
        if self.broken:
            raise ZeroDivisionError
        return self.done

    def write_later(self) -> None:
        self.asked.append("later")
        self.later.set()


async def test_at_the_end_of_the_turn_and_not_before() -> None:
    with Tick() as tick:
        speaker = Fake()
        tick.add(speaker)
        assert speaker.asked == []
        await trio.lowlevel.checkpoint()
        assert speaker.asked == ["now"]
        await trio.lowlevel.checkpoint()
        assert speaker.asked == ["now"]
    tick.add(speaker)
    await trio.lowlevel.checkpoint()
    assert speaker.asked == ["now"]


async def test_what_is_left_wakes_a_loop_that_is_about_to_sleep() -> None:
    with Tick() as tick:
        first, second = Fake(), Fake(done=False)
        tick.add(first)
        tick.add(second)
        with trio.fail_after(2):  # the loop has nothing else to do
            await second.later.wait()
        assert (first.asked, second.asked) == (["now"], ["now", "later"])


async def test_a_turn_is_held_until_its_end() -> None:
    with Tick() as tick:
        number = tick.number
        tick.held = True
        await trio.lowlevel.checkpoint()
        assert not tick.held
        assert tick.number > number


async def test_a_fault_in_one_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Tick() as tick, caplog.at_level(logging.CRITICAL):
        broken, fine = Fake(broken=True), Fake()
        tick.add(broken)
        tick.add(fine)
        with trio.fail_after(2):
            await broken.later.wait()
        assert fine.asked == ["now"]
        tick.add(fine)
        await trio.lowlevel.checkpoint()
        assert fine.asked == ["now", "now"]
