"""discodo as its document has it: password, heartbeats, sessions by pair, voice clients, error replies."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from gatewayd.core.behaviour import Handshake
from gatewayd.core.close import Cause, Disconnect, Refused
from gatewayd.core.ports import NO_REPLY, BackendFailed
from gatewayd.protocols import discodo
from tests.playbook import Person, Playbook, run
from tests.protocols import bad

HELLO = {"op": "HELLO", "d": {"heartbeat_interval": 15.0}}
IDENTIFY = {"op": "IDENTIFY", "d": {"user_id": "my bot id", "shard_id": None}}
IDENTIFIED = {"op": "IDENTIFIED", "d": "ClientManager initialized."}
PASSWORD = {"authorization": "s3cret"}


def book(**options: Any) -> Playbook:
    return Playbook(discodo.PROTOCOL, options=options)


def greeted(talk: Playbook) -> Person:
    person = talk.connect("/ws", headers=PASSWORD)
    assert person.heard() == [HELLO]
    return person


def ready(talk: Playbook, **claim: Any) -> Person:
    person = talk.connect("/ws", headers=PASSWORD)
    assert [payload["op"] for payload in person.heard()] == ["HELLO"]
    person.say({"op": "IDENTIFY", "d": {**IDENTIFY["d"], **claim}})  # type: ignore[dict-item]
    assert person.heard()[0]["op"] in ("IDENTIFIED", "RESUMED")
    return person


def error(op: Any, code: str, why: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "d": {"traceback": {code: why}, **more}}


def test_forbidden() -> None:
    for headers, why in (
        ({}, "Authorization header is missing"),
        ({"authorization": "x"}, "Authorization header is wrong"),
    ):
        person = book().connect("/ws", headers=headers)
        assert person.heard() == [{"op": "FORBIDDEN", "d": why}]
        assert person.closed == (1008, why)


def test_the_path() -> None:
    with pytest.raises(Refused) as caught:
        book().connect("/", headers=PASSWORD)
    assert caught.value.status == 404
    assert book(path="/voice").connect("/voice", headers=PASSWORD).heard() == [HELLO]


def test_a_version_in_hello() -> None:
    person = book(version="3.0").connect("/ws", headers=PASSWORD)
    assert person.heard() == [{"op": "HELLO", "d": {"heartbeat_interval": 15.0, "version": "3.0"}}]


def test_heartbeats_are_echoed() -> None:
    person = greeted(book())
    for data in (0, 1700000000.5, None, "x", {"a": [1]}):
        person.say({"op": "HEARTBEAT", "d": data})
        assert person.heard() == [{"op": "HEARTBEAT_ACK", "d": data}]
    person.say({"op": "HEARTBEAT"})
    assert person.heard() == [{"op": "HEARTBEAT_ACK", "d": None}]


def test_any_message_is_a_sign_of_life_and_silence_of_60_s_is_the_end() -> None:
    talk = book()
    person = ready(talk)
    talk.advance(59)
    person.say({"op": "GET_STATUS"})
    talk.advance(59.9)
    assert person.session.state == "ready"
    talk.advance(0.1)
    assert person.closed == (4000, "no heartbeat in 60 s")
    assert person.session.state == "detached"


def test_identify_too_late() -> None:
    talk = book()
    person = greeted(talk)
    talk.advance(20)
    assert person.closed == (4001, "identify came too late")


def test_identified_then_resumed_with_what_was_missed() -> None:
    talk = book()
    person = greeted(talk)
    person.say(IDENTIFY)
    assert person.heard() == [IDENTIFIED]
    person.leave(Cause.CLIENT_LEFT)
    assert talk.publish("user:my bot id", "SomethingHappened", {"n": 1}) == (0, 1, 0)
    talk.advance(299)
    again = greeted(talk)
    again.say(IDENTIFY)
    assert again.heard() == [
        {"op": "RESUMED", "d": {"voice_clients": []}},
        {"op": "SomethingHappened", "d": {"n": 1}},
    ]
    again.leave()
    talk.advance(300)
    last = greeted(talk)
    last.say(IDENTIFY)
    assert last.heard() == [IDENTIFIED]


def test_what_was_lost_is_said() -> None:
    talk = Playbook(discodo.PROTOCOL, resume_events=1)
    ready(talk).leave()
    talk.publish("user:my bot id", "A", 1)
    talk.publish("user:my bot id", "A", 2)
    person = greeted(talk)
    person.say(IDENTIFY)
    assert person.heard() == [{"op": "RESUMED", "d": {"voice_clients": [], "lost": 1}}, {"op": "A", "d": 2}]


def test_pairs_are_compared_as_text_and_shards_are_apart() -> None:
    talk = book()
    one = ready(talk, user_id=5, shard_id=0)
    two = ready(talk, user_id="5", shard_id=1)
    assert talk.publish("user:5", "A", None) == (2, 0, 0)
    three = ready(talk, user_id="5", shard_id="0")
    assert one.closed == (4005, "replaced by a newer connection")
    assert three.session is one.session
    assert two.closed is None


@pytest.mark.parametrize("claim", [None, [], {}, {"user_id": True}, {"user_id": 1.5}, {"user_id": "a", "shard_id": []}])
def test_a_bad_identify_may_be_tried_again(claim: Any) -> None:
    person = greeted(book())
    person.say({"op": "IDENTIFY", "d": claim})
    (answer,) = person.heard()
    assert list(answer["d"]["traceback"]) == ["INVALID_PAYLOAD"]
    person.say(IDENTIFY)
    assert person.heard() == [IDENTIFIED]


def test_twice() -> None:
    person = ready(book())
    person.say(IDENTIFY)
    assert person.heard() == [error("IDENTIFY", "ALREADY_IDENTIFIED", "already identified")]
    assert person.closed is None


def test_before_identify_only_the_status_is_answered() -> None:
    person = greeted(book())
    person.say({"op": "VC_DESTROY", "d": {"guild_id": 7}})
    assert person.heard() == [error("VC_DESTROY", "NOT_IDENTIFIED", "not identified", guild_id=7)]
    person.say({"op": "GET_STATUS"})
    assert [payload["op"] for payload in person.heard()] == ["STATUS"]


@pytest.mark.parametrize(("message", "cause"), bad.cases("op"), ids=bad.name)
def test_bad_input(message: Any, cause: Cause) -> None:
    person = ready(book())
    person.say(message)
    if cause is Cause.NOT_JSON:
        assert person.closed is not None
        assert person.closed[0] == 1007
        return
    (answer,) = person.heard()
    if message == {"op": "1"}:  # a name that only a backend could know
        cause = Cause.UNKNOWN_OPCODE
    assert list(answer["d"]["traceback"]) == [cause.name]
    assert person.closed is None


def test_causes_from_outside() -> None:
    codes = {Cause.RATE_LIMITED: 4009, Cause.SLOW_CONSUMER: 4010, Cause.SHUTDOWN: 1001, Cause.TOO_BIG: 1009}
    for cause, code in codes.items():
        person = ready(book())
        person.connection.end(Disconnect(cause))
        assert person.closed == (code, cause.words)
    person = ready(book())
    person.book.hub.end(person.session, Disconnect(Cause.KICKED, "bye"))
    assert person.closed == (4006, "bye")


def discord(name: str, **data: Any) -> dict[str, Any]:
    return {"op": "DISCORD_EVENT", "d": {"t": name, "d": data}}


def test_the_life_of_a_voice_client() -> None:
    talk = book()
    person = ready(talk)
    person.say(discord("READY", user={"id": 99}))
    person.say(discord("VOICE_STATE_UPDATE", user_id="99", guild_id=7, channel_id=8))
    assert person.heard() == [{"op": "VC_CREATED", "d": {"id": 1, "guild_id": 7}}]
    person.say(discord("VOICE_SERVER_UPDATE", guild_id="7"))
    person.say(discord("VOICE_STATE_UPDATE", user_id="someone", guild_id=7, channel_id=1))
    person.say(discord("VOICE_STATE_UPDATE", user_id="99", guild_id=5, channel_id=None))
    person.say(discord("RESUME"))
    person.say(discord("READY"))
    assert person.heard() == []
    person.say(discord("VOICE_STATE_UPDATE", user_id="99", guild_id=7, channel_id=None))
    assert person.heard() == [{"op": "VC_CHANNEL_EDITED", "d": {"guild_id": 7, "channel_id": None}}]
    person.say(discord("VOICE_SERVER_UPDATE", guild_id="9"))
    person.say(discord("VOICE_STATE_UPDATE", user_id=99, guild_id="9", channel_id="1"))
    assert person.heard() == [
        {"op": "VC_CREATED", "d": {"id": 2, "guild_id": "9"}},
        {"op": "VC_CHANNEL_EDITED", "d": {"guild_id": "9", "channel_id": "1"}},
    ]
    person.leave()
    again = greeted(talk)
    again.say(IDENTIFY)
    assert again.heard() == [{"op": "RESUMED", "d": {"voice_clients": [[7, None], ["9", "1"]]}}]
    again.say({"op": "VC_DESTROY", "d": {"guild_id": "7"}})
    assert again.heard() == [{"op": "VC_DESTROYED", "d": {"guild_id": "7"}}]
    again.say({"op": "VC_DESTROY", "d": {"guild_id": 7}})
    assert again.heard() == [error("VC_DESTROY", "INVALID_PAYLOAD", "no voice client in this guild", guild_id=7)]


def resumed(talk: Playbook) -> Any:
    """The voice clients that RESUMED tells, after two calls."""
    person = ready(talk, user_id=0)
    person.say(discord("VOICE_STATE_UPDATE", user_id="0", guild_id=0, channel_id=0))
    person.say(discord("VOICE_SERVER_UPDATE", guild_id="9"))
    person.leave()
    again = talk.connect("/ws", headers=PASSWORD)
    again.heard()
    again.say({"op": "IDENTIFY", "d": {"user_id": "0"}})
    (payload,) = again.heard()
    assert payload["op"] == "RESUMED"
    return payload["d"]["voice_clients"]


PAIRS = [[0, 0], ["9", None]]
MAP = {"0": {"id": 1, "channel": 0}, "9": {"id": 2, "channel": None}}


@pytest.mark.parametrize(
    ("options", "clients"),
    [
        ({}, PAIRS),
        ({"resumed_format": "pairs"}, PAIRS),
        ({"resumed_format": "map"}, MAP),
        ({"version": "3.0.5"}, MAP),
        ({"version": "3.0.5", "resumed_format": "pairs"}, PAIRS),
    ],
)
def test_voice_clients_come_back_as_pairs_or_as_a_map_with_ids_of_the_type_that_came(
    options: dict[str, str], clients: Any
) -> None:
    assert resumed(book(**options)) == clients


def test_two_listeners_of_one_realm_answer_each_in_its_own_format() -> None:
    pairs = book()
    mapped = Playbook(discodo.PROTOCOL, options={"version": "3.0.5"}, hub=pairs.hub, listener="other")
    person = ready(pairs)
    person.say(discord("VOICE_SERVER_UPDATE", guild_id="9"))
    person.leave()
    again = mapped.connect("/ws", headers=PASSWORD)
    assert again.heard() == [{"op": "HELLO", "d": {**HELLO["d"], "version": "3.0.5"}}]  # type: ignore[dict-item]
    again.say(IDENTIFY)
    assert again.heard() == [{"op": "RESUMED", "d": {"voice_clients": {"9": {"id": 1, "channel": None}}}}]


def test_the_identity_keeps_the_type_that_came() -> None:
    talk = book()
    person = ready(talk, user_id=5, shard_id=0)
    assert person.session.metadata == {"user_id": 5, "shard_id": 0}
    person.leave()
    assert ready(talk, user_id="5", shard_id="0").session.metadata == {"user_id": "5", "shard_id": "0"}


def test_without_a_backend_a_voice_client_is_idle() -> None:
    person = ready(book())
    person.say(discord("VOICE_SERVER_UPDATE", guild_id=7))
    person.heard()
    person.say({"op": "getQueue", "d": {"guild_id": "7"}})
    assert person.heard() == [{"op": "getQueue", "d": {"guild_id": "7", "entries": []}}]
    person.say({"op": "getState", "d": {"guild_id": "7"}})
    (answer,) = person.heard()
    assert answer["op"] == "getState"
    assert answer["d"].items() >= {"guild_id": "7", "id": 1, "channel_id": None, "state": 0, "current": None}.items()
    assert answer["d"]["options"].keys() == {"autoplay", "volume", "crossfade", "filter"}
    person.say(discord("VOICE_STATE_UPDATE", user_id="my bot id", guild_id=7, channel_id=8))
    person.heard()
    person.say({"op": "getState", "d": {"guild_id": 7}})
    (answer,) = person.heard()
    assert answer["d"].items() >= {"guild_id": 7, "channel_id": 8, "state": 1}.items()
    person.say({"op": "getState", "d": {"guild_id": 5}})
    assert person.heard() == [error("getState", "INVALID_PAYLOAD", "no voice client in this guild", guild_id=5)]


def test_a_backend_that_knows_the_state_of_a_voice_client_is_asked() -> None:
    person = ready(Playbook(discodo.PROTOCOL, answers={"getState": {"guild_id": "7", "state": 3}}))
    person.say({"op": "getState", "d": {"guild_id": "7"}})
    assert person.heard() == [{"op": "getState", "d": {"guild_id": "7", "state": 3}}]


@pytest.mark.parametrize(
    "data", [None, [], {}, {"t": 1}, {"t": "VOICE_SERVER_UPDATE"}, {"t": "VOICE_STATE_UPDATE", "d": {}}]
)
def test_bad_discord_events(data: Any) -> None:
    person = ready(book())
    person.say({"op": "DISCORD_EVENT", "d": data})
    (answer,) = person.heard()
    assert list(answer["d"]["traceback"]) == ["INVALID_PAYLOAD"]
    assert person.closed is None


def judged(headers: dict[str, str] | None = None, **options: Any) -> tuple[int, str] | None:
    """Status and words with which a request that is no upgrade is refused; None where it is admitted."""
    behaviour = book(**options).behaviour
    try:
        run(behaviour.admit_plain(Handshake("/context", {}, headers or {})))
    except Refused as refused:
        return refused.status, refused.reason
    return None


def test_a_rest_call_needs_the_password_and_a_server_to_go_to() -> None:
    url = "http://127.0.0.1:8000"
    assert judged(PASSWORD, rest=url) is None
    assert judged(rest=url) == (401, "Authorization header is missing")
    assert judged({"authorization": "wrong"}, rest=url) == (403, "Authorization header is wrong")
    status, words = judged(PASSWORD) or (0, "")
    assert (status, "options.rest" in words) == (426, True)


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:8000", "https://audio.example.org/v1/"])
def test_where_rest_calls_may_go(url: str) -> None:
    assert discodo.Options(rest=url).rest == url


@pytest.mark.parametrize(
    "options",
    [
        {"rest": "127.0.0.1:8000"},
        {"rest": "ftp://a"},
        {"rest": "http://a?b"},
        {"rest": "http://u:p@a"},
        {"rest_max_body": 0},
    ],
)
def test_where_they_may_not(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"URL|query|more|>"):
        discodo.Options(**options)


def test_a_failing_backend_is_told_as_an_error_reply() -> None:
    person = ready(Playbook(discodo.PROTOCOL, answers={"putSource": BackendFailed("timeout", "no answer in time")}))
    person.say({"op": "putSource", "d": {"guild_id": "3"}})
    error = {"traceback": {"BACKEND_FAILED": "no answer in time"}, "guild_id": "3"}
    assert person.heard() == [{"op": "putSource", "d": error}]
    assert person.closed is None


def test_a_backend_may_want_nothing_said() -> None:
    person = ready(Playbook(discodo.PROTOCOL, answers={"putSource": NO_REPLY}))
    person.say({"op": "putSource", "d": None})
    assert person.heard() == []


@pytest.mark.parametrize("guild", ["g" * 129, 10**128])
def test_an_id_has_a_length(guild: Any) -> None:
    person = ready(book())
    person.say(discord("VOICE_SERVER_UPDATE", guild_id=guild))
    (answer,) = person.heard()
    assert answer["d"]["traceback"] == {"INVALID_PAYLOAD": "guild_id has more than 128 characters"}
    assert person.session.data.clients == {}
    person.say(discord("VOICE_SERVER_UPDATE", guild_id=str(guild)[:128]))
    assert len(person.session.data.clients) == 1


def test_voice_clients_are_bounded() -> None:
    class Small(discodo.Discodo):
        voice_clients = 1

    person = ready(Playbook(evolve(discodo.PROTOCOL, behaviour=Small)))
    person.say(discord("VOICE_SERVER_UPDATE", guild_id="1"))
    person.say(discord("VOICE_SERVER_UPDATE", guild_id="2"))
    assert list(person.heard()[1]["d"]["traceback"]) == ["NOT_ALLOWED"]


def test_other_operations_are_the_backends() -> None:
    person = ready(book())
    person.say({"op": "putSource", "d": {"guild_id": "3"}})
    (answer,) = person.heard()
    assert answer["d"]["guild_id"] == "3"
    talk = Playbook(discodo.PROTOCOL, answers={"putSource": {"ok": True}})
    person = ready(talk)
    person.say({"op": "putSource", "d": {"guild_id": "3"}})
    assert person.heard() == [{"op": "putSource", "d": {"ok": True}}]


def test_an_operation_of_the_servers_own_is_nobodys_to_send() -> None:
    talk = Playbook(discodo.PROTOCOL, answers={"RESUMED": {"ok": True}})
    for person in (ready(talk), greeted(talk)):
        person.say({"op": "RESUMED", "d": {"guild_id": "3"}})
        assert person.heard() == [error("RESUMED", "UNKNOWN_OPCODE", "unknown or wrong opcode", guild_id="3")]
        assert person.closed is None
