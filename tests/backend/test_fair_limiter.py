"""Slots at the backend: bounded in number, and given to realms in turn."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gatewayd.backend.fair_limiter import FairLimiter


class Asking:
    """Who has had a slot, in order."""

    def __init__(self, count: int) -> None:
        self.slots = FairLimiter(count)
        self.had: list[str] = []

    async def one(self, realm: str, name: str, seconds: float = 1.0) -> None:
        async with self.slots.slot(realm):
            self.had.append(name)
            await trio.sleep(seconds)


async def test_realms_take_turns(autojump_clock: MockClock) -> None:
    asking = Asking(1)
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(asking.one, "staging", f"s{number}")
            await wait_all_tasks_blocked()
        for number in range(2):
            nursery.start_soon(asking.one, "prod", f"p{number}")
            await wait_all_tasks_blocked()
    assert asking.had == ["s0", "s1", "p0", "s2", "p1", "s3"]


async def test_so_many_at_a_time(autojump_clock: MockClock) -> None:
    asking = Asking(2)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(asking.one, "main", str(number))
    assert trio.current_time() - start == 3.0
    async with trio.open_nursery() as nursery:  # both are free again
        for number in range(2):
            nursery.start_soon(asking.one, "main", str(number))
    assert trio.current_time() - start == 4.0


async def test_who_gives_up_leaves_the_line(autojump_clock: MockClock) -> None:
    asking = Asking(1)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking.one, "main", "a", 2.0)
        await wait_all_tasks_blocked()
        for name in "bc":
            with trio.move_on_after(0.5) as scope:
                nursery.start_soon(asking.one, "main", f"{name} later", 0.0)
                await wait_all_tasks_blocked()
                await asking.one("other" if name == "b" else "main", name)
            assert scope.cancelled_caught
    assert asking.had == ["a", "b later", "c later"]
    assert trio.current_time() - start == 2.0
    await asking.one("main", "d", 0.0)
    assert asking.had[-1] == "d"


async def test_a_slot_that_came_too_late_goes_on(autojump_clock: MockClock) -> None:
    asking = Asking(1)
    scope = trio.CancelScope()

    async def late() -> None:
        with scope:
            await asking.one("main", "late")

    async with trio.open_nursery() as nursery:
        async with asking.slots.slot("main"):
            nursery.start_soon(late)
            await wait_all_tasks_blocked()
            nursery.start_soon(asking.one, "main", "next")
            await wait_all_tasks_blocked()
            scope.cancel()  # and the slot comes before the one that waited has noticed
    assert asking.had == ["next"]
    await asking.one("main", "again")
    assert asking.had == ["next", "again"]
