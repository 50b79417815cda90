"""Events that wait for the first receiver: their order, their bounds, and their rows."""

from __future__ import annotations

import pytest

from gatewayd.core.events import Event
from gatewayd.core.record import Table
from gatewayd.hub import waiting as module
from gatewayd.hub.hub import Hub
from gatewayd.hub.waiting import Waiting
from tests.hub.disk import Disk


def event(number: int, channel: str = "c", data: object = 1) -> Event:
    return Event(channel, "E", data, 0.0, one=True, number=number)


def waiting() -> tuple[Waiting, Hub, Disk]:
    disk = Disk()
    hub = Hub(lambda: 0.0, store=disk)
    return hub.realm("main").waiting, hub, disk


def test_they_are_taken_in_order_and_their_rows_go() -> None:
    queue, hub, disk = waiting()
    for number, channel in enumerate(["b", "a", "b", "c"], 1):
        assert queue.keep(event(number, channel)) == 0
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {1, 2, 3, 4}
    assert [item.number for item in queue.take(["b", "a", "z"], "p")] == [1, 2, 3]
    assert queue.take(["b", "a"], "p") == []
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {4}
    assert [item.number for item in queue] == [4]
    assert [item.waiting for item in queue] == [1]


@pytest.mark.parametrize(("name", "bound"), [("MAX_EVENTS", 2), ("MAX_BYTES", 2 * event(1).size)])
def test_the_oldest_of_a_channel_give_way(monkeypatch: pytest.MonkeyPatch, name: str, bound: int) -> None:
    monkeypatch.setattr(module, name, bound)
    queue, hub, disk = waiting()
    assert [queue.keep(event(number)) for number in range(1, 5)] == [0, 0, 1, 1]
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {3, 4}
    queue.take(["c"], "p")
    assert [queue.keep(event(number)) for number in range(5, 8)] == [0, 0, 1]


def test_what_can_never_wait_is_lost_and_leaves_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHANNELS", 1)
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    queue, hub, disk = waiting()
    assert queue.keep(event(1, data="x" * 200)) == 1
    assert queue.keep(event(2)) == 0
    assert queue.keep(event(3, "another")) == 1
    assert queue.keep(event(4)) == 0
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {2, 4}


def test_a_big_one_takes_the_room_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    queue, hub, disk = waiting()
    for number in range(1, 6):
        queue.keep(event(number))
    assert queue.keep(event(6, data="x" * 97)) == 5
    disk.write(hub)
    assert disk.keys(Table.EVENTS) == {6}
