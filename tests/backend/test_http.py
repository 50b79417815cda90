"""Asking a real HTTP server in its own process, which is well, late, broken, gone, and back."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trustme

from gatewayd.backend.answer import Answer, Said
from gatewayd.backend.errors import BackendError
from gatewayd.backend.http import HttpBackend
from gatewayd.backend.request import Caller, CommandRequest, Entry
from tests.backend.conftest import Backend

CALLER = Caller(
    id="s1", listener="main", protocol="utilbot", realm="main", identity="a", generation=2,
    remote="127.0.0.1:5", metadata={"type": "bot"}, channels=("user:a",),
)  # fmt: skip
ENTRY = Entry(
    n=1, session="s1", generation=1, sequence=1, kind="opened", cause="", at=1.5, listener="main", protocol="utilbot",
    realm="main", identity="a", metadata={"type": "bot"},
)  # fmt: skip


def asked(command: str | int, data: Any = None) -> CommandRequest:
    return CommandRequest(session=CALLER, command=command, data=data)


@asynccontextmanager
async def asking(backend: Backend, **more: Any) -> AsyncIterator[HttpBackend]:
    client = backend.client(**more)
    with trio.fail_after(20):
        yield client
        await client.aclose()


async def failure(client: HttpBackend, command: str, data: Any = None) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await client.ask(asked(command, data))
    return caught.value


async def test_the_request_is_signed_and_says_who_asks_what(backend: Backend) -> None:
    async with asking(backend) as client:
        first = (await client.ask(asked("echo", {"a": [1]}))).reply
        assert len(first.pop("id")) == 32
        assert first == {
            "type": "command",
            "session": {
                "id": "s1", "listener": "main", "protocol": "utilbot", "realm": "main", "identity": "a", "generation": 2,
                "remote": "127.0.0.1:5", "metadata": {"type": "bot"}, "channels": ["user:a"],
            },
            "command": "echo",
            "data": {"a": [1]},
        }  # fmt: skip
        assert await client.ask(asked("nothing")) == Answer()
        answer = {"subscribe": ["c"], "events": [{"channel": "c", "event": "E", "data": 1}], "disconnect": "x"}
        assert await client.ask(asked("everything", answer)) == Answer(
            subscribe=("c",), events=(Said(channel="c", event="E", data=1),), disconnect="x"
        )
        assert (await client.ask(asked("unknown"))).unknown


@pytest.mark.parametrize(
    ("command", "data", "slug", "words"),
    [
        ("status", {"status": 500}, "status", "HTTP status 500"),
        ("status", {"status": 302}, "status", "HTTP status 302"),
        ("status", {"status": 408}, "status", "HTTP status 408"),
        ("status", {"status": 429}, "status", "HTTP status 429"),
        ("status", {"status": 404}, "rejected", "HTTP status 404"),
        ("html", None, "not_json", "not JSON"),
        ("gzip", None, "not_json", "not JSON"),
        ("invalid", None, "invalid", "events: Expected `array`"),
        ("big", None, "too_big", "more than 1000000 bytes"),
        ("endless", None, "too_big", "more than 1000000 bytes"),
        ("hang_up", None, "broken", ""),
        ("half", None, "broken", ""),
        ("no_http", None, "broken", ""),
    ],
)
async def test_what_comes_back_may_be_anything(
    backend: Backend, command: str, data: Any, slug: str, words: str
) -> None:
    async with asking(backend) as client:
        error = await failure(client, command, data)
        assert (error.slug, error.words) == (slug, "the backend did not answer")
        assert words in str(error)
        assert (await client.ask(asked("nothing"))) == Answer()  # and the next one is answered


@pytest.mark.parametrize("command", ["slow", "trickle"])
async def test_late_is_not_at_all(backend: Backend, command: str) -> None:
    async with asking(backend, timeout=0.3) as client:
        error = await failure(client, command, {})
        assert (error.slug, error.words) == ("timeout", "the backend did not answer in time")
        assert str(error) == "timeout: no complete answer within 0.3 s"


async def test_gone_and_back(backend: Backend) -> None:
    async with asking(backend) as client:
        assert await client.ask(asked("nothing")) == Answer()
        backend.stop()
        for _ in range(2):  # the first may find the connection that was kept
            error = await failure(client, "nothing")
            assert error.slug in ("unreachable", "broken")
        assert error.slug == "unreachable"
        backend.start()
        assert await client.ask(asked("nothing")) == Answer()


async def test_who_has_another_secret_is_rejected(backend: Backend) -> None:
    async with asking(backend, secret="wrong") as client:
        assert (await failure(client, "nothing")).slug == "rejected"


async def test_without_a_secret_nothing_is_signed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x?y=1"
        client = HttpBackend(url, None, timeout=5, connections=2, max_answer_bytes=10, wall=lambda: 1234.9)

        def answer() -> bytes:
            raw, _ = server.accept()
            with raw:
                head = raw.recv(65536).lower()
                raw.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return head

        heads: list[bytes] = []

        async def answered() -> None:
            heads.append(await trio.to_thread.run_sync(answer))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answered)
            assert await client.ask(asked("x")) == Answer()
        await client.aclose()
    assert heads[0].startswith(b"post /x?y=1 http/1.1\r\n")
    assert b"x-gatewayd-timestamp: 1234\r\n" in heads[0]
    assert b"x-gatewayd-signature" not in heads[0]
    assert b"accept-encoding: identity\r\n" in heads[0]


async def test_the_environments_proxy_is_not_asked(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with asking(backend) as client:
        assert await client.ask(asked("nothing")) == Answer()


async def test_a_certificate_is_checked() -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(server_side)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_ssl_over_tcp_listeners(0, server_side, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        transport = listeners[0].transport_listener
        assert isinstance(transport, trio.SocketListener)
        port = transport.socket.getsockname()[1]
        client = HttpBackend(f"https://127.0.0.1:{port}", None, timeout=5, connections=2, max_answer_bytes=10)
        assert (await failure(client, "x")).slug == "unreachable"
        await client.aclose()
        nursery.cancel_scope.cancel()


async def test_lifecycle_events_are_told_and_refused(backend: Backend) -> None:
    async with asking(backend) as client:
        await client.tell([ENTRY])
        assert backend.heard() == [
            {
                "n": 1, "session": "s1", "generation": 1, "sequence": 1, "kind": "opened", "cause": "", "at": 1.5,
                "listener": "main", "protocol": "utilbot", "realm": "main", "identity": "a", "metadata": {"type": "bot"},
                "lost": {},
            }
        ]  # fmt: skip
        for mode, slug in (("503", "status"), ("400", "rejected")):
            backend.mode(mode)
            with pytest.raises(BackendError) as caught:
                await client.tell([ENTRY])
            assert caught.value.slug == slug
            assert caught.value.taken == 0
        assert len(backend.heard()) == 1
