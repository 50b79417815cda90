"""Whose silence ends a connection: everybody's, that of clients that have sent a heartbeat on it, or nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from gatewayd.admin import views
from gatewayd.core.close import Cause
from gatewayd.core.protocol import Protocol
from gatewayd.protocols.registry import PROTOCOLS
from tests.net.test_causes import IDENTIFY, OPTIONS
from tests.playbook import Person, Playbook

BEATS: dict[str, Any] = {
    "oxyl": {"op": 1, "d": {}},
    "rooms": {"e": 1, "d": {}},
    "dmod": {"op": 4, "t": None, "d": None},
    "discodo": {"op": "HEARTBEAT", "d": None},
    "utilbot": {"op": 10},
}
NAMES = list(BEATS)


def talk_of(name: str, mode: str, **settings: Any) -> Playbook:
    settings = {"interval": 10.0, "patience": 15.0, "heartbeat": mode, **settings}
    return Playbook(PROTOCOLS[name], options=OPTIONS.get(name), **settings)


def joined(talk: Playbook) -> Person:
    name = talk.protocol.name
    query = {"roomId": "42", "participantId": "7", "token": "s3cret"} if name == "rooms" else None
    path = {"rooms": "/gateway", "discodo": "/ws"}.get(name, "/")
    person = talk.connect(path, query, {"authorization": "s3cret"} if name == "discodo" else None)
    if name != "rooms":
        person.say(IDENTIFY[name])
    assert person.connection.open
    person.heard()
    return person


@pytest.mark.parametrize("name", NAMES)
def test_a_silent_client_stays_unless_everybody_is_judged(name: str) -> None:
    for mode in ("off", "lenient"):
        talk = talk_of(name, mode)
        person = joined(talk)
        assert person.connection.alive_until == float("inf")
        assert views.session(person.session, talk.now, whole=True)["client"]["dead_in"] is None
        talk.advance(1000)
        assert person.closed is None
    talk = talk_of(name, "strict")
    person = joined(talk)
    talk.advance(14.9)
    assert person.connection.open
    talk.advance(0.1)
    assert person.closed is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_first_heartbeat_begins_the_judging_whenever_it_comes(name: str) -> None:
    talk = talk_of(name, "lenient")
    person = joined(talk)
    talk.advance(123.4)
    person.say(BEATS[name])  # rooms, dmod, oxyl: nobody asked for this one; utilbot, discodo: never asked
    assert person.connection.alive_until == talk.now + 15
    assert views.session(person.session, talk.now, whole=True)["client"]["dead_in"] == 15.0
    talk.advance(14.9)
    assert person.connection.open
    person.say(BEATS[name])
    talk.advance(14.9)
    assert person.connection.open
    talk.advance(0.1)
    assert person.connection.verdict is not None
    assert person.connection.verdict.cause is Cause.HEARTBEAT_MISSED


@pytest.mark.parametrize("name", NAMES)
def test_one_that_answers_where_nobody_is_judged_is_none_the_worse(name: str) -> None:
    talk = talk_of(name, "off")
    person = joined(talk)
    for _ in range(3):
        person.say(BEATS[name])
        talk.advance(9)
    assert person.connection.beats == 3
    talk.advance(1000)
    assert person.closed is None


@pytest.mark.parametrize("name", ["dmod", "utilbot", "rooms", "discodo"])
def test_a_client_that_resumes_is_not_judged_for_what_the_one_before_it_did(name: str) -> None:
    talk = talk_of(name, "lenient")
    first = joined(talk)
    first.say(BEATS[name])
    first.leave()
    again = joined(talk)
    assert again.session is first.session
    talk.advance(1000)
    assert again.closed is None


def test_a_heartbeat_before_the_login_counts_as_any_other() -> None:
    talk = talk_of("dmod", "lenient")
    person = talk.connect()
    person.say(BEATS["dmod"])
    person.say(IDENTIFY["dmod"])
    talk.advance(15)
    assert person.closed == (1000, "No heartbeat")


@pytest.mark.parametrize("mode", ["off", "lenient"])
def test_the_daemon_beats_and_asks_in_every_mode(mode: str) -> None:
    talk = talk_of("dmod", mode)
    page = joined(talk)
    talk.advance(35)
    assert [payload["op"] for payload in page.heard()] == [3, 3, 3]
    talk = talk_of("rooms", mode)
    participant = joined(talk)
    talk.advance(35)
    assert [payload["e"] for payload in participant.heard()] == [1, 2, 1, 1]
    talk = talk_of("oxyl", mode)
    service = joined(talk)
    talk.advance(35)
    assert [payload["op"] for payload in service.heard()] == [1]  # asked once, until it gives a sign of life


def test_a_client_that_fell_silent_again_is_asked_again_though_nobody_judges_it() -> None:
    talk = talk_of("oxyl", "off")
    service = joined(talk)
    talk.advance(10)
    assert [payload["op"] for payload in service.heard()] == [1]
    talk.advance(25)
    service.say(BEATS["oxyl"])
    assert [payload["op"] for payload in service.heard()] == [4]
    talk.advance(10)
    assert [payload["op"] for payload in service.heard()] == [1]


@pytest.mark.parametrize("mode", ["off", "lenient", "strict"])
def test_whoever_does_not_identify_in_time_has_to_go_in_every_mode(mode: str) -> None:
    talk = talk_of("dmod", mode, patience=60.0)
    person = talk.connect()
    talk.advance(19.9)
    assert person.closed is None
    talk.advance(0.1)
    assert person.closed == (1000, "Authentication timeout")


def test_dmod_is_lenient_and_the_others_are_strict() -> None:
    def mode(protocol: Protocol) -> str:
        return protocol.timing.heartbeat

    assert {name: mode(protocol) for name, protocol in PROTOCOLS.items() if mode(protocol) != "strict"} == {
        "dmod": "lenient"
    }
