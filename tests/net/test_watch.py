"""When a silent client is judged: not before everything is heard that it has said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from gatewayd.config.limits import ClientLimits
from gatewayd.core.close import AnyCause, Cause
from gatewayd.core.connection import Connection
from gatewayd.core.settings import Settings
from gatewayd.net.alarms import Alarm, Alarms
from gatewayd.net.client import watch
from gatewayd.protocols import oxyl, utilbot

LIMITS = ClientLimits()
SETTINGS = Settings(interval=10.0, patience=15.0, identify_timeout=20.0, resume_window=60.0)
IDENTIFY = '{"op":1,"t":"identify","d":{"type":"bot","key":"k","id":"a"}}'


async def ended(connection: Connection, behind: Callable[[], bool]) -> tuple[AnyCause, float]:
    """Watch a client from its hello on: why it was ended, and how many seconds later."""
    begun = trio.current_time()
    connection.greet(begun)
    async with trio.open_nursery() as nursery:
        alarms = Alarms()
        nursery.start_soon(alarms.run)
        with trio.fail_after(1000):
            await watch(connection, behind, LIMITS, Alarm(alarms))
        nursery.cancel_scope.cancel()
    assert connection.verdict is not None
    return connection.verdict.cause, trio.current_time() - begun


def fresh(settings: Settings = SETTINGS) -> Connection:
    return Connection(utilbot.PROTOCOL.wire, settings, trio.current_time())


async def test_silence(autojump_clock: trio.testing.MockClock) -> None:
    assert await ended(fresh(), lambda: False) == (Cause.HEARTBEAT_MISSED, 15.0)


async def test_a_heartbeat_that_lies_in_the_socket_is_heard_first(autojump_clock: trio.testing.MockClock) -> None:
    """The loop was late, and so is whoever reads: nothing of it is the client's fault."""
    connection = fresh()
    looks = 0

    def behind() -> bool:
        nonlocal looks
        looks += 1
        if looks == 20:
            connection.receive('{"op":10}', trio.current_time())
        return looks < 20

    cause, after = await ended(connection, behind)
    assert cause is Cause.IDENTIFY_TIMEOUT  # a heartbeat is no identify
    assert 20.0 <= after < 20.5


async def test_an_identify_that_lies_in_the_socket_is_heard_first(autojump_clock: trio.testing.MockClock) -> None:
    connection = fresh(Settings(interval=60.0, patience=65.0, identify_timeout=20.0, resume_window=60.0))
    assert connection.late(0) is False

    def behind() -> bool:
        connection.receive(IDENTIFY, trio.current_time())
        connection.busy(trio.current_time())  # and auth is asked
        return False

    assert await ended(connection, behind) == (Cause.IDENTIFY_TIMEOUT, 20.0)


async def test_whoever_talks_without_end_is_not_spared_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=60.0)
    cause, after = await ended(fresh(settings), lambda: True)
    assert cause is Cause.HEARTBEAT_MISSED
    assert 15.0 + LIMITS.catch_up_seconds <= after < 15.1 + LIMITS.catch_up_seconds


@pytest.mark.parametrize("at", [3.0, 10.0, 47.5])
async def test_a_first_heartbeat_begins_the_judging_though_it_wakes_nobody(
    autojump_clock: trio.testing.MockClock, at: float
) -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=60.0, heartbeat="lenient")
    connection = fresh(settings)

    async def beat() -> None:
        await trio.sleep(at)
        connection.receive('{"op":10}', trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat)
        assert await ended(connection, lambda: False) == (Cause.HEARTBEAT_MISSED, at + 15.0)


async def test_one_that_nobody_judges_is_asked_for_life_whenever_it_falls_silent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = Settings(interval=10.0, patience=20.0, identify_timeout=None, resume_window=60.0, heartbeat="off")
    connection = Connection(oxyl.PROTOCOL.wire, settings, trio.current_time())
    begun = trio.current_time()
    asked: list[float] = []

    def take() -> None:
        asked.append(trio.current_time() - begun)
        connection.outbox.advance(connection.outbox.size)

    connection.outbox.wake = take
    with trio.move_on_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ended, connection, lambda: False)
            await trio.sleep(33)
            connection.receive('{"op":1,"d":{}}', trio.current_time())
    assert asked == [0.0, 10.0, 43.0]
