"""Every option of oxyl, rooms, discodo and utilbot, with two listeners of one realm that differ in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from gatewayd.config.limits import ForwardLimits
from gatewayd.config.model import ListenerConfig
from gatewayd.config.values import Bind
from gatewayd.core.behaviour import Handshake
from gatewayd.core.close import Cause, Refused
from gatewayd.daemon.build import forwarder_of
from gatewayd.protocols import discodo, oxyl
from gatewayd.protocols.oxyl import Route
from gatewayd.protocols.registry import PROTOCOLS
from tests.playbook import Person, Playbook, run

NEWS = {"op": 2, "t": "NEWS", "d": [1]}
TESTED: dict[tuple[str, str], Callable[..., None] | None] = {}
UNUSED = {(name, "documents") for name in ("rooms", "discodo", "utilbot")}
"""They use no documents, and have the option so that all have it."""


def of(name: str, *options: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test that is decorated is the one for these options of a protocol."""

    def note(test: Callable[..., None]) -> Callable[..., None]:
        TESTED.update(dict.fromkeys([(name, option) for option in options], test))
        return test

    return note


def test_every_option_has_its_test() -> None:
    there = {
        (name, option.name)
        for name, protocol in PROTOCOLS.items()
        for option in attrs.fields(protocol.options)
        if name not in ("dmod", "discord")  # in files of their own
    }
    assert there == TESTED.keys() | UNUSED


def pair(name: str, first: dict[str, Any], second: dict[str, Any]) -> tuple[Playbook, Playbook]:
    one = Playbook(PROTOCOLS[name], listener="one", options=first)
    return one, Playbook(PROTOCOLS[name], listener="two", options=second, hub=one.hub)


# --- oxyl -------------------------------------------------------------------------------------------------------


def service(talk: Playbook, kind: str) -> Person:
    person = talk.connect()
    person.say({"op": 0, "d": {"type": kind, "compress": False, "secret": "s3cret"}})
    return person


def shards(talk: Playbook) -> list[int]:
    found: list[int] = service(talk, "sharder").heard()[1]["d"]["shards"]
    return found


def news(*people: Person) -> list[int]:
    return [sum(payload == NEWS for payload in person.heard()) for person in people]


@of("oxyl", "service_types")
def test_oxyl_service_types() -> None:
    one, two = pair("oxyl", {"service_types": ("feeds",)}, {"service_types": ("panel",)})
    assert [service(one, "feeds").closed, service(two, "panel").closed] == [None, None]
    for talk, kind in ((one, "panel"), (two, "feeds")):
        assert service(talk, kind).closed == (4005, "type is not a service type")


@of("oxyl", "shards_total", "shards_per_sharder")
def test_oxyl_shards() -> None:
    few = {"shards_total": 2, "shards_per_sharder": 1}
    many = {"shards_total": 6, "shards_per_sharder": 2}
    one, two = pair("oxyl", few, many)
    assert shards(one) == [0]
    assert shards(two) == [2, 3]  # its first block has a shard that somebody runs
    assert shards(one) == [1]
    assert shards(one) == []
    assert shards(two) == [4, 5]
    assert shards(two) == []
    for person in list(one.people):
        person.leave(Cause.CLIENT_CLOSED)
    assert shards(two) == [0, 1]
    assert shards(one) == []


def test_an_oxyl_sharder_keeps_its_block_at_another_listener() -> None:
    one, two = pair("oxyl", {"shards_total": 1}, {"shards_total": 8, "shards_per_sharder": 4})
    assert shards(one) == [0]
    one.people[0].leave()
    assert shards(two) == [0]


@of("oxyl", "routes")
def test_oxyl_routes() -> None:
    one, two = pair(
        "oxyl",
        {"routes": {"NEWS": Route(senders=("panel",), receivers=("feeds",), deliver="one")}},
        {"routes": {"NEWS": Route(senders=("dashboard",), receivers=("feeds", "commands"), deliver="all")}},
    )
    hearers = [service(talk, kind) for talk in (one, two) for kind in ("feeds", "commands")]
    service(one, "panel").say(NEWS)
    assert sorted(news(*hearers)) == [0, 0, 0, 1]
    service(two, "dashboard").say(NEWS)
    assert news(*hearers) == [1, 1, 1, 1]
    for talk, kind in ((one, "dashboard"), (two, "panel")):
        person = service(talk, kind)
        person.say(NEWS)
        assert person.closed == (4006, f"a {kind} may not send this event")
    assert news(*hearers) == [0, 0, 0, 0]


@pytest.mark.parametrize("first", [0, 1])
def test_an_oxyl_event_that_any_listener_has_run_once_runs_once(first: int) -> None:
    """What a backend says to a service is said to the services of all listeners: to one of them all."""
    routes = {"NEWS": Route(senders=("panel",), receivers=("feeds",), deliver="one")}
    options: list[dict[str, Any]] = [{"routes": routes}, {}]
    one, two = pair("oxyl", options[first], options[1 - first])
    hearers = [service(one, "feeds"), service(two, "feeds")]
    assert one.publish("service:feeds", "NEWS", [1]) == (1, 0, 0)
    assert two.publish("service:feeds", "NEWS", [1]) == (1, 0, 0)
    assert news(*hearers) == [1, 1]


@of("oxyl", "documents")
def test_oxyl_documents() -> None:
    one, two = pair("oxyl", {"documents": "a:"}, {"documents": "b:"})
    for talk, name in ((one, "x"), (two, "y")):
        service(talk, "sharder").say({"op": 5, "d": {"type": "user", "id": "1", "username": name}})
    documents = one.hub.realms.make("main").documents
    assert [documents.get(f"{prefix}:user:1")["username"] for prefix in "ab"] == ["x", "y"]


# --- rooms ------------------------------------------------------------------------------------------------------


def enter(talk: Playbook, room: str = "r", participant: str = "p", path: str = "/gateway") -> Person:
    return talk.connect(path, {"roomId": room, "participantId": participant, "token": "s3cret"})


@of("rooms", "path")
def test_rooms_path() -> None:
    one, two = pair("rooms", {"path": "/a", "ad_hoc": True}, {"path": "/b", "ad_hoc": True})
    assert [enter(one, path="/a").closed, enter(two, path="/b").closed] == [None, None]
    for talk, path in ((one, "/b"), (two, "/a")):
        with pytest.raises(Refused, match="the endpoint is"):
            enter(talk, path=path)


@of("rooms", "ad_hoc")
def test_rooms_ad_hoc() -> None:
    one, two = pair("rooms", {"ad_hoc": True}, {"ad_hoc": False})
    with pytest.raises(Refused, match="there is no such room"):
        enter(two)
    first = enter(one)
    second = enter(two, participant="q")  # the room is there now
    first.leave(Cause.CLIENT_CLOSED)
    assert one.hub.realms.make("main").rooms.state("r") == {}
    second.leave(Cause.CLIENT_CLOSED)
    assert one.hub.realms.make("main").rooms.state("r") is None  # whoever leaves last, by whichever door


def test_a_room_that_was_created_is_not_forgotten_where_rooms_are_ad_hoc() -> None:
    one, two = pair("rooms", {"ad_hoc": True}, {"ad_hoc": False})
    one.hub.realms.make("main").rooms.create("r", {}, stays=True)
    enter(one).leave(Cause.CLIENT_CLOSED)
    assert enter(two).closed is None


# --- discodo ----------------------------------------------------------------------------------------------------


def node(talk: Playbook, path: str = "/ws") -> Person:
    return talk.connect(path, headers={"authorization": "s3cret"})


def identified(talk: Playbook) -> dict[str, Any]:
    person = node(talk)
    person.say({"op": "IDENTIFY", "d": {"user_id": "5", "shard_id": None}})
    answer: dict[str, Any] = person.heard()[1]
    if answer["op"] == "IDENTIFIED":
        for guild, channel in (("1", "10"), ("2", None)):
            detail = {"guild_id": guild, "channel_id": channel, "user_id": "5"}
            name = "VOICE_SERVER_UPDATE" if channel is None else "VOICE_STATE_UPDATE"
            person.say({"op": "DISCORD_EVENT", "d": {"t": name, "d": detail}})
    person.leave()
    return answer


@of("discodo", "path")
def test_discodo_path() -> None:
    one, two = pair("discodo", {"path": "/a"}, {"path": "/b"})
    assert [node(one, "/a").closed, node(two, "/b").closed] == [None, None]
    for talk, path in ((one, "/b"), (two, "/a")):
        with pytest.raises(Refused, match="the endpoint is"):
            node(talk, path)


@of("discodo", "version")
def test_discodo_version() -> None:
    one, two = pair("discodo", {"version": "3.0.5"}, {})
    assert [node(talk).heard()[0]["d"].get("version") for talk in (one, two)] == ["3.0.5", None]
    identified(one)
    assert identified(two)["d"] == {"voice_clients": [["1", "10"], ["2", None]]}
    assert list(identified(one)["d"]["voice_clients"]) == ["1", "2"]


@of("discodo", "resumed_format")
def test_discodo_resumed_format() -> None:
    one, two = pair("discodo", {"resumed_format": "pairs", "version": "3"}, {"resumed_format": "map"})
    identified(one)
    for _ in range(2):
        assert identified(one)["d"] == {"voice_clients": [["1", "10"], ["2", None]]}
        told = identified(two)["d"]["voice_clients"]
        assert told == {"1": {"id": 1, "channel": "10"}, "2": {"id": 2, "channel": None}}


# --- utilbot ----------------------------------------------------------------------------------------------------


@of("discodo", "rest")
def test_discodo_rest() -> None:
    one, two = pair("discodo", {"rest": "http://127.0.0.1:8000"}, {})
    request = Handshake("/context", {}, {"authorization": "s3cret"})
    run(one.behaviour.admit_plain(request))
    with pytest.raises(Refused) as caught:
        run(two.behaviour.admit_plain(request))
    assert caught.value.status == 426


@of("discodo", "rest_max_body")
def test_discodo_rest_max_body() -> None:
    """The behaviour admits; the bound is the forwarder's, and each listener has its own."""
    found = []
    for bound in (10, 20):
        rest = discodo.Options(rest="http://127.0.0.1:8000", rest_max_body=bound)
        config = ListenerConfig(name="a", protocol="discodo", bind=Bind.parse("127.0.0.1:1"), options=rest)
        found.append(forwarder_of(config, ForwardLimits()))
    assert [forwarder and forwarder.max_body for forwarder in found] == [10, 20]


@of("utilbot", "require_version")
def test_utilbot_require_version() -> None:
    one, two = pair("utilbot", {"require_version": True}, {"require_version": False})
    assert (one.connect(query={"v": "1"}).closed, two.connect().closed) == (None, None)
    assert one.connect().closed == (4000, "this gateway speaks version 1: connect with ?v=1")


def test_the_route_of_an_oxyl_command_is_nobodys_option() -> None:
    one, two = pair("oxyl", {}, {"routes": {"EXECUTE_COMMAND": oxyl.EXECUTE_COMMAND}})
    workers = [service(one, "commands"), service(two, "commands")]
    assert one.publish("service:commands", "EXECUTE_COMMAND", {}) == (1, 0, 0)
    assert sum(len(person.heard()) - 2 for person in workers) == 1
