"""Timers: order, cancelling, and waking whoever sleeps too long."""

from __future__ import annotations

import math

from gatewayd.hub.timers import Timers


def test_calls_come_in_their_order_and_cancelled_ones_do_not() -> None:
    timers, said, woken = Timers(), [], []
    timers.woken = lambda: woken.append(1)
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
