"""REST calls through a discodo listener, over real sockets: to one server, within bounds, and never half an answer."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trustme

from gatewayd.auth.static import OpenAuth
from gatewayd.config.limits import ForwardLimits
from gatewayd.net.forward import Forwarder
from gatewayd.net.gate import Gate
from gatewayd.protocols import discodo, utilbot
from tests.server import Served, client, hear, serving

Server = Callable[["Heard"], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Heard:
    """One call, as the server behind the listener sees it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.head = b""
        self.body = b""

    async def read_head(self) -> None:
        while b"\r\n\r\n" not in self.head:
            self.head += await self.read()
        self.head, _, self.body = self.head.partition(b"\r\n\r\n")

    async def read_body(self, end: bytes) -> None:
        while not self.body.endswith(end):
            self.body += await self.read()

    async def read(self) -> bytes:
        data = bytes(await self.stream.receive_some())
        assert data, "the call broke off"
        return data

    @property
    def lines(self) -> list[str]:
        return self.head.decode().split("\r\n")


@asynccontextmanager
async def forwarding(
    server: Server | None,
    *,
    path: str = "",
    max_body: int = 1000,
    timeout: float = 5.0,
    at_once: int = 64,
    **options: Any,
) -> AsyncIterator[tuple[Served, list[Heard]]]:
    """A discodo listener whose plain requests go to `server`; None: nobody is there."""
    calls: list[Heard] = []

    async def accept(stream: trio.SocketStream) -> None:
        async with stream:
            call = Heard(stream)
            await call.read_head()
            calls.append(call)
            assert server is not None
            try:
                await server(call)
            except (trio.BrokenResourceError, AssertionError):
                if not options.get("torn"):
                    raise

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}{path}"
    forwarder = Forwarder(url, max_body=max_body, limits=ForwardLimits(call_seconds=timeout, calls=at_once))
    if server is None:
        await listener.aclose()
    settings = {name: value for name, value in options.items() if name != "torn"}
    async with serving(discodo.PROTOCOL, options={"rest": url}, forwarder=forwarder, **settings) as served:
        async with trio.open_nursery() as nursery:
            if server is not None:
                nursery.start_soon(trio.serve_listeners, accept, [listener])
            yield served, calls
            nursery.cancel_scope.cancel()


def call(start: str = "GET /context", *lines: str, body: bytes = b"", secret: str | None = "s3cret") -> bytes:
    """A request as a client writes it."""
    head = [f"{start} HTTP/1.1", "Host: gateway", *([] if secret is None else [f"Authorization: {secret}"]), *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


async def rest_of(stream: trio.abc.Stream) -> bytes:
    """All that comes until the other side hangs up; the connection may be cut."""
    got = b""
    with trio.fail_after(8):
        try:
            while data := await stream.receive_some():
                got += data
        except trio.BrokenResourceError:
            pass
    return got


async def ask(served: Served, request: bytes) -> bytes:
    stream = await served.raw()
    async with stream:
        await stream.send_all(request)
        return await rest_of(stream)


def refused(answer: bytes) -> tuple[int, str]:
    """Status and words of a refusal, which says them twice."""
    head, _, body = answer.partition(b"\r\n\r\n")
    told = json.loads(body)
    assert told["message"] == told["error"]["message"]
    assert f"Content-Length: {len(body)}".encode() in head
    return int(head.split()[1]), told["message"]


async def say_ok(call: Heard) -> None:
    await call.stream.send_all(OK)


async def test_a_call_and_its_answer() -> None:
    async with forwarding(say_ok, path="/v1/") as (served, calls):
        answer = await ask(served, call("GET /getSource?query=a%20b", "User-ID: 7", "X-Forwarded-For: 198.51.100.1"))
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        assert calls[0].lines[0] == "GET /v1/getSource?query=a%20b HTTP/1.1"
        headers = {line.lower() for line in calls[0].lines[1:]}
        assert {"authorization: s3cret", "user-id: 7", "x-forwarded-for: 127.0.0.1", "connection: close"} <= headers
        assert not any("gateway" in line or "198.51" in line for line in headers)
        await served.settled()
        assert not served.gate.refused


async def test_a_websocket_beside_it() -> None:
    async with forwarding(say_ok) as (served, _):
        async with client(served, "/ws", additional_headers={"Authorization": "s3cret"}) as node:
            assert (await hear(node))["op"] == "HELLO"


@pytest.mark.parametrize(
    ("announced", "body", "heard"),
    [("Content-Length: 6", b"abcdef", b"abcdef"), ("Transfer-Encoding: chunked", b"3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\nX: y\r\n\r\n", b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")],
)  # fmt: skip
async def test_a_body_goes_on_piece_by_piece(announced: str, body: bytes, heard: bytes) -> None:
    async def server(call: Heard) -> None:
        await call.read_body(heard[-4:])
        await call.stream.send_all(OK)

    async with forwarding(server) as (served, calls):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call("POST /context", announced, "Content-Type: application/json", body=body[:4]))
            with trio.fail_after(5):
                while not calls or not calls[0].body:
                    await trio.sleep(0.01)  # the first piece is there before the last was sent
            await stream.send_all(body[4:])
            assert (await rest_of(stream)).endswith(b"\r\n\r\nok")
        got = calls[0].body
        if b"chunked" in announced.encode():  # the server sees chunks as they came, not as they were cut by the client
            assert re.sub(rb"\w+\r\n(.*?)\r\n", rb"\1", got) == b"abcdef"
        else:
            assert got == heard
        assert announced.lower() in calls[0].head.decode().lower()


async def test_an_answer_goes_on_piece_by_piece_and_its_end_is_said() -> None:
    more = trio.Event()

    async def server(call: Heard) -> None:
        await call.stream.send_all(
            b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 Fine\r\nConnection: x\r\nX: 1\r\nA: 1\r\nA: 2\r\n\r\nabc"
        )
        await more.wait()
        await call.stream.send_all(b"def")

    async with forwarding(server) as (served, _):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call())
            got = b""
            with trio.fail_after(5):
                while not got.endswith(b"3\r\nabc\r\n"):
                    got += await stream.receive_some()
            assert got.startswith(
                b"HTTP/1.1 200 Fine\r\nA: 1\r\nA: 2\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            more.set()
            assert await rest_of(stream) == b"3\r\ndef\r\n0\r\n\r\n"


async def test_head_and_redirects_are_passed_on_as_they_are() -> None:
    async def server(call: Heard) -> None:
        await call.stream.send_all(
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nSet-Cookie: a=b\r\nContent-Length: 7\r\n\r\n"
        )

    async with forwarding(server) as (served, calls):
        answer = await ask(served, call("HEAD /a"))
        assert answer.startswith(
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nSet-Cookie: a=b\r\nContent-Length: 7\r\n"
        )
        assert len(calls) == 1


async def test_whoever_waits_with_the_body_is_told_to_send_it() -> None:
    async def server(call: Heard) -> None:
        await call.read_body(b"abc")
        await call.stream.send_all(OK)

    async with forwarding(server) as (served, calls):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call("PUT /a", "Content-Length: 3", "Expect: 100-continue"))
            with trio.fail_after(5):
                assert await stream.receive_some() == b"HTTP/1.1 100 \r\n\r\n"
            await stream.send_all(b"abc")
            assert (await rest_of(stream)).startswith(b"HTTP/1.1 200 OK")
        assert "expect" not in calls[0].head.decode().lower()


@pytest.mark.parametrize(
    ("request_", "status", "word"),
    [
        (call(secret=None), 401, "missing"), (call(secret="wrong"), 403, "wrong"), (call("POST /a", "Content-Length: 9999", secret="wrong"), 403, "wrong"),
        (call("GET /../a"), 400, ".."), (call("GET /a/%2e%2E/b"), 400, ".."), (call("GET http://other/"), 400, "path"), (call("CONNECT other:1"), 400, "CONNECT"),
        (call("POST /a", "Content-Length: 1", "Transfer-Encoding: chunked"), 400, "not both"), (call("POST /a", "Content-Length: 1001"), 413, "1000 bytes"),
        (call("POST /a", "Transfer-Encoding: gzip"), 501, "chunked"), (call("GET /a", "Origin: https://evil.example"), 403, "origin"),
    ],
)  # fmt: skip
async def test_what_is_not_forwarded(request_: bytes, status: int, word: str) -> None:
    async with forwarding(say_ok) as (served, calls):
        answer = await ask(served, request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert word in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
        await served.settled()
        assert not calls
        assert sum(served.gate.refused.values()) == 1


async def test_without_a_server_it_is_refused_in_words() -> None:
    async with serving(discodo.PROTOCOL) as served:
        for request in (call(), call("POST /loadSource", "Content-Length: 2", body=b"{}"), call(secret=None)):
            answer = await ask(served, request)
            status, words = refused(answer)
            assert (status, "options.rest" in words) == (426, True)
            assert b"\r\nUpgrade: websocket\r\n" in answer
        await served.settled()
        assert served.gate.refused == {"not_allowed": 3}


async def test_another_protocol_takes_no_plain_requests() -> None:
    async with serving(utilbot.PROTOCOL) as served:
        assert (await ask(served, call("POST /a", "Content-Length: 2", body=b"{}"))).startswith(b"HTTP/1.1 405 ")


async def test_where_everybody_is_let_in_no_password_is_needed() -> None:
    async with forwarding(say_ok, auth=OpenAuth()) as (served, _):
        assert (await ask(served, call(secret=None))).startswith(b"HTTP/1.1 200 ")


async def test_a_body_without_end() -> None:
    async def server(call: Heard) -> None:
        await call.read_body(b"0\r\n\r\n")

    async with forwarding(server, torn=True) as (served, _):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call("POST /a", "Transfer-Encoding: chunked"))
            for _ in range(11):
                await stream.send_all(b"64\r\n" + b"x" * 100 + b"\r\n")
            assert refused(await rest_of(stream)) == (413, "the body is larger than 1000 bytes")
        await served.settled()
        assert served.gate.refused == {"rest_body": 1}


@pytest.mark.parametrize("announced", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
async def test_who_reads_only_after_a_large_body_is_sent_hears_why_it_is_refused(announced: str) -> None:
    async def server(call: Heard) -> None:
        await call.read_body(b"never")

    async with forwarding(server, torn=True) as (served, _):
        stream = await served.raw()
        async with stream:
            with trio.fail_after(5):
                start = b"" if "Length" in announced else b"7a1200\r\n"
                await stream.send_all(call("POST /a", announced, body=start + b"x" * 8_000_000))
            assert refused(await rest_of(stream))[0] == 413


async def test_a_body_that_is_no_body() -> None:
    async def server(call: Heard) -> None:
        await call.read_body(b"never")

    async with forwarding(server, torn=True) as (served, _):
        answer = await ask(served, call("POST /a", "Transfer-Encoding: chunked", body=b"nonsense\r\n"))
        assert refused(answer)[0] == 400


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nConte", b"220 smtp\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000]
)  # fmt: skip
async def test_a_server_that_does_not_answer_in_http(said: bytes) -> None:
    async def server(call: Heard) -> None:
        await call.stream.send_all(said)

    async with forwarding(server, torn=True) as (served, _):
        assert refused(await ask(served, call()))[0] == 502
        await served.settled()
        assert served.gate.refused == {"rest_backend": 1}


async def test_a_server_that_is_not_there() -> None:
    async with forwarding(None) as (served, _):
        assert refused(await ask(served, call())) == (502, "the server behind this listener cannot be reached")


async def test_a_server_that_breaks_off_in_the_middle_of_a_short_answer() -> None:
    async def server(call: Heard) -> None:
        await call.stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcde")

    async with forwarding(server) as (served, _):
        assert refused(await ask(served, call()))[0] == 502
        await served.settled()
        assert served.gate.refused == {"rest_backend": 1}


@pytest.mark.parametrize("head", [b"Content-Length: 65537", b"Transfer-Encoding: chunked"])
async def test_a_server_that_breaks_off_in_the_middle_of_its_answer(head: bytes) -> None:
    async def server(call: Heard) -> None:
        await call.stream.send_all(
            b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + (b"5\r\n" if b"chunked" in head else b"") + b"abcde"
        )

    async with forwarding(server) as (served, _):
        answer = await ask(served, call())
        assert b"abcde" in answer  # and no end: fewer bytes than were announced, and no last chunk
        assert not answer.endswith(b"0\r\n\r\n")
        await served.settled()
        assert served.gate.refused == {"rest_backend": 1}


async def test_a_server_that_answers_before_it_has_the_body() -> None:
    async with forwarding(say_ok) as (served, _):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call("POST /a", "Content-Length: 1000", body=b"x"))
            assert (await rest_of(stream)).endswith(b"\r\n\r\nok")


async def test_a_server_that_does_not_answer_in_time() -> None:
    async def server(call: Heard) -> None:
        await trio.sleep_forever()

    async with forwarding(server, timeout=0.2) as (served, _):
        assert refused(await ask(served, call())) == (504, "the server behind this listener did not answer in time")
        await served.settled()
        assert served.gate.refused == {"rest_timeout": 1}


async def test_a_body_that_does_not_come_in_time() -> None:
    async def server(call: Heard) -> None:
        await call.read_body(b"never")

    async with forwarding(server, timeout=0.2, torn=True) as (served, _):
        answer = await ask(served, call("POST /a", "Content-Length: 5", body=b"x"))
        assert refused(answer) == (408, "the body did not arrive in time")


async def test_an_answer_that_does_not_end_in_time_is_cut() -> None:
    async def server(call: Heard) -> None:
        await call.stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\nabc")
        await trio.sleep_forever()

    async with forwarding(server, timeout=0.2) as (served, _):
        assert (await ask(served, call())).endswith(b"\r\n\r\nabc")
        await served.settled()
        assert served.gate.refused == {"rest_timeout": 1}


async def test_so_many_calls_at_once_and_no_more() -> None:
    async def server(call: Heard) -> None:
        await go.wait()
        await call.stream.send_all(OK)

    go = trio.Event()
    async with forwarding(server, at_once=2) as (served, calls):
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask, served, call())
            with trio.fail_after(5):
                while len(calls) < 2:
                    await trio.sleep(0.01)
            answer = await ask(served, call())
            assert refused(answer)[0] == 503
            assert b"Retry-After" in answer
            go.set()
        assert (await ask(served, call())).startswith(b"HTTP/1.1 200 ")
        assert served.listener.forwarder.calls == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("body", [b"", b"x"])
async def test_a_client_that_hangs_up_ends_the_call(body: bytes) -> None:
    over = trio.Event()

    async def server(call: Heard) -> None:
        try:
            while await call.stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
        over.set()

    async with forwarding(server) as (served, calls):
        stream = await served.raw()
        await stream.send_all(call("POST /a", "Content-Length: 5", body=body) if body else call())
        with trio.fail_after(5):
            while not calls:
                await trio.sleep(0.01)
            await stream.aclose()
            await over.wait()
        await served.settled()
        assert served.listener.forwarder.calls == 0  # type: ignore[union-attr]


async def test_what_a_client_sends_behind_its_request_is_not_heard() -> None:
    async def server(call: Heard) -> None:
        await go.wait()
        await call.stream.send_all(OK)

    go = trio.Event()
    async with forwarding(server) as (served, calls):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call() + call("GET /second"))
            with trio.fail_after(5):
                while not calls:
                    await trio.sleep(0.01)
            await stream.send_all(call("GET /third"))
            go.set()
            assert (await rest_of(stream)).count(b"HTTP/1.1") == 1
        assert len(calls) == 1


async def test_a_client_that_reads_no_answer_holds_nothing_for_ever() -> None:
    async def server(call: Heard) -> None:
        await call.stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await call.stream.send_all(b"x" * 65536)

    async with forwarding(server, timeout=0.3, torn=True) as (served, _):
        stream = await served.raw()
        async with stream:
            await stream.send_all(call())
            await served.settled()


async def test_a_call_makes_no_stranger_of_its_caller() -> None:
    async def server(call: Heard) -> None:
        await go.wait()
        await call.stream.send_all(OK)

    go = trio.Event()
    async with forwarding(server, gate=Gate(max_clients=10, max_unidentified=1)) as (served, calls):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, served, call())
            with trio.fail_after(5):
                while not calls:
                    await trio.sleep(0.01)
            assert (served.gate.clients, served.gate.unidentified) == (1, 0)
            go.set()


async def test_tls_on_both_sides() -> None:
    ca = trustme.CA()
    front, back = (ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) for _ in range(2))
    for context in (front, back):
        ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    trusted = ssl.create_default_context()
    ca.configure_trust(trusted)
    listeners = await trio.open_ssl_over_tcp_listeners(0, back, host="127.0.0.1", https_compatible=True)
    url = f"https://localhost:{listeners[0].transport_listener.socket.getsockname()[1]}"  # type: ignore[attr-defined]

    async def accept(stream: trio.SSLStream[trio.SocketStream]) -> None:
        call = Heard(stream)
        await call.read_head()
        await stream.send_all(OK)
        await stream.aclose()

    for known, status in ((trusted, 200), (None, 502)):
        forwarder = Forwarder(url, max_body=1000)
        if known is not None:
            forwarder.tls = known
        async with serving(discodo.PROTOCOL, options={"rest": url}, forwarder=forwarder, tls=front) as served:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, _contained(accept), listeners)
                stream = trio.SSLStream(await served.raw(), trusted, server_hostname="localhost", https_compatible=True)
                await stream.send_all(call())
                assert (await rest_of(stream)).startswith(f"HTTP/1.1 {status} ".encode())
                await trio.aclose_forcefully(stream)
                nursery.cancel_scope.cancel()
        if known is not None:
            listeners = await trio.open_ssl_over_tcp_listeners(
                int(url.rpartition(":")[2]), back, host="127.0.0.1", https_compatible=True
            )


def _contained(accept: Any) -> Any:
    async def contained(stream: Any) -> None:
        try:
            await accept(stream)
        except (trio.BrokenResourceError, AssertionError):
            pass  # it did not believe who we are

    return contained
