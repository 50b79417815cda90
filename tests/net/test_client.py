"""One client's life over real sockets: how it ends, and that nobody else notices."""

from __future__ import annotations

import gc
import json
import logging
import socket
import struct
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from websockets.exceptions import ConnectionClosed

from gatewayd.config.limits import ClientLimits, HubLimits, NetLimits
from gatewayd.core import events as e
from gatewayd.core.behaviour import Behaviour
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.counts import Counts
from gatewayd.core.protocol import Protocol
from gatewayd.core.session import Session
from gatewayd.hub.hub import Hub
from gatewayd.net import frames
from gatewayd.net.transport import SocketTransport
from gatewayd.net.websocket import WebSocket
from gatewayd.net.writer import Writer
from gatewayd.protocols import discord, oxyl, utilbot
from tests.net.test_listener import GOOD, masked
from tests.server import Served, client, hear, say, serving


async def identified(served: Served, connection: Any, name: str = "a") -> Session:
    await hear(connection)
    await say(connection, {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret", "id": name}})
    assert (await hear(connection))["t"] == "bot_connect_success"
    return served.hub.find("main", "utilbot", name)[0]


async def closed(connection: Any) -> tuple[int, str]:
    with trio.fail_after(8), pytest.raises(ConnectionClosed) as caught:
        while True:
            await connection.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def raw_client(served: Served) -> trio.SocketStream:
    """An upgraded client without a library; the 101 and hello are read."""
    stream = await served.raw()
    await stream.send_all(GOOD)
    got = b""
    while b"heartbeat" not in got:
        got += await stream.receive_some()
    return stream


async def read_to_end(stream: trio.SocketStream) -> bytes:
    got = b""
    with trio.fail_after(8):
        try:
            while data := await stream.receive_some():
                got += data
        except trio.BrokenResourceError:
            pass
    return got


async def test_a_kick_reaches_the_client_with_what_was_queued_before() -> None:
    async with serving(utilbot.PROTOCOL) as served, client(served) as bot:
        session = await identified(served, bot)
        served.hub.post("user:a", "LAST", {})
        served.hub.end(session, Disconnect(Cause.KICKED, "enough"))
        assert (await hear(bot))["t"] == "LAST"
        assert await closed(bot) == (4008, "enough")
        assert not served.hub.sessions


async def test_the_clients_own_close() -> None:
    async with serving(utilbot.PROTOCOL) as served:
        async with client(served) as bot:
            await identified(served, bot)
            await bot.aclose(1000)
        await served.settled()
        assert not served.hub.sessions
        async with client(served) as bot:
            session = await identified(served, bot)
            await bot.aclose(1001)
        await served.settled()
        assert session.state == "detached"
        assert served.hub.totals.closed == {"client_closed": 1, "client_left": 1}


@pytest.mark.parametrize("code", [1000, 1001, 1012, 4000])
@pytest.mark.parametrize("cause", [Cause.SHUTDOWN, Cause.HEARTBEAT_MISSED, Cause.SLOW_CONSUMER])
@pytest.mark.parametrize("protocol", [utilbot.PROTOCOL, discord.PROTOCOL], ids=["utilbot", "discord"])
async def test_the_answer_to_our_own_close_is_no_goodbye(protocol: Protocol, code: int, cause: Cause) -> None:
    claim: dict[str, Any] = {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret", "id": "a"}}
    if protocol is discord.PROTOCOL:
        claim = {"op": 2, "d": {"token": "s3cret", "intents": 0}}
    async with serving(protocol) as served:
        stream = await raw_client(served)
        await stream.send_all(masked(json.dumps(claim).encode()))
        while b"READY" not in (said := bytes(await stream.receive_some())) and b"bot_connect" not in said:
            pass
        (session,) = served.hub.sessions.values()
        assert session.connection is not None
        session.connection.end(Disconnect(cause))
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(masked(code.to_bytes(2, "big"), 8))
        await served.settled()
        assert session.state == "detached"
        await stream.aclose()


@pytest.mark.parametrize("how", ["fin", "reset", "half-close"])
async def test_a_lost_connection_detaches_and_the_same_identity_gets_what_it_missed(how: str) -> None:
    """Rows 49 and 50."""
    async with serving(utilbot.PROTOCOL) as served:
        stream = await raw_client(served)
        await stream.send_all(masked(b'{"op":1,"t":"identify","d":{"type":"x","key":"s3cret","id":"a"}}'))
        assert b"bot_connect_success" in await stream.receive_some()
        await stream.send_all(masked(b'{"op": 10}')[:7])  # in the middle of a message
        if how == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "half-close":
            await stream.send_eof()
            await read_to_end(stream)
        await stream.aclose()
        await served.settled()
        counts = [served.hub.post("user:a", "E", number) for number in range(3)]
        assert [c.buffered for c in counts] == [1, 1, 1]
        async with client(served) as bot:
            await hear(bot)
            await say(bot, {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret", "id": "a"}})
            assert (await hear(bot))["d"] == {"id": "a", "resumed": True}
            served.hub.post("user:a", "E", 3)
            assert [(await hear(bot))["d"] for _ in range(4)] == [0, 1, 2, 3]


async def test_a_message_over_the_limit_is_1009_in_bytes_and_a_ping_behind_it_is_no_trouble() -> None:
    """Rows 35 to 37."""
    async with serving(utilbot.PROTOCOL, max_message_bytes=1000) as served, client(served) as polite:
        await hear(polite)
        async with client(served) as bot:
            await hear(bot)
            await bot.send("x" * 1001)
            assert (await closed(bot))[0] == 1009
        async with client(served) as bot:
            await hear(bot)
            await bot.send('{"op": 10, "d": "' + "\u00e9" * 495 + '"}')  # under the limit in characters
            assert (await closed(bot))[0] == 1009
        async with client(served) as bot:
            await hear(bot)
            await bot.send('{"op": 10, "d": "' + "x" * 981 + '"}')
            assert await hear(bot) == {"op": 11}
        stream = await raw_client(served)
        big = b"\x81\xfe" + (1001).to_bytes(2, "big") + b"\0\0\0\0" + b"x" * 1001
        await stream.send_all(big + masked(b"", opcode=9))
        assert b"\x88" in await read_to_end(stream)
        await stream.aclose()
        await say(polite, {"op": 10})
        assert await hear(polite) == {"op": 11}
        assert served.hub.totals.closed["too_big"] == 3


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param(b"\x81\x05hello", 1002, id="unmasked"),
        pytest.param(b"\xc1\x80\0\0\0\0", 1002, id="reserved bit"),
        pytest.param(b"\x83\x80\0\0\0\0", 1002, id="reserved opcode"),
        pytest.param(b"\x09\x80\0\0\0\0", 1002, id="fragmented ping"),
        pytest.param(b"\x81\x82\0\0\0\0\xff\xff", 1007, id="not UTF-8"),
        pytest.param(masked((999).to_bytes(2, "big"), 8), 1002, id="close 999"),
        pytest.param(masked(b"\x03", 8), 1002, id="close of one byte"),
    ],
)
async def test_a_violation_of_the_framing_gets_its_close_frame(frame: bytes, code: int) -> None:
    async with serving(utilbot.PROTOCOL) as served:
        stream = await raw_client(served)
        await stream.send_all(frame)
        got = await read_to_end(stream)
        assert got[:1] == b"\x88"
        assert int.from_bytes(got[2:4], "big") == code
        await stream.aclose()


async def test_frames_and_pings_after_a_close_are_ignored() -> None:
    """Rows 46 and 47."""
    async with serving(utilbot.PROTOCOL) as served:
        stream = await raw_client(served)
        await stream.send_all(masked(b"{}") + masked(b"", opcode=9) * 50 + masked(b'{"op": 10}') * 50)
        got = await read_to_end(stream)
        assert got.count(b"\x88") == 1
        assert b'{"op":11}' not in got
        await stream.aclose()
        await served.settled()


async def test_a_peer_that_never_answers_the_close_is_let_go() -> None:
    limits = NetLimits(client=ClientLimits(close_seconds=0.1))
    async with serving(utilbot.PROTOCOL, limits=limits) as served:
        stream = await raw_client(served)
        await stream.send_all(masked(b"{}"))
        await served.settled()
        await stream.aclose()


async def test_binary_is_not_json() -> None:
    async with serving(utilbot.PROTOCOL) as served, client(served) as bot:
        await hear(bot)
        await bot.send(b'{"op": 10}')
        assert (await hear(bot))["e"] == 4005
        assert (await closed(bot))[0] == 4005


async def test_missed_heartbeat_and_late_identify_over_the_wire() -> None:
    """Rows 59 and 67."""
    async with serving(utilbot.PROTOCOL, interval=0.2, patience=0.3) as served, client(served) as bot:
        session = await identified(served, bot)
        assert (await closed(bot))[0] == 4006
        assert session.state == "detached"
    async with serving(utilbot.PROTOCOL, identify_timeout=0.1) as served, client(served) as bot:
        assert (await closed(bot))[0] == 4001


async def test_a_slow_consumer_is_cut_off_and_loses_nothing() -> None:
    async with serving(utilbot.PROTOCOL, outbox_bytes=200_000, resume_events=10_000, resume_bytes=50_000_000) as served:
        stream = await raw_client(served)
        await stream.send_all(masked(b'{"op":1,"t":"identify","d":{"type":"x","key":"s3cret","id":"a"}}'))
        assert b"bot_connect_success" in await stream.receive_some()
        total = 0
        while "slow_consumer" not in served.hub.totals.closed:
            served.hub.post("user:a", "E", {"number": total, "pad": "x" * 10_000})
            total += 1
            await trio.lowlevel.checkpoint()
            assert total < 5000
        got = await read_to_end(stream)
        await stream.aclose()
        assert (4010).to_bytes(2, "big") in got[-140:]
        async with client(served, max_size=None) as bot:
            await hear(bot)
            await say(bot, {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret", "id": "a"}})
            assert (await hear(bot))["d"]["resumed"]
            first = (await hear(bot))["d"]["number"]
            assert f'"number":{first - 1},'.encode() in got
            assert f'"number":{first},'.encode() not in got
            assert [(await hear(bot))["d"]["number"] for _ in range(first + 1, total)] == list(range(first + 1, total))


async def test_a_client_that_reads_nothing_at_all_is_let_go() -> None:
    """A blocked write has a deadline, and its end is the verdict."""
    async with serving(utilbot.PROTOCOL, outbox_age=0.2, outbox_bytes=50_000_000, outbox_events=100_000) as served:
        stream = await raw_client(served)
        await stream.send_all(masked(b'{"op":1,"t":"identify","d":{"type":"x","key":"s3cret","id":"a"}}'))
        await stream.receive_some()
        for _ in range(1000):
            served.hub.post("user:a", "E", "x" * 10_000)
        with trio.fail_after(8):
            while "slow_consumer" not in served.hub.totals.closed:
                await trio.sleep(0.02)
        await stream.aclose()


async def test_an_older_client_without_a_sign_of_life_gives_way() -> None:
    async with serving(utilbot.PROTOCOL, hub_limits=HubLimits(probe_seconds=0.1)) as served:
        dead = await raw_client(served)
        await dead.send_all(masked(b'{"op":1,"t":"identify","d":{"type":"x","key":"s3cret","id":"a"}}'))
        await dead.receive_some()
        async with client(served) as bot:
            await hear(bot)
            await say(bot, {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret", "id": "a"}})
            assert (await hear(bot))["d"] == {"id": "a", "resumed": True}
            async with client(served) as late:  # this one's elder answers pings
                await hear(late)
                await say(late, {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret", "id": "a"}})
                assert (await hear(late))["e"] == 4002
        await dead.aclose()


class Faulty(utilbot.Utilbot):
    """A behaviour with a bug."""

    def heartbeat(self, connection: Any, session: Session, beat: e.Heartbeat) -> None:
        raise ZeroDivisionError


async def test_a_bug_of_ours_ends_that_client_alone(caplog: pytest.LogCaptureFixture) -> None:
    faulty = attrs.evolve(utilbot.PROTOCOL, behaviour=Faulty)
    async with serving(faulty) as served, client(served) as other:
        await hear(other)
        async with client(served) as bot:
            await hear(bot)
            with caplog.at_level(logging.CRITICAL):
                await say(bot, {"op": 10})
                assert (await hear(bot))["e"] == 1000
                assert (await closed(bot))[0] == 1000
        await say(other, {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret"}})
        assert (await hear(other))["t"] == "bot_connect_success"
        assert served.hub.totals.faults == 1
        served.hub.totals.faults = 0


async def test_a_bug_in_the_deadlines_task_ends_that_client_alone(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> object:
        raise ZeroDivisionError

    wire = attrs.evolve(oxyl.WIRE, encoders={**oxyl.WIRE.encoders, e.BeatRequest: fail})
    async with serving(attrs.evolve(oxyl.PROTOCOL, wire=wire), interval=0.05) as served:
        async with client(served) as bot:
            await hear(bot)
            with caplog.at_level(logging.CRITICAL):
                assert (await closed(bot))[0] == 1011
        assert served.hub.totals.faults == 1
        assert served.hub.totals.closed == {"internal": 1}
        served.hub.totals.faults = 0


async def test_shutdown_says_1001_to_everyone() -> None:
    async with serving(utilbot.PROTOCOL) as served, client(served) as one, client(served) as two:
        await identified(served, one)
        await hear(two)
        for session in tuple(served.hub.sessions.values()):
            assert session.connection is not None
            session.connection.end(Disconnect(Cause.SHUTDOWN))
        assert (await closed(one))[0] == (await closed(two))[0] == 1001
        await served.settled()


def test_a_behaviour_must_say_who_a_client_is() -> None:
    assert Behaviour.identify is not utilbot.Utilbot.identify


class AfterItsVerdict(trio.abc.Instrument):
    """Publishes to the client after each step of any task, from its verdict on until its session has no client."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.counts: list[Counts] = []

    def after_task_step(self, _task: trio.lowlevel.Task) -> None:
        for session in self.hub.sessions.values():
            if session.connection is not None and session.connection.verdict is not None:
                self.counts.append(self.hub.publish(self.hub.realms.make("main"), "user:a", "E", 1))


async def test_what_is_published_after_the_clients_close_is_kept_for_the_next() -> None:
    """Between the close frame and the end of the client's tasks nothing may be counted as delivered."""
    async with serving(utilbot.PROTOCOL) as served:
        publisher = AfterItsVerdict(served.hub)
        async with await raw_client(served) as bot:
            await bot.send_all(masked(b'{"op":1,"t":"identify","d":{"type":"x","key":"s3cret","id":"a"}}'))
            assert b"bot_connect_success" in await bot.receive_some()
            trio.lowlevel.add_instrument(publisher)
            await bot.send_all(masked(b"\x0f\xa0", 8))
            assert (await read_to_end(bot)).endswith(frames.close(4000))
        trio.lowlevel.remove_instrument(publisher)
        assert publisher.counts[0].buffered == 1
        assert not any(count.delivered for count in publisher.counts)
        async with client(served) as again:
            await identified(served, again)
            assert (await hear(again))["d"] == 1


async def test_an_answer_that_waits_leaves_before_the_close() -> None:
    async with serving(utilbot.PROTOCOL) as served, await raw_client(served) as bot:
        said = b'{"op":1,"t":"identify","d":{"type":"x","key":"s3cret","id":"a"}}'
        await bot.send_all(masked(said) + masked(b'{"op":10}') + masked(b"p", 9) + masked(b"\x0f\xa0", 8))
        got = await read_to_end(bot)
        assert got.endswith(b'{"op":11}' + frames.control(frames.PONG, b"p") + frames.close(4000))


async def test_those_who_ask_for_a_sign_of_life_share_one_ping() -> None:
    """Two newcomers at once must not end a client that answers, and many are no flood of its own."""
    async with serving(utilbot.PROTOCOL) as served, client(served) as bot:
        await identified(served, bot)

        async def newcomer() -> None:
            async with client(served) as other:
                await hear(other)
                await say(other, {"op": 1, "t": "identify", "d": {"type": "x", "key": "s3cret", "id": "a"}})
                assert (await hear(other))["e"] == 4002

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bot.recv)
            for _ in range(2 * ClientLimits().control_frames):
                nursery.start_soon(newcomer)
            while served.hub.totals.closed["identity_in_use"] < 2 * ClientLimits().control_frames:
                await trio.sleep(0.005)
            served.hub.post("user:a", "STILL_HERE", {})


async def test_a_verdict_that_stopped_nobody_keeps_no_client() -> None:
    """The deadline's task ends with the reader, however the verdict came."""
    async with serving(utilbot.PROTOCOL) as served:
        stream = await raw_client(served)
        (session,) = served.hub.sessions.values()
        assert session.connection is not None
        session.connection.judge(Disconnect(Cause.KICKED))
        await stream.aclose()
        await served.settled()
        assert served.hub.totals.closed == {"kicked": 1}


@pytest.mark.parametrize(
    "last", [masked(b"\x03\xe8", 8), b"\x82\xfe\xea\x60\0\0\0\0" + b"x" * 1000, masked(b"b", 2), b""]
)
async def test_a_client_that_is_gone_is_no_garbage(last: bytes) -> None:
    """What holds itself is freed by the collector alone, which is told to come seldom."""
    async with serving(utilbot.PROTOCOL) as served:

        async def live() -> None:
            async with await raw_client(served) as stream:
                await stream.send_all(last)
                await trio.sleep(0.01)
            await served.settled()

        await live()
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await live()
            left = [item for item in gc.get_objects() if type(item) in (WebSocket, Connection, Writer, SocketTransport)]
        finally:
            gc.enable()
        assert len(left) < 10, "one may still be on its way out; there were forty"
