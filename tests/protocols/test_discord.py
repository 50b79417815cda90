"""discord: sessions of their own, numbered events, resumes by the client's own count, intents and shards."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from typing import Any

import attrs
import pytest
import zstandard

from gatewayd.auth.static import OpenAuth, StaticAuth
from gatewayd.core.behaviour import Handshake
from gatewayd.core.close import Cause, Disconnect, Refused
from gatewayd.core.grant import Claim, Grant
from gatewayd.core.ports import NO_REPLY, BackendFailed
from gatewayd.hub.progress import Goal, Watch
from gatewayd.protocols import discord
from gatewayd.protocols.discord_forms import Options
from gatewayd.protocols.discord_intents import INTENTS, bits
from tests.core.test_backlog import record
from tests.playbook import Person, Playbook, run

HELLO = {"op": 10, "d": {"heartbeat_interval": 41250}}
BEATEN = {"op": 11}
ANEW = {"op": 9, "d": False}
BOT = "80351110224678912"
TOKEN = "ODAzNTExMTAyMjQ2Nzg5MTI.one.secret"
OTHER = "ODAzNTExMTAyMjQ2Nzg5MTM.two.secret"  # bot 80351110224678913
AUTH = StaticAuth(secrets=(TOKEN, OTHER, "plain", "plainer"))
GUILDS, MESSAGES = bits("GUILDS"), bits(["GUILD_MESSAGES", "DIRECT_MESSAGES"])


def book(**more: Any) -> Playbook:
    return Playbook(discord.PROTOCOL, auth=more.pop("auth", AUTH), **more)


def identify(token: str = TOKEN, **more: Any) -> dict[str, Any]:
    return {"op": 2, "d": {"token": token, "intents": GUILDS | MESSAGES, "properties": {}, **more}}


def resume(session: str, seq: Any, token: str = TOKEN) -> dict[str, Any]:
    return {"op": 6, "d": {"token": token, "session_id": session, "seq": seq}}


def event(name: str, number: int, data: Any) -> dict[str, Any]:
    return {"op": 0, "t": name, "s": number, "d": data}


def resumed(number: int, **data: Any) -> dict[str, Any]:
    return event("RESUMED", number, data)


def greeted(talk: Playbook, **query: str) -> Person:
    person = talk.connect(query=query)
    assert person.heard() == [HELLO]
    return person


def ready(talk: Playbook, token: str = TOKEN, **more: Any) -> Person:
    person = greeted(talk)
    person.say(identify(token, **more))
    (said,) = person.heard()
    assert (said["op"], said["t"], said["s"], said["d"]["session_id"]) == (0, "READY", 1, person.session.id)
    return person


def test_identify_ready_and_heartbeats() -> None:
    talk = book()
    person = greeted(talk, v="10", encoding="json")
    person.say({"op": 1, "d": None})  # right after hello, as discord.py does
    person.say({"op": 1, "d": 251})  # of a session that it has not resumed yet
    assert person.heard() == [BEATEN, BEATEN]
    person.say(identify(shard=[1, 2], compress=True, large_threshold=250, presence={}, capabilities=1))
    (said,) = person.heard()
    assert said["d"].pop("user")["id"] == BOT
    assert said == event(
        "READY", 1,
        {
            "v": 10, "guilds": [], "session_id": person.session.id, "session_type": "normal", "shard": [1, 2],
            "resume_gateway_url": "", "application": {"id": BOT, "flags": 0},
        },
    )  # fmt: skip
    assert person.session.identity == f"{BOT}/1"
    person.say({"op": 1, "d": 1})
    assert person.heard() == [BEATEN]
    assert person.session.backlog.acknowledged == 1
    talk.advance(41.25)
    assert person.heard() == [{"op": 1, "d": None}]
    talk.advance(41.25 / 2)
    assert person.closed == (4009, "no heartbeat in 61.875 s")
    assert person.session.state == "detached"


def test_the_gateway_url_is_the_one_by_which_the_client_came() -> None:
    talk = book()
    person = Person(talk)
    person._open(Handshake(url="wss://gateway.example.org", query={"v": "10"}))
    person.say(identify())
    assert person.heard()[1]["d"]["resume_gateway_url"] == "wss://gateway.example.org"
    told = book(options={"resume_url": "ws://127.0.0.1:1"})
    person = Person(told)
    person._open(Handshake(url="wss://gateway.example.org"))
    person.say(identify())
    assert person.heard()[1]["d"]["resume_gateway_url"] == "ws://127.0.0.1:1"


def test_each_identify_opens_a_session_and_only_a_resume_goes_on_with_one() -> None:
    talk = book()
    first, second = ready(talk), ready(talk)
    assert first.session is not second.session
    first.leave()
    assert talk.publish("bot:all", "E", 1) == (1, 1, 0)
    assert second.heard() == [event("E", 2, 1)]
    third = greeted(talk)
    third.say(resume(first.session.id, 1))
    assert third.heard() == [event("E", 2, 1), resumed(2)]
    assert third.session is first.session
    assert talk.publish(f"user:{BOT}", "E", 2) == (2, 0, 0)
    assert (second.heard(), third.heard()) == ([event("E", 3, 2)], [event("E", 3, 2)])


def test_a_resume_says_again_what_the_client_has_not_got_by_its_own_count() -> None:
    talk = book()
    person = ready(talk)
    for number in range(2, 7):
        talk.publish("bot:all", "E", number)
    assert len(person.heard()) == 5  # the socket took them; nobody knows what the client has read
    person.say({"op": 1, "d": 3})
    person.leave(Cause.CLIENT_LEFT)
    again = greeted(talk)
    again.say(resume(person.session.id, 4))
    assert again.heard() == [event("E", 5, 5), event("E", 6, 6), resumed(6)]
    talk.publish("bot:all", "E", 7)
    assert again.heard() == [event("E", 7, 7)]


def test_an_acknowledgement_from_the_future_is_refused_and_acknowledges_nothing() -> None:
    talk = book()
    person = ready(talk)
    person.say({"op": 1, "d": 2})
    assert person.closed == (4007, "2 acknowledged, 1 given")
    assert person.session.backlog.acknowledged == 0
    wrongs: list[Any] = ["1", True, 1.0, {}]
    for wrong in wrongs:
        person = ready(talk)
        person.say({"op": 1, "d": wrong})
        assert person.closed == (4002, "d is the last sequence, or null")


def test_who_waits_for_an_acknowledgement_has_it_asked_for() -> None:
    talk = book()
    person = ready(talk)
    watch = Watch(Goal.ACKNOWLEDGED, lambda: None)
    talk.hub.post("bot:all", "E", 1, watch=watch)
    assert person.heard() == [event("E", 2, 1), {"op": 1, "d": None}]
    person.say({"op": 1, "d": 1})  # its own, on the way already
    assert person.heard() == [BEATEN]
    talk.advance(1)
    assert person.heard() == [{"op": 1, "d": None}]
    person.say({"op": 1, "d": 2})
    assert watch.left == 0


@pytest.mark.parametrize("seq", [2, 10**30, -1])
def test_a_sequence_that_was_never_given_resumes_nothing(seq: int) -> None:
    talk = book()
    person = ready(talk)
    person.leave()
    again = greeted(talk)
    again.say(resume(person.session.id, seq))
    assert again.heard() == [ANEW]
    assert again.closed is None
    assert talk.hub.totals.forgiven["invalid_session"] == 1
    again.say(resume(person.session.id, 1))  # the session is there all the same
    assert again.heard() == [resumed(1)]


def test_the_session_of_somebody_else_lives_on() -> None:
    talk = book()
    owner, shapeless = ready(talk), ready(talk, "plain")
    thief = greeted(talk)
    thief.say(resume(owner.session.id, 1, OTHER))
    thief.say(resume(shapeless.session.id, 1, "plainer"))
    thief.say(resume("no such session", 1))
    assert thief.heard() == [ANEW, ANEW, ANEW]
    talk.publish("bot:all", "E", 1)
    assert owner.heard() == shapeless.heard() == [event("E", 2, 1)]
    thief.say(identify(OTHER))
    assert thief.heard()[0]["t"] == "READY"


def test_a_resume_takes_over_from_a_living_client_which_identifies_anew() -> None:
    talk = book()
    older = ready(talk)
    talk.publish("bot:all", "E", 1)
    newer = greeted(talk)
    newer.say(resume(older.session.id, 2))
    assert newer.heard() == [resumed(2)]
    assert older.closed == (4000, "replaced by a newer connection")
    assert older.heard() == [event("E", 2, 1), ANEW]


def test_what_is_not_kept_any_more_is_told_by_an_invalid_session() -> None:
    talk = book(resume_events=2)
    person = ready(talk)
    for number in range(5):
        talk.publish("bot:all", "E", number)
    person.leave()
    again = greeted(talk)
    again.say(resume(person.session.id, 3))
    assert again.heard() == [ANEW]
    again.say(resume(person.session.id, 4))
    assert again.heard() == [event("E", 5, 3), event("E", 6, 4), resumed(6)]


@pytest.mark.parametrize("metadata", [{}, {"intents": "x"}, {"intents": 513, "shard": [0, 0]}, {"shard": 5}], ids=str)
def test_a_session_of_an_edited_journal_breaks_no_publish(metadata: Any) -> None:
    talk = book()
    person = ready(talk)
    person.leave()
    person.session.metadata = metadata
    assert talk.publish("guild:5", "MESSAGE_CREATE", {"guild_id": "5"}) == (0, 0, 0)
    assert talk.publish("guild:5", "E", {}) == (0, 1, 0)


def test_what_is_lost_by_the_takeover_itself_is_told_by_an_invalid_session() -> None:
    talk = book(resume_events=2)
    person = ready(talk)
    person.reads = False
    for number in range(5):
        talk.publish("bot:all", "E", number)
    again = greeted(talk)
    again.say(resume(person.session.id, 1))
    assert again.heard() == [event("E", 5, 3), event("E", 6, 4), ANEW]


def test_what_was_said_before_the_resume_window_is_kept_for_nobody() -> None:
    talk = book(heartbeat="off")
    person = ready(talk)
    talk.publish("bot:all", "E", 1)
    talk.advance(121)
    newer = greeted(talk)
    newer.say(resume(person.session.id, 1))
    assert newer.heard() == [ANEW]
    assert person.closed is None, "nothing was taken from it"


def test_a_run_that_was_killed_is_told_as_a_gap() -> None:
    talk = book()
    person = ready(talk)
    backlog = person.session.backlog
    person.leave()
    backlog.restore([], record(given=1, written=1, acknowledged=1, mark=10), exact=False)
    again = greeted(talk)
    again.say(resume(person.session.id, 7))
    assert again.heard() == [resumed(10, gaps={"unclean_end": 0})]


@pytest.mark.parametrize(("cause", "state"), [(Cause.CLIENT_CLOSED, "ended"), (Cause.CLIENT_LEFT, "detached")])
def test_how_a_client_leaves(cause: Cause, state: str) -> None:
    person = ready(book())
    person.leave(cause)
    assert person.session.state == state


def test_after_a_kick_no_session_is_resumed() -> None:
    talk = book()
    person = ready(talk)
    talk.hub.end(person.session, Disconnect(Cause.KICKED))
    assert person.closed == (4000, "kicked")
    again = greeted(talk)
    again.say(resume(person.session.id, 1))
    assert again.heard() == [ANEW]


def test_a_shutdown_asks_for_a_reconnect() -> None:
    person = ready(book())
    person.connection.end(Disconnect(Cause.SHUTDOWN))
    assert person.closed == (1012, "server is shutting down")
    assert person.heard() == [{"op": 7, "d": None}]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"op": 5}, 4001),
        ({"op": 0, "d": {}}, 4001),
        ({"d": 1}, 4001),
        ({"op": 2, "d": []}, 4002),
        ({"op": 2}, 4002),
        ({"op": 2, "d": {"intents": 0}}, 4002),
        (b"{", 4002),
        (b"\xff", 4002),
        ("[]", 4002),
        ({"op": 6, "d": {"token": TOKEN, "session_id": "x", "seq": None}}, 4002),
        ({"op": 3, "d": {}}, 4003),
        (identify("wrong"), 4004),
        (resume("x", 1, "wrong"), 4004),
        (identify(shard=[2, 2]), 4010),
        (identify(shard=[-1, 2]), 4010),
        (identify(shard=[0, 10**9]), 4010),
        (identify(shard=[True, 2]), 4010),
        (identify(shard="0"), 4010),
        (identify(intents="513"), 4013),
        (identify(intents=True), 4013),
        (identify(intents=-1), 4013),
        (identify(intents=10**40), 4013),
        (identify(intents=None), 4013),
        (identify(intents=256), 4014),
    ],
)
def test_close_codes(said: Any, code: int) -> None:
    person = greeted(book(options={"disallowed_intents": ["GUILD_PRESENCES"]}))
    person.say(said)
    assert person.closed is not None
    assert person.closed[0] == code


def test_a_second_identify() -> None:
    for said in (identify(), resume("x", 1)):
        person = ready(book())
        person.say(said)
        assert person.closed == (4005, "already identified")


def test_bad_values_of_every_kind() -> None:
    values: list[Any] = [None, True, 0, -1, 1.5, 10**30, "", "x" * 300, [], [[]], [0], {}, {"a": 1}]
    for value in values:
        for payload in ({"op": 2, "d": value}, identify(shard=value), identify(intents=value), resume("x", value)):
            person = greeted(book())
            person.say(payload)
            assert person.closed is not None or person.heard()[0]["op"] in (0, 9)


def test_what_the_query_may_say() -> None:
    talk = book()
    assert talk.connect(query={"v": "9"}).closed == (4012, "this gateway speaks version 10: connect with v=10")
    for query in ({"encoding": "etf"}, {"compress": "gzip"}):
        with pytest.raises(Refused, match="400") as refused:
            talk.connect(query=query)
        assert "encoding=json" in refused.value.reason or "zlib-stream" in refused.value.reason


def test_too_many_identifies() -> None:
    talk = book(options={"max_concurrency": 2, "session_starts": 3})
    for _ in range(2):
        ready(talk)
    late = greeted(talk)
    late.say(identify())
    assert late.heard() == [ANEW]
    assert talk.hub.totals.forgiven["too_many_starts"] == 1
    ready(talk, OTHER)  # who has its own count
    talk.advance(5)
    late.say(identify())
    assert late.heard()[0]["t"] == "READY"
    talk.advance(5)
    last = greeted(talk)
    last.say(identify())
    assert last.heard() == [ANEW]  # the fourth of the day
    last.say(resume(late.session.id, 1))
    assert last.heard() == [resumed(1)]


class Streamed:
    """What is inside the frames of a compressed client."""

    def __init__(self, person: Person, decompressor: Any) -> None:
        self.person, self.decompressor = person, decompressor
        self.endings: list[bytes] = []

    def heard(self) -> list[Any]:
        outbox, said = self.person.connection.outbox, []
        while data := outbox.batch():
            outbox.advance(len(data))
            while data:
                size, start = data[1], 2
                if size == 126:
                    size, start = int.from_bytes(data[2:4], "big"), 4
                assert data[0] == 0x82, "all frames are binary"
                self.endings.append(data[start : start + size][-4:])
                said.append(json.loads(self.decompressor.decompress(data[start : start + size])))
                data = data[start + size :]
        return said


def streamed(talk: Playbook, compress: str) -> tuple[Person, Streamed]:
    person = Person(talk)
    person.reads = False
    person._open(Handshake(query={"compress": compress}))
    inner = zlib.decompressobj() if compress == "zlib-stream" else zstandard.ZstdDecompressor().decompressobj()
    return person, Streamed(person, inner)


@pytest.mark.parametrize("compress", ["zlib-stream", "zstd-stream"])
@pytest.mark.parametrize("window", [9, 12, 15])  # and levels of 0, 6 and 9
def test_one_compressed_stream_for_all_that_is_said(compress: str, window: int) -> None:
    talk = book(options={"window_bits": window, "compress_level": {9: 0, 12: 6, 15: 9}[window]})
    person, stream = streamed(talk, compress)
    person.say(json.dumps(identify(compress=True)).encode())  # hikari sends nothing but binary
    for number in range(100):
        talk.publish("guild:5", "MESSAGE_CREATE", {"content": f"hello {number}", "guild_id": "5"})
    heard = stream.heard()
    assert [heard[0], heard[1]["t"], *(item["s"] for item in heard[1:])] == [HELLO, "READY", *range(1, 102)]
    assert heard[-1]["d"]["content"] == "hello 99"
    assert compress == "zstd-stream" or set(stream.endings) == {b"\0\0\xff\xff"}
    assert person.connection.codec is not None
    assert 4096 <= person.connection.codec.memory < 1 << 20
    person.connection.end(Disconnect(Cause.SHUTDOWN))
    assert person.closed == (1012, "server is shutting down")
    assert stream.heard() == [{"op": 7, "d": None}]


def test_a_compressed_client_that_is_cut_off_is_told_nothing_that_it_could_not_read() -> None:
    talk = book(outbox_events=3)
    person, stream = streamed(talk, "zlib-stream")
    person.say(identify())
    assert len(stream.heard()) == 2
    for number in range(4):
        talk.publish("bot:all", "E", number)
    assert person.closed == (4000, "more than 3 frames are waiting to be read")
    assert stream.heard() == []
    again, other = streamed(talk, "zlib-stream")
    again.say(resume(person.session.id, 1))
    assert [item.get("s") for item in other.heard()] == [None, 2, 3, 4, 5, 5]
    third = greeted(talk)
    talk.publish("bot:all", "E", 4)
    third.say(resume(person.session.id, 5))
    assert third.heard() == [event("E", 6, 4), resumed(6)]
    assert again.closed == (4000, "replaced by a newer connection")
    assert other.heard() == []  # its frame of event 6 is gone: nothing behind that could be read
    third.connection.end(Disconnect(Cause.SLOW_CONSUMER))
    fourth, readable = streamed(talk, "zstd-stream")
    fourth.say(resume(person.session.id, 6))
    assert len(readable.heard()) == 2
    greeted(talk).say(resume(person.session.id, 6))
    assert fourth.closed == (4000, "replaced by a newer connection")
    assert readable.heard() == [ANEW]  # nothing of its stream is missing
    fourth.connection.release()
    assert fourth.connection.codec is None  # its memory is given back though the collector has not come by


def test_what_is_behind_a_lost_event_of_a_compressed_stream_is_not_sent() -> None:
    talk = book()
    person, stream = streamed(talk, "zlib-stream")
    person.say(identify())
    assert len(stream.heard()) == 2
    outbox = person.connection.outbox
    person.say({"op": 1, "d": 1})
    talk.publish("bot:all", "E", 1)
    outbox.advance(2)  # half of the first frame
    person.say({"op": 1, "d": 1})
    outbox.push(b"\x89\x00", talk.now, free=True)
    greeted(talk).say(resume(person.session.id, 1))
    assert person.closed == (4000, "replaced by a newer connection")
    assert outbox.batch().endswith(b"\0\0\xff\xff")  # the rest of the half
    outbox.advance(len(outbox.batch()))
    assert outbox.batch() == b"\x89\x00"  # a control frame is no part of the stream


def test_payload_compression_is_an_option() -> None:
    talk = book(options={"payload_compression": True})
    person = greeted(talk)
    person.say(identify(compress=True))
    ((kind, payload),) = person.heard_raw()
    assert (kind, payload["t"]) == ("zlib", "READY")
    talk.publish("bot:all", "E", 1)
    assert person.heard_raw() == [("zlib", event("E", 2, 1))]
    person.reads = False
    talk.publish("bot:all", "E", 2)
    greeted(talk).say(resume(person.session.id, 2))
    assert person.closed == (4000, "replaced by a newer connection")
    person.reads = True
    assert person.heard_raw() == [("zlib", ANEW)]  # each payload can be read by itself, whatever was left out


def test_commands_go_to_the_backend_and_replies_are_events() -> None:
    answers = {
        "REQUEST_GUILD_MEMBERS": {"members": []},
        "VOICE_STATE_UPDATE": {"t": "VOICE_SERVER_UPDATE", "d": {"token": "x"}},
        "PRESENCE_UPDATE": NO_REPLY,
        "REQUEST_SOUNDBOARD_SOUNDS": BackendFailed("timeout"),
    }
    person = ready(book(answers=answers))
    for op in (8, 4, 3, 31):
        person.say({"op": op, "d": {"guild_id": "5"}})
    assert person.heard() == [
        event("GUILD_MEMBERS_CHUNK", 2, {"members": []}),
        event("VOICE_SERVER_UPDATE", 3, {"token": "x"}),
    ]
    alone = ready(book())
    alone.say({"op": 8, "d": {}})
    assert alone.heard() == []


def test_intents_filter_and_what_is_filtered_takes_no_number() -> None:
    talk = book(options={"intents": {"MINE": "GUILD_MEMBERS"}})
    person = ready(talk, intents=bits(["GUILD_MESSAGES", "GUILDS"]))
    message = {"id": "1", "content": "hi"}
    for channel, name, data, heard in (
        ("bot:all", "MESSAGE_CREATE", {**message, "guild_id": "5"}, True),
        ("bot:all", "MESSAGE_CREATE", message, False),  # a direct message
        ("guild:5", "MESSAGE_CREATE", message, True),
        ("bot:all", "TYPING_START", {"guild_id": "5"}, False),
        ("bot:all", "GUILD_CREATE", {"id": "5"}, True),
        ("bot:all", "MINE", {}, False),
        ("bot:all", "UNKNOWN", None, True),
        (f"session:{person.session.id}", "GUILD_MEMBER_ADD", {}, False),
    ):
        assert talk.publish(channel, name, data)[0] == heard
    assert [item["s"] for item in person.heard()] == [2, 3, 4, 5]


def test_every_intent_of_the_table_lets_its_events_pass() -> None:
    talk = book(options={"max_concurrency": len(INTENTS)})
    everyone = {name: ready(talk, intents=1 << bit) for name, (bit, _) in INTENTS.items()}
    talk.advance(5)
    for name, (_, events) in INTENTS.items():
        for item in events.split():
            talk.publish("bot:all", item, {} if name.startswith("DIRECT_") else {"guild_id": "5", "id": "5"})
            assert everyone[name].heard()[-1]["t"] == item
        for other in everyone.values():
            other.heard()


def test_shards_hear_their_own_guilds() -> None:
    talk = book()
    first, second = ready(talk, shard=[0, 2]), ready(talk, shard=[1, 2])
    even, odd = str(4 << 22), (5 << 22)
    for channel, data in (
        (f"guild:{even}", {}), (f"guild:{odd}", {}), ("bot:all", {"guild_id": even}), ("bot:all", {"guild_id": odd}),
        ("bot:all", {"guild_id": "no number"}), ("bot:all", {"guild_id": None}), ("guild:none", 5),
        (f"session:{first.session.id}", {"guild_id": odd}),
    ):  # fmt: skip
        talk.publish(channel, "E", data)
    talk.publish("bot:all", "MESSAGE_CREATE", {"direct": True})
    talk.publish("bot:all", "GUILD_DELETE", {"id": odd})
    assert [item["d"] for item in first.heard()] == [
        {}, {"guild_id": even}, {"guild_id": "no number"}, {"guild_id": None}, 5, {"guild_id": odd}, {"direct": True},
    ]  # fmt: skip
    assert [item["d"] for item in second.heard()] == [
        {}, {"guild_id": odd}, {"guild_id": "no number"}, {"guild_id": None}, 5, {"id": odd},
    ]  # fmt: skip


def test_messages_without_the_intent_for_their_content() -> None:
    talk = book(options={"message_content": "intent"})
    blind, seeing = ready(talk, OTHER), ready(talk, intents=MESSAGES | bits("MESSAGE_CONTENT"))
    message = {
        "id": "1",
        "guild_id": "5",
        "content": "hi",
        "embeds": [1],
        "poll": {},
        "author": {"id": "9"},
        "mentions": [],
    }
    bare = {"id": "1", "guild_id": "5", "content": "", "embeds": [], "author": {"id": "9"}, "mentions": []}
    other = "80351110224678913"
    for said, seen in (
        (message, bare),
        ({**message, "author": {"id": other}}, {**message, "author": {"id": other}}),
        ({**message, "mentions": [{"id": other}]}, {**message, "mentions": [{"id": other}]}),
        ({**message, "mentions": None}, {**bare, "mentions": None}),
        ({"content": "direct"}, {"content": "direct"}),
        ({**message, "referenced_message": message}, {**bare, "referenced_message": bare}),
        (
            {**message, "referenced_message": None, "message_snapshots": [{"message": {"content": "hi"}}, 5]},
            {**bare, "referenced_message": None, "message_snapshots": [{"message": {"content": ""}}, 5]},
        ),
        ({**message, "message_snapshots": {}}, {**bare, "message_snapshots": {}}),
    ):
        talk.publish("bot:all", "MESSAGE_CREATE", said)
        assert blind.heard()[0]["d"] == seen
        assert seeing.heard()[0]["d"] == said
    talk.publish("guild:5", "MESSAGE_UPDATE", ["no", "message"])
    assert blind.heard()[0]["d"] == ["no", "message"]
    talk.publish("guild:5", "MESSAGE_UPDATE", {"content": "of that guild"})
    assert blind.heard()[0]["d"] == {"content": ""}


def test_sessions_that_hear_the_same_are_of_one_audience() -> None:
    talk = book()
    shards: list[Any] = [[0, 2], [0, 2], [1, 2], None]
    people = [ready(talk, shard=shard) for shard in shards] + [ready(talk, intents=0)]
    talk.publish("bot:all", "MESSAGE_CREATE", {"guild_id": str(4 << 22)})
    first, again, *others = (person.session.audience for person in people)
    assert first is again
    assert len({id(first), *map(id, others)}) == 4
    assert [len(person.heard()) for person in people] == [1, 1, 0, 1, 0]


def test_a_protocol_remembers_nothing_of_bots_that_were_there() -> None:
    def tables() -> list[int]:
        values = (getattr(discord.WIRE, item.name) for item in attrs.fields(type(discord.WIRE)))
        return [len(value) for value in values if isinstance(value, dict)]

    talk, found = book(auth=OpenAuth(), options={"message_content": "intent"}), []
    for number in range(5):
        person = ready(talk, b64encode(b"%d" % (10**17 + number)).decode().rstrip("=") + ".x")
        person.say({"op": 1, "d": 1})
        talk.publish("bot:all", "MESSAGE_CREATE", {"guild_id": "5", "content": "hi"})
        person.leave(Cause.CLIENT_CLOSED)
        found.append(tables())
    assert found == [found[0]] * 5


def test_what_a_single_bot_sees_of_an_event_is_not_kept_with_it() -> None:
    talk = book(auth=OpenAuth(), options={"message_content": "intent"})
    bots = [ready(talk, b64encode(b"%d" % (10**17 + number)).decode().rstrip("=") + ".x") for number in range(5)]
    talk.publish("bot:all", "MESSAGE_CREATE", {"guild_id": "5", "content": "hi"})
    assert [bot.heard()[0]["d"]["content"] for bot in bots] == [""] * 5
    assert bots[0].session.backlog.entries()[-1][1].frames == {}


def test_tokens_whose_subject_auth_knows_are_of_one_bot() -> None:
    class Knows:
        async def verify(self, claim: Claim) -> Grant:
            return Grant(granted=True, subject="7")

    talk = book(auth=Knows())
    person = ready(talk, "an old token")
    person.leave()
    again = greeted(talk)
    again.say(resume(person.session.id, 1, "Bot a new token"))
    assert again.heard() == [resumed(1)]
    assert again.session.identity == "7"
    asked = Handshake("/api/v10/users/@me", headers={"authorization": "Bot any"})
    assert run(talk.behaviour.admit_plain(asked)).body["id"] == "7"


def test_whose_a_session_is_stands_in_the_journal_and_nowhere_else() -> None:
    talk = book()
    person = ready(talk, "plain")
    assert "token:" not in str(person.session.metadata)
    kept = talk.behaviour.keep(person.session)
    person.session.data = None
    person.leave()
    again = greeted(talk)
    again.say(resume(person.session.id, 1, "plain"))
    assert again.heard() == [ANEW]
    talk.behaviour.restore(person.session, kept)
    again.say(resume(person.session.id, 1, "plain"))
    assert again.heard() == [resumed(1)]


def test_a_bot_tries_again_while_nobody_can_judge_its_token() -> None:
    class Away(StaticAuth):
        away = False

        async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
            return Grant(granted=False, failure="timeout") if self.away else await super().verify(claim)

    auth = Away(secrets=[TOKEN])
    talk = book(auth=auth)
    person = ready(talk)
    person.leave()
    auth.away = True
    again = greeted(talk)
    again.say(identify())
    again.say(resume(person.session.id, 1))
    assert again.heard() == [ANEW, {"op": 9, "d": True}]
    assert talk.held_back == []
    auth.away = False
    again.say(resume(person.session.id, 1))
    assert again.heard() == [resumed(1)]


def test_a_bot_whose_login_nobody_can_judge_again_is_not_stopped_for_good() -> None:
    class Leaves:
        async def verify(self, claim: Claim) -> Grant:
            granted, self.granted = self.granted, Grant(granted=False, failure="timeout")
            return granted

        granted = Grant(granted=True, expires=5.0, ask_again=True)

    talk = book(auth=Leaves())
    person = ready(talk)
    talk.advance(5)
    assert person.closed == (1008, "the login has expired")
    assert person.heard() == [ANEW]


def test_requests_that_libraries_make_before() -> None:
    talk = book()
    behaviour = talk.behaviour
    request = Handshake("/api/v10/gateway/bot", headers={"authorization": f"Bot {TOKEN}"}, url="ws://127.0.0.1:7106")
    answer = run(behaviour.admit_plain(request))
    assert (answer.status, answer.body["url"]) == (200, "ws://127.0.0.1:7106")
    assert answer.body["session_start_limit"]["remaining"] == 1000
    ready(talk)
    assert run(behaviour.admit_plain(request)).body["session_start_limit"]["remaining"] == 999


@pytest.mark.parametrize("value", [-1, True, 1.5, "NO_SUCH", ["GUILDS", 1], None])
def test_intents_that_are_none(value: Any) -> None:
    with pytest.raises(ValueError, match="intent"):
        Options(disallowed_intents=value)
    with pytest.raises(ValueError, match="intent"):
        Options(intents={"E": value})
