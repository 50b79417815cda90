"""The request head: every rule has its row, no bytes crash it, and how they are cut changes nothing."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatewayd.config.limits import HeadLimits
from gatewayd.net.request_head import BadHead, Head, HeadReader, response, switching_protocols, whole_head
from tests.net.test_listener import GOOD, KEY, changed

MAX_HEAD, MAX_TARGET = 8192, 4096  # as designed, not as the code has them


def more(*lines: bytes) -> bytes:
    """The good request with further header lines."""
    return GOOD[:-2] + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def asking(target: str) -> bytes:
    """The good request for another target."""
    return changed("GET / ", f"GET {target} ")


def sized(size: int) -> bytes:
    """A good request of exactly so many bytes."""
    return more(b"X: " + b"a" * (size - len(GOOD) - 5))


PIECES = st.sampled_from(
    [
        b"GET ", b"/", b"?a=%C3%BC&b=1+2", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: a\r\n", b"Host: [::1]:80\r\n", b"\r\n",
        b"Upgrade: websocket\r\n", b"Connection: upgrade\r\n", b"Sec-WebSocket-Version: 13\r\n", b"\n", b"\r", b"\0", b"\xff",
        b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n", b"X" * 100, b": ", b" ", b"Content-Length: 1\r\n", b"a: b\r\n" * 30,
        b"x" * 4090, b"POST ", b"PRI ", b"\x16\x03", b"#", b"\t", b"Origin: http://a\r\n", b"%", b"GET / HTTP/1.1\r\n",
    ]
)  # fmt: skip
ANYTHING = st.lists(PIECES | st.binary(max_size=20), max_size=20).map(b"".join)
# One byte of a good request turned into another: what is nearly right gets deepest into the reader.
NEARLY = st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=2)).map(
    lambda at: GOOD[: at[0]] + at[1] + GOOD[at[0] + 1 :]
)
HEADS = ANYTHING | NEARLY | st.just(GOOD) | st.binary(max_size=100).map(lambda rest: GOOD + rest)


def verdict(pieces: list[bytes]) -> Any:
    """The refusal, the head and what is left, or None when more is needed."""
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
        return bad.status, bad.reason, bad.headers
    return None if head is None else (head, reader.pipelined + rest)


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@given(HEADS, st.lists(st.integers(0, 9000), max_size=5) | st.lists(st.integers(0, 400), max_size=5))
@example(b"GET /" + b"a" * 4090 + b" HTTP/1.1" + b"x" * 100 + b"\r\n", [4200])
@example(b"GET /" + b"a" * 4106 + b"\r\x00", [4112])
@example(b"GET\rX", [4])
@example(b"GE\0", [2])
@example(b"GET \0", [4])
def test_how_it_is_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    assert verdict(pieces) == verdict([data]) == verdict(single(data))


LINES = st.sampled_from(
    [
        "Host: a", "host:[::1]:80", "Host: a:", "Host: a b", "Upgrade: WebSocket", "upgrade:websocket\t", "Upgrade: h2c, websocket", "Upgrade: web",
        "Connection: upgrade", "Connection: keep-alive, Upgrade", "connection: close", "Connection: upgraded",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAQ==",
        "Sec-WebSocket-Key: short", "Sec-WebSocket-Key: " + "A" * 24, "sec-websocket-key: " + "_" * 22 + "==", "Origin: http://a", "X: 1", "X: 2", "x:",
        "Content-Length: 0", "Transfer-Encoding: chunked", "X : 1", " X: 1", "X", ": 1", "X: a\rb", "X: a\nb", "X: \xe9", "X: \0", "X:: b", "Y:\t a\t b \t",
    ]
)  # fmt: skip
NEEDED = (
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)
STARTS = [("GET", "/", "HTTP/1.1"), ("POST", "/", "HTTP/1.1"), ("get", "/", "HTTP/1.1"), ("GET", "/", "HTTP/1.0")]
TARGETS = st.sampled_from(
    [
        "/",
        "/a?b=c&d",
        "/%41?x=%20+y",
        "/?a=b=c&&a=d",
        "/%ff",
        "/?%00=1",
        "/a#b",
        "a",
        "/a b",
        "/" + "a" * 30,
        "/?a&b&c&d&e",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """What is needed in any order, with one or two things wrong, missing, or more than that."""
    lines = [*NEEDED, *draw(st.lists(LINES, max_size=2))]
    if draw(st.booleans()):
        del lines[draw(st.integers(0, 4))]
    method, target, version = draw(st.sampled_from(STARTS) | st.tuples(st.just("GET"), TARGETS, st.just("HTTP/1.1")))
    text = "\r\n".join([f"{method} {target} {version}", *draw(st.permutations(lines)), "", ""])
    return text.encode("latin-1") + draw(st.binary(max_size=3))


@given(
    HEADS | requests(),
    st.builds(
        HeadLimits, head_bytes=st.integers(100, 300) | st.just(8192), target_bytes=st.integers(1, 40), headers=st.integers(3, 9),
        parameters=st.integers(1, 5),
    ),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=500)
def test_a_head_that_is_read_in_one_go_is_the_one_that_is_read_line_by_line(
    data: bytes, limits: HeadLimits, plain: bool
) -> None:
    found = whole_head(data, limits)
    if found is not None:
        reader = HeadReader(limits, plain=plain)
        head = reader.feed(data[:1]) or reader.feed(data[1:])
        assert (head, reader.pipelined) == (found[0], data[found[1] :])


UNUSUAL = [
    more(b"Content-Length: 0"), more(b"Transfer-Encoding: chunked"), more(b"X: 1", b"x: 2"), more(b"Host: b"), changed("websocket", "web"),
    changed("Upgrade\r\n", "Upgraded\r\n"), changed("Upgrade: websocket\r\n", ""), changed("GET", "POST"), changed(KEY, "A" * 24), changed("13", "8"),
    changed("127.0.0.1", "a b"), changed("127.0.0.1", ""), asking("/#a"), asking("/%ff"), asking("/" + "a" * MAX_TARGET), changed("1.1\r", "1.0\r"),
    more(*(b"%d: x" % number for number in range(60))), sized(MAX_HEAD + 1), GOOD[:-1], more(b"X: \xe9"), more(b"X : 1"), more(b" X"), b"x" + GOOD,
]  # fmt: skip


@pytest.mark.parametrize("request_", UNUSUAL)
def test_what_is_unusual_or_wrong_is_read_line_by_line(request_: bytes) -> None:
    assert whole_head(request_, HeadLimits()) is None


@pytest.mark.parametrize("request_", [GOOD, asking("/?a=%20b"), more(b"Origin: a"), GOOD.replace(b"Host: ", b"HOST:")])
def test_what_clients_send_is_read_in_one_go(request_: bytes) -> None:
    found = whole_head(request_ + b"rest", HeadLimits())
    assert found is not None
    assert (found[0].key, found[1]) == (KEY, len(request_))


@given(st.binary())
def test_what_is_pipelined_is_kept_byte_for_byte(rest: bytes) -> None:
    for request in (GOOD, sized(MAX_HEAD)):
        assert verdict([request + rest])[1] == rest
        assert verdict([request[:-1], request[-1:] + rest])[1] == rest


REFUSED = [
    # (request, status, a word of the reason).  The first bytes:
    (b"\x16\x03\x01\x02\x00", 400, "TLS"), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/2"), (b"GET /\r\n\r\n", 400, "request line"),
    (b"\r\n", 400, "not an HTTP"), (b"\n", 400, "LF"), (b"GE\0", 400, "ASCII"), (b"\x80\x2e", 400, "ASCII"), (b" GET / HTTP/1.1\r\n", 400, "not an HTTP"),
    (b"SSH-2.0-OpenSSH_9\r\n", 400, "not an HTTP"), (b"get / HTTP/1.1\r\n", 400, "not an HTTP"), (b"A" * 21, 400, "not an HTTP"),
    # The request line:
    *((f"{method} / HTTP/1.1\r\n".encode(), 405, "GET") for method in ("POST", "HEAD", "PUT", "OPTIONS", "GETS")),
    (b"CONNECT a:1 HTTP/1.1\r\n", 405, "GET"), (asking("http://a/"), 400, "path"), (asking("*"), 400, "path"), (asking("a"), 400, "path"),
    (asking("/#x"), 400, "fragment"), (b"GET /  HTTP/1.1\r\n", 400, "request line"), (b"GET / HTTP/1.1 x\r\n", 400, "request line"),
    (b"GET /\tHTTP/1.1\r\n", 400, "request line"), (b"GET / HTTP/2\r\n", 400, "request line"), (changed("HTTP/1.1", "HTTP/1.0"), 505, "1.1"),
    (changed("HTTP/1.1", "HTTP/2.0"), 505, "1.1"), (asking("/\xff"), 400, "ASCII"), (asking("/\x7f"), 400, "ASCII"),
    (asking("/" + "a" * 10240), 414, "shorten"), (asking("/?" + "a" * 10240), 414, "shorten"), (asking("/" + "a" * MAX_TARGET), 414, "shorten"),
    (asking("/?a=%ff"), 400, "query is not valid UTF-8"), (asking("/?%ff=a"), 400, "query"), (asking("/%ff"), 400, "path is not valid UTF-8"),
    (asking("/?a=%00"), 400, "control"), (asking("/?a=%C2%85"), 400, "control"), (asking("/%0a"), 400, "control"), (asking("/?a=%7f"), 400, "control"),
    (asking("/?a=%ED%A0%80"), 400, "UTF-8"), (asking("/?" + "a&" * 33), 400, "parameters"),
    # The lines:
    (GOOD.replace(b"\r\n", b"\n"), 400, "LF"), (changed("Upgrade: w", " folded\r\nUpgrade: w"), 400, "second line"),
    (more(b"X: a", b"\tb"), 400, "second line"), (changed("Upgrade: w", "Upgrade : w"), 400, "before the colon"), (more(b"X\t: a"), 400, "before the colon"),
    (more(b"X Y: a"), 400, "Name: value"), (more(b": a"), 400, "Name: value"), (more(b"X"), 400, "Name: value"), (more(b'X"(): a'), 400, "Name: value"),
    (changed("127.0.0.1", "a\rb"), 400, "CR"), (more(b"X: a\r"), 400, "CR"), (more(b"X: a\nY: b"), 400, "LF"), (GOOD[:-2] + b"\n", 400, "LF"),
    *((more(b"X: a" + bytes([byte])), 400, "ASCII") for byte in (0, 1, 8, 11, 12, 27, 31, 127, 128, 233, 255)),
    (more(b"\xffX: a"), 400, "ASCII"), (changed("Host: 127.0.0.1", b"Host: \xff"), 400, "ASCII"), (changed("Upgrade\r\n", b"Upgrade, \xff\r\n"), 400, "ASCII"),
    (more(b"Sec-WebSocket-Protocol: \xe9"), 400, "ASCII"), (more(b"Sec-WebSocket-Extensions: \xe9"), 400, "ASCII"),
    (sized(MAX_HEAD + 1), 431, "larger"), (more(b"X: " + b"a" * 1048576), 431, "larger"), (more(*[b"A: b"] * 61), 431, "64"), (more(*[b"A: b"] * 2000), 431, "64"),
    # The headers:
    (changed("Host: 127.0.0.1\r\n", ""), 400, "Host"), (changed("127.0.0.1", "a\r\nHost: b"), 400, "host"), (changed("127.0.0.1", "a\r\nhOST: a"), 400, "host"),
    *((changed("127.0.0.1", host), 400, "Host") for host in ("", "a b", "a,b", "a:b", "a:1:2", "http://a", "a/", "u@a", "[::1", "[x]", "a:123456")),
    (more(b"Content-Length: 0"), 400, "content-length"), (more(b"Transfer-Encoding: chunked"), 400, "transfer-encoding"),
    (more(b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400, "body"), (more(b"Sec-WebSocket-Key: " + KEY.encode()), 400, "more than one"),
    *((more(name + b": 13", name + b": 13"), 400, "more than one") for name in (b"Origin", b"Authorization")), (more(b"Sec-WebSocket-Version: 13"), 400, "more than one"),
    (changed(f"Sec-WebSocket-Key: {KEY}\r\n", ""), 400, "16 bytes"),
    *((changed(KEY, key), 400, "16 bytes") for key in ("", "AAAA", KEY[:-1], KEY[:-2], KEY + "A", "A" * 24, "*" + KEY[1:], KEY[:11] + " " + KEY[12:])),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426, "WebSocket client"), (changed("Upgrade: websocket\r\n", ""), 426, "WebSocket client"),
    (changed("websocket\r\n", "websockets\r\n"), 426, "WebSocket client"), (changed("keep-alive, Upgrade", "keep-alive"), 426, "WebSocket client"),
    (changed("Version: 13", "Version: 8"), 426, "13"), (changed("Sec-WebSocket-Version: 13\r\n", ""), 426, "13"), (changed("Version: 13", "Version: 13, 8"), 426, "13"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200, "ok"), (b"GET /healthz HTTP/1.0\r\n\r\n", 200, "ok"),
    (b"GET /healthz?a=b HTTP/1.1\r\nHost: a\r\n\r\n", 200, "ok"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "word"), REFUSED)
def test_refused(request_: bytes, status: int, word: str) -> None:
    got, reason, headers = verdict([request_])
    assert (got, word in reason) == (status, True), reason
    assert verdict(single(request_[: 2 * MAX_HEAD])) == (got, reason, headers)
    assert (("Allow", "GET") in headers) is (status == 405)
    assert (("Sec-WebSocket-Version", "13") in headers) is (status == 426)
    assert (("Upgrade", "websocket") in headers) is (status == 426 and "client" in reason)


EARLY = [
    b"\x16", b"PRI ", b"POST ", b"GET h", b"h", b"GET /\0", b"GET /" + b"a" * 4107, b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.1\n",
    b"GET / HTTP/1.1\r\nX: \x1b", b"GET / HTTP/1.1\r\nX: \rb", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nContent-Length: 1\r\n",
    b"GET / HTTP/1.1\r\n x\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 65, b"GET / HTTP/1.1\r\nX: " + b"a" * (MAX_HEAD - 19), b"GET / HTTP/1.1\r\nHost: \"\r\n",
]  # fmt: skip


@pytest.mark.parametrize("data", EARLY)
def test_refused_at_the_first_byte_that_tells(data: bytes) -> None:
    """A slow sender need not be waited for."""
    reader = HeadReader()
    for byte in single(data[:-1]):
        assert reader.feed(byte) is None
    with pytest.raises(BadHead):
        reader.feed(data[-1:])


TAKEN = [
    GOOD, changed("127.0.0.1", "xn--"), changed("127.0.0.1", "xn--" + "a" * 3000), changed("127.0.0.1", "a.example:65535"),
    changed("127.0.0.1", "[::1]:80"), changed("127.0.0.1", "under_score"), changed("Host: 127", "hOsT:127"), changed("Upgrade: websocket", "UPGRADE:\t WebSocket \t"),
    changed("Upgrade: websocket", "Upgrade: h2c, websocket"), more(b"Upgrade: h2c"), changed("keep-alive, Upgrade", "keep-alive,\tUPGRADE"),
    changed("keep-alive, Upgrade", "keep-alive\r\nConnection: upgrade"), more(*[b"A: b"] * 59), sized(MAX_HEAD), asking("/" + "a" * (MAX_TARGET - 1)),
    more(b"X:"), more(b"X: a\tb"), more(b"!#$%&'*+-.^_`|~: a"), asking("/?" + "&".join("a" * 32)), asking("/?a=%zz%"), asking("/?&&"), asking('/"<>\\^`{|}?'),
    asking("/healthz"),
]  # fmt: skip


@pytest.mark.parametrize("request_", TAKEN)
def test_taken(request_: bytes) -> None:
    head, rest = verdict([request_])
    assert isinstance(head, Head)
    assert (head.key, rest) == (KEY, b"")
    assert verdict(single(request_)) == (head, b"")


def test_what_a_head_says() -> None:
    request = asking("/a%20b?roomId=%C3%BC&x=1&x=2&flag&p=a+b&&n=%E3%80%80%F0%9F%91%A8%E2%80%8D%F0%9F%91%A9")[:-2]
    told = b"X: 1\r\nx:\t2 \r\nOrigin: null\r\nUser-Agent: bot/1\r\nAuthorization: Bearer a\r\nX-Forwarded-For: b\r\nX-Forwarded-For: c\r\n\r\nrest"
    head, rest = verdict([request + told])
    assert head.path == "/a b"
    assert head.query == {"roomId": "ü", "x": "2", "flag": "", "p": "a b", "n": "\u3000👨\u200d👩"}
    assert (head.headers["x"], head.host, head.key, head.origin) == ("1, 2", "127.0.0.1", KEY, "null")
    assert (head.user_agent, head.authorization, head.headers["x-forwarded-for"]) == ("bot/1", "Bearer a", "b, c")
    assert rest == b"rest"
    assert "Bearer" not in repr(head)
    plain = verdict([GOOD])[0]
    assert (plain.origin, plain.user_agent, plain.authorization) == (None,) * 3


def test_the_upgrade_is_answered_and_nothing_is_negotiated() -> None:
    """With the key of RFC 6455 §1.3 and its answer."""
    asked = more(b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Extensions: permessage-deflate", b"Origin: a")
    head, _ = verdict([asked.replace(KEY.encode(), b"dGhlIHNhbXBsZSBub25jZQ==")])
    assert switching_protocols(head) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


def test_a_response_is_whole() -> None:
    head, _, body = response(414, 'too "long"\r\n', headers=(("Retry-After", "5"),)).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 414 URI Too Long", b"Content-Type: application/json", b"Content-Length: %d" % len(body), b"Connection: close", b"Retry-After: 5",
    ]  # fmt: skip
    assert json.loads(body) == {"error": {"code": "uri_too_long", "message": 'too "long"\r\n'}}
    assert json.loads(response(200, "ok").partition(b"\r\n\r\n")[2]) == {"status": "ok"}
    plain = response(404, "", body=b"no\n", content_type="text/plain")
    assert b"Content-Type: text/plain\r\nContent-Length: 3\r\n" in plain
    assert plain.endswith(b"\r\n\r\nno\n")
    assert response(404, "", body=b"").endswith(b"\r\n\r\n")


@given(st.text(), st.text())
@example("a\r\nSet-Cookie: b", "\r\n\r\n")
def test_no_header_value_writes_a_header_of_its_own(value: str, other: str) -> None:
    head = response(403, "no", headers=(("X", value), ("Y", other)), content_type=value).partition(b"\r\n\r\n")[0]
    assert len(head.split(b"\r\n")) == 6
    assert all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head)


def seconds(size: int) -> float:
    """The least CPU time that a header line of this size takes when it comes byte by byte."""
    pieces = single(sized(size)[:-4])
    taken = []
    for _ in range(5):
        started = time.thread_time()  # others on the machine do not count
        verdict(pieces)
        taken.append(time.thread_time() - started)
    return min(taken)


def test_time_is_linear() -> None:
    """Eight times the bytes: measured 8 times the time; 50 times it when each byte is looked at again and again."""
    assert seconds(8000) < 24 * seconds(1000)


def plain(request: bytes) -> Head | tuple[int, str]:
    """What a listener that takes plain requests makes of it, whole or byte by byte."""
    found: list[Head | tuple[int, str] | None] = []
    for pieces in ([request], single(request)):
        reader = HeadReader(plain=True)
        try:
            found.append(next((head for piece in pieces if (head := reader.feed(piece)) is not None), None))
        except BadHead as bad:
            found.append((bad.status, bad.reason))
    assert found[0] == found[1]
    assert found[0] is not None
    return found[0]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_plain_request(method: str) -> None:
    head = plain(f"{method} /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nUpgrade: h2c\r\n\r\n".encode())
    assert isinstance(head, Head)
    assert (head.method, head.target, head.path, head.query, head.upgrades) == (
        method,
        "/a?b=c",
        "/a",
        {"b": "c"},
        False,
    )
    assert head.headers["content-length"] == "3"


def test_an_upgrade_is_judged_as_one_where_plain_requests_are_taken_too() -> None:
    assert getattr(plain(GOOD), "upgrades", None) is True
    for request, status in (
        (changed("GET", "POST"), 405), (more(b"Content-Length: 0"), 400), (changed(KEY, "AAAA"), 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200), (b"POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ):  # fmt: skip
        assert plain(request)[0] == status  # type: ignore[index]


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET http://other/ HTTP/1.1", 400), (b"CONNECT other:443 HTTP/1.1", 400), (b"CONNECT /x HTTP/1.1", 400), (b"OPTIONS * HTTP/1.1", 400),
        (b"TRACE / HTTP/1.1", 405), (b"PROPFIND / HTTP/1.1", 405), (b"GET //other/#x HTTP/1.1", 400), (b"GET / HTTP/1.0", 505), (b"PRI * HTTP/2.0", 400),
    ],
)  # fmt: skip
def test_no_plain_request(start: bytes, status: int) -> None:
    assert plain(start + b"\r\nHost: a\r\n\r\n")[0] == status  # type: ignore[index]


@pytest.mark.parametrize(
    "lines", [b"Content-Length: 3\r\nContent-Length: 3", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"]
)
def test_a_body_is_announced_once(lines: bytes) -> None:
    status, why = plain(b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n")  # type: ignore[misc]
    assert (status, "more than one" in why) == (400, True)


def test_the_answer_to_a_plain_request_says_why_where_rest_clients_look() -> None:
    body = json.loads(response(403, "no", plain=True).partition(b"\r\n\r\n")[2])
    assert body == {"message": "no", "error": {"code": "forbidden", "message": "no"}}
