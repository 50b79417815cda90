"""Events that wait for the first receiver: their order, their bounds, and their rows."""

from __future__ import annotations

import pytest

from gatewayd.config.limits import FirstReceiverLimits, HubLimits
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.record import Table
from gatewayd.hub.first_receiver import FirstReceiver
from gatewayd.hub.hub import Hub
from tests.hub.disk import Disk


def event(number: int, channel: str = "c", data: object = 1) -> Event:
    return Event(channel, "E", data, 0.0, one=True, number=number)


def waiting(**limits: int) -> tuple[FirstReceiver, Hub, Disk]:
    disk = Disk()
    hub = Hub(lambda: 0.0, store=disk, limits=HubLimits(first_receiver=FirstReceiverLimits(**limits)))
    return hub.realms.make("main").waiting, hub, disk


def test_they_are_taken_in_order_and_their_rows_go() -> None:
    queue, hub, disk = waiting()
    for number, channel in enumerate(["b", "a", "b", "c"], 1):
        assert queue.keep(event(number, channel)) == (None, 0)
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {1, 2, 3, 4}
    assert [item.number for item in queue.take(["b", "a", "z"], "p")] == [1, 2, 3]
    assert queue.take(["b", "a"], "p") == []
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {4}
    assert [item.number for item in queue] == [4]
    assert [item in hub.journaling.holders for item in queue] == [True]


@pytest.mark.parametrize("bound", [{"events": 2}, {"bytes": 2 * event(1).size}], ids=["events", "bytes"])
def test_the_oldest_of_a_channel_give_way(bound: dict[str, int]) -> None:
    queue, hub, disk = waiting(**bound)
    assert [queue.keep(event(number))[1] for number in range(1, 5)] == [0, 0, 1, 1]
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {3, 4}
    queue.take(["c"], "p")
    assert [queue.keep(event(number))[1] for number in range(5, 8)] == [0, 0, 1]


def test_what_can_never_wait_is_lost_and_leaves_no_row() -> None:
    queue, hub, disk = waiting(channels=1, bytes=100)
    big, another = event(1, data="x" * 200), event(3, "another")
    assert queue.keep(big) == (Drop.TOO_BIG, 1)
    assert queue.keep(event(2)) == (None, 0)
    assert queue.keep(another) == (Drop.TOO_MANY_WAIT, 1)
    assert queue.keep(event(4)) == (None, 0)
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {2, 4}


def test_a_big_one_takes_the_room_of_several() -> None:
    queue, hub, disk = waiting(bytes=100)
    for number in range(1, 6):
        queue.keep(event(number))
    assert queue.keep(event(6, data="x" * 97)) == (None, 5)
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {6}


def test_one_that_waits_for_a_protocol_is_taken_by_no_other() -> None:
    queue, _, _ = waiting()
    mine = Event("c", "E", 1, 0.0, one=True, number=1, protocol="oxyl")
    queue.keep(mine)
    queue.keep(event(2))
    assert [item.number for item in queue.take(["c"], "utilbot")] == [2]
    assert queue.take(["c"], "oxyl") == [mine]
