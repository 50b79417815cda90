"""Rooms: state, bans, closed names, and every bound."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.config.limits import RoomLimits
from gatewayd.core.record import Table
from gatewayd.hub.hub import Hub
from gatewayd.hub.rooms import Rooms
from tests.hub.disk import Disk


def test_states() -> None:
    rooms = Rooms()
    assert rooms.state("a") is None
    assert rooms.create("a", {"roomLocked": True})
    rooms.update("a", {"maxParticipants": 2})
    rooms.update("b", {"chatLocked": True})
    assert (rooms.state("a"), rooms.state("b")) == ({"roomLocked": True, "maxParticipants": 2}, {"chatLocked": True})
    rooms.close("a")
    rooms.update("a", {"chatLocked": True})
    assert rooms.is_closed("a")
    assert rooms.state("a") is None


def test_bans_and_forgetting() -> None:
    rooms = Rooms()
    rooms.create("a", {})
    rooms.ban("a", "x", True)
    rooms.ban("a", "y", True)
    rooms.discard("a")
    assert rooms.bans("a") == ["x", "y"]
    rooms.ban("a", "x", False)
    rooms.ban("a", "y", False)
    assert not rooms.is_banned("a", "x")
    rooms.discard("a")
    rooms.discard("a")
    assert rooms.state("a") is None


def test_a_room_that_stays() -> None:
    rooms = Rooms()
    rooms.create("a", {}, stays=True)
    rooms.discard("a")
    assert rooms.state("a") == {}
    rooms.close("a")
    rooms.create("a", {})
    rooms.discard("a")
    assert rooms.state("a") is None


def test_bounds() -> None:
    rooms = Rooms(limits=RoomLimits(rooms=2, bans=2, closed_names=2))
    assert [rooms.create(name, {}) for name in "abc"] == [True, True, False]
    for name in "xyz":
        rooms.ban("a", name, True)
    assert rooms.bans("a") == ["y", "z"]
    rooms.ban("b", "x", True)
    rooms.ban("c", "x", True)
    assert [rooms.bans(name) for name in "abc"] == [[], ["x"], ["x"]]
    rooms.ban("a", "x", False)
    assert [rooms.bans(name) for name in "abc"] == [[], ["x"], ["x"]]
    for name in "abc":
        rooms.close(name)
    assert [rooms.is_closed(name) for name in "abc"] == [False, True, True]


ROOM = st.sampled_from("abcd")
MOVES = st.lists(
    st.tuples(st.sampled_from(["create", "update", "ban", "forgive", "discard", "close"]), ROOM, st.integers(0, 3)),
    max_size=40,
)


@given(MOVES)
def test_the_journal_knows_them_at_any_moment(moves: list[tuple[str, str, int]]) -> None:
    """What is written move by move is what a snapshot says, and what is read back is what was there."""
    disk = Disk()
    rooms = Rooms(disk)
    for move, room, number in moves:
        match move:
            case "create":
                rooms.create(room, {"maxParticipants": number} if number > 1 else {}, stays=number % 2 == 0)
            case "update":
                rooms.update(room, {"maxParticipants": number})
            case "ban" | "forgive":
                rooms.ban(room, str(number), move == "ban")
            case "discard":
                rooms.discard(room)
            case _:
                rooms.close(room)
    disk.write(Hub(lambda: 0.0))
    assert {(table, key): value for table, key, value in rooms.rows()} == disk.rows
    again = Rooms()
    again.restore(iter(disk.values(Table.ROOMS)))
    assert sorted(again.rows()) == sorted(rooms.rows())
    for room in "abcd":
        assert again.state(room) == rooms.state(room)
        assert again.bans(room) == rooms.bans(room)
        assert again.is_closed(room) == rooms.is_closed(room)


def test_the_name_that_was_closed_first_gives_way_after_a_restart_too() -> None:
    limits = RoomLimits(closed_names=3)
    disk = Disk()
    rooms = Rooms(disk, limits)
    for name in ("z", "y", "x", "z"):
        rooms.close(name)
    disk.write(Hub(lambda: 0.0))
    again = Rooms(disk, limits)
    again.restore(iter(disk.values(Table.ROOMS)))
    again.close("a")
    assert [name for name in "axyz" if again.is_closed(name)] == ["a", "x", "z"]
    disk.write(Hub(lambda: 0.0))
    assert disk.keys(Table.ROOMS) == set("axz")


@pytest.mark.parametrize("row", [b"5", b'{"state": 5}', b'{"bans": [1]}', b'{"closed": "x"}', b"{"])
def test_a_row_that_makes_no_sense(row: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Rooms().restore(iter([("a", row)]))
