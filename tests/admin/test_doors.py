"""The doors of the API over real sockets: crowds, strangers, and clients that end in every manner."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from gatewayd.admin.server import serve_unix
from gatewayd.config.limits import ApiLimits
from gatewayd.config.model import ApiToken
from gatewayd.config.values import Secret
from gatewayd.net.bind import bind_unix
from tests.admin.served import Api, api
from tests.net.test_accept import Failing

TOKENS = [ApiToken(name="backend", token=Secret("t"), scopes=("admin",))]
GET = b"GET /v1/status HTTP/1.1\r\nHost: gatewayd\r\nAuthorization: Bearer t\r\n\r\n"
WAIT = json.dumps({"channel": "user:b0", "event": "E"}).encode()


def waiting(seconds: int = 30) -> bytes:
    """A request that is being answered for some time."""
    head = f"POST /v1/publish?wait=written&timeout={seconds}s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(WAIT) + WAIT


class Client:
    """A plain socket, for use in a thread; `source` is the address that it comes from."""

    def __init__(self, node: Api, source: str | None = None) -> None:
        place = node.place
        self.sock = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
        self.sock.settimeout(5)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.connect(place)

    def ask(self, text: bytes = GET) -> int:
        """The status of the answer, whose body is read to its end."""
        self.sock.sendall(text)
        return self.hear()

    def hear(self) -> int:
        answer = http.client.HTTPResponse(self.sock)
        answer.begin()
        body = answer.read()
        assert answer.status == 200 or b'"message"' in body
        return answer.status

    def ended(self) -> bool:
        return self.sock.recv(1000) == b""


def leave(client: Client) -> None:
    client.sock.close()


def half_close(client: Client) -> None:
    client.sock.shutdown(socket.SHUT_WR)


def reset(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def stay(client: Client) -> None:
    """It keeps the connection and forgets it."""


@pytest.mark.parametrize("tokens", [None, TOKENS], ids=["unix", "tcp"])
@pytest.mark.parametrize("end", [leave, half_close, reset, stay])
async def test_many_in_a_row_are_all_answered(tmp_path: Path, tokens: Any, end: Callable[[Client], None]) -> None:
    """With no place that lingers: there are 4 for whoever comes, and each comes without `Connection: close`."""
    bounds = ApiLimits(known_each=4, known=8, strangers_each=4, strangers=8)
    async with api(tmp_path, tokens=tokens, limits=bounds) as node:

        def run() -> None:
            with ExitStack() as kept:
                for _ in range(200):
                    client = Client(node)
                    kept.callback(client.sock.close)
                    assert client.ask() == 200
                    end(client)

        await trio.to_thread.run_sync(run)
        assert (await node.ask("GET", "/healthz"))[0] == 200
        assert not node.node.refused


async def test_half_a_request_after_the_other(tmp_path: Path) -> None:
    """Without end: nobody is kept out by those who never say the rest, and those are told so."""
    async with api(tmp_path, limits=ApiLimits(known_each=4)) as node:

        def run() -> None:
            halves = []
            for text in (
                b"",
                b"GET /v1/sta",
                b"POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{",
            ) * 10:
                halves.append(Client(node))
                halves[-1].sock.sendall(text)
                with Client(node).sock as sock:
                    sock.sendall(GET)
                    assert sock.recv(100).startswith(b"HTTP/1.1 200")
            assert [half.hear() for half in halves[:20]] == [503] * 20
            for half in halves:
                half.sock.close()

        await trio.to_thread.run_sync(run)
        assert node.node.refused["no_room"] >= 20


@pytest.mark.parametrize("tokens", [None, TOKENS], ids=["unix", "tcp"])
async def test_where_all_places_are_at_work_the_next_is_refused_in_words(tmp_path: Path, tokens: Any) -> None:
    async with api(tmp_path, tokens=tokens, bots=1, limits=ApiLimits(known_each=3)) as node:
        node.talk.people[0].leave()

        def run() -> None:
            busy = [Client(node) for _ in range(3)]
            for client in busy:
                client.sock.sendall(waiting(2))
            while len(node.talk.hub.progress) < 3:
                time.sleep(0.01)
            for _ in range(100):
                with (refused := Client(node)).sock:
                    assert refused.ask() == 503
            for client in busy:  # whoever is at work stays
                assert client.hear() == 200
                client.sock.close()
            with (again := Client(node)).sock:
                assert again.ask() == 200

        await trio.to_thread.run_sync(run)
        assert node.node.refused == {"no_room": 100}


async def test_strangers_never_keep_a_token_out(tmp_path: Path) -> None:
    """From one address or many, silent, with half a head, or asking without a token."""
    bounds = ApiLimits(strangers=8, strangers_each=4)
    async with api(tmp_path, tokens=TOKENS, bots=1, limits=bounds) as node:

        def run() -> None:
            kept = Client(node)
            assert kept.ask() == 200
            strangers = []
            for number in range(70):
                source = f"127.0.0.{2 + number % (1 if number < 35 else 20)}"
                strangers.append(Client(node, source))
                strangers[-1].sock.sendall((b"", b"GET /", b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n")[number % 3])
                for own in (None, "127.0.0.2"):
                    with (holder := Client(node, own)).sock:
                        assert holder.ask() == 200
            assert kept.ask() == 200
            for client in (kept, *strangers):
                client.sock.close()

        await trio.to_thread.run_sync(run)


async def test_one_address_holds_its_part_and_no_more(tmp_path: Path) -> None:
    async with api(tmp_path, tokens=TOKENS, limits=ApiLimits(strangers=8, strangers_each=4)) as node:

        def run() -> None:
            other = Client(node, "127.0.0.2")
            many = [Client(node) for _ in range(20)]
            for early in many[:16]:
                assert early.hear() == 503
            assert other.ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") == 200
            for client in (other, *many):
                client.sock.close()

        await trio.to_thread.run_sync(run)


async def test_a_stranger_has_little_time_and_a_token_as_much_as_it_needs(tmp_path: Path) -> None:
    async with api(tmp_path, tokens=TOKENS, bots=1, limits=ApiLimits(stranger_seconds=0.3)) as node:
        node.talk.people[0].leave()

        def run() -> None:
            silent, polite, holder, waiter = (Client(node) for _ in range(4))
            assert polite.ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") == 200
            assert holder.ask() == 200
            waiter.sock.sendall(waiting(1))
            assert silent.hear() == 503
            assert polite.ended()
            assert waiter.hear() == 200
            assert holder.ask() == 200
            for client in (silent, polite, holder, waiter):
                client.sock.close()

        await trio.to_thread.run_sync(run)


async def test_without_a_token_no_body_is_awaited(tmp_path: Path) -> None:
    async with api(tmp_path, tokens=TOKENS) as node:

        def run() -> None:
            with (client := Client(node)).sock:
                client.sock.sendall(b"PUT /v1/documents/a HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
                client.sock.sendall(b"1" * 500_000)
                assert client.hear() == 401
                assert client.ended()

        await trio.to_thread.run_sync(run)
        assert "a" not in node.node.hub.realms.make("main").documents


async def test_a_body_that_is_refused_is_read_until_its_answer_has_come(tmp_path: Path) -> None:
    async with api(tmp_path) as node:

        def run() -> None:
            with (client := Client(node)).sock:
                length = 12_000_000
                client.sock.sendall(b"PUT /v1/documents/a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
                client.sock.sendall(b"1" * length)
                assert client.hear() == 413

        await trio.to_thread.run_sync(run)


async def test_a_fault_of_ours_ends_its_connection_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with api(tmp_path) as node:

        def broken() -> int:
            raise ZeroDivisionError

        clients, node.node.clients = node.node.clients, broken

        def run() -> None:
            with (client := Client(node)).sock:
                assert client.ask() == 500
                assert client.ended()

        await trio.to_thread.run_sync(run)
        node.node.clients = clients
        assert await node.get("/v1/status")
    assert [record.message for record in caplog.records] == ["fault on an admin connection"]


async def test_whoever_guesses_tokens_is_slow_and_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A right token never waits."""
    async with api(tmp_path, tokens=TOKENS, limits=ApiLimits(unauthorized_seconds=0.2)) as node:

        def run() -> None:
            with (client := Client(node)).sock, caplog.at_level("INFO", "gatewayd.admin"):
                for _ in range(3):
                    began = time.monotonic()
                    assert client.ask(GET.replace(b"Bearer t", b"Bearer x")) == 401
                    assert time.monotonic() - began >= 0.2
                assert client.ask() == 200

        await trio.to_thread.run_sync(run)
        assert node.node.refused == {"unauthorized": 3}
        assert [record.getMessage() for record in caplog.records] == [
            "refused a request of address=127.0.0.1: no valid token"
        ] * 3


async def test_health_checks_cost_a_stranger_time(tmp_path: Path) -> None:
    """Whoever sent them without end, and without a token, had as much of the loop as all clients together."""
    async with api(tmp_path, tokens=TOKENS, limits=ApiLimits(unauthorized_seconds=0.2)) as node:

        def run() -> None:
            check = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
            with (client := Client(node)).sock:
                took = []
                for text in (check, check, GET, check):
                    began = time.monotonic()
                    assert client.ask(text) == 200
                    took.append(time.monotonic() - began)
                assert took[1] >= 0.2
                assert max(took[0], took[3]) < 0.2

        await trio.to_thread.run_sync(run)


async def test_out_of_descriptors_it_says_so_and_is_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, no traceback."""
    refused: Counter[str] = Counter()
    path = tmp_path / "admin.sock"
    listening: Any = Failing(bind_unix(path), errno.EMFILE)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_unix, app, listening, refused)
        for status in (b"503", b"200"):
            with trio.fail_after(5):
                async with await trio.open_unix_socket(str(path)) as stream:
                    await stream.send_all(GET)
                    assert (await stream.receive_some())[9:12] == status
        nursery.cancel_scope.cancel()
    assert refused == {"no_descriptors": 1}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
