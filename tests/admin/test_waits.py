"""What a publisher may ask to wait for, and the wait itself, on a clock of its own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from starlette.requests import Request

from gatewayd.admin.http import ApiError
from gatewayd.admin.waits import Wait, arrived, reached
from gatewayd.config.limits import ApiLimits
from gatewayd.ctl.limits import CtlLimits
from gatewayd.ctl.parser import GOALS
from gatewayd.hub.progress import Followed, Goal, Watch


def asked(query: str, *said: dict[str, Any]) -> Request:
    """A request; it says these one after the other, and then nothing."""
    waiting = list(said)

    async def receive() -> dict[str, Any]:
        await trio.sleep(1 if waiting else math.inf)
        return waiting.pop(0)

    return Request({"type": "http", "method": "POST", "query_string": query.encode(), "headers": []}, receive)


@pytest.mark.parametrize(
    ("query", "wait"),
    [
        ("", None),
        ("wait=written", Wait(Goal.WRITTEN, 2.0)),
        ("wait=acknowledged&timeout=500ms", Wait(Goal.ACKNOWLEDGED, 0.5)),
        ("wait=written&timeout=30s", Wait(Goal.WRITTEN, 30.0)),
        ("wait=written&timeout=0.25", Wait(Goal.WRITTEN, 0.25)),
        ("wait=written&timeout=0", Wait(Goal.WRITTEN, 0.0)),
    ],
)
def test_what_is_waited_for(query: str, wait: Wait | None) -> None:
    assert Wait.of(asked(query), ApiLimits()) == wait


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("wait=", "wait must be written or acknowledged, not ''"),
        ("wait=read", "not 'read'"),
        ("timeout=2s", "timeout needs"),
        ("wait=written&timeout=31s", "up to 30s"),
        ("wait=written&timeout=-1s", "up to 30s"),
        ("wait=written&timeout=nan", "up to 30s"),
        ("wait=written&timeout=inf", "up to 30s"),
        ("wait=written&timeout=1e1", "up to 30s"),
        ("wait=written&timeout=1m", "up to 30s"),
        ("wait=written&timeout=%D9%A1s", "up to 30s"),
        ("wiat=written", "unknown parameter 'wiat'; there are wait, timeout"),
    ],
)
def test_what_cannot_be_meant(query: str, says: str) -> None:
    with pytest.raises(ApiError) as caught:
        Wait.of(asked(query), ApiLimits())
    assert (caught.value.status, caught.value.code) == (400, "bad_request")
    assert says in caught.value.message


async def test_nothing_left_is_no_wait(autojump_clock: trio.abc.Clock) -> None:
    before = trio.current_time()
    await arrived(asked(""), Watch(Goal.WRITTEN), 30.0)
    assert trio.current_time() == before


async def test_it_waits_no_longer_than_it_was_told(autojump_clock: trio.abc.Clock) -> None:
    before = trio.current_time()
    await arrived(asked(""), Watch(Goal.WRITTEN, left=1), 30.0)
    assert trio.current_time() == before + 30.0


async def test_it_is_told_when_nothing_is_left(autojump_clock: trio.abc.Clock) -> None:
    watch = Watch(Goal.WRITTEN, left=2)

    async def comes() -> None:
        await trio.sleep(1)
        watch.done()  # said too early: it goes on
        await trio.sleep(1)
        watch.left = 0
        watch.done()

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(comes)
        await arrived(asked("", {"type": "http.request"}), watch, 30.0)
    assert trio.current_time() == before + 2.0


async def test_a_publisher_that_is_gone_ends_it(autojump_clock: trio.abc.Clock) -> None:
    before = trio.current_time()
    await arrived(asked("", {"type": "http.request"}, {"type": "http.disconnect"}), Watch(Goal.WRITTEN, left=1), 9.0)
    assert trio.current_time() == before + 2.0


async def test_it_is_woken_though_the_end_of_a_turn_wakes_nobody() -> None:
    """What a socket took at the end of a turn is told there, where Trio has decided how long it sleeps."""
    watch = Watch(Goal.WRITTEN, left=1)

    class End(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            if timeout > 1 and watch.left:
                watch.left = 0
                watch.done()

    trio.lowlevel.add_instrument(end := End())
    with trio.fail_after(5):
        await arrived(asked(""), watch, 30.0)
    trio.lowlevel.remove_instrument(end)


def test_the_counts() -> None:
    assert reached(Followed(Watch(Goal.WRITTEN), written=2)) == {"written": 2}
    watch = Watch(Goal.ACKNOWLEDGED)
    assert reached(Followed(watch, written=2, acknowledged=1, answerable=True)) == {"written": 2, "acknowledged": 1}
    assert reached(Followed(watch, written=2)) == {"written": 2, "acknowledged": None}
    assert reached(Followed(watch)) == {"written": 0, "acknowledged": 0}


def test_the_longest_wait_fits_what_surrounds_it() -> None:
    assert ApiLimits().wait_seconds < CtlLimits().timeout  # what gatewayctl waits beyond the time that it asks for
    assert set(GOALS) == set(Goal)
