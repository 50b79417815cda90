"""oxyl as its document has it: payloads, heartbeats, routes, shard blocks, cache."""

from __future__ import annotations

from typing import Any

import pytest

from docs.samples import EXECUTE as COMMAND
from gatewayd.core.close import Cause, Disconnect
from gatewayd.protocols import oxyl
from tests.playbook import Person, Playbook
from tests.protocols import bad

HELLO = {"op": 3, "d": {"heartbeatInterval": 30000}}
EXECUTE = {"op": 2, "t": "EXECUTE_COMMAND", "d": COMMAND}
CODES = {
    Cause.NOT_JSON: (4004, None),
    Cause.INVALID_PAYLOAD: (4005, "a payload must be a JSON object"),
    Cause.NO_OPCODE: (4005, "no 'op' in the payload"),
    Cause.UNKNOWN_OPCODE: (4003, "unknown or wrong opcode"),
}


def book(patience: float = 60.0, **options: Any) -> Playbook:
    return Playbook(oxyl.PROTOCOL, options=options, patience=patience)


def service(talk: Playbook, kind: str = "commands", *, compress: bool = False) -> Person:
    person = talk.connect()
    assert person.heard() == [HELLO]
    person.say({"op": 0, "d": {"type": kind, "compress": compress, "secret": "s3cret"}})
    return person


def ready(talk: Playbook, kind: str = "commands") -> Person:
    person = service(talk, kind)
    assert person.heard()[0]["t"] == "IDENTIFIED"
    return person


def test_heartbeats_are_acknowledged_at_once_and_before_identify_too() -> None:
    person = book().connect()
    for beat in ({"op": 1}, {"op": 1, "d": {}}, {"op": 1, "d": []}, {"op": 1, "d": None}):
        person.say(beat)
    assert person.heard() == [HELLO] + [{"op": 4, "d": {}}] * 4


def test_after_one_interval_a_heartbeat_is_requested_and_after_two_it_is_missed() -> None:
    talk = book()
    person = ready(talk)
    talk.advance(29.9)
    assert person.heard() == []
    talk.advance(0.1)
    assert person.heard() == [{"op": 1, "d": {}}]
    person.say({"op": 1, "d": {"heapUsed": 12}})
    assert person.connection.latency == 0
    talk.advance(59.9)
    assert person.closed is None
    talk.advance(0.1)
    assert person.closed == (4007, "no heartbeat in 60 s")


def test_identified() -> None:
    talk = book(shards_total=3, shards_per_sharder=2)
    assert service(talk).heard() == [{"op": 2, "t": "IDENTIFIED", "d": {}}]
    assert service(talk, "sharder").heard() == [{"op": 2, "t": "IDENTIFIED", "d": {"shards": [0, 1]}}]
    assert service(talk, "sharder").heard() == [{"op": 2, "t": "IDENTIFIED", "d": {"shards": [2]}}]
    assert service(talk, "sharder").heard() == [{"op": 2, "t": "IDENTIFIED", "d": {"shards": []}}]


def test_a_block_is_kept_while_its_sharder_is_detached_and_free_when_it_has_ended() -> None:
    talk = book(patience=1000.0, shards_total=2)
    first, second = ready(talk, "sharder"), ready(talk, "sharder")
    first.leave()
    assert talk.publish("service:sharder", "A", {"n": 1}) == (1, 1, 0)
    again = service(talk, "sharder")
    assert again.heard() == [{"op": 2, "t": "IDENTIFIED", "d": {"shards": [0]}}, {"op": 2, "t": "A", "d": {"n": 1}}]
    second.leave(Cause.CLIENT_CLOSED)
    assert service(talk, "sharder").heard()[0]["d"] == {"shards": [1]}
    again.leave()
    talk.advance(60)
    assert service(talk, "sharder").heard()[0]["d"] == {"shards": [0]}


def test_what_a_sharder_lost_is_said() -> None:
    talk = Playbook(oxyl.PROTOCOL, resume_events=1)
    ready(talk, "sharder").leave()
    for n in range(3):
        talk.publish("service:sharder", "A", n)
    assert service(talk, "sharder").heard() == [
        {"op": 2, "t": "IDENTIFIED", "d": {"shards": [0], "lost": 2}},
        {"op": 2, "t": "A", "d": 2},
    ]


def test_a_sharder_without_a_block_is_given_one_when_it_comes_back() -> None:
    talk = book(patience=1000.0)
    first, spare = ready(talk, "sharder"), ready(talk, "sharder")
    spare.leave()
    first.leave(Cause.CLIENT_CLOSED)
    assert service(talk, "sharder").heard()[0]["d"] == {"shards": [0]}


def test_other_services_do_not_resume() -> None:
    talk = book()
    person = ready(talk, "feeds")
    person.leave()
    assert not talk.hub.sessions


def test_compression_from_identified_on() -> None:
    talk = book()
    person = service(talk, "sharder", compress=True)
    person.say({"op": 1})
    talk.publish("service:sharder", "A", {})
    assert person.heard_raw() == [
        ("zlib", {"op": 2, "t": "IDENTIFIED", "d": {"shards": [0]}}),
        ("zlib", {"op": 4, "d": {}}),
        ("zlib", {"op": 2, "t": "A", "d": {}}),
    ]


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ({"type": "commands", "compress": False}, 4005),
        ({"type": "commands", "secret": "s3cret"}, 4005),
        ({"type": "nobody", "compress": False, "secret": "s3cret"}, 4005),
        ({"type": "commands", "compress": 1, "secret": "s3cret"}, 4005),
        ({"type": "commands", "compress": False, "secret": "wrong"}, 4001),
        ([], 4005),
        ("x", 4005),
        (None, 4005),
    ],
)
def test_a_bad_identify(claim: Any, code: int) -> None:
    person = book().connect()
    person.say({"op": 0, "d": claim})
    assert person.closed is not None
    assert person.closed[0] == code


def test_before_identify_and_twice() -> None:
    for payload in (EXECUTE, {"op": 5, "d": {"type": "user", "id": "1"}}):
        person = book().connect()
        person.say(payload)
        assert person.closed == (4000, "not identified")
    malformed: list[Any] = [
        {"op": 2}, {"op": 2, "t": 1, "d": {}}, {"op": 5}, {"op": 3, "d": {}}, {"op": 99}, {"op": True}, {"op": "1"}, {"op": []},
    ]  # fmt: skip
    for payload in malformed:
        person = book().connect()
        person.say(payload)
        assert person.closed == (4000, "not identified")
    for message, code in (({"op": 1, "d": 5}, 4005), ({"op": 0}, 4005), ({"d": {}}, 4005), ("{", 4004)):
        person = book().connect()
        person.say(message)
        assert person.closed is not None
        assert person.closed[0] == code
    person = ready(book())
    person.say({"op": 0, "d": {"type": "commands", "compress": False, "secret": "s3cret"}})
    assert person.closed == (4002, "already identified")


def test_identify_too_late() -> None:
    talk = book()
    person = talk.connect()
    talk.advance(20)
    assert person.closed == (4000, "identify came too late")


@pytest.mark.parametrize(("message", "cause"), bad.cases("op"), ids=bad.name)
def test_bad_input(message: Any, cause: Cause) -> None:
    person = ready(book())
    person.say(message)
    code, reason = CODES[cause]
    assert person.closed is not None
    assert person.closed[0] == code
    assert reason is None or person.closed[1] == reason


@pytest.mark.parametrize(
    "cause", [Cause.KICKED, Cause.RATE_LIMITED, Cause.SLOW_CONSUMER, Cause.TOO_BIG, Cause.SHUTDOWN]
)
def test_causes_from_outside(cause: Cause) -> None:
    codes = {"kicked": 4008, "rate_limited": 4009, "slow_consumer": 4010, "too_big": 1009, "shutdown": 1001}
    person = ready(book())
    person.connection.end(Disconnect(cause))
    assert person.closed == (codes[cause.value], cause.words)


def test_a_command_goes_from_a_sharder_to_exactly_one_commands_service() -> None:
    talk = book()
    sharder, one, two = ready(talk, "sharder"), ready(talk), ready(talk)
    for _ in range(4):
        sharder.say(EXECUTE)
    assert one.heard() == [EXECUTE] * 2
    assert two.heard() == [EXECUTE] * 2
    two.reads = False
    for _ in range(3):
        sharder.say(EXECUTE)
    assert len(one.heard()) == 2  # the one that has the fewest unwritten
    assert sharder.heard() == []


def test_what_a_service_had_not_taken_goes_to_another_one() -> None:
    talk = book()
    sharder, slow = ready(talk, "sharder"), ready(talk)
    slow.reads = False
    sharder.say(EXECUTE)
    other = ready(talk)
    slow.leave()
    assert other.heard() == [EXECUTE]


def test_what_no_service_could_be_given_ends_its_sender_alone() -> None:
    talk = Playbook(oxyl.PROTOCOL, outbox_bytes=50_000)
    sharder, one, two = ready(talk, "sharder"), ready(talk), ready(talk)
    command = {**EXECUTE, "d": {**COMMAND, "raw": "x" * 40_000}}
    sharder.say(command)
    assert one.heard() == [command]
    sharder.say({**EXECUTE, "d": {**COMMAND, "raw": "x" * 60_000}})
    assert sharder.closed == (1009, "a frame of 60204 bytes does not fit an outbox of main, which holds 50000")
    assert (one.closed, two.closed) == (None, None)


def test_with_nobody_there_it_waits_for_the_first_to_come() -> None:
    talk = book()
    ready(talk, "sharder").say(EXECUTE)
    assert talk.publish("service:commands", "EXECUTE_COMMAND", COMMAND) == (0, 1, 0)
    assert service(talk).heard() == [{"op": 2, "t": "IDENTIFIED", "d": {}}, EXECUTE, EXECUTE]


def test_shard_may_be_a_string_too() -> None:
    talk = book()
    sharder, commands = ready(talk, "sharder"), ready(talk)
    payload = {**EXECUTE, "d": {**COMMAND, "ids": {**COMMAND["ids"], "shard": "1"}}}  # type: ignore[dict-item]
    sharder.say(payload)
    assert commands.heard() == [payload]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"op": 2, "t": "EXECUTE_COMMAND", "d": {}}, 4005),
        ({"op": 2, "t": "EXECUTE_COMMAND", "d": []}, 4005),
        ({"op": 2, "t": "EXECUTE_COMMAND", "d": {**COMMAND, "ids": {}}}, 4005),
        ({"op": 2, "t": "EXECUTE_COMMAND", "d": {**COMMAND, "raw": 1}}, 4005),
        ({"op": 2, "t": "NO_ROUTE", "d": {}}, 4005),
        ({"op": 2, "t": 1, "d": {}}, 4005),
        ({"op": 2, "t": "EXECUTE_COMMAND"}, 4005),
        ({"op": 1, "d": "x"}, 4005),
        ({"op": 1, "d": {"heapUsed": "x"}}, 4005),
        ({"op": 1, "d": {"guilds": True}}, 4005),
        ({"op": 1, "d": {"guilds": int("9" * 4300)}}, 4005),
        ({"op": 1, "d": {"heapUsed": -0.5}}, 4005),
        ({"op": 5, "d": {"type": "planet", "id": "1"}}, 4005),
        ({"op": 5, "d": {"type": "member", "id": "1"}}, 4005),
        ({"op": 5, "d": {}}, 4005),
        ({"op": 3, "d": {}}, 4003),
    ],
)
def test_bad_data(payload: Any, code: int) -> None:
    person = ready(book(), "sharder")
    person.say(payload)
    assert person.closed is not None
    assert person.closed[0] == code


def test_who_may_not_send() -> None:
    person = ready(book(), "panel")
    person.say(EXECUTE)
    assert person.closed == (4006, "a panel may not send this event")


def test_more_routes() -> None:
    routes = {"NEWS": oxyl.Route(senders=("panel",), receivers=("feeds", "dashboard"), deliver="all")}
    talk = book(routes=routes)
    panel, feeds, more, dashboard = (ready(talk, kind) for kind in ("panel", "feeds", "feeds", "dashboard"))
    panel.say({"op": 2, "t": "NEWS", "d": [1]})
    for person in (feeds, more, dashboard):
        assert person.heard() == [{"op": 2, "t": "NEWS", "d": [1]}]
    assert talk.publish("service:feeds", "NEWS", {}) == (2, 0, 0)
    assert talk.publish("listener:main", "EXECUTE_COMMAND", {}) == (4, 0, 0)


def test_metadata_of_heartbeats() -> None:
    talk = book()
    sharder, panel = ready(talk, "sharder"), ready(talk, "panel")
    sharder.say({"op": 1, "d": {"heapUsed": 1.5, "guilds": 7, "other": 1}})
    panel.say({"op": 1, "d": {"heapUsed": 2, "guilds": "not mine"}})
    panel.say({"op": 1, "d": {"guilds": 3}})
    assert {key: sharder.session.metadata[key] for key in ("heapUsed", "guilds")} == {"heapUsed": 1.5, "guilds": 7}
    assert "guilds" not in panel.session.metadata


def test_the_cache_becomes_documents() -> None:
    talk = book(documents="o:")
    person = ready(talk)
    person.say({"op": 5, "d": {"type": "guild", "id": "7", "name": "x"}})
    person.say({"op": 5, "d": {"type": "member", "guildID": 7, "id": "9", "nick": "y"}})
    assert talk.realm.documents.get("o:guild:7") == {"id": "7", "name": "x"}
    assert talk.realm.documents.get("o:member:7:9") == {"guildID": 7, "id": "9", "nick": "y"}
    assert person.heard() == []


USER = {"id": "9", "username": "minemidnight", "discriminator": "0001", "avatar": None, "bot": False}
MEMBER = {
    "id": "9",
    "guildID": "7",
    "nickname": None,
    "roles": ["70"],
    "joinedAt": "2018-08-16T00:00:00Z",
    "user": USER,
}
ROLE = {"id": "70", "guildID": "7", "name": "admin", "color": 255, "position": 1, "permissions": 8}
CHANNEL = {"id": "71", "guildID": "7", "type": 2, "position": 0, "name": "voice", "nsfw": False, "parentID": None}
VOICE = {
    "guildID": "7", "channelID": "71", "userID": "9", "deaf": False, "mute": False, "selfDeaf": False, "selfMute": True,
}  # fmt: skip
GUILD: dict[str, Any] = {
    "id": "7", "name": "x", "icon": None, "ownerID": "9", "region": "us", "memberCount": 1, "roles": [ROLE],
    "members": [MEMBER], "voiceStates": [VOICE], "channels": [CHANNEL],
}  # fmt: skip
SINGLE: dict[str, tuple[dict[str, Any], str]] = {
    "member": (MEMBER, "member:7:9"),
    "role": (ROLE, "role:70"),
    "user": (USER, "user:9"),
    "guild": (GUILD, "guild:7"),
    "channel": ({name: value for name, value in CHANNEL.items() if name != "type"}, "channel:71"),
    "voiceState": (VOICE, "voiceState:7:9"),
}


@pytest.mark.parametrize("kind", list(oxyl.CACHED))
def test_every_documented_object_is_cached_and_closes_nobody(kind: str) -> None:
    talk = book()
    person = ready(talk, "sharder")
    value, key = SINGLE[kind]
    person.say({"op": 5, "d": {**value, "type": kind}})
    assert (person.closed, person.heard()) == (None, [])
    assert talk.realm.documents.get(key) == value


def test_what_is_nested_in_a_guild_is_cached_as_if_it_came_alone() -> None:
    talk = book(documents="o:")
    person = ready(talk, "sharder")
    bare = {
        name: [{field: value for field, value in item.items() if field != "guildID"} for item in GUILD[name]]
        for name in oxyl.NESTED["guild"]
    }
    person.say({"op": 5, "d": {**GUILD, **bare, "type": "guild"}})
    assert person.closed is None
    for key, value in {"role:70": ROLE, "channel:71": CHANNEL, "member:7:9": MEMBER, "user:9": USER}.items():
        assert talk.realm.documents.get(f"o:{key}") == value
    assert talk.realm.documents.get("o:voiceState:7:9") == VOICE
    assert len(talk.realm.documents) == 6


@pytest.mark.parametrize(
    "more", [{"roles": None}, {"members": [{"id": "9"}]}, {"channels": []}, {"voiceStates": None, "members": None}]
)
def test_what_a_guild_may_leave_out(more: Any) -> None:
    person = ready(book(), "sharder")
    person.say({"op": 5, "d": {"type": "guild", "id": "7", "name": "x", **more}})
    assert person.closed is None


@pytest.mark.parametrize(
    "more", [{"roles": [{"name": "x"}]}, {"members": ["9"]}, {"channels": "71"}, {"roles": [None]}]
)
def test_a_guild_with_something_wrong_in_it_is_not_cached_at_all(more: Any) -> None:
    talk = book()
    person = ready(talk, "sharder")
    person.say({"op": 5, "d": {**GUILD, "type": "guild", **more}})
    assert person.closed is not None
    assert person.closed[0] == 4005
    assert len(talk.realm.documents) == 0


def test_a_large_guild_lets_others_have_their_turn() -> None:
    talk = book()
    person = ready(talk, "sharder")
    person.say({"op": 5, "d": {**GUILD, "type": "guild"}})
    assert talk.pauses == 0
    person.say({"op": 5, "d": {"type": "guild", "id": "8", "roles": [{"id": 100 + n} for n in range(450)]}})
    assert talk.pauses == 4  # twice while it is judged, twice while it is stored
    assert len(talk.realm.documents) == 6 + 451


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="shards_per_sharder"):
        oxyl.Options(shards_per_sharder=0)


def test_a_kicked_session_gives_its_block_back() -> None:
    talk = book()
    sharder = ready(talk, "sharder")
    talk.hub.end(sharder.session, Disconnect(Cause.KICKED, "out"))
    assert sharder.closed == (4008, "out")
    assert service(talk, "sharder").heard()[0]["d"] == {"shards": [0]}
