"""The request head: no bytes crash it, and how they are cut changes nothing. The rows are in test_listener.py."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.net.head import BadHead, Head, HeadReader, response, upgrade_request
from tests.net.test_listener import GOOD, KEY, changed

PIECES = st.sampled_from(
    [
        b"GET ", b"/", b"?a=%C3%BC&b=1+2", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: a\r\n", b"Host: [::1]:80\r\n", b"\r\n",
        b"Upgrade: websocket\r\n", b"Connection: upgrade\r\n", b"Sec-WebSocket-Version: 13\r\n", b"\n", b"\r", b"\0", b"\xff",
        b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n", b"X" * 100, b": ", b" ", b"Content-Length: 1\r\n", b"a: b\r\n" * 30,
    ]
)  # fmt: skip
HEADS = st.lists(PIECES | st.binary(max_size=20), max_size=20).map(b"".join) | st.just(GOOD)


def verdict(pieces: list[bytes]) -> Any:
    """Status of the refusal, the head and what is left, or None when more is needed."""
    reader = HeadReader()
    head: Head | None = None
    rest = b""
    try:
        for piece in pieces:
            if head is not None:
                rest += piece
                continue
            head = reader.feed(piece)
    except BadHead as bad:
        assert bad.reason
        assert response(bad.status, bad.reason, headers=bad.headers).startswith(b"HTTP/1.1 ")
        return bad.status
    return None if head is None else (head, reader.rest + rest)


@given(HEADS, st.lists(st.integers(0, 400), max_size=5))
def test_how_it_is_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    assert verdict(pieces) == verdict([data])


@pytest.mark.parametrize(
    "request_", [GOOD, changed("GET", "POST"), changed("127.0.0.1", "a\rb"), GOOD.replace(b"\r\n", b"\n")]
)
def test_byte_by_byte(request_: bytes) -> None:
    assert verdict([bytes([byte]) for byte in request_]) == verdict([request_])


def test_what_a_head_says() -> None:
    request = changed("GET / ", "GET /a%20b?roomId=%C3%BC&x=1&x=2&flag&p=a+b ").replace(
        b"\r\n\r\n", b"\r\nX: 1\r\nx: 2\r\n\r\nrest"
    )
    head, rest = verdict([request])
    assert head.path == "/a b"
    assert head.query == {"roomId": "ü", "x": "2", "flag": "", "p": "a b"}
    assert (head.headers["x"], head.host, head.key, head.origin) == ("1, 2", "127.0.0.1", KEY, None)
    assert rest == b"rest"
    clean = upgrade_request(head)
    assert KEY.encode() in clean
    assert b"127.0.0.1" not in clean


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/?a=%ff", 400),
        ("/?a=%00", 400),
        ("/%0a", 400),
        ("http://a/", 400),
        ("*", 400),
        ("/#x", 400),
        ("/?" + "a&" * 40, 400),
    ],
)
def test_targets(target: str, status: int) -> None:
    assert verdict([changed("GET / ", f"GET {target} ")]) == status


@pytest.mark.parametrize(
    "data", [b"\r\n", b"get / HTTP/1.1\r\n", b"GET / HTTP/2\r\n", b"GET /  HTTP/1.1\r\n", b"GET / HTTP/1.1 x\r\n"]
)
def test_request_lines(data: bytes) -> None:
    assert verdict([data]) == 400
