"""The same bytes to both: requests that are plain, answered without h11, and the same ones answered with it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatewayd.admin.app import App
from gatewayd.admin.http import Bodies, Body
from gatewayd.admin.http_connection import Asgi, HttpConnection
from gatewayd.admin.node import NodeView
from gatewayd.admin.plain_head import PlainHead, plain_head
from gatewayd.admin.server import Caller
from gatewayd.admin.slots import SlotPool
from gatewayd.admin.tokens import Authorized
from gatewayd.config.limits import ApiLimits
from gatewayd.config.model import ApiToken
from gatewayd.config.values import Secret
from gatewayd.core.sampled import Sampled
from gatewayd.protocols import utilbot
from tests.admin.test_http_connection import HOST, Line
from tests.playbook import Playbook

LIMITS = ApiLimits(head_bytes=400, headers=6, body_bytes=500)


async def told(
    make: Callable[[], Asgi], parts: list[bytes], *, end: bool, plain: bool
) -> tuple[bytes, bool, bool, int]:
    """What the client is told, whether the connection lingered, is open, and how many heads were plain."""
    heads: list[PlainHead] = []

    def look(data: bytearray, limits: ApiLimits) -> PlainHead | None:
        found = plain_head(data, limits) if plain else None
        heads.extend([found] if found else [])
        return found

    line = Line()
    line.feed(*parts)
    if end:
        line.end()
    slot = SlotPool(9, 9).acquire("me", lambda: None)
    await HttpConnection(make(), line, slot, LIMITS, {"slot": slot}, look).run()
    assert not slot.busy
    return re.sub(rb"\ndate: [^\r]*", b"\ndate: now", line.said), line.lingered, line.open, len(heads)


def both(make: Callable[[], Asgi], parts: list[bytes], *, end: bool = True) -> tuple[bytes, int]:
    """What the client is told, which is the same; and how many heads were plain."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    said, *quick = trio.run(lambda: told(make, parts, end=end, plain=True), clock=clock)
    clock = trio.testing.MockClock(autojump_threshold=0)
    same, *slow = trio.run(lambda: told(make, parts, end=end, plain=False), clock=clock)
    assert (said, quick[:2], slow[2]) == (same, slow[:2], 0)
    return said, quick[2]


async def say(send: Any, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """All that an application sees of a request; what it answers, and when, is for the path to say."""
    body, events = b"", list[tuple[str, bool]]()
    while "early" not in scope["path"] and (not events or events[-1][1]):
        try:
            message = await receive()
        except trio.TooSlowError:
            message = {"type": "too slow"}
        events.append((message["type"], message.get("more_body", False)))
        body += message.get("body", b"")
    seen = [{**scope, "state": scope["state"]["slot"].busy}, events[-1:], body]
    text = json.dumps(seen, default=str).encode()
    if "parts" in scope["path"]:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body", "body": b"and more"})
    elif "empty" in scope["path"]:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
    elif "text" in scope["path"]:
        await say(send, 404, text, b"text/plain")
    else:
        await say(send, 503 if "busy" in scope["path"] else 200, text)


PLAIN = (
    b"POST /v1/publish?a=%20 HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nX-y:  a \tb \r\nConnection: Keep-Alive\r\n\r\n12345"
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (PLAIN * 3, 3),
        (b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n", 1),
        (b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n", 1),
        (b"GET /parts HTTP/1.1\r\n" + HOST + b"\r\n" + PLAIN, 2),
        (b"GET /empty HTTP/1.1\r\n" + HOST + b"\r\n" + PLAIN, 2),
        (b"HEAD /text HTTP/1.1\r\n" + HOST + b"\r\n" + PLAIN, 2),
        (b"GET /busy HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n" + PLAIN, 2),
        (b"GET /early HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n" + PLAIN, 1),  # said before it was read
        (b"GET /early/parts HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\n" + PLAIN, 1),
        (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", 1),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n" + PLAIN, 0),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\r\nx: 2\r\n\r\n" + PLAIN, 1),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n12345" + PLAIN, 1),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\n12345", 0),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n1" % 10**19, 0),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n1" % 10**17, 1),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + PLAIN, 1),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\n\r\n" + PLAIN, 1),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 3 + b"\r\n", 0),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A:\r\nB: \r\nC: c\x80\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A:\r\nB: \r\nC:\t\r\n\r\n", 1),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\n" + HOST + b"1: b\r\n2: b\r\n3: b\r\n4: b\r\n5: b\r\n6: b\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 400 + b"\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 0),
        (b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", 0),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 0),
        (b"CONNECT /x HTTP/1.1\r\n" + HOST + b"\r\n", 0),
        (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 0),
        (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 0),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n123", 1),
    ],
)
def test_what_is_plain_and_what_is_not(text: bytes, count: int) -> None:
    for end in (True, False):
        said, plain = both(lambda: echo, [text], end=end)
        assert plain == count
        assert said.startswith(b"HTTP/1.1 ")
    cut = text.find(b"\r\n\r\n") + 4
    both(lambda: echo, [text[:cut], text[cut:]] if cut < len(text) else [text])
    both(lambda: echo, [text[:7], text[7:]])  # in pieces, the first is for h11


LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"POST /v1/publish HTTP/1.1", b"HEAD /x HTTP/1.1", b"PUT /parts HTTP/1.1", b"GET /empty HTTP/1.1",
     b"POST /early HTTP/1.1", b"DELETE /text?x=%41 HTTP/1.1", b"GET /%C3%A4 HTTP/1.1", b"GET /# HTTP/1.0", b"OPTIONS * HTTP/1.1"]
)  # fmt: skip
HEADERS = st.sampled_from(
    [b"Content-Length: 5", b"content-length: 05", b"Content-Length: 0", b"Content-Length: 700", b"Transfer-Encoding: chunked",
     b"Expect: 100-continue", b"Connection: close", b"Connection: keep-alive", b"Upgrade: h2c", b"Accept: */*", b"X-1: a  b",
     b"Authorization:Bearer \t x ", b"Host: b:1", b"Empty:", b"Bad Name: x", b"\tfolded", b"Content-Length: -1"]
) | st.binary(max_size=8)  # fmt: skip
BODIES = st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"x" * 700])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    host = draw(st.sampled_from([[b"Host: a"], [b"Host: a"], [b"host: [::1]:80"], []]))
    lines = [draw(LINES), *host, *draw(st.lists(HEADERS, max_size=4))]
    return b"\r\n".join(lines) + draw(st.sampled_from([b"\r\n\r\n"] * 5 + [b"\n\n"])) + draw(BODIES)


@settings(max_examples=250, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3), st.sets(st.integers(0, 900), max_size=3), st.booleans())
@example([PLAIN, PLAIN], set(), False)
def test_the_same_bytes_are_answered_by_the_same_bytes(texts: list[bytes], cuts: set[int], end: bool) -> None:
    text = b"".join(texts)
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(text)), len(text)]
    both(lambda: echo, [text[start:stop] for start, stop in pairwise(places)], end=end)


# --- the whole API ------------------------------------------------------------------------------------------


def api() -> Asgi:
    """A fresh node's, as at the TCP door."""
    node = NodeView(
        hub=Playbook(utilbot.PROTOCOL).hub, node="e", version="1", started_wall=0.0, listeners=[], clients=int,
        draining=bool, limits=LIMITS,
    )  # fmt: skip
    bodies, app = Bodies(LIMITS), App(node)
    known = SlotPool(9, 9)

    async def bounded(scope: Any, receive: Any, send: Any) -> None:
        with Body(bodies, 0) as scope["state"]["body"]:
            await app(scope, receive, send)

    tokens = [
        ApiToken(name="a", token=Secret("good"), scopes=("publish",)),
        ApiToken(name="b", token=Secret("reader"), scopes=("read",)),
    ]
    guarded = Authorized(bounded, tokens, Counter(), Sampled(trio.current_time), LIMITS)

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        caller = scope["state"]["caller"] = Caller(known, party=scope["state"]["slot"].party)
        caller.served = True
        await guarded(scope, receive, send)

    return asked


ASKED = st.sampled_from(
    [b"POST /v1/publish HTTP/1.1"] * 4 + [b"POST /v1/publish?wait=written&timeout=0s HTTP/1.1", b"GET /v1/publish HTTP/1.1",
     b"HEAD /healthz HTTP/1.1", b"GET /readyz HTTP/1.0", b"POST /v1/notify HTTP/1.1", b"GET /v1/sessions/x HTTP/1.1", b"GET /nope HTTP/1.1",
     b"PUT /v1/documents/x HTTP/1.1"]
)  # fmt: skip
TOKENS = st.sampled_from(
    [b"Authorization: Bearer good\r\n"] * 4
    + [b"authorization:bearer  reader \r\n", b"Authorization: Bearer bad\r\n", b""]
)
EVENT = b'{"channel": "user:a", "event": "E", "data": [1]}'
SAID = st.sampled_from(
    [EVENT, b"[" + EVENT + b", 1]", EVENT + b"\n" + EVENT, b"{", b"", b'{"channel": 1}', b'{"user": "a", "data": 1}', b"x" * 600]
)  # fmt: skip
FRAMED = st.sampled_from(["length"] * 4 + ["chunked", "expected", "none", "short"])


@st.composite
def calls(draw: st.DrawFn) -> bytes:
    body, framed = draw(SAID), draw(FRAMED)
    head = draw(ASKED) + b"\r\nHost: a\r\n" + draw(TOKENS)
    head += draw(st.sampled_from([b"", b"Content-Type: application/x-ndjson\r\n", b"Connection: close\r\n"]))
    if framed == "chunked":
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    if framed == "expected":
        head += b"Expect: 100-continue\r\n"
    if framed == "none":
        return head + b"\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + (body[:-1] if framed == "short" else body)


@settings(max_examples=200, deadline=None)
@given(st.lists(calls(), min_size=1, max_size=3), st.sets(st.integers(0, 600), max_size=2))
def test_the_api_answers_both_alike(texts: list[bytes], cuts: set[int]) -> None:
    text = b"".join(texts)
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(text)), len(text)]
    both(api, [text[start:stop] for start, stop in pairwise(places)])
