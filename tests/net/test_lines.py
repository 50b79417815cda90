"""What the log tells of a client: who came and went, from where; and with `--log-level debug`, what it sent."""

from __future__ import annotations

import logging

import pytest

from gatewayd.net import frames
from gatewayd.protocols import utilbot
from tests.net.test_client import identified, raw_client, read_to_end
from tests.net.test_listener import changed, masked
from tests.server import client, hear, say, serving


async def test_who_comes_and_who_leaves_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gatewayd.client")
    async with serving(utilbot.PROTOCOL) as served:
        async with client(served) as bot:
            session = await identified(served, bot, "a\x1b[2J")
            await bot.aclose(4000, "bye\x07")
        await served.settled()
        async with client(served) as bot:
            await identified(served, bot, "a\x1b[2J")
        await served.settled()
    remote = f"listener=main session={session.id} identity=a\\x1b[2J remote=127.0.0.1:"
    assert [line.partition(remote)[0] for line in caplog.messages] == ["connected ", "left "] * 2
    assert [line.partition(remote)[2].partition(" ")[2] for line in caplog.messages] == [
        "state=ready",
        "cause=client_left reason=closed by the client with 4000: bye\\x07",
        "state=resumed",
        "cause=client_closed reason=closed by the client with 1000",
    ]


async def test_strangers_leave_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gatewayd.client")
    async with serving(utilbot.PROTOCOL) as served:
        for _ in range(30):
            async with await raw_client(served):
                pass
        await served.settled()
        async with client(served) as bot:
            await identified(served, bot)
        await served.settled()
    lines = caplog.messages
    assert len([line for line in lines if line.startswith("left") and "identity=- " in line]) == 10
    assert len([line for line in lines if "identity=a " in line]) == 2  # whoever has identified is told of all the same


async def test_debug_tells_heads_and_messages_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "gatewayd")
    async with serving(utilbot.PROTOCOL) as served:
        async with client(served, "/?token=pa55word") as bot:
            await identified(served, bot)
            await say(bot, {"op": 10, "d": "private"})
            await hear(bot)
        async with await served.raw() as stream:
            head = changed("GET /", "GET /?v=1").replace(b"\r\n\r\n", b"\r\nUser-Agent: bot\r\n\r\n")
            await stream.send_all(head + masked(b"\xc3\xa4\x07", frames.BINARY))
            await read_to_end(stream)
        await served.settled()
    assert "pa55word" not in caplog.text
    assert "s3cret" not in caplog.text
    assert "private" not in caplog.text
    debug = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    told = [line for line in debug if line.startswith(("head ", "heard "))]
    assert "target=/?token=******** agent=Python/" in told[0]
    assert "kind=text" in told[1]
    assert "opcode=1 state=greeted->" in told[1]
    assert "opcode=10 state=ready->ready" in told[2]
    assert told[3].endswith("target=/?v=1 agent=bot")
    assert "kind=binary bytes=3 opcode=none state=greeted->" in told[4]


async def test_without_debug_no_message_is_looked_at_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gatewayd")
    async with serving(utilbot.PROTOCOL) as served, client(served) as bot:
        await identified(served, bot)
    assert "heard" not in caplog.text
