"""Rooms: state, bans, closed names, and every bound."""

from __future__ import annotations

import pytest

from gatewayd.hub import rooms as module
from gatewayd.hub.rooms import Rooms


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
    assert len(rooms) == 1


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
    assert len(rooms) == 0


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_ROOMS", "MAX_BANS", "CLOSED_NAMES"):
        monkeypatch.setattr(module, name, 2)
    rooms = Rooms()
    assert [rooms.create(name, {}) for name in "abc"] == [True, True, False]
    for name in "xyz":
        rooms.ban("a", name, True)
    assert rooms.bans("a") == ["y", "z"]
    for name in "abc":
        rooms.close(name)
    assert [rooms.is_closed(name) for name in "abc"] == [False, True, True]
