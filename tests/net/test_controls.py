"""Our pings and their pongs: one answers all before it, a strange one nothing, and who asks at once shares one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.wire import Wire
from gatewayd.net import frames
from gatewayd.net.controls import Controls
from gatewayd.protocols import discodo, discord, dmod, utilbot
from tests.net.test_lanes import Said
from tests.server import client, hear, say, serving


def controls() -> tuple[Controls, list[bytes]]:
    said: Any = Said()
    return Controls(said, 10, lambda verdict: None, frozenset({1000})), said.frames


def test_a_pong_answers_its_ping_and_all_before_it() -> None:
    asked, sent = controls()
    told: list[int] = []

    def tell(number: int) -> Callable[[], None]:
        return lambda: told.append(number)

    for number in range(3):
        asked.ping(tell(number))
    assert sent == [frames.control(frames.PING, payload) for payload in (b"1", b"2", b"3")]
    assert not asked.is_answer(b"0")
    assert told == []
    assert asked.is_answer(b"2")
    assert told == [0, 1]
    assert not asked.is_answer(b"1")
    assert asked.is_answer(b"3")
    assert told == [0, 1, 2]
    assert not asked.is_answer(b"3")


def test_one_that_is_gone_is_told_nothing_more() -> None:
    asked, _ = controls()
    asked.ping(lambda: pytest.fail("it is gone"))
    asked.release()
    assert not asked.is_answer(b"1")


async def test_who_asks_for_life_at_the_same_time_shares_a_ping(autojump_clock: trio.testing.MockClock) -> None:
    asked, sent = controls()
    alive: list[bool] = []

    async def ask() -> None:
        alive.append(await asked.alive(2.0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await trio.sleep(1)
        assert asked.is_answer(b"1")
    assert (alive, len(sent)) == ([True, True], 1)
    assert not await asked.alive(2.0)
    asked.ping(lambda: alive.append(True))
    assert asked.is_answer(b"3")  # the one before it came too late for whoever asked
    assert len(alive) == 3


@pytest.mark.parametrize(
    ("wire", "goodbyes"), [(utilbot.WIRE, [1000]), (discodo.WIRE, []), (discord.WIRE, [1000, 1001])]
)
def test_with_which_codes_a_client_ends_its_session(wire: Wire, goodbyes: list[int]) -> None:
    said: Any = Said()
    ended = []
    for code in (1000, 1001, 1011, 3000, 4000, 4200):
        verdict = Controls(said, 10, lambda verdict: None, wire.goodbyes).on_close(code.to_bytes(2, "big"))
        if verdict is not None and verdict.cause is Cause.CLIENT_CLOSED:
            ended.append(code)
    assert ended == goodbyes


def test_too_many_control_frames_are_a_flood() -> None:
    async def main() -> None:
        asked, _ = controls()
        for _ in range(10):
            asked.count()
        with pytest.raises(Disconnect) as verdict:
            asked.count()
        assert verdict.value.cause is Cause.FLOOD

    trio.run(main)


async def test_a_page_that_only_listens_is_told_its_notifications_once() -> None:
    """Its browser answers pings; the program itself never says a word after its login."""
    async with serving(dmod.PROTOCOL) as served:
        served.hub.notify("000", {"n": 1})
        for notes in ([{"n": 1}], []):
            async with client(served) as page:
                await hear(page)
                await say(page, {"op": 1, "d": {"token": "user-token", "uid": "000"}})
                assert (await hear(page))["d"]["missed_notifications"] == notes
                with trio.fail_after(5):
                    while served.hub.realms.make("main").notifications.waiting("000").notes:
                        await trio.sleep(0.005)


async def test_a_page_that_is_lost_before_it_has_read_them_is_told_again() -> None:
    async with serving(dmod.PROTOCOL, resume_window=0.0) as served:
        served.hub.notify("000", {"n": 1})
        for _ in range(2):
            async with client(served, ping_interval=None) as page:
                await hear(page)
                stream = page.stream  # nothing is read from here on, so no ping is answered
                await say(page, {"op": 1, "d": {"token": "user-token", "uid": "000"}})
                await stream.aclose()
            await served.settled()
        assert len(served.hub.realms.make("main").notifications.waiting("000").notes) == 1
