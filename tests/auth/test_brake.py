"""Wrong keys by address: how long each refusal takes, that nobody else waits, and that the table is bounded."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from gatewayd.auth.brake import Brake
from gatewayd.config.limits import BrakeLimits


async def took(brake: Brake, address: str) -> float:
    began = trio.current_time()
    await brake.hold_back(address)
    return round(trio.current_time() - began, 6)


async def test_ten_a_minute_are_free_and_each_further_one_takes_twice_as_long(autojump_clock: MockClock) -> None:
    brake = Brake()
    assert [await took(brake, "a") for _ in range(10)] == [0] * 10
    assert [await took(brake, "a") for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert await took(brake, "b") == 0
    assert brake.status() == {"delayed": 8, "waiting": 0, "addresses": 2}
    await trio.sleep(60)
    assert await took(brake, "a") == 0


async def test_those_of_one_address_wait_beside_each_other(autojump_clock: MockClock) -> None:
    brake = Brake(BrakeLimits(free=0, first_pause=1.0, longest_pause=3.0))
    async with trio.open_nursery() as nursery:
        for _ in range(2000):  # 2.0 ** 2000 would overflow
            nursery.start_soon(took, brake, "a")
        await trio.testing.wait_all_tasks_blocked()
        assert brake.status()["waiting"] == 2000
    assert trio.current_time() - autojump_clock.current_time() < 1
    assert brake.status() == {"delayed": 2000, "waiting": 0, "addresses": 1}


async def test_the_address_that_has_been_quiet_for_longest_is_forgotten(autojump_clock: MockClock) -> None:
    brake = Brake(BrakeLimits(free=1, addresses=2))
    for address in ("a", "b", "a", "c"):
        await brake.hold_back(address)
    assert brake.status()["addresses"] == 2
    assert await took(brake, "a") == 0.2
    assert await took(brake, "b") == 0
