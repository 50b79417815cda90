"""JSON that is nested too deep is an invalid payload in every protocol, however deep; what is not can be said again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gatewayd.core.close import Cause
from gatewayd.core.depth import MAX_DEPTH, TOO_DEEP
from gatewayd.protocols.registry import PROTOCOLS
from tests.playbook import Person, Playbook

IDENTIFY: dict[str, dict[str, Any]] = {
    "oxyl": {"op": 0, "d": {"type": "sharder", "compress": False, "secret": "s3cret"}},
    "dmod": {"op": 1, "d": {"token": "user-token", "uid": "000"}},
    "discodo": {"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}},
    "utilbot": {"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}},
    "discord": {"op": 2, "d": {"token": "s3cret", "intents": 0}},
}
SAYS: dict[str, dict[str, Any]] = {
    "oxyl": {"op": 1},
    "rooms": {"e": 1},
    "dmod": {"op": 4},
    "discodo": {"op": "HEARTBEAT"},
    "utilbot": {"op": 10},
    "discord": {"op": 3},
}


def identified(name: str, **more: Any) -> Person:
    book = Playbook(PROTOCOLS[name], options={"ad_hoc": True} if name == "rooms" else None, **more)
    if name == "rooms":
        person = book.connect("/gateway", {"roomId": "1", "participantId": "2", "token": "s3cret"})
    else:
        person = book.connect("/ws" if name == "discodo" else "/", headers={"authorization": "s3cret"})
        person.say(IDENTIFY[name])
    person.heard()
    return person


def deep(name: str, levels: int) -> str:
    """A message that has so many levels in all."""
    start, inner = json.dumps({**SAYS[name], "d": 0})[:-2], levels - 1
    if name == "discord":  # whose data is always an object
        return f'{start}{{"x":{"[" * (inner - 1)}{"]" * (inner - 1)}}}}}'
    return f"{start}{'[' * inner}{']' * inner}}}"


@pytest.mark.parametrize("name", list(PROTOCOLS))
@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 940, 960, 980, 990, 1000, 20_000])
def test_deeper_than_the_limit(name: str, levels: int) -> None:
    person = identified(name)
    ending = PROTOCOLS[name].wire.ending(Cause.INVALID_PAYLOAD)
    person.say(deep(name, levels))
    if ending.code is None:
        assert person.closed is None
        assert person.heard() == [{"op": None, "d": {"traceback": {"INVALID_PAYLOAD": TOO_DEEP}}}]
    else:
        assert person.closed == (ending.code, ending.reason or TOO_DEEP)


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_as_deep_as_the_limit(name: str) -> None:
    person = identified(name)
    person.say(deep(name, MAX_DEPTH))
    assert person.closed is None


def test_what_is_echoed_and_what_is_relayed() -> None:
    person = identified("discodo")
    data: Any = []
    for _ in range(MAX_DEPTH - 2):
        data = [data]
    person.say({"op": "HEARTBEAT", "d": data})
    assert person.heard() == [{"op": "HEARTBEAT_ACK", "d": data}]
    assert person.book.publish("user:a", "E", data)[0] == 1
    assert person.heard() == [{"op": "E", "d": data}]
