"""Realms: what clients cause stays among their own, and what is said without a realm goes where it is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from gatewayd.core.behaviour import Unpublishable
from gatewayd.core.ports import NoSuchRealm, Resource, SeveralRealms
from gatewayd.hub.hub import Hub
from gatewayd.protocols import discodo, dmod, oxyl, rooms, utilbot
from tests.playbook import Person, Playbook, notes_for

COMMAND = {
    "command": "ping", "raw": "!ping",
    "ids": {"message": "1", "author": "2", "channel": "3", "guild": "4", "shard": "0"},
}  # fmt: skip


def service(talk: Playbook, kind: str) -> Person:
    person = talk.connect()
    person.say({"op": 0, "d": {"type": kind, "compress": False, "secret": "s3cret"}})
    return person


def bot(talk: Playbook, name: str, kind: str = "bot") -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": kind, "key": "s3cret", "id": name}})
    return person


def page(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    return person


def guest(talk: Playbook, room: str = "r", name: str = "ann") -> Person:
    return talk.connect("/gateway", {"roomId": room, "participantId": name, "token": "s3cret"})


def two(protocol: Any, **more: Any) -> tuple[Playbook, Playbook]:
    """The same protocol in two realms."""
    prod = Playbook(protocol, listener="prod", realm="prod", **more)
    return prod, Playbook(protocol, beside=prod, listener="staging", realm="staging", **more)


def events(person: Person) -> list[Any]:
    """What it heard that has the name of an event, as (name, data)."""
    return [(payload["t"], payload["d"]) for payload in person.heard() if payload.get("t")]


# --- what was seen ------------------------------------------------------------------------------------------


def test_a_command_of_production_does_not_run_on_a_worker_of_staging() -> None:
    prod, staging = two(oxyl.PROTOCOL)
    worker, sharder = service(staging, "commands"), service(prod, "sharder")
    worker.heard()
    sharder.say({"op": 2, "t": "EXECUTE_COMMAND", "d": COMMAND})
    assert worker.heard() == []
    assert events(service(prod, "commands"))[1:] == [("EXECUTE_COMMAND", COMMAND)]  # it has waited in its own realm


def test_a_service_of_another_protocol_takes_none_of_its_commands() -> None:
    fleet = Playbook(oxyl.PROTOCOL)
    bots = Playbook(utilbot.PROTOCOL, beside=fleet, listener="bots")
    other, sharder = bot(bots, "x", "commands"), service(fleet, "sharder")
    other.heard()
    for _ in range(3):
        sharder.say({"op": 2, "t": "EXECUTE_COMMAND", "d": COMMAND})
    assert bot(bots, "y", "commands").session.channels >= {"service:commands"}
    worker = service(fleet, "commands")
    assert len(events(worker)) == 1 + 3
    assert fleet.publish("service:commands", "EXECUTE_COMMAND", COMMAND) == (1, 0, 0)
    assert len(events(worker)) == 1
    worker.leave()
    assert fleet.publish("service:commands", "EXECUTE_COMMAND", COMMAND) == (0, 1, 0)  # it does wait for a worker
    assert events(other) == []
    assert fleet.publish("service:commands", "NEWS", {}) == (2, 0, 0)  # an operator's word is for all of them


def test_what_a_worker_leaves_behind_goes_to_its_own_protocol() -> None:
    fleet = Playbook(oxyl.PROTOCOL)
    bots = Playbook(utilbot.PROTOCOL, beside=fleet, listener="bots")
    sharder, worker, other = service(fleet, "sharder"), service(fleet, "commands"), bot(bots, "x", "commands")
    worker.reads = False
    other.heard()
    sharder.say({"op": 2, "t": "EXECUTE_COMMAND", "d": COMMAND})
    worker.leave()
    assert other.heard() == []
    assert events(service(fleet, "commands"))[1:] == [("EXECUTE_COMMAND", COMMAND)]


def test_the_sharder_of_staging_gets_its_own_shards() -> None:
    prod, staging = two(oxyl.PROTOCOL, options={"shards_total": 2, "shards_per_sharder": 2})
    first, second, third = service(prod, "sharder"), service(staging, "sharder"), service(prod, "sharder")
    assert [person.heard()[1]["d"] for person in (first, second, third)] == [
        {"shards": [0, 1]}, {"shards": [0, 1]}, {"shards": []}
    ]  # fmt: skip


def test_guilds_are_counted_in_each_realm() -> None:
    prod, staging = two(utilbot.PROTOCOL)
    one, other = bot(prod, "a"), bot(staging, "a")
    assert one.session is not other.session
    for person, guilds in ((one, 3), (other, 40)):
        person.heard()
        person.say({"op": 1, "t": "send_servers", "d": {"guilds": guilds, "guildMembers": 1, "cachedGuildMembers": 1}})
        person.book.advance(2)
    assert [data["guilds"] for _, data in events(one)] == [3]
    assert [data["guilds"] for _, data in events(other)] == [40]


def test_application_sessions_end_among_their_own() -> None:
    prod, staging = two(dmod.PROTOCOL)
    start = {"uid": "7", "gid": "123467", "utokh": "seven", "uhash": "h"}
    pages = [page(prod), page(staging)]
    for person in pages:
        person.say({"op": 6, "cmd": "CONNECT_GUILD", "d": {"gid": "123467", "token": "guild-token"}})
        person.say({"op": 6, "cmd": "APPLICATION_SESSION", "d": start})
        person.heard()
    pages[0].say({"op": 6, "cmd": "APPLICATION_SESSION_END", "d": {"gid": "123467"}})
    assert pages[1].heard() == []
    changed = {"id": "7"}
    assert prod.hub.post("guild:123467", "GUILD_PRIVILEGE_UPDATE", changed, realms=["prod"]).delivered == 1
    assert pages[1].heard() == []
    pages[1].say({"op": 6, "cmd": "DESCONNECT_GUILD", "d": {"gid": "123467"}})
    pages[1].heard()
    for name, data in (("GUILD_PRIVILEGE_UPDATE", [1]), ("GUILD_PRIVILEGE_UPDATE", {"id": [7]}), ("OTHER", changed)):
        assert prod.publish("guild:9", name, data) == (0, 0, 0)  # of no concern to anybody
    prod.hub.post("guild:123467", "GUILD_PRIVILEGE_UPDATE", changed)  # nobody hears it in staging; it concerns somebody
    assert events(pages[1]) == [("APPLICATION_SESSION_REAUTH", {"gid": "123467"})]


def test_two_protocols_of_a_realm_share_users_and_no_identities() -> None:
    bots = Playbook(utilbot.PROTOCOL)
    audio = Playbook(discodo.PROTOCOL, beside=bots, listener="audio")
    away = Playbook(discodo.PROTOCOL, beside=bots, listener="away", realm="away")
    people = []
    for talk in (audio, away):
        person = talk.connect("/ws", headers={"authorization": "s3cret"})
        person.say({"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}})
        person.heard()
        people.append(person)
    mine = bot(bots, "a")
    assert mine.session is not people[0].session
    assert bots.hub.post("user:a", "E", 1, realms=["main"]).delivered == 2
    assert [len(person.heard()) for person in people] == [1, 0]
    assert bots.behaviour.port.find("a") is mine.session
    assert bots.publish("user:a", "E", 2) == (3, 0, 0)  # without a realm: wherever it is heard


# --- what is said without a realm ---------------------------------------------------------------------------


def test_one_receiver_in_each_realm_that_has_one() -> None:
    prod, staging = two(oxyl.PROTOCOL)
    bots = Playbook(utilbot.PROTOCOL, beside=prod, listener="bots", realm="bots")

    def publish() -> tuple[int, int, int]:
        return prod.publish("service:commands", "EXECUTE_COMMAND", COMMAND)

    with pytest.raises(SeveralRealms, match="name one of prod, staging") as failed:
        publish()
    assert failed.value.names == ("prod", "staging")
    counts = prod.hub.post("service:commands", "EXECUTE_COMMAND", COMMAND, realms=["staging"])
    assert (counts.delivered, counts.buffered) == (0, 1)
    workers = [service(staging, "commands")]
    assert len(events(workers[0])) == 2
    assert publish() == (1, 0, 0)
    workers += [service(prod, "commands"), service(prod, "commands")]
    for worker in workers:
        worker.heard()
    assert publish() == (2, 0, 0)
    assert sorted(len(worker.heard()) for worker in workers) == [0, 1, 1]
    hearer = bot(bots, "x", "commands")
    hearer.heard()
    assert publish() == (3, 0, 0)  # no route there: everybody hears it
    assert len(hearer.heard()) == 1


def test_a_room_is_changed_where_it_is() -> None:
    prod, staging = two(rooms.PROTOCOL)
    locked = {"roomLocked": True}
    for change, data in (("room_update", locked), ("participant_update", {"userId": "x", "banned": True})):
        with pytest.raises(SeveralRealms):
            prod.publish("room:r", change, data)
    assert prod.publish("room:r", "message_create", {"authorId": "a", "content": "x", "sentAt": 1}) == (0, 0, 0)
    with pytest.raises(Unpublishable):
        prod.publish("room:r", "no_such_event", {})
    staging.realm.rooms.create("r", {})
    prod.publish("room:r", "room_update", locked)
    prod.publish("room:r", "participant_update", {"userId": "x", "banned": True})
    assert (prod.realm.rooms.state("r"), staging.realm.rooms.state("r")) == (None, locked)
    assert staging.realm.rooms.is_banned("r", "x")
    prod.realm.rooms.create("r", {})
    prod.publish("room:r", "room_close", {})
    assert prod.realm.rooms.is_closed("r")
    assert staging.realm.rooms.is_closed("r")
    prod.hub.post("room:new", "room_update", locked, realms=["prod"])
    assert (prod.realm.rooms.state("new"), staging.realm.rooms.state("new")) == (locked, None)


def test_what_is_kept_is_of_the_realm_that_uses_it() -> None:
    bots = Playbook(utilbot.PROTOCOL, listener="bots", realm="bots")
    hub = bots.hub
    assert hub.realms.home(Resource.DOCUMENTS) is hub.realms.served["bots"]
    pages = Playbook(dmod.PROTOCOL, beside=bots, listener="pages", realm="pages")
    Playbook(oxyl.PROTOCOL, beside=bots, listener="fleet", realm="fleet")
    assert hub.realms.home(Resource.NOTIFICATIONS) is pages.realm
    with pytest.raises(SeveralRealms, match="documents could be of several realms: name one of pages, fleet"):
        hub.realms.home(Resource.DOCUMENTS)
    assert hub.realms.home(Resource.DOCUMENTS, ["bots"]) is bots.realm
    assert hub.realms.home(Resource.DOCUMENTS, ["bots", "fleet"]) is hub.realms.served["fleet"]
    with pytest.raises(SeveralRealms, match="name one of bots, pages, fleet"):
        hub.realms.home(Resource.ROOMS)
    for name in ("nope", ""):
        with pytest.raises(NoSuchRealm, match="there are bots, pages, fleet"):
            hub.realms.home(Resource.ROOMS, [name])
    with pytest.raises(NoSuchRealm):
        hub.post("user:a", "E", 1, realms=["nope"])
    bot(bots, "7")
    assert hub.notify("7", "n").buffered == 1
    assert notes_for(hub, "7", "pages") == ["n"]
    assert hub.notify("7", "n", ["bots"]).delivered == 1


def test_channels_that_name_a_session_or_listener_are_of_its_realm() -> None:
    prod, staging = two(rooms.PROTOCOL, options={"ad_hoc": True})
    person = guest(staging)
    with pytest.raises(Unpublishable):
        prod.publish(f"session:{person.session.id}", "no_such_event", {})
    assert prod.publish(f"session:{person.session.id}", "room_update", {}) == (1, 0, 0)
    assert prod.publish("listener:staging", "room_update", {}) == (1, 0, 0)
    assert prod.hub.post("listener:staging", "room_update", {}, realms=["prod"]).delivered == 0


def test_a_realm_without_a_listener_is_none_that_anybody_can_mean() -> None:
    hub = Hub(lambda: 0.0)
    hub.realms.make("gone").documents.put("k", 1)
    assert not hub.realms.served
    assert [realm.name for realm in hub.realms.by_name.values()] == ["gone"]
    with pytest.raises(NoSuchRealm):
        hub.realms.home(Resource.DOCUMENTS, ["gone"])


# --- protocols that share a kind of channel -----------------------------------------------------------------


class Strict(utilbot.Utilbot):
    """Speaks on rooms' channels too, and has words for one event alone."""

    prefixes = ("room", "user")

    def check(self, channel: str, name: str, data: Any) -> None:
        if name != "ONLY":
            raise Unpublishable("there is only ONLY")

    def published(self, channel: str, name: str, data: Any) -> None:
        assert name == "ONLY", "it could not be said, and so has no effects here"


def test_a_protocol_that_cannot_say_an_event_does_not_keep_others_from_it() -> None:
    guests = Playbook(rooms.PROTOCOL, options={"ad_hoc": True})
    bots = Playbook(evolve(utilbot.PROTOCOL, behaviour=Strict), beside=guests, listener="bots")
    ann, robot = guest(guests), bot(bots, "a")
    bots.hub.subscribe(robot.session, "room:r")
    ann.heard(), robot.heard()
    assert guests.publish("room:r", "ONLY", {}) == (1, 0, 0)
    assert (ann.heard(), events(robot)) == ([], [("ONLY", {})])
    assert guests.publish("room:r", "room_update", {"roomLocked": True}) == (1, 0, 0)
    assert (len(ann.heard()), events(robot)) == (1, [])
    assert guests.realm.rooms.state("r") == {"roomLocked": True}
    with pytest.raises(Unpublishable, match=r"there is only ONLY|rooms has no event"):
        guests.publish("room:r", "NEITHER", {})


def test_an_event_for_one_goes_to_nobody_whose_protocol_has_no_words_for_it() -> None:
    guests = Playbook(rooms.PROTOCOL, options={"ad_hoc": True})
    bots = Playbook(utilbot.PROTOCOL, beside=guests, listener="bots")
    ann, robot = guest(guests), bot(bots, "a")
    bots.hub.subscribe(robot.session, "room:r")
    ann.heard(), robot.heard()
    assert guests.hub.publish(guests.realm, "room:r", "E", 1, one=True).delivered == 1
    assert (ann.heard(), events(robot)) == ([], [("E", 1)])


def test_some_hear_all_channels_of_a_kind() -> None:
    class Everywhere(utilbot.Utilbot):
        hears_all: Mapping[str, str] = {"guild": "service:bot"}

    wire = evolve(utilbot.WIRE, name="everywhere")
    talk = Playbook(evolve(utilbot.PROTOCOL, name="everywhere", wire=wire, behaviour=Everywhere))
    plain = Playbook(utilbot.PROTOCOL, beside=talk, listener="plain")
    all_, worker, other = bot(talk, "a"), bot(talk, "b", "worker"), bot(plain, "c")
    talk.hub.subscribe(other.session, "guild:5")
    talk.hub.subscribe(all_.session, "guild:5")
    for person in (all_, worker, other):
        person.heard()
    assert talk.publish("guild:5", "E", 1) == (2, 0, 0)  # each once
    assert talk.publish("guild:6", "E", 2) == (1, 0, 0)
    assert (events(all_), events(worker), events(other)) == ([("E", 1), ("E", 2)], [], [("E", 1)])
    assert talk.realm.subscribers("guild:6") == []
