"""Requests that are no upgrades and that a protocol answers itself, over real sockets."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trustme
from attrs import evolve

from gatewayd.config.limits import ForwardLimits, NetLimits
from gatewayd.core.behaviour import Answer, Handshake
from gatewayd.core.close import Cause
from gatewayd.net.forward import Forwarder
from gatewayd.protocols import utilbot
from tests.net.test_forward import OK, call, rest_of
from tests.server import Served, client, hear, serving

GOOD = {"message": "héllo", "code": 0}
WRONG = {"message": "401: Unauthorized", "code": 0}


class Door(utilbot.Utilbot):
    """Answers by path."""

    plain = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[Handshake] = []

    async def admit_plain(self, handshake: Handshake) -> Answer | None:
        """As the path says."""
        self.seen.append(handshake)
        if handshake.path == "/wrong":
            return Answer(401, WRONG, Cause.AUTH_FAILED)
        if handshake.path == "/busy":
            return Answer(503, {"message": "busy"})
        return None if handshake.path == "/elsewhere" else Answer(200, GOOD)


PROTOCOL = evolve(utilbot.PROTOCOL, behaviour=Door)


@asynccontextmanager
async def door(**settings: Any) -> AsyncIterator[tuple[Served, list[Handshake]]]:
    """A listener whose protocol answers, and the requests that the protocol has seen."""
    async with serving(PROTOCOL, **settings) as served:
        behaviour = served.listener.behaviour
        assert isinstance(behaviour, Door)
        yield served, behaviour.seen


async def ask(served: Served, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    stream = await served.raw()
    async with stream:
        await stream.send_all(request)
        return parsed(await rest_of(stream))


def parsed(got: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


async def test_an_answer_is_json_without_a_charset() -> None:
    async with door() as (served, seen):
        status, headers, body = await ask(served, call("GET /users%2F@me?a=b"))
        assert (status, json.loads(body)) == (200, GOOD)
        assert headers == {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        (asked,) = seen
        assert (asked.method, asked.path, asked.query, asked.url) == ("GET", "/users/@me", {"a": "b"}, "ws://gateway")
        assert asked.raw_path == "/users%2F@me"
        assert (asked.headers["authorization"], asked.address) == ("s3cret", "127.0.0.1")
        await served.settled()
        assert not served.gate.refused


async def test_head_is_answered_without_the_body() -> None:
    async with door() as (served, seen):
        _, full, body = await ask(served, call())
        assert await ask(served, call("HEAD /context")) == (200, full, b"")
        assert full["Content-Length"] == str(len(body))
        assert [asked.method for asked in seen] == ["GET", "HEAD"]


async def test_a_refusal_is_counted_and_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gatewayd.listener")
    async with door() as (served, _):
        status, _, body = await ask(served, call("GET /wrong?token=secret"))
        assert (status, json.loads(body)) == (401, WRONG)
        status, headers, _ = await ask(served, call("GET /busy"))
        assert (status, headers["Retry-After"]) == (503, "5")
        await served.settled()
        assert served.gate.refused == {"auth_failed": 1}
    (line,) = [line for line in caplog.messages if line.startswith("refused ")]
    assert "status=401 target=/wrong?token=******** cause=auth_failed" in line


async def test_what_the_protocol_does_not_answer_is_forwarded() -> None:
    async def server(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(OK)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, server, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with door(forwarder=Forwarder(url, max_body=10)) as (served, _):
            status, _, body = await ask(served, call("GET /elsewhere"))
            assert (status, body) == (200, b"ok")
            assert json.loads((await ask(served, call()))[2]) == GOOD
        nursery.cancel_scope.cancel()


async def test_without_a_forwarder_it_is_not_found() -> None:
    async with door() as (served, _):
        status, _, body = await ask(served, call("GET /elsewhere"))
        assert (status, json.loads(body)["message"]) == (404, "nothing answers this request here")
        await served.settled()
        assert served.gate.refused == {"not_allowed": 1}


async def test_an_upgrade_is_served_beside_it() -> None:
    async with door() as (served, seen), client(served) as bot:
        assert (await hear(bot))["op"] == 5
        assert not seen
        assert (await ask(served, call()))[0] == 200


@pytest.mark.parametrize(
    ("lines", "proxied", "url"),
    [
        ((), False, "ws://gateway"),
        (("X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"), False, "ws://gateway"),
        ((), True, "wss://gateway"),
        (("X-Forwarded-Proto: http", "X-Forwarded-Host: bots.example:8080"), True, "ws://bots.example:8080"),
        (("X-Forwarded-Proto: https", "X-Forwarded-Host: a/b?c"), True, "wss://gateway"),
    ],
)
async def test_the_url_by_which_a_client_came(lines: tuple[str, ...], proxied: bool, url: str) -> None:
    config = {"trusted_proxies": ("127.0.0.1",)} if proxied else {}
    async with door(config=config) as (served, seen):
        assert (await ask(served, call("GET /context", *lines)))[0] == 200
        assert seen[0].url == url


async def test_the_url_behind_tls() -> None:
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    async with door(tls=server) as (served, seen):
        stream = trio.SSLStream(await served.raw(), trusting, server_hostname="127.0.0.1", https_compatible=True)
        async with stream:
            await stream.send_all(call())
            assert parsed(await rest_of(stream))[0] == 200
        assert seen[0].url == "wss://gateway"


async def test_while_draining_requests_are_told_to_come_back() -> None:
    async with door() as (served, seen):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call()[:-2])
            await trio.testing.wait_all_tasks_blocked(0.02)
            served.gate.drain()
            await stream.send_all(b"\r\n")
            status, headers, _ = parsed(await rest_of(stream))
        assert (status, headers["Retry-After"], seen) == (503, "5", [])


# --- bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/context", "/wrong"])
@pytest.mark.parametrize("announced", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
async def test_who_reads_only_after_a_large_body_is_sent_hears_the_answer(path: str, announced: str) -> None:
    async with door() as (served, _):
        stream = await served.raw()
        async with stream:
            with trio.fail_after(5):
                start = b"" if "Length" in announced else b"7a1200\r\n"
                await stream.send_all(call(f"POST {path}", announced, body=start + b"x" * 8_000_000))
            status, _, body = parsed(await rest_of(stream))
        assert (status, json.loads(body)) == ((200, GOOD) if path == "/context" else (401, WRONG))


async def flood(stream: trio.SocketStream) -> None:
    """A body without end."""
    try:
        while True:
            await stream.send_all(b"64\r\n" + b"x" * 100 + b"\r\n")
    except trio.BrokenResourceError:
        pass


@pytest.mark.parametrize("lines", [("Transfer-Encoding: chunked",), ("Content-Length: 999999999999999999999",)])
@pytest.mark.parametrize("floods", [False, True])
async def test_a_body_without_end_holds_nothing(floods: bool, lines: tuple[str, ...]) -> None:
    limits = NetLimits(forward=ForwardLimits(linger_seconds=0.3))
    async with door(limits=limits) as (served, _):
        stream = await served.raw()
        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(call("POST /context", *lines))
            if floods:
                nursery.start_soon(flood, stream)
            with trio.fail_after(5):
                got = b""
                while not got.endswith(json.dumps(GOOD, ensure_ascii=False, separators=(",", ":")).encode()):
                    got += await stream.receive_some()
            began = trio.current_time()
            await served.settled()  # while this client is still there
            assert trio.current_time() - began < 2
            nursery.cancel_scope.cancel()
        assert not served.gate.refused


async def test_a_client_that_reads_nothing_holds_nothing() -> None:
    limits = NetLimits(forward=ForwardLimits(linger_seconds=0.2))
    async with door(limits=limits) as (served, seen), await served.raw() as stream:
        await stream.send_all(call())
        await served.settled()
        assert len(seen) == 1
        assert not served.gate.by_listener


async def test_waiting_for_the_end_of_a_client_is_no_failed_handshake() -> None:
    async with door(config={"handshake_timeout": 0.2}) as (served, _), await served.raw() as stream:
        await stream.send_all(call("POST /context", "Content-Length: 9"))
        await served.settled()
        assert not served.gate.refused
