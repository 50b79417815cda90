"""Lines that strangers can cause: how many of a kind are written, and that the rest is counted."""

from __future__ import annotations

import logging

import pytest

from gatewayd.core.sampled import Sampled
from gatewayd.hub.timers import Timers

LOG = logging.getLogger("gatewayd.test")


class Clock:
    """A time that moves when told, and the calls that are due by then."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers = Timers()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while (call := self.timers.pop_due(self.now)) is not None:
            call()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_the_first_of_a_kind_are_written_and_the_rest_is_counted(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sampled = Sampled(lambda: clock.now, clock.timers.at, period=10.0)
    for number in range(25):
        sampled.log(LOG, logging.INFO, "refused %d", number)
    sampled.log(LOG, logging.INFO, "another kind")
    assert lines.messages == [*(f"refused {number}" for number in range(10)), "another kind"]
    lines.clear()
    clock.advance(9.9)
    assert lines.messages == []
    clock.advance(0.2)
    assert lines.messages == ["refused 24 (the last of 15 such lines that were left out)"]
    lines.clear()
    sampled.log(LOG, logging.INFO, "refused %d", 25)
    clock.advance(100)
    assert lines.messages == ["refused 25"]
    assert not len(clock.timers)


def test_without_timers_the_count_is_said_with_the_next_line(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sampled = Sampled(lambda: clock.now)
    for _ in range(3):
        sampled.log(LOG, logging.ERROR, "trouble", first=1)
    clock.advance(11)
    sampled.log(LOG, logging.ERROR, "trouble", first=1)
    assert lines.messages == ["trouble", "trouble (the last of 2 such lines that were left out)", "trouble"]


def test_a_late_timer_does_not_end_the_next_period(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sampled = Sampled(lambda: clock.now, clock.timers.at)
    for _ in range(2):
        sampled.log(LOG, logging.INFO, "x", first=1)
    clock.now += 11  # and nobody has called what is due
    sampled.log(LOG, logging.INFO, "x", first=1)
    clock.advance(0)
    sampled.log(LOG, logging.INFO, "x", first=1)
    assert lines.messages == ["x", "x (the last of 1 such lines that were left out)", "x"]


def test_a_level_that_is_off_costs_no_period(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sampled = Sampled(lambda: clock.now, clock.timers.at)
    for _ in range(20):
        sampled.log(LOG, logging.DEBUG, "quiet")
    assert not len(clock.timers)
    assert lines.messages == []


def test_nothing_is_said_of_a_period_in_which_nothing_was_left_out(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sampled = Sampled(lambda: clock.now)
    for _ in range(2):
        sampled.log(LOG, logging.INFO, "rare")
        clock.advance(11)
    assert lines.messages == ["rare", "rare"]
