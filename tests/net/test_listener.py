"""The handshake over real sockets: whatever comes, the answer is right, it ends that client alone, and all is freed."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import struct

import pytest
import trio
import trustme
from websockets.exceptions import InvalidStatus

from gatewayd.net.gate import Gate
from gatewayd.protocols import rooms, utilbot
from tests.server import Served, client, hear, say, serving

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
GOOD = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def changed(old: str, new: str | bytes) -> bytes:
    """The good request with one thing changed."""
    assert old.encode() in GOOD
    return GOOD.replace(old.encode(), new.encode() if isinstance(new, str) else new)


async def answer(served: Served, request: bytes) -> bytes:
    """Everything that comes back until the daemon hangs up."""
    stream = await served.raw()
    async with stream:
        with trio.fail_after(8):
            try:
                await stream.send_all(request)
                await stream.send_eof()
            except trio.BrokenResourceError:
                pass  # it was answered before it was all said
            got = b""
            try:
                while data := await stream.receive_some():
                    got += data
            except trio.BrokenResourceError:
                pass
            return got


REFUSED = [
    pytest.param(changed("Host: 127.0.0.1", "X: " + "a" * 1048576), 431, id="1 MiB header line"),
    pytest.param(changed("Host:", "A: b\r\n" * 2000 + "Host:"), 431, id="2000 headers"),
    pytest.param(changed("GET /", "GET /" + "a" * 10240), 414, id="10 KB path"),
    pytest.param(changed("Host: 127.0.0.1", b"Host: \xff"), 400, id="non-ASCII Host"),
    pytest.param(changed("Upgrade\r\n", b"Upgrade, \xff\r\n"), 400, id="non-ASCII Connection"),
    pytest.param(changed("\r\n\r\n", b"\r\nSec-WebSocket-Protocol: \xe9\r\n\r\n"), 400, id="non-ASCII subprotocol"),
    pytest.param(changed("\r\n\r\n", b"\r\nSec-WebSocket-Extensions: \xe9\r\n\r\n"), 400, id="non-ASCII extension"),
    pytest.param(changed("Host: 127.0.0.1\r\n", ""), 400, id="no Host"),
    pytest.param(changed("Host: 127.0.0.1", "Host: a\r\nHost: b"), 400, id="two Hosts"),
    pytest.param(changed("Upgrade: w", f"Sec-WebSocket-Key: {KEY}\r\nUpgrade: w"), 400, id="two keys"),
    pytest.param(changed(KEY, "AAAA"), 400, id="short key"),
    pytest.param(changed("Version: 13", "Version: 8"), 426, id="version 8"),
    pytest.param(changed("Sec-WebSocket-Version: 13\r\n", ""), 426, id="no version"),
    pytest.param(changed("GET", "POST"), 405, id="POST"),
    pytest.param(changed("GET", "HEAD"), 405, id="HEAD"),
    pytest.param(b"CONNECT a:1 HTTP/1.1\r\n\r\n", 405, id="CONNECT"),
    pytest.param(changed("HTTP/1.1", "HTTP/1.0"), 505, id="HTTP/1.0"),
    pytest.param(changed("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"), 400, id="a body"),
    pytest.param(changed("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, id="chunked"),
    pytest.param(
        changed("\r\n\r\n", "\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, id="both lengths"
    ),
    pytest.param(GOOD.replace(b"\r\n", b"\n"), 400, id="bare LF"),
    pytest.param(changed("Upgrade: w", " folded\r\nUpgrade: w"), 400, id="obs-fold"),
    pytest.param(changed("Upgrade: w", "Upgrade : w"), 400, id="space before the colon"),
    pytest.param(changed("127.0.0.1", "a\0b"), 400, id="NUL"),
    pytest.param(changed("127.0.0.1", "a\rb"), 400, id="CR"),
    pytest.param(changed("\r\n\r\n", "\r\nUser-Agent: \x1b[2J\r\n\r\n"), 400, id="ESC"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS hello"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2 preface"),
    pytest.param(b"hello there\r\n", 400, id="no HTTP at all"),
    pytest.param(b"GET /\r\n\r\n", 400, id="HTTP/0.9"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426, id="a plain GET"),
    pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200, id="a health probe"),
    pytest.param(changed("\r\n\r\n", "\r\nOrigin: https://evil.example\r\n\r\n"), 403, id="foreign Origin"),
    pytest.param(changed("\r\n\r\n", "\r\nOrigin: null\r\n\r\n"), 403, id="null Origin"),
]


@pytest.mark.parametrize(("request_", "status"), REFUSED)
async def test_a_bad_request_is_answered_and_freed(request_: bytes, status: int) -> None:
    async with serving(utilbot.PROTOCOL) as served:
        got = await answer(served, request_)
        assert got.startswith(f"HTTP/1.1 {status} ".encode())
        head, _, body = got.partition(b"\r\n\r\n")
        assert json.loads(body)
        if status == 426:
            assert b"Sec-WebSocket-Version: 13" in head
        await served.settled()
        assert not served.hub.sessions


async def test_who_is_refused_before_the_upgrade_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gatewayd.listener")
    async with serving(rooms.PROTOCOL, config={"handshake_timeout": 0.2}) as served:
        room = changed("GET /", "GET /gateway?roomId=1&participantId=2&token=s3cret")
        for request in (b"nonsense\r\n", room, changed("\r\n\r\n", "\r\nOrigin: https://evil.example\r\n\r\n")):
            assert await answer(served, request)
        assert await answer(served, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")  # no refusal
        async with await served.raw() as silent:
            assert await silent.receive_some() == b""
        await served.settled()
        assert served.gate.refused == {"bad_request": 1, "not_allowed": 1, "origin_refused": 1, "handshake_timeout": 1}
        assert not served.hub.totals.closed
    lines = [line for line in caplog.messages if line.startswith("refused listener=main remote=127.0.0.1:")]
    assert len(lines) == 4
    assert "status=404 target=/gateway?roomId=1&participantId=2&token=******** cause=not_allowed" in lines[1]


async def test_a_flood_of_refusals_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gatewayd.listener")
    async with serving(utilbot.PROTOCOL, config={"max_clients_per_ip": 1}) as served, client(served):
        for _ in range(50):
            assert (await answer(served, GOOD)).startswith(b"HTTP/1.1 429 ")
        assert (await answer(served, b"nonsense\r\n")).startswith(b"HTTP/1.1 429 ")
        assert served.gate.refused == {"max_clients_per_ip": 51}
    assert len([line for line in caplog.messages if "cause=max_clients_per_ip" in line]) == 10


async def test_a_punycode_host_is_no_trouble() -> None:
    async with serving(utilbot.PROTOCOL) as served:
        for host in ("xn--", "xn--" + "a" * 3000):
            assert (await answer(served, changed("127.0.0.1", host))).startswith(b"HTTP/1.1 101 ")
        await served.settled()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GOOD[:-2], GOOD], ids=["nothing", "a part", "nearly all", "all"])
@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_a_client_that_goes_away_is_freed_at_once(sent: bytes, how: str) -> None:
    """Rows 3 to 6."""
    async with serving(utilbot.PROTOCOL) as served:
        async with client(served) as polite:
            await hear(polite)
            stream = await served.raw()
            if sent:
                await stream.send_all(sent)
            if how == "reset":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
            with trio.fail_after(5):
                while served.gate.clients > 1:
                    await trio.sleep(0.005)
            await say(polite, {"op": 10})
            assert await hear(polite) == {"op": 11}
            assert set(served.hub.totals.closed) <= {"peer_gone"}


async def test_silence_ends_with_the_handshake_timeout() -> None:
    """Rows 1 and 2: nothing, or a byte now and then."""
    async with serving(utilbot.PROTOCOL, config={"handshake_timeout": 0.2}) as served:
        silent, slow = await served.raw(), await served.raw()
        async with silent, slow:
            with trio.fail_after(5):
                try:
                    for byte in GOOD:
                        await slow.send_all(bytes([byte]))
                        await trio.sleep(0.05)
                except trio.BrokenResourceError:
                    pass
                else:
                    pytest.fail("the slow client was waited for")
                assert await silent.receive_some() == b""
            await served.settled()


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """A client frame with a zero mask."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + b"\0\0\0\0" + payload


async def test_a_frame_pipelined_with_the_request_is_processed() -> None:
    async with serving(utilbot.PROTOCOL) as served:
        stream = await served.raw()
        async with stream:
            await stream.send_all(GOOD + masked(b'{"op": 10}'))
            got = b""
            with trio.fail_after(5):
                while b'{"op":11}' not in got:
                    data = await stream.receive_some()
                    assert data
                    got += data
            assert got.index(b"heartbeat") < got.index(b'{"op":11}')


async def test_nothing_is_read_ahead_of_the_upgrade() -> None:
    """A flood behind half a head meets back-pressure, not memory."""
    async with serving(utilbot.PROTOCOL, config={"handshake_timeout": 0.3}) as served:
        stream = await served.raw()
        async with stream:
            got = b""
            with trio.fail_after(8):
                try:
                    await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000_000)
                except trio.BrokenResourceError:
                    pass  # it was cut off long before it had said it all
                try:
                    got = await stream.receive_some()
                except trio.BrokenResourceError:
                    pass
            assert got.startswith(b"HTTP/1.1 431 ") or not got
        await served.settled()


async def test_the_bounds_on_clients() -> None:
    gate = Gate(max_clients=3, max_unidentified=16)
    async with serving(utilbot.PROTOCOL, gate=gate) as served, client(served) as one, client(served) as two:
        with pytest.raises(InvalidStatus) as refused:
            async with client(served):
                pass
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"]
        for bot, name in ((one, "a"), (two, "b")):
            await hear(bot)
            await say(bot, {"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
            await hear(bot)
        async with client(served) as third:
            assert await hear(third)
            with pytest.raises(InvalidStatus):
                async with client(served):
                    pass
    assert gate.refused == {"max_unidentified_per_ip": 1, "max_clients": 1}
    assert (gate.clients, gate.unidentified) == (0, 0)


async def test_the_bound_on_one_address() -> None:
    async with serving(utilbot.PROTOCOL, config={"max_clients_per_ip": 1}) as served, client(served) as one:
        await hear(one)
        with pytest.raises(InvalidStatus) as refused:
            async with client(served):
                pass
        assert refused.value.response.status_code == 429


async def test_behind_a_trusted_proxy_the_bound_is_on_the_client() -> None:
    config = {"max_clients_per_ip": 1, "trusted_proxies": ("127.0.0.1",)}
    async with serving(utilbot.PROTOCOL, config=config) as served:
        one, two = await served.raw(), await served.raw()
        for stream, address in ((one, "192.0.2.1"), (two, "192.0.2.2")):
            await stream.send_all(changed("\r\n\r\n", f"\r\nX-Forwarded-For: {address}\r\n\r\n"))
            got = b""
            while b"heartbeat" not in got:
                got += await stream.receive_some()
        assert {session.remote for session in served.hub.sessions.values()} == {"192.0.2.1", "192.0.2.2"}
        await one.aclose()
        await two.aclose()


async def test_same_origin_and_listed_origins_may_come() -> None:
    async with serving(utilbot.PROTOCOL, config={"origins": ("https://app.example",)}) as served:
        for origin in ("https://app.example", f"http://127.0.0.1:{served.port}"):
            async with client(served, origin=origin) as browser:
                assert await hear(browser)


async def test_tls() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(utilbot.PROTOCOL, tls=server) as served:
        async with client(served, ssl=trusting) as bot:
            await hear(bot)
            await say(bot, {"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
            assert (await hear(bot))["t"] == "bot_connect_success"
            for number in range(200):
                served.hub.post("user:a", "E", {"number": number, "pad": "x" * 2000})
            assert [(await hear(bot))["d"]["number"] for _ in range(200)] == list(range(200))
        plain = await served.raw()  # a client that speaks no TLS to a TLS port
        async with plain:
            await plain.send_all(GOOD)
            with trio.fail_after(5):
                try:
                    while await plain.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
        await served.settled()


async def test_at_shutdown_the_half_open_are_told_to_come_back() -> None:
    async with serving(utilbot.PROTOCOL) as served:
        stream = await served.raw()
        async with stream:
            await stream.send_all(GOOD[:-2])
            await trio.testing.wait_all_tasks_blocked(0.02)
            served.gate.drain()
            served.listener.drain(5)
            await stream.send_all(GOOD[-2:])
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 503 ")
        for request in (GOOD, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"):
            refused = await answer(served, request)
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 5\r\n" in refused
        await served.settled()
        assert served.gate.refused == {"draining": 2}
