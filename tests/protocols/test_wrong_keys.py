"""Every protocol's ways to show a wrong key are held back by the client's address; a right key never is."""

from __future__ import annotations

from typing import Any

import pytest

from gatewayd.core.close import Refused
from gatewayd.core.grant import Claim, Grant
from gatewayd.protocols.registry import installed
from tests.playbook import ADDRESS, Playbook

WRONG = [
    pytest.param("oxyl", {}, [{"op": 0, "d": {"type": "feeds", "compress": False, "secret": "x"}}], id="oxyl"),
    pytest.param("rooms", {"path": "/gateway", "query": {"roomId": "1", "participantId": "2", "token": "x"}}, [], id="rooms"),
    pytest.param("dmod", {}, [{"op": 1, "d": {"token": "x", "uid": None}}], id="dmod, basic access"),
    pytest.param("dmod", {}, [{"op": 1, "d": {"token": "x", "uid": "000"}}], id="dmod, a user"),
    pytest.param(
        "dmod",
        {},
        [
            {"op": 1, "d": {"token": "user-token", "uid": "000"}},
            {"op": 6, "cmd": "CONNECT_GUILD", "d": {"token": "x", "gid": "123467"}},
        ],
        id="dmod, a guild",
    ),
    pytest.param(
        "dmod",
        {},
        [
            {"op": 1, "d": {"token": "user-token", "uid": "000"}},
            {"op": 6, "cmd": "APPLICATION_SESSION", "d": {"uid": "000", "gid": "1", "utokh": "x", "uhash": "y"}},
        ],
        id="dmod, an application session",
    ),
    pytest.param("discodo", {"path": "/ws", "headers": {"authorization": "x"}}, [], id="discodo"),
    pytest.param("discodo", {"path": "/ws"}, [], id="discodo, no password"),
    pytest.param("utilbot", {}, [{"op": 1, "t": "identify", "d": {"type": "bot", "key": "x"}}], id="utilbot"),
]  # fmt: skip
RIGHT = [
    ("oxyl", {}, {"op": 0, "d": {"type": "feeds", "compress": False, "secret": "s3cret"}}),
    ("rooms", {"path": "/gateway", "query": {"roomId": "1", "participantId": "2", "token": "s3cret"}}, None),
    ("dmod", {}, {"op": 1, "d": {"token": "user-token", "uid": "000"}}),
    ("dmod", {}, {"op": 1, "d": {"token": None, "uid": None}}),
    ("discodo", {"path": "/ws", "headers": {"authorization": "s3cret"}}, {"op": "IDENTIFY", "d": {"user_id": 1, "shard_id": 0}}),
    ("utilbot", {}, {"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret"}}),
]  # fmt: skip


def book(name: str) -> Playbook:
    return Playbook(installed()[name], options={"ad_hoc": True} if name == "rooms" else {})


@pytest.mark.parametrize(("name", "request_", "messages"), WRONG)
def test_a_wrong_key_is_held_back(name: str, request_: dict[str, Any], messages: list[Any]) -> None:
    talk = book(name)
    try:
        person = talk.connect(**request_)
    except Refused as refused:
        assert (name, refused.status) == ("rooms", 403)
    else:
        for message in messages:
            assert not talk.held_back
            person.say(message)
        assert person.closed
    assert talk.held_back == [ADDRESS]


@pytest.mark.parametrize(("name", "request_", "message"), RIGHT)
def test_a_right_key_never_waits(name: str, request_: dict[str, Any], message: Any) -> None:
    talk = book(name)
    person = talk.connect(**request_)
    if message is not None:
        person.say(message)
    assert person.session.state == "ready"
    assert talk.held_back == []


def test_an_auth_that_fails_is_no_wrong_key() -> None:
    class Failing:
        async def verify(self, claim: Claim) -> Grant:
            return Grant(granted=False, failure="timeout")

    talk = Playbook(installed()["utilbot"], auth=Failing())
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret"}})
    assert person.closed
    assert talk.held_back == []
