"""One client's side of the talk: no input crashes it, and its deadline never moves back."""

from __future__ import annotations

import json
import math
import zlib

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core import events as e
from gatewayd.core.backlog import Backlog
from gatewayd.core.close import AnyCause, Cause, Disconnect, Ending
from gatewayd.core.codec import Codec, ZlibStream
from gatewayd.core.connection import NO_PINGS, Connection
from gatewayd.core.machine import State
from gatewayd.core.outbox import Outbox
from gatewayd.core.protocol import Protocol
from gatewayd.core.rate import Rate
from gatewayd.core.retention import Policy
from gatewayd.core.session import Session
from gatewayd.core.settings import Settings
from gatewayd.core.wire import Opcode
from gatewayd.protocols.registry import PROTOCOLS
from tests.playbook import Playbook

SETTINGS = Settings(interval=10.0, patience=15.0, identify_timeout=20.0, resume_window=60.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("op", "e"), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 10, "IDENTIFY", True]) | JSON),
        "d": JSON,
        "t": st.text(max_size=10) | JSON,
        "cmd": st.text(max_size=10) | JSON,
    },
).map(json.dumps)
MESSAGES = st.text() | st.binary() | JSON.map(json.dumps) | PAYLOADS


def greeted(protocol: Protocol, settings: Settings = SETTINGS) -> Connection:
    connection = Connection(protocol.wire, settings, 0.0)
    connection.greet(0.0)
    return connection


def ready(connection: Connection) -> Backlog:
    """What its client is given from now on."""
    backlog = Backlog(Policy(acknowledges=True), max_events=10, max_bytes=1000)
    connection.session = Session(
        id="s", listener="main", protocol="utilbot", realm="main", remote="", opened=0.0, opened_wall=0.0,
        backlog=backlog, connection=connection,
    )  # fmt: skip
    connection.outbox.attach(backlog)
    connection.state = State.READY
    return backlog


@pytest.mark.parametrize("protocol", list(PROTOCOLS.values()), ids=list(PROTOCOLS))
@given(messages=st.lists(MESSAGES, max_size=6), state=st.sampled_from([State.GREETED, State.READY, State.RESUMED]))
def test_no_message_crashes_a_connection(protocol: Protocol, messages: list[str | bytes], state: State) -> None:
    connection = greeted(protocol)
    connection.state = state
    for message in messages:
        try:
            heard = connection.receive(message, 1.0)
        except Disconnect as verdict:
            if not connection.stays(verdict, 1.0):
                _, reason = connection.farewell(verdict, 1.0)
                assert len(reason.encode()) <= 123
                assert connection.receive(message, 1.0) is None
                return
        else:
            assert heard is None or isinstance(heard, e.ClientEvent)
            if connection.state is State.IDENTIFYING:
                connection.state = State.GREETED


@pytest.mark.parametrize("protocol", list(PROTOCOLS.values()), ids=list(PROTOCOLS))
@given(steps=st.lists(st.tuples(st.floats(0, 4), MESSAGES), max_size=12))
def test_the_deadline_never_moves_back(protocol: Protocol, steps: list[tuple[float, str | bytes]]) -> None:
    connection = greeted(protocol)
    now, deadline = 0.0, connection.alive_until
    for wait, message in steps:
        now += wait
        try:
            connection.tick(now)
            connection.receive(message, now)
        except Disconnect as verdict:
            if not connection.stays(verdict, now):
                return
        connection.state = State.READY
        assert connection.alive_until >= deadline
        deadline = connection.alive_until


@pytest.mark.parametrize("name", ["utilbot", "dmod", "rooms", "oxyl", "discodo"])
def test_silence_ends_at_the_deadline_and_not_before(name: str) -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=0)
    connection = greeted(PROTOCOLS[name], settings)
    now = 0.0
    while now < 14.9:
        now = min(connection.due, 14.9)
        connection.tick(now)
    assert connection.due == 15.0
    with pytest.raises(Disconnect) as verdict:
        connection.tick(15.0)
    assert verdict.value.cause is Cause.HEARTBEAT_MISSED


@pytest.mark.parametrize("name", ["utilbot", "oxyl"])  # oxyl probes at one interval of silence
def test_the_time_in_which_we_do_not_listen_is_no_silence(name: str) -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=0)
    connection = greeted(PROTOCOLS[name], settings)
    connection.outbox.advance(connection.outbox.size)
    connection.busy(8.0)
    connection.listen(11.0)  # 8 seconds of silence so far
    assert connection.alive_until == 18.0
    connection.busy(12.0)
    now, looks = 12.0, 0
    while now < 100.0:
        now, looks = max(now, connection.due), looks + 1
        connection.tick(now)
    assert 80 < looks < 95
    assert not connection.outbox.size
    connection.listen(100.0)
    assert connection.alive_until == 106.0
    assert connection.due <= 106.0
    with pytest.raises(Disconnect) as verdict:
        connection.tick(106.0)
    assert verdict.value.cause is Cause.HEARTBEAT_MISSED


def test_to_listen_without_having_been_busy_changes_nothing() -> None:
    connection = greeted(PROTOCOLS["utilbot"])
    connection.listen(9.0)
    assert connection.alive_until == 15.0


def test_the_daemons_own_heartbeat_goes_on_while_we_do_not_listen() -> None:
    connection = greeted(
        PROTOCOLS["dmod"], Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=0)
    )
    connection.outbox.advance(connection.outbox.size)
    connection.busy(1.0)
    assert connection.due == 10.0
    connection.tick(10.0)
    assert connection.outbox.size
    assert connection.due == 15.0


def test_replies_that_nobody_reads_make_a_slow_consumer() -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=0, outbox_bytes=100)
    connection = greeted(PROTOCOLS["utilbot"], settings)
    with pytest.raises(Disconnect) as verdict:
        for _ in range(100):
            connection.send(e.BeatAck(), 1.0)
    assert verdict.value.cause is Cause.SLOW_CONSUMER


def test_the_rate_is_held_and_heartbeats_have_their_own() -> None:
    settings = Settings(
        interval=10.0, patience=15.0, identify_timeout=None, resume_window=0.0, rate_limit=Rate(count=2, period=5.0)
    )
    connection = greeted(PROTOCOLS["utilbot"], settings)
    connection.state = State.READY
    event = '{"op": 1, "t": "x", "d": {}}'
    for _ in range(2):
        connection.receive(event, 0.0)
        connection.receive('{"op": 10}', 0.0)
    for flood in (event, '{"op": 10}'):
        with pytest.raises(Disconnect) as verdict:
            connection.receive(flood, 4.9)
        assert verdict.value.cause is Cause.RATE_LIMITED
    connection.receive(event, 5.0)


def test_before_identify_every_message_counts() -> None:
    settings = Settings(
        interval=10.0, patience=15.0, identify_timeout=None, resume_window=0.0, unidentified_messages=3
    )  # fmt: skip
    connection = greeted(PROTOCOLS["discodo"], settings)
    connection.receive('{"op": "HEARTBEAT", "d": 1}', 0.0)
    for bad in ('{"op": "IDENTIFY', '{"d": 1}'):  # what the protocol forgives counts, too
        with pytest.raises(Disconnect) as verdict:
            connection.receive(bad, 0.0)
        assert verdict.value.cause is not Cause.RATE_LIMITED
    for message in ('{"op": "HEARTBEAT", "d": 1}', "{", '{"op": "GET_STATUS"}'):
        with pytest.raises(Disconnect) as verdict:
            connection.receive(message, 1e6)
        assert verdict.value.cause is Cause.RATE_LIMITED
        assert verdict.value.reason == "more than 3 messages before identify"
    connection.state = State.READY
    for _ in range(1000):
        connection.receive('{"op": "HEARTBEAT", "d": 1}', 1e6)


def test_what_a_protocol_forgives_counts_in_its_rate() -> None:
    settings = Settings(
        interval=10.0, patience=15.0, identify_timeout=None, resume_window=0.0, rate_limit=Rate(count=2, period=5.0)
    )
    connection = greeted(PROTOCOLS["discodo"], settings)
    connection.state = State.READY
    causes = []
    for _ in range(3):
        with pytest.raises(Disconnect) as verdict:
            connection.receive('{"d": 1}', 0.0)
        causes.append(verdict.value.cause)
    assert causes == [Cause.NO_OPCODE, Cause.NO_OPCODE, Cause.RATE_LIMITED]


def test_the_first_verdict_stands() -> None:
    connection = greeted(PROTOCOLS["utilbot"])
    stopped = []
    connection.serve(lambda: stopped.append(1), NO_PINGS)
    connection.end(Disconnect(Cause.KICKED))
    connection.end(Disconnect(Cause.SHUTDOWN))
    assert connection.verdict is not None
    assert connection.verdict.cause is Cause.KICKED
    assert stopped == [1]
    assert not connection.open


def test_a_full_outbox_is_the_slow_consumer_verdict() -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=0.0, outbox_events=2)
    connection = greeted(PROTOCOLS["utilbot"], settings)
    backlog = ready(connection)
    assert connection.deliver(e.Event("c", "E", 1, 0.0), 0.0)
    assert not connection.deliver(e.Event("c", "E", 2, 0.0), 0.0)
    assert backlog.given == 1
    assert connection.verdict is not None
    assert connection.verdict.cause is Cause.SLOW_CONSUMER


@pytest.mark.parametrize("codec", [None, ZlibStream(6, 9)])
def test_behind_a_frame_that_did_not_fit_a_stream_a_farewell_could_not_be_read(codec: Codec | None) -> None:
    told: dict[AnyCause, Ending] = {Cause.SLOW_CONSUMER: Ending(4000, payload=lambda verdict: {"op": 9})}
    client = Connection(evolve(PROTOCOLS["discord"].wire, endings=told), evolve(SETTINGS, outbox_bytes=100), 0.0)
    client.speak("text", codec)
    client.greet(0.0)
    with pytest.raises(Disconnect) as verdict:
        for _ in range(100):
            client.send(e.BeatAck(), 0.0)
    waiting = len(client.outbox)
    assert client.farewell(verdict.value, 0.0)[0] == 4000
    assert len(client.outbox) - waiting == (codec is None)


def test_a_client_that_is_not_open_is_given_nothing() -> None:
    connection = greeted(PROTOCOLS["utilbot"])
    backlog = ready(connection)
    connection.state = State.GREETED
    assert not connection.deliver(e.Event("c", "E", 1, 0.0), 0.0)
    assert connection.verdict is None
    connection.state = State.READY
    connection.end(Disconnect(Cause.KICKED))
    assert not connection.deliver(e.Event("c", "E", 1, 0.0), 0.0)
    assert backlog.given == 0


def test_who_is_late_while_we_listen() -> None:
    connection = greeted(PROTOCOLS["utilbot"])
    assert [connection.late(now) for now in (14.9, 15.0)] == [False, True]
    connection.busy(14.0)
    assert not connection.late(15.0)
    connection.listen(14.5)
    connection = greeted(PROTOCOLS["utilbot"], evolve(SETTINGS, patience=math.inf))
    assert [connection.late(now) for now in (19.9, 20.0)] == [False, True]
    ready(connection)
    assert not connection.late(20.0)


async def test_without_a_transport_there_is_no_sign_of_life() -> None:
    pings = greeted(PROTOCOLS["utilbot"]).pings
    assert not await pings.alive(1.0)
    pings.ping(lambda: pytest.fail("nobody is there who could answer"))


def test_a_heartbeat_acknowledges_what_was_said_before_the_beat_that_it_answers() -> None:
    talk = Playbook(PROTOCOLS["dmod"])
    page = talk.connect()
    page.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    backlog = page.session.backlog
    assert backlog.acknowledged == 0
    talk.publish("user:7", "E", 1)
    page.say({"op": 4})  # an answer to nothing
    assert (backlog.given, backlog.acknowledged) == (1, 0)
    talk.advance(30)
    talk.publish("user:7", "E", 2)
    page.say({"op": 4})
    assert (backlog.given, backlog.acknowledged) == (2, 1)
    assert page.connection.ask(talk.now) == talk.now + 1.0
    talk.advance(1)
    page.heard()
    assert page.connection.ask(talk.now) is None
    assert [payload["op"] for payload in page.heard()] == [3]
    assert page.connection.ask(talk.now) is None  # there is one out
    assert page.heard() == []
    page.say({"op": 4})
    assert backlog.acknowledged == 2


def test_an_answer_to_a_beat_from_before_the_login_takes_nothing_back() -> None:
    talk = Playbook(PROTOCOLS["dmod"], interval=10.0)
    login = {"op": 1, "d": {"token": "seven", "uid": "7"}}
    page = talk.connect()
    page.say(login)
    talk.publish("user:7", "E", 1)
    talk.advance(10)
    page.say({"op": 4})
    page.leave()
    again = talk.connect()
    talk.advance(10)
    again.say(login)
    again.say({"op": 4})
    assert again.session is page.session
    assert again.session.backlog.acknowledged == 1


def test_a_beat_before_the_client_has_a_session_proves_nothing() -> None:
    connection = greeted(PROTOCOLS["dmod"])
    assert connection.ask(0.0) is None
    connection.receive('{"op":4}', 0.0)
    assert PROTOCOLS["utilbot"].wire.answers_beats is False
    assert greeted(PROTOCOLS["utilbot"]).ask(0.0) is None


def test_a_protocol_may_have_no_answer_to_identify() -> None:
    wire = evolve(PROTOCOLS["utilbot"].wire, encoders={e.Hello: {"hello": 1}})
    client = Connection(wire, SETTINGS, 0.0)
    client.greet(0.0)
    client.outbox.advance(client.outbox.size)
    client.state = State.IDENTIFYING
    client.welcome(e.Ready(), 0.0)
    assert client.open
    assert client.outbox.size == 0


def test_a_client_that_goes_without_a_verdict_lets_go_of_everything() -> None:
    told: list[str] = []
    outbox = Outbox(SETTINGS, wake=lambda: told.append("woken"))
    client = Connection(PROTOCOLS["utilbot"].wire, SETTINGS, 0.0, outbox=outbox)
    client.serve(lambda: told.append("stopped"), NO_PINGS)
    backlog = ready(client)
    client.release()
    client.outbox.wake()
    client.end(Disconnect(Cause.KICKED))
    assert told == []
    assert (backlog.given, client.outbox.next) == (0, 1)


def test_a_verdict_holds_nothing_of_where_it_was_passed() -> None:
    client = greeted(PROTOCOLS["utilbot"])
    try:
        raise Disconnect(Cause.KICKED)
    except Disconnect as verdict:
        client.end(verdict)
    client.release()
    assert client.verdict is not None
    assert client.verdict.__traceback__ is None


# --- what a client shows to have ----------------------------------------------------------------------------


def beating(rate: Rate | None = None) -> tuple[Connection, Backlog]:
    """A client of a protocol in which its heartbeats answer ours."""
    client = greeted(PROTOCOLS["dmod"], evolve(SETTINGS, patience=math.inf, rate_limit=rate))
    return client, ready(client)


def beat(client: Connection, now: float) -> None:
    """The daemon's own heartbeat falls due, and is written."""
    client.tick(now)
    client.outbox.advance(client.outbox.size)


def answer(client: Connection, now: float) -> None:
    client.receive('{"op":4}', now)


def give(backlog: Backlog, newest: int) -> None:
    """All up to this one has been given, and written."""
    backlog.given = newest


def test_an_answer_shows_what_was_said_before_its_beat() -> None:
    client, backlog = beating()
    give(backlog, 7)
    answer(client, 1.0)  # to nothing
    assert backlog.acknowledged == 0
    beat(client, 10.0)
    give(backlog, 8)
    answer(client, 11.0)
    assert backlog.acknowledged == 7
    answer(client, 12.0)
    assert backlog.acknowledged == 7


def test_a_late_answer_counts_for_the_older_beat() -> None:
    client, backlog = beating()
    for newest in (1, 2):
        give(backlog, newest)
        beat(client, 10.0 * newest)
    answer(client, 21.0)
    assert backlog.acknowledged == 1
    give(backlog, 3)
    beat(client, 30.0)
    answer(client, 31.0)  # may be for the second beat, which nobody follows
    assert backlog.acknowledged == 1
    answer(client, 31.0)
    assert backlog.acknowledged == 3


@pytest.mark.parametrize(("rate", "after"), [(None, 1.0), (Rate(50, 5.0), 1.0), (Rate(1, 6.0), 12.0)])
def test_how_soon_a_beat_may_be_said_out_of_turn(rate: Rate | None, after: float) -> None:
    client, _ = beating(rate)
    assert client.ask(1.0) is None
    answer(client, 1.0)
    assert client.ask(1.5) == 1.0 + after
    assert client.ask(1.0 + after) is None


@given(st.lists(st.sampled_from(["event", "beat", "read"]), max_size=60))
def test_a_client_that_answers_in_order_is_never_believed_too_much(moves: list[str]) -> None:
    """It reads what was said in order, and answers every beat that it reads, however late."""
    client, backlog = beating()
    wire: list[int] = []
    newest = read = 0
    now = 0.0
    for move in moves:
        if move == "event":
            newest += 1
            give(backlog, newest)
            wire.append(newest)
        elif move == "beat":
            now += 10.0
            beat(client, now)
            wire.append(0)
        elif wire:
            said = wire.pop(0)
            read = max(read, said)
            if not said:
                answer(client, now)
        assert backlog.acknowledged is not None
        assert backlog.acknowledged <= read


def seeing() -> Connection:
    """A client of a protocol whose heartbeats say what the client has."""
    opcode = Opcode("beat", "heartbeat", "client", lambda payload: e.Heartbeat(seen=payload["d"]))
    wire = evolve(PROTOCOLS["utilbot"].wire, opcodes=(opcode,))
    client = Connection(wire, SETTINGS, 0.0)
    client.greet(0.0)
    return client


def heartbeat(client: Connection, seen: int | None) -> None:
    client.receive(json.dumps({"op": "beat", "d": seen}), 1.0)


def test_a_heartbeat_may_say_what_its_client_has() -> None:
    client = seeing()
    heartbeat(client, 5)  # before it has a session that it could have anything of
    backlog = ready(client)
    give(backlog, 7)
    for seen, acknowledged in ((5, 5), (None, 5), (3, 5), (7, 7)):
        heartbeat(client, seen)
        assert backlog.acknowledged == acknowledged


@pytest.mark.parametrize("sequence", [8, -1])
def test_what_was_never_given_cannot_be_acknowledged(sequence: int) -> None:
    client = seeing()
    backlog = ready(client)
    give(backlog, 7)
    with pytest.raises(Disconnect) as verdict:
        heartbeat(client, sequence)
    assert verdict.value.cause is Cause.INVALID_SEQUENCE
    assert backlog.acknowledged == 0


def test_a_protocol_without_numbers_may_have_a_codec() -> None:
    client, read = greeted(PROTOCOLS["utilbot"]), zlib.decompressobj()
    client.outbox.advance(len(client.outbox.batch()))
    client.speak("text", ZlibStream(6, 12))
    ready(client)
    for said in (1, 2):
        assert client.deliver(e.Event("c", "E", said, 0.0), 0.0)
        frame = client.outbox.batch()
        client.outbox.advance(len(frame))
        assert json.loads(read.decompress(frame[2:])) == {"op": 0, "d": said, "t": "E"}
