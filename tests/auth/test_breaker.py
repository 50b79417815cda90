"""The breaker: when it opens, what a trial decides, and that a late failure is no new one."""

from __future__ import annotations

from gatewayd.auth.breaker import Breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(3, 10.0)
    for now in (1.0, 2.0):
        assert breaker.enter(now)
        assert not breaker.failed(now)
    assert breaker.enter(3.0)
    breaker.succeeded()
    for now in (4.0, 5.0):
        assert breaker.enter(now)
        assert not breaker.failed(now)
    assert not breaker.is_open(5.0)
    assert breaker.enter(6.0)
    assert breaker.failed(6.0)
    assert breaker.is_open(6.0)
    assert not breaker.enter(15.9)
    assert not breaker.is_open(16.0)
    assert breaker.opened == 1


def test_one_trial_decides() -> None:
    breaker = Breaker(1, 10.0)
    assert breaker.enter(0.0)
    assert breaker.failed(0.0)
    assert breaker.enter(10.0)
    assert breaker.is_open(10.0)
    assert not breaker.enter(10.0), "one is enough"
    assert breaker.failed(11.0)
    assert not breaker.enter(20.9)
    assert breaker.enter(21.0)
    breaker.succeeded()
    assert not breaker.is_open(21.0)
    assert breaker.enter(21.0)
    assert breaker.opened == 2


def test_a_trial_that_nobody_waited_for_is_tried_again() -> None:
    breaker = Breaker(1, 10.0)
    breaker.enter(0.0)
    breaker.failed(0.0)
    assert breaker.enter(10.0)
    breaker.left()
    assert breaker.enter(10.0)


def test_late_failures_neither_count_nor_prolong() -> None:
    breaker = Breaker(2, 10.0)
    for _ in range(5):
        assert breaker.enter(0.0)
    assert [breaker.failed(float(now)) for now in range(5)] == [False, True, False, False, False]
    assert breaker.opened == 1
    assert breaker.enter(11.0)


def test_a_late_success_closes_it() -> None:
    breaker = Breaker(1, 10.0)
    breaker.enter(0.0)
    breaker.enter(0.0)
    breaker.failed(0.0)
    breaker.succeeded()
    assert breaker.enter(1.0)
