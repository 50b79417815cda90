"""Alarms: when they go off, what stops one, and that the one task that sleeps for all sleeps no longer than it may."""

from __future__ import annotations

import trio
import trio.testing

from gatewayd.net.alarms import Alarm, Alarms


async def test_each_task_wakes_when_it_wanted_to(autojump_clock: trio.testing.MockClock) -> None:
    alarms, woken = Alarms(), list[tuple[str, float]]()
    begun = trio.current_time()

    async def sleeper(name: str, *until: float) -> None:
        alarm = Alarm(alarms)
        for when in until:
            await alarm.sleep_until(begun + when)
            woken.append((name, trio.current_time() - begun))

    async with trio.open_nursery() as running:
        running.start_soon(alarms.run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeper, "late", 60.0)
            await trio.sleep(1)
            nursery.start_soon(sleeper, "early", 5.0, 3.0, 10.0)  # earlier than anything that is slept for
        running.cancel_scope.cancel()
    assert woken == [("early", 5.0), ("early", 5.0), ("early", 10.0), ("late", 60.0)]
    assert len(alarms) == 0


async def test_one_that_is_stopped_wakes_its_task_and_never_sleeps_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    alarms = Alarms()
    alarm = Alarm(alarms)
    async with trio.open_nursery() as running:
        running.start_soon(alarms.run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alarm.sleep_until, trio.current_time() + 60)
            await trio.testing.wait_all_tasks_blocked()
            alarm.stop()
            alarm.stop()
        await alarm.sleep_until(trio.current_time() + 60)
        assert trio.current_time() == 0
        assert alarm.stopped
        running.cancel_scope.cancel()


async def test_a_task_that_is_cancelled_is_not_woken_later(autojump_clock: trio.testing.MockClock) -> None:
    alarms = Alarms()
    alarm = Alarm(alarms)
    async with trio.open_nursery() as running:
        running.start_soon(alarms.run)
        with trio.move_on_after(1) as scope:
            await alarm.sleep_until(trio.current_time() + 5)
        assert scope.cancelled_caught
        alarm.stop()
        await trio.sleep(10)
        running.cancel_scope.cancel()


async def test_a_scope_is_cancelled_by_an_alarm(autojump_clock: trio.testing.MockClock) -> None:
    alarms = Alarms()
    async with trio.open_nursery() as running:
        running.start_soon(alarms.run)
        with trio.CancelScope() as scope:
            alarms.at(trio.current_time() + 3, scope.cancel)
            await trio.sleep_forever()
        assert trio.current_time() == 3
        running.cancel_scope.cancel()
