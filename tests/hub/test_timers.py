"""Timers: order, cancelling, and waking whoever sleeps too long."""

from __future__ import annotations

import math
from functools import partial

from gatewayd.hub.timers import SWEPT, Timers


def test_calls_come_in_their_order_and_cancelled_ones_do_not() -> None:
    timers, said, woken = Timers(), [], []
    timers.when_earlier(lambda: woken.append(1))
    assert timers.next == math.inf
    timers.at(2.0, lambda: said.append("late"))
    timers.at(1.0, lambda: said.append("first"))
    timers.at(1.0, lambda: said.append("second"))
    cancelled = timers.at(0.5, lambda: said.append("never"))
    assert len(woken) == 3
    cancelled.cancel()
    assert timers.next == 1.0
    assert len(timers) == 3
    assert timers.pop_due(0.9) is None
    while (call := timers.pop_due(1.5)) is not None:
        call()
    assert said == ["first", "second"]
    assert timers.next == 2.0


def test_who_sleeps_until_a_call_is_woken_for_an_earlier_one_alone() -> None:
    timers, woken = Timers(), list[int]()
    timers.at(5.0, lambda: None)
    assert timers.when_earlier(lambda: woken.append(1)) == 5.0
    first = timers.at(3.0, lambda: None)
    timers.at(4.0, lambda: None)
    first.cancel()
    timers.at(3.5, lambda: None)  # it wakes at 3.0, and finds this one
    assert woken == [1]
    assert timers.when_earlier(lambda: woken.append(2)) == 3.5
    timers.at(3.0, lambda: None)
    assert woken == [1, 2]


def test_cancelled_calls_of_a_far_future_do_not_pile_up() -> None:
    timers, said = Timers(), list[int]()
    for number in range(100):
        timers.at(float(number), partial(said.append, number))
    for _ in range(10_000):
        cancelled = timers.at(1e9, lambda: said.append(-1))
        cancelled.cancel()
        cancelled.cancel()  # counts once
    assert len(timers) <= 100 + SWEPT + 1 + 50
    while (call := timers.pop_due(1e10)) is not None:
        call()
    assert said == list(range(100))
    assert (len(timers), timers.next) == (0, math.inf)
    cancelled.cancel()
    assert len(timers) == 0


def test_those_that_are_gone_from_the_front_are_not_swept_for() -> None:
    timers = Timers()
    far = [timers.at(1e9, lambda: None) for _ in range(1000)]
    for _ in range(500):
        timers.at(1.0, lambda: None).cancel()
        assert timers.next == 1e9
    far[500].cancel()
    assert len(timers) == 1000
