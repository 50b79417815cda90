"""What each protocol remembers of a session: told to the journal whenever it changes, and the same after a crash."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from gatewayd.core.close import Cause
from gatewayd.core.protocol import Protocol
from gatewayd.core.session import Session
from gatewayd.hub.hub import Hub
from gatewayd.protocols import discodo, dmod, oxyl, rooms, utilbot
from gatewayd.protocols.discodo_voice import Voice, VoiceClient
from tests.hub.disk import Disk, plain, snapshot, take_up
from tests.playbook import Person, Playbook
from tests.sixth import PROTOCOL as TICKER


class Node:
    def __init__(self, protocol: Protocol, rows: Any = None, **settings: Any) -> None:
        self.disk = Disk(rows)
        self.hub = Hub(lambda: self.book.now, store=self.disk)
        self.book = Playbook(protocol, hub=self.hub, **settings)
        take_up(self.disk, self.hub, {"main": self.book.settings}, time.time())
        self.written()

    def written(self) -> bool:
        """Write a batch, as soon as somebody has stirred the journal; whether that was all there is to know."""
        wrote = bool(self.disk.write(self.hub))
        assert plain(self.disk.rows) == plain(snapshot(self.hub))
        return wrote

    def after_a_crash(self, protocol: Protocol, **settings: Any) -> Node:
        return Node(protocol, self.disk.rows, **settings)

    @property
    def session(self) -> Session:
        (session,) = self.hub.sessions.values()
        return session


def audio(node: Node) -> Person:
    person = node.book.connect("/ws", headers={"authorization": "s3cret"})
    person.say({"op": "IDENTIFY", "d": {"user_id": "5", "shard_id": None}})
    return person


def discord(name: str, **data: Any) -> dict[str, Any]:
    return {"op": "DISCORD_EVENT", "d": {"t": name, "d": data}}


def test_discodo_keeps_its_voice_clients() -> None:
    node = Node(discodo.PROTOCOL)
    person = audio(node)
    assert node.written()
    for payload in (
        discord("READY", user={"id": "6"}),
        discord("VOICE_STATE_UPDATE", user_id="6", guild_id="1", channel_id="10"),
        discord("VOICE_SERVER_UPDATE", guild_id="2"),
        discord("VOICE_STATE_UPDATE", user_id="6", guild_id="1", channel_id=None),
        {"op": "VC_DESTROY", "d": {"guild_id": "2"}},
        discord("VOICE_SERVER_UPDATE", guild_id="3"),
    ):
        person.say(payload)
        assert node.written(), payload
    again = node.after_a_crash(discodo.PROTOCOL)
    assert again.session.data == Voice("6", {"1": VoiceClient(1, None, "1"), "3": VoiceClient(3, None, "3")}, 3)
    assert audio(again).heard()[1] == {"op": "RESUMED", "d": {"voice_clients": [["1", None], ["3", None]]}}


def test_discodo_reads_voice_clients_of_the_version_that_kept_ids_as_text() -> None:
    node = Node(discodo.PROTOCOL)
    person = audio(node)
    node.book.behaviour.restore(person.session, {"user": "6", "clients": {"1": [1, None], "3": [3, "7"]}, "last": 3})
    person.leave()
    assert audio(node).heard()[1] == {"op": "RESUMED", "d": {"voice_clients": [["1", None], ["3", "7"]]}}


def page(node: Node) -> Person:
    person = node.book.connect()
    person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    return person


def command(name: str, **data: Any) -> dict[str, Any]:
    return {"op": 6, "cmd": name, "d": data}


START = command("APPLICATION_SESSION", uid="7", gid="123467", utokh="seven", uhash="x")


def test_dmod_keeps_its_guild_and_its_application_sessions() -> None:
    node = Node(dmod.PROTOCOL)
    person = page(node)
    for payload in (
        command("CONNECT_GUILD", token="guild-token", gid="123467"),
        START,
        command("APPLICATION_SESSION", uid="7", gid="2", utokh="seven", uhash="x"),
        command("APPLICATION_SESSION_END", gid="2"),
    ):
        assert node.written()
        person.say(payload)
    assert node.written()
    again = node.after_a_crash(dmod.PROTOCOL)
    data = again.session.data
    assert (data.guild, list(data.applications)) == ("123467", ["123467"])
    assert "guild:123467" in again.session.channels
    back = page(again)
    back.heard()
    again.book.advance(30.0)
    assert any(payload.get("ev") == "APPLICATION_SESSION_HB_P" for payload in back.heard())
    back.say(command("DESCONNECT_GUILD", gid="123467"))
    assert back.heard()[-1]["d"]["data"] == {"success": True}
    assert again.written()


def test_dmod_does_not_forget_whom_it_has_asked_to_show_who_they_are() -> None:
    node = Node(dmod.PROTOCOL)
    page(node).say(START)
    node.written()
    node.book.publish("user:7", "GUILD_PRIVILEGE_UPDATE", {"id": "7"})
    assert node.written()
    again = node.after_a_crash(dmod.PROTOCOL)
    again.book.advance(29.0)
    assert list(again.session.data.applications) == ["123467"]
    again.book.advance(2.0)
    assert again.session.data.applications == {}
    shown = node.after_a_crash(dmod.PROTOCOL)
    back = page(shown)
    back.say(command("APPLICATION_SESSION_REAUTH", utokh="seven", uhash="x", pm="1"))
    assert back.heard()[-1]["d"]["data"] == {"success": True}
    assert shown.written()
    once_more = shown.after_a_crash(dmod.PROTOCOL, resume_window=1000.0)
    once_more.book.advance(40.0)
    assert list(once_more.session.data.applications) == ["123467"]


def test_dmod_ends_the_application_sessions_of_a_session_that_cannot_come_back() -> None:
    node = Node(dmod.PROTOCOL)
    page(node).say(START)
    node.written()
    again = node.after_a_crash(dmod.PROTOCOL, resume_window=0.0)
    assert not again.hub.sessions
    again.written()
    assert again.disk.rows == {}


def test_reports_and_what_comes_with_a_heartbeat() -> None:
    bots = Node(utilbot.PROTOCOL)
    bot = bots.book.connect()
    bot.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
    bots.written()
    report = {"guilds": 1, "guildMembers": 2, "cachedGuildMembers": 3}
    bot.say({"op": 1, "t": "send_servers", "d": report})
    assert bots.written()
    assert bots.after_a_crash(utilbot.PROTOCOL).session.metadata["servers"] == report
    services = Node(oxyl.PROTOCOL)
    sharder = services.book.connect()
    sharder.say({"op": 0, "d": {"type": "sharder", "compress": False, "secret": "s3cret"}})
    services.written()
    sharder.say({"op": 1})
    assert not services.written()
    sharder.say({"op": 1, "d": {"guilds": 5}})
    assert services.written()
    assert services.after_a_crash(oxyl.PROTOCOL).session.metadata["guilds"] == 5


def test_a_participant_comes_back_to_a_room_that_is_as_it_was() -> None:
    node = Node(rooms.PROTOCOL)
    node.hub.realms.make("main").rooms.create("r", {"maxParticipants": 1})
    query = {"roomId": "r", "participantId": "p", "token": "s3cret"}
    node.book.connect("/gateway", query)
    node.hub.realms.make("main").rooms.ban("r", "q", True)
    node.written()
    again = node.after_a_crash(rooms.PROTOCOL)
    assert again.book.connect("/gateway", query).session.resumes == 1
    assert again.hub.realms.make("main").rooms.is_banned("r", "q")
    again.hub.post("room:r", "room_close", {})
    again.written()
    assert again.after_a_crash(rooms.PROTOCOL).hub.realms.make("main").rooms.is_closed("r")


def test_a_protocol_whose_data_is_plain_needs_no_hooks() -> None:
    node = Node(TICKER)
    session, behaviour = node.book.connect().session, node.book.behaviour
    assert behaviour.keep(session) is None
    behaviour.restore(session, {"seen": 5})
    assert behaviour.keep(session) == session.data == {"seen": 5}


@pytest.mark.parametrize("protocol", [discodo.PROTOCOL, dmod.PROTOCOL])
@pytest.mark.parametrize("kept", [5, [], {}, {"user": 5}, {"user": "a", "clients": {"g": [1]}, "last": 1}, "x"])
def test_what_makes_no_sense_is_refused(protocol: Protocol, kept: Any) -> None:
    node = Node(protocol)
    person = audio(node) if protocol is discodo.PROTOCOL else page(node)
    with pytest.raises(msgspec.ValidationError):
        node.book.behaviour.restore(person.session, kept)


@pytest.mark.parametrize("protocol", [discodo.PROTOCOL, dmod.PROTOCOL])
def test_a_session_without_anything_to_remember(protocol: Protocol) -> None:
    node = Node(protocol)
    person = node.book.connect("/ws", headers={"authorization": "s3cret"})
    node.book.behaviour.restore(person.session, None)
    assert node.book.behaviour.keep(person.session) is None
    person.leave(Cause.PEER_GONE)


def bot(talk: Playbook, name: str) -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
    return person


def report(figure: int) -> dict[str, Any]:
    return {"op": 1, "t": "send_servers", "d": dict.fromkeys(utilbot.SUMS, figure)}


def test_utilbot_counts_the_reports_of_the_last_run() -> None:
    node = Node(utilbot.PROTOCOL)
    one, two = bot(node.book, "a"), bot(node.book, "b")
    one.say(report(1))
    two.say(report(2))
    two.session.metadata["servers"]["guilds"] = 2**63  # an older version took any number
    node.hub.journaling.changed(two.session)
    node.book.advance(1)
    assert node.written()
    again = node.after_a_crash(utilbot.PROTOCOL)
    counted = {"op": 0, "t": "GLOBAL_GUILD_COUNT", "d": dict.fromkeys(utilbot.SUMS, 1)}
    assert bot(again.book, "c").heard()[2:] == [counted]
    assert bot(again.book, "a").heard()[1]["d"] == {"id": "a", "resumed": True}
    assert bot(again.book, "d").heard()[2:] == [counted]
