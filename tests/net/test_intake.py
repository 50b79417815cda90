"""How much a client may send: judged as it is read, in both lanes, with its protocol's word for it."""

from __future__ import annotations

import contextlib
import json

import attrs
import pytest
import trio
from websockets.exceptions import ConnectionClosed

from gatewayd.config.load import parse
from gatewayd.core.close import Cause
from gatewayd.core.quota import Intake
from gatewayd.daemon.build import settings_of
from gatewayd.protocols import oxyl, utilbot
from gatewayd.protocols.registry import installed
from tests.net.test_client import closed, identified, raw_client, read_to_end
from tests.net.test_listener import GOOD, masked
from tests.server import client, hear, say, serving

OXYL = '[[listeners]]\nname = "main"\nprotocol = "oxyl"\nbind = "127.0.0.1:1"\n'
WHERE = {"rooms": "/gateway?roomId=1&participantId=2&token=s3cret", "discodo": "/ws"}


async def told(stream: trio.SocketStream, words: bytes) -> None:
    """Wait until these words come."""
    got = b""
    with trio.fail_after(5):
        while words not in got:
            data = await stream.receive_some()
            assert data, got
            got += data


@pytest.mark.parametrize("name", installed())
async def test_too_many_bytes_are_rate_limited_in_the_protocols_own_words(name: str) -> None:
    protocol = installed()[name]
    options = {"ad_hoc": True} if name == "rooms" else {}
    headers = {"Authorization": "s3cret"} if name == "discodo" else {}
    async with serving(protocol, options=options, intake=Intake(300, 300, 1)) as served:
        async with client(served, WHERE.get(name, "/"), additional_headers=headers) as rude:
            with contextlib.suppress(ConnectionClosed):
                for letter in "abcdefg":  # control frames count like all others; rooms has identified by now
                    await (await rude.ping(letter * 100, ack_on_close=True)).wait()
            ending = protocol.wire.ending(Cause.RATE_LIMITED)
            assert (await closed(rude))[0] == ending.code
        assert served.hub.totals.closed == {"rate_limited": 1}


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(masked(b'{"op": 10}'), id="plain"),
        pytest.param(b"\x81\xfe\x10\x00\0\0\0\0" + b" " * 4096, id="no JSON"),
        pytest.param(masked(b"x", opcode=2), id="binary"),
    ],
)
async def test_a_stranger_may_send_little(frame: bytes) -> None:
    async with serving(utilbot.PROTOCOL) as served, client(served) as polite:
        await identified(served, polite)
        stream = await raw_client(served)
        async with stream:
            try:
                for _ in range(40):
                    await stream.send_all(frame * 64)
            except trio.BrokenResourceError:
                pass  # cut off before it had said it all
            got = await read_to_end(stream)
            assert got.count(b'"op":11') <= 64
        await say(polite, {"op": 10})
        assert await hear(polite) == {"op": 11}


async def test_a_stranger_has_64_messages_and_whoever_identifies_has_more() -> None:
    async with serving(utilbot.PROTOCOL) as served:
        async with client(served) as bot:
            await hear(bot)
            for _ in range(64):
                await say(bot, {"op": 10})
                assert await hear(bot) == {"op": 11}
            await say(bot, {"op": 10})
            assert await closed(bot) == (4009, "more than 64 messages before identify")
        async with client(served) as bot:
            await identified(served, bot)
            for _ in range(200):
                await say(bot, {"op": 10})
                assert await hear(bot) == {"op": 11}


async def test_what_follows_identify_has_a_burst_of_its_own() -> None:
    async with serving(utilbot.PROTOCOL, intake=Intake(400, 2000, 100_000)) as served:
        async with client(served) as bot:
            await identified(served, bot)
            for _ in range(10):
                await bot.send(json.dumps({"op": 10, "d": "x" * 900}))
                await hear(bot)
                await trio.sleep(0.01)
            with contextlib.suppress(ConnectionClosed):
                for _ in range(5000):
                    await bot.send(json.dumps({"op": 10, "d": "x" * 900}))
            code, reason = await closed(bot)
            assert (code, reason) == (4009, "more than 2000 bytes at once, or 100000 a second")


async def test_fragments_count_with_their_headers() -> None:
    async with serving(utilbot.PROTOCOL, intake=Intake(300, 300, 1)) as served:
        stream = await raw_client(served)
        async with stream:
            await stream.send_all(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 60)
            await told(stream, b"more than 300 bytes before identify")
        await served.settled()
        assert served.hub.totals.closed == {"rate_limited": 1}


async def test_a_sharder_that_starts_caches_all_its_guilds() -> None:
    (config,) = parse(OXYL, "a.toml", installed()).listeners
    settings = attrs.asdict(settings_of(config), recurse=False)
    async with serving(oxyl.PROTOCOL, **settings) as served, client(served) as sharder:
        assert (await hear(sharder))["op"] == 3
        await say(sharder, {"op": 0, "d": {"type": "sharder", "compress": False, "secret": "s3cret"}})
        assert (await hear(sharder))["t"] == "IDENTIFIED"
        channels = [{"id": str(n), "name": "x" * 400} for n in range(1200)]
        for number in range(4):
            await say(sharder, {"op": 5, "d": {"type": "guild", "id": str(number), "channels": channels}})
        await say(sharder, {"op": 1, "d": {}})
        assert await hear(sharder) == {"op": 4, "d": {}}
        assert len(served.hub.realms.make("main").documents) == 4 + 1200
        async with client(served) as stranger:
            with contextlib.suppress(ConnectionClosed):
                await stranger.send("[" + " " * 200_000)
            assert (await closed(stranger))[0] == 4009


async def test_what_comes_with_the_request_counts() -> None:
    async with serving(utilbot.PROTOCOL, intake=Intake(300, 300, 1)) as served, await served.raw() as stream:
        await stream.send_all(GOOD + masked(b"x" * 100, opcode=10) * 3)
        await trio.sleep(0.05)  # so that what follows is read by itself
        await stream.send_all(masked(b"", opcode=10))
        await told(stream, b"more than 300 bytes before identify")


async def test_what_follows_the_verdict_is_not_judged_again() -> None:
    """The goodbye has bounds of its own: a client that is still talking is waited for."""
    async with serving(utilbot.PROTOCOL, intake=Intake(300, 300, 1)) as served, await raw_client(served) as stream:
        await stream.send_all(masked(b"x" * 100, opcode=10) * 3)
        await told(stream, b"more than 300 bytes before identify")
        await stream.send_all(masked(b"x" * 100, opcode=10) * 5)
        with trio.move_on_after(0.3):
            pytest.fail(f"it was not waited for: {await stream.receive_some()!r}")
        await stream.send_all(masked(b"\x03\xe8", opcode=8))
        assert await read_to_end(stream) == b""
