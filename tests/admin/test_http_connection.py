"""HTTP/1.1 over a line whose both ends the test holds, with applications of a few lines."""

from __future__ import annotations

from typing import Any

import h11
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.admin.http_connection import Asgi, Gone, HttpConnection
from gatewayd.admin.slots import SlotPool
from gatewayd.config.limits import ApiLimits
from gatewayd.net.transport import SocketTransport

HOST = b"Host: gatewayd\r\n"


class Line(SocketTransport):
    """A connection without a socket. `takes` bounds what the client takes before it has to be asked again."""

    def __init__(self) -> None:
        self.remote = "unix"
        self.said = bytearray()
        self.open = True
        self.takes: float = float("inf")
        self._send, self._receive = trio.open_memory_channel[bytes](1000)
        self.lingered = False

    def feed(self, *parts: bytes) -> None:
        for part in parts:
            self._send.send_nowait(part)

    def end(self) -> None:
        self._send.close()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = await self._receive.receive()
        except trio.EndOfChannel:
            return b""
        if data == b"RST":
            raise trio.BrokenResourceError
        return data

    def write_some(self, data: bytes) -> int:
        if not self.open:
            raise trio.BrokenResourceError
        taken = int(min(len(data), self.takes))
        self.takes -= taken
        self.said += data[:taken]
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        while data:
            taken = self.write_some(bytes(data))
            data = data[taken:]
            if not taken:
                await trio.sleep(1)

    async def linger(self, seconds: float, most: int) -> None:
        self.lingered = True

    def abort(self) -> None:
        self.open = False


async def body_of(receive: Any) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise EOFError
        body += message["body"]
        if not message["more_body"]:
            return body


async def reply(send: Any, body: bytes, status: int = 200, *, length: bool = True) -> None:
    headers = [(b"content-length", str(len(body)).encode())] if length else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await body_of(receive)
    await reply(send, scope["method"].encode() + b" " + scope["path"].encode() + b" " + body)


async def early(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, b"no", 413)


def connection(app: Asgi, line: Line, **limits: Any) -> HttpConnection:
    return HttpConnection(app, line, SlotPool(9, 9).acquire("me", lambda: None), ApiLimits(**limits), {"who": "me"})


def answers(said: bytes | bytearray, *methods: bytes) -> list[tuple[int, bytes, dict[bytes, bytes]]]:
    """What a client understands."""
    client, found = h11.Connection(h11.CLIENT), []
    client.receive_data(bytes(said))
    for method in methods:
        client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        body = b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            assert event is not h11.NEED_DATA, said
        found.append((head.status_code, body, dict(head.headers)))
        if len(found) < len(methods):
            client.start_next_cycle()
    assert not client.trailing_data[0]
    return found


async def told(app: Asgi, *parts: bytes, end: bool = True, **limits: Any) -> Line:
    """The line when the connection is over."""
    line = Line()
    line.feed(*parts)
    if end:
        line.end()
    await connection(app, line, **limits).run()
    return line


async def test_requests_one_after_the_other(autojump_clock: trio.abc.Clock) -> None:
    """Kept alive and pipelined, with bodies of told length and in chunks; the client half-closes behind them all."""
    text = (
        b"GET /a%20b?x=1 HTTP/1.1\r\n" + HOST + b"\r\n"
        b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\none"
        b"PUT /3 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1;x\r\no\r\n0\r\nT: t\r\n\r\n"
        b"HEAD /4 HTTP/1.1\r\n" + HOST + b"\r\n"
        b"GET /5 HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n"
        b"GET /6 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\nGET /7 HTTP/1.1\r\n"
    )  # fmt: skip
    wanted = [b"GET /a b ", b"POST /2 one", b"PUT /3 two", b"", b"GET /5 ", b"GET /6 "]
    methods = (b"GET", b"POST", b"PUT", b"HEAD", b"GET", b"GET")
    for parts in (
        [text],
        [text[i : i + 1] for i in range(len(text))],
        [text[i : i + 7] for i in range(0, len(text), 7)],
    ):
        line = await told(echo, *parts)
        found = answers(line.said, *methods)
        assert [body for _, body, _ in found] == wanted
        assert {status for status, _, _ in found} == {200}
        assert found[3][2][b"content-length"] == b"8"
        assert found[-1][2][b"connection"] == b"close"
        assert b"date" in found[0][2]


async def test_what_the_application_is_told(autojump_clock: trio.abc.Clock) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        scope["state"]["who"] = "changed"
        await reply(send, b"")

    await told(app, b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 99 + b"\r\n")
    assert len(scopes.pop()["headers"]) == 100
    request = b"GET /%C3%A4?a=%20 HTTP/1.1\r\nHOST: b:1\r\nX-Y: 1\r\nx-y: 2\r\n\r\n"
    await told(app, request + request)
    first, second = scopes
    assert (first["type"], first["http_version"], first["method"]) == ("http", "1.1", "GET")
    assert (first["path"], first["raw_path"], first["query_string"]) == ("/ä", b"/%C3%A4", b"a=%20")
    assert first["headers"] == [(b"host", b"b:1"), (b"x-y", b"1"), (b"x-y", b"2")]
    assert first["state"] is not second["state"]


async def test_an_answer_in_parts_goes_out_part_by_part(autojump_clock: trio.abc.Clock) -> None:
    line = Line()
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            seen.append(len(line.said))
        await send({"type": "http.response.body"})

    line.feed(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    line.end()
    await connection(app, line).run()
    assert answers(line.said, b"GET")[0][:2] == (200, b"onetwo")
    assert 0 < seen[0] < seen[1] < len(line.said)


async def test_what_comes_in_the_tick_of_the_deadline_is_not_begun(mock_clock: trio.testing.MockClock) -> None:
    """Half of its work would be done otherwise, and no answer be sent."""
    request, calls, line = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", list[str](), Line()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])
        await trio.lowlevel.checkpoint()
        await reply(send, b"")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection(app, line).run)
        line.feed(request)
        await trio.testing.wait_all_tasks_blocked()
        line.feed(request)
        mock_clock.jump(ApiLimits().idle_seconds)
    assert calls == ["/"]
    assert len(answers(line.said, b"GET")) == 1


async def test_100_continue_is_said_to_whoever_waits_for_it(autojump_clock: trio.abc.Clock) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    line = Line()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection(echo, line).run)
        line.feed(head)
        await trio.testing.wait_all_tasks_blocked()
        assert line.said.startswith(b"HTTP/1.1 100 ")
        line.said.clear()
        line.feed(b"abc")
        line.end()
    assert answers(line.said, b"POST")[0][1] == b"POST / abc"
    line = await told(early, head)  # refused without it: its body must not be taken for a request
    assert line.said.startswith(b"HTTP/1.1 413 ")
    assert answers(line.said, b"POST")[0][2][b"connection"] == b"close"


async def test_an_answer_before_the_end_of_the_request_is_the_last_one(autojump_clock: trio.abc.Clock) -> None:
    line = await told(
        early, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n"
    )
    ((status, _, headers),) = answers(line.said, b"POST")
    assert (status, headers[b"connection"], line.lingered) == (413, b"close", True)


async def test_a_client_that_hangs_up_is_noticed_and_one_that_talks_is_not(autojump_clock: trio.abc.Clock) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        with trio.move_on_after(20):
            events.append(((await receive())["type"], trio.current_time() - start))
        await reply(send, b"answered")

    request = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    for last in (b"", b"RST", b"x" * 70_000):
        events.clear()
        start, line = trio.current_time(), Line()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection(app, line).run)
            line.feed(request)
            await trio.sleep(3)
            line.feed(last) if last else line.end()
            await trio.sleep(1)
            line.feed(b"more of it") if last and last != b"RST" else None
            await trio.sleep(30)
            nursery.cancel_scope.cancel()
        assert events == ([("http.disconnect", 3.0)] if last in (b"", b"RST") else [])
        assert b"answered" in line.said  # whoever half-closed still hears


@pytest.mark.parametrize("headers", [b"", HOST, b"Connection: keep-alive\r\n"])
async def test_a_request_of_http_1_0_gets_one_answer(headers: bytes, autojump_clock: trio.abc.Clock) -> None:
    """As the health checks of proxies ask; h11 would say chunks to nobody who does not know them."""
    line = await told(echo, b"GET / HTTP/1.0\r\n" + headers + b"\r\n" + b"GET /2 HTTP/1.0\r\n\r\n", end=False)
    ((status, body, found),) = answers(line.said, b"GET")
    assert (status, found[b"connection"]) == (200, b"close")
    assert b"transfer-encoding" not in found
    assert b"/2" not in body
    assert line.lingered


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # TLS
        (b"\x00\x01\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n  2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"a" * 17_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 3000, 431),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused_in_words_at_once(
    text: bytes, status: int, autojump_clock: trio.abc.Clock
) -> None:
    """Rows 7, 8, 13, 17 to 22; though nothing more comes, nobody waits for it."""
    for parts in ([text], [text[i : i + 100] for i in range(0, len(text), 100)], [text[:1], text[1:]]):
        before = trio.current_time()
        line = await told(echo, *parts, end=False)
        ((found, body, headers),) = answers(line.said, b"GET")
        assert (found, headers[b"connection"]) == (status, b"close")
        assert b'"message"' in body
        assert trio.current_time() == before


async def test_the_time_that_things_may_take(autojump_clock: trio.abc.Clock) -> None:
    async def lasts(*parts: bytes, app: Asgi = echo, takes: float = float("inf")) -> tuple[float, bytes]:
        line, before = Line(), trio.current_time()
        line.takes = takes
        line.feed(*parts)
        await connection(app, line).run()
        return trio.current_time() - before, bytes(line.said)

    request = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    assert await lasts() == (10, b"")
    seconds, said = await lasts(b"GE")
    assert (seconds, said[:12]) == (10, b"HTTP/1.1 408")
    seconds, said = await lasts(request)
    assert (seconds, said.count(b"HTTP/1.1")) == (120, 1)
    seconds, said = await lasts(request, b"GE")
    assert (seconds, said.count(b"HTTP/1.1"), b"408" in said) == (10, 2, True)
    with pytest.raises(trio.TooSlowError):  # the application makes it an answer
        await lasts(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\n", b"a")

    async def long(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(Gone):
            await reply(send, b"x" * 1_000_000)

    assert (await lasts(request, app=long, takes=1000))[0] == 10


async def test_a_client_that_is_gone_when_it_is_answered(autojump_clock: trio.abc.Clock) -> None:
    line = Line()
    line.feed(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    line.open = False
    await connection(echo, line).run()
    assert not line.said


async def test_a_body_that_does_not_end_well_is_a_disconnect(autojump_clock: trio.abc.Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(EOFError):
            await body_of(receive)
        await reply(send, b"well", 400)

    length, chunked = b"Content-Length: 3\r\n\r\na", b"Transfer-Encoding: chunked\r\n\r\n"
    tiny = b"1\r\nx\r\n" * 200 + b"0\r\n\r\n"  # bounded by their number, since each costs more than what is in it
    for rest in ([length], [length, b"RST"], [chunked, b"nonsense\r\n"], [chunked, b"1" * 20_000], [chunked, tiny]):
        line = await told(app, b"POST / HTTP/1.1\r\n" + HOST + rest[0], *rest[1:], body_chunks=100)
        assert answers(line.said, b"POST")[0][0] == 400


async def test_a_body_of_tiny_chunks_holds_nobody_up(autojump_clock: trio.abc.Clock) -> None:
    ticks = 0

    async def others() -> None:
        nonlocal ticks
        while True:
            await trio.lowlevel.checkpoint()
            ticks += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        line = await told(echo, head, b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n")
        nursery.cancel_scope.cancel()
    assert answers(line.said, b"POST")[0][1] == b"POST / " + b"x" * 10_000
    assert ticks >= 10_000 // 32


async def test_when_it_gives_way(autojump_clock: trio.abc.Clock) -> None:
    """A connection may give way until the request is whole, and from the answer on."""
    states: list[Any] = []
    line = Line()
    pool = SlotPool(1, 1)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        states.append((bool(pool.idle), served.unanswered))
        await body_of(receive)
        states.append((bool(pool.idle), served.unanswered))
        await reply(send, b"")
        states.append((bool(pool.idle), served.unanswered))

    served = HttpConnection(app, line, pool.acquire("me", lambda: None), ApiLimits(), {})
    assert served.unanswered
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.run)
        line.feed(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\n", b"one")
        await trio.testing.wait_all_tasks_blocked()
        assert states == [(True, True), (False, True), (False, False)]
        assert (bool(pool.idle), served.unanswered) == (True, False)
        line.feed(b"GET")
        await trio.testing.wait_all_tasks_blocked()
        assert (bool(pool.idle), served.unanswered) == (True, True)
        nursery.cancel_scope.cancel()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from(
    [b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
     b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n"]
), max_size=12))  # fmt: skip
def test_no_bytes_raise_anything(parts: list[bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await echo(scope, receive, send)
        except EOFError:
            await reply(send, b"incomplete", 400)

    line = trio.run(lambda: told(app, *parts), clock=trio.testing.MockClock(autojump_threshold=0))
    assert not line.said or line.said.startswith(b"HTTP/1.1 ")
