"""What stands in a protocol's tables, for all of them."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from attrs import evolve

from gatewayd.core.backlog import Backlog
from gatewayd.core.behaviour import Admission, Behaviour
from gatewayd.core.close import COMMON_ENDINGS, NEVER_SENT, Cause, Disconnect, Ending
from gatewayd.core.connection import Connection
from gatewayd.core.encode import TEXT, ZLIB
from gatewayd.core.events import Event, Hello, Identify, Reply
from gatewayd.core.machine import State
from gatewayd.core.settings import Settings
from gatewayd.core.wire import need
from gatewayd.protocols import registry
from tests.playbook import frames

X = "stays"
TABLE: dict[Cause, tuple[Any, ...]] = {
    #                        oxyl  rooms dmod  discodo utilbot discord; None: not in that column
    Cause.NOT_IDENTIFIED: (4000, None, "Unknown data", X, X, 4003),
    Cause.AUTH_FAILED: (4001, None, "Invalid token", 1008, 4001, 4004),
    Cause.NOT_JUDGED: (None, None, None, None, None, X),
    Cause.ALREADY_IDENTIFIED: (4002, None, "Unknown data", X, 4005, 4005),
    Cause.NO_OPCODE: (4005, 4002, "Unknown data", X, 4003, 4001),
    Cause.UNKNOWN_OPCODE: (4003, 4002, "Unknown data", X, 4004, 4001),
    Cause.NOT_JSON: (4004, 4002, "Unknown data", 1007, 4005, 4002),
    Cause.INVALID_PAYLOAD: (4005, 4002, "Missing authentication data", X, 4005, 4002),
    Cause.NOT_ALLOWED: (4006, 4002, "Unknown data", X, 4004, None),
    Cause.HEARTBEAT_MISSED: (4007, 4001, "No heartbeat", 4000, 4006, 4009),
    Cause.IDENTIFY_TIMEOUT: (4000, None, "Authentication timeout", 4001, 4001, 4009),
    Cause.WRONG_VERSION: (None, None, None, None, 4000, 4012),
    Cause.IDENTITY_IN_USE: (None, None, None, None, 4002, None),
    Cause.REPLACED: (None, 4005, None, 4005, None, 4000),
    Cause.KICKED: (4008, 4003, "Kicked", 4006, 4008, 4000),
    Cause.ROOM_CLOSED: (None, 4004, None, None, None, None),
    Cause.RATE_LIMITED: (4009, 4006, "Rate Limited", 4009, 4009, 4008),
    Cause.INVALID_SEQUENCE: (1008, 1008, 1008, 1008, 1008, 4007),
    Cause.SLOW_CONSUMER: (4010, 4007, "Slow consumer", 4010, 4010, 4000),
    Cause.ORIGIN_REFUSED: (None, None, "CORS", None, None, None),
    Cause.TOO_BIG: (1009, 1009, 1009, 1009, 1009, 4002),
    Cause.SHUTDOWN: (1001, 1001, 1001, 1001, 1001, 1012),
    Cause.INTERNAL: (1011, 1011, 1011, 1011, 1000, 4000),
    Cause.BACKEND_FAILED: (1011, 1011, X, X, 1000, X),
}


@pytest.mark.parametrize("cause", TABLE, ids=lambda cause: cause.value)
def test_the_causes_table(cause: Cause) -> None:
    for protocol, cell in zip(registry.PROTOCOLS.values(), TABLE[cause], strict=True):
        wire = protocol.wire
        found = wire.endings.get(cause) or COMMON_ENDINGS.get(cause)
        if cell is None:
            assert found is None
        elif cell == X:
            assert found is not None
            assert found.code is None
        elif isinstance(cell, str):
            assert found is not None
            assert (found.code, found.reason) == (1000, cell)
        else:
            assert found is not None
            assert found.code == cell


def test_every_cause_that_is_sent_stands_in_the_table() -> None:
    assert set(Cause) - NEVER_SENT - {Cause.PROTOCOL_ERROR, Cause.INVALID_TEXT, Cause.FLOOD} == set(TABLE)


def test_a_cause_without_a_cell_is_a_policy_violation() -> None:
    assert registry.PROTOCOLS["oxyl"].wire.ending(Cause.ROOM_CLOSED) == Ending(1008)


def test_where_clients_see_the_sequence_all_but_that_is_encoded_once() -> None:
    def encoder(event: Event) -> dict[str, Any]:
        encoded.append(event)
        return {"op": 0, "d": event.body}

    encoded: list[Event] = []
    wire = evolve(registry.PROTOCOLS["utilbot"].wire, encoders={Event: encoder}, number=b'{"s":%d,')
    event = Event("c", "E", {"x": [1]}, 0.0)
    assert frames(wire.frame(event, TEXT, 7) + wire.frame(event, ZLIB, 8)) == [
        ("text", {"s": 7, "op": 0, "d": {"x": [1]}}),
        ("zlib", {"s": 8, "op": 0, "d": {"x": [1]}}),
    ]
    assert encoded == [event]


def test_need_tells_all_mistakes_at_once() -> None:
    with pytest.raises(Disconnect) as caught:
        need({"b": True}, {"a": (int,), "b": (int,)})
    assert caught.value.errors == ("A not provided.", "B is of the wrong type.")
    assert caught.value.data == (None, True)
    need({"a": None}, {"a": (type(None),)})


def test_figures_are_bounded() -> None:
    fields = dict.fromkeys("abcdef", (int, float))
    said = {"a": 0, "b": 2**63 - 1, "c": 1.5, "d": -1, "e": 2**63, "f": 1e19}
    with pytest.raises(Disconnect) as caught:
        need(said, fields, figures=True)
    assert caught.value.errors == ("D is out of range.", "E is out of range.", "F is out of range.")
    assert caught.value.data == (-1, 2**63, 1e19)
    need(said, fields)


class Sixth(Behaviour[None]):
    """Says nothing of its own."""


async def test_what_a_behaviour_does_when_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet: Any = Sixth("x", None, None, 30.0)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        await quiet.identify(None, Identify({}))
    assert await quiet.admit(None) is None
    assert quiet.ready(None, resumed=False) is None
    assert quiet.hello() == {}
    with pytest.raises(Disconnect):
        await quiet.command(None, None, None)
    assert quiet.heartbeat(None, None, None) is None
    assert (quiet.check("c", "n", 1), quiet.published("c", "n", 1)) == (None, None)
    assert not quiet.delivers_one("c", "n")
    assert quiet.hears("c", "n", 1) is None
    assert Admission(identity=None).channels == ()


def test_other_packages_may_bring_protocols_but_not_take_over_names() -> None:
    def points(group: str) -> list[EntryPoint]:
        assert group == "gatewayd.protocols"
        value = "gatewayd.protocols.utilbot:PROTOCOL"
        return [EntryPoint("mine", value, group), EntryPoint("oxyl", value, group)]

    found = registry.installed(points)
    assert found["mine"].name == "utilbot"
    assert found["oxyl"].name == "oxyl"


def test_a_connection_that_has_ended_says_and_does_nothing() -> None:
    wire = registry.PROTOCOLS["rooms"].wire
    settings = Settings(interval=1.0, patience=2.0, identify_timeout=None, resume_window=0.0)
    connection = Connection(wire, settings, 0.0)
    connection.greet(0.0)
    connection.farewell(Disconnect(Cause.KICKED), 0.0)
    connection.tick(100.0)
    assert connection.receive("{}", 0.0) is None


def test_what_has_no_payload_is_not_said() -> None:
    wire = registry.PROTOCOLS["rooms"].wire
    assert wire.encode(Reply(None, 1), "text") is None  # type: ignore[arg-type]
    settings = Settings(interval=1.0, patience=2.0, identify_timeout=None, resume_window=0.0)
    connection = Connection(wire, settings, 0.0)
    connection.state = State.READY
    connection.send(Reply(None, 1), 0.0)  # type: ignore[arg-type]
    assert len(connection.outbox) == 0
    backlog = Backlog(max_events=1, max_bytes=1000)
    connection.outbox.attach(backlog)
    missed = Event("room:1", "room_close", {}, 0.0)
    backlog.append(missed)
    connection.replay(1, missed, 0.0)
    assert len(connection.outbox) == 1
    assert Hello(1.0).extra == {}
