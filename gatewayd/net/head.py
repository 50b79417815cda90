"""The head of an upgrade request, judged byte by byte before the WebSocket library sees any of it.

Law 1: pure bytes in, a `Head` or a `BadHead` out; no input can raise anything else.
Law 2: the verdict does not depend on how the bytes were cut: the first byte that no good request can have decides,
whatever follows it. It costs time linear in the number of bytes.

Sources: RFC 9112 (HTTP/1.1 messages), RFC 9110 (fields), RFC 6455 §4.2.1 (the upgrade).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

MAX_HEAD = 8192
MAX_TARGET = 4096
MAX_HEADERS = 64
MAX_REQUEST_LINE = len(b"GET  HTTP/1.1\r\n") + MAX_TARGET
MAX_PARAMETERS = 32
WS_VERSION = ("Sec-WebSocket-Version", "13")

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(rb"[A-Z]{1,20}")
_TARGET = re.compile(rb"/[\x21-\x22\x24-\x7e]*")
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]{1,5})?")
# What may stand nowhere in a head: a CR without its LF, an LF without its CR (RFC 9112 §2.2), other control bytes,
# non-ASCII. It matches at the byte that gives it away and looks only backwards, so that no cut can hide one.
FOUL = re.compile(rb"(?<=\r)[^\n]|(?<!\r)\n|[^\t\r\n\x20-\x7e]")
_UNSENDABLE = re.compile(r"[^\t\x20-\x7e]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ONCE = frozenset({"host", "origin", "authorization", "sec-websocket-key", "sec-websocket-version"})
_PHRASES = {414: "URI Too Long"}  # RFC 9110's; Python's own, and our error code with it, changed in 3.13
_TLS_HANDSHAKE = b"\x16"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class BadHead(Exception):  # noqa: N818, RUF100
    """A request that is answered over HTTP and no further: status, one sentence, and headers for the answer."""

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers


@frozen
class Head:
    """A request that may be upgraded. Header names are lower-case; of a repeated query parameter the last counts."""

    target: str = field(repr=False)  # these three may hold a secret, and a repr ends up in logs
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def host(self) -> str:
        """Host and perhaps port, as the client wrote it."""
        return self.headers["host"]

    @property
    def key(self) -> str:
        """Sec-WebSocket-Key: 16 bytes in base64."""
        return self.headers["sec-websocket-key"]

    @property
    def origin(self) -> str | None:
        """The page that a browser speaks for."""
        return self.headers.get("origin")

    @property
    def user_agent(self) -> str | None:
        """What the client calls itself."""
        return self.headers.get("user-agent")

    @property
    def authorization(self) -> str | None:
        """Scheme and credentials; never for a log."""
        return self.headers.get("authorization")

    @property
    def forwarded_for(self) -> str | None:
        """X-Forwarded-For, to be believed from a trusted proxy alone (`net/origin.py`)."""
        return self.headers.get("x-forwarded-for")


class HeadReader:
    """Feed it what comes until it answers; `rest` is what was pipelined behind the head."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._scanned = 0  # what lies before it is never looked at again
        self._lines = 0
        self._line_start = 0
        self._target = ""
        self._headers: dict[str, str] = {}
        self.rest = b""

    def feed(self, data: bytes) -> Head | None:
        """A `Head` when it is whole, None while more is needed. Raises `BadHead` as soon as it cannot become one."""
        self._data += data
        while True:
            newline = self._data.find(b"\n", self._scanned, MAX_HEAD)
            end = newline + 1 or min(len(self._data), MAX_HEAD)
            self._check_bytes(end)
            self._scanned = end
            if newline < 0:
                if end == MAX_HEAD:
                    raise BadHead(431, f"the request head is larger than {MAX_HEAD} bytes: send less in its headers")
                return None
            line = bytes(self._data[self._line_start : end - 2])
            self._line_start = end
            self._lines += 1
            if self._lines == 1:
                self._target = _request_line(line)
            elif not line:
                self.rest = bytes(self._data[end:])
                return _head(self._target, self._headers)
            elif self._lines > MAX_HEADERS + 1:
                raise BadHead(431, f"more than {MAX_HEADERS} headers: send fewer")
            else:
                _add_header(self._headers, line)

    def _check_bytes(self, end: int) -> None:
        """Judge what there is of a line, whole or not: the rest may never come."""
        found = FOUL.search(self._data, self._scanned, end)
        sound = end if found is None else found.start()
        if self._lines == 0:
            beginning = bytes(self._data[:24])
            if beginning[:1] == _TLS_HANDSHAKE:
                raise BadHead(400, "this port speaks plain HTTP, not TLS: connect with ws://, or set tls_cert for it")
            if sound:
                _check_beginning(beginning[:sound])
            if sound > MAX_REQUEST_LINE:
                raise BadHead(414, f"the request target is longer than {MAX_TARGET} bytes: shorten it")
        if sound == end:
            return
        if sound and self._data[sound - 1] == ord("\r"):
            raise BadHead(400, "a CR that ends no line: lines end with CR LF (RFC 9112, section 2.2)")
        if self._data[sound] == ord("\n"):
            raise BadHead(400, "an LF without its CR: lines end with CR LF (RFC 9112, section 2.2)")
        raise BadHead(400, "a request head may hold printable ASCII only: percent-encode the rest")


def _check_beginning(line: bytes) -> None:
    """Judge the first bytes: what is no HTTP/1.1 request should not keep a connection open until it times out."""
    method, space, rest = line.partition(b" ")
    if not _METHOD.fullmatch(method):
        raise BadHead(400, "not an HTTP request: connect with a WebSocket client")
    if space and method == b"PRI":
        raise BadHead(400, "HTTP/2 is not spoken here: upgrade over HTTP/1.1")
    if space and method != b"GET":
        raise BadHead(405, "a WebSocket upgrade is a GET", (("Allow", "GET"),))
    if rest and rest[:1] != b"/":
        raise BadHead(400, "the request target must be a path that starts with '/'")


def _request_line(line: bytes) -> str:
    """The target. Its length was judged with that of the line."""
    parts = line.split(b" ")
    if len(parts) > 1 and b"#" in parts[1]:
        raise BadHead(400, "the request target has a fragment: leave out '#' and what follows it")
    if len(parts) != 3 or not _TARGET.fullmatch(parts[1]):
        raise BadHead(400, "the request line must be: GET <path> HTTP/1.1")
    if parts[2] != b"HTTP/1.1":
        if re.fullmatch(rb"HTTP/[0-9]\.[0-9]", parts[2]):
            raise BadHead(505, "the upgrade needs HTTP/1.1")
        raise BadHead(400, "the request line must be: GET <path> HTTP/1.1")
    return parts[1].decode("ascii")


def _add_header(headers: dict[str, str], line: bytes) -> None:
    if line[:1] in (b" ", b"\t"):
        raise BadHead(400, "a header may not go on in a second line (RFC 9112, section 5.2)")
    raw, colon, value = line.partition(b":")
    if colon and raw[-1:] in (b" ", b"\t"):
        # Servers that disagree about this one are how requests are smuggled.
        raise BadHead(400, "no space may stand before the colon of a header (RFC 9112, section 5.1)")
    if not colon or not _TOKEN.fullmatch(raw):
        raise BadHead(400, "a header line must be: Name: value")
    name, text = raw.decode("ascii").lower(), value.decode("ascii").strip(" \t")
    if name in ("content-length", "transfer-encoding"):
        raise BadHead(400, f"an upgrade request has no body: remove {name}")
    if name in headers:
        if name in _ONCE:
            raise BadHead(400, f"more than one {name} header: send one")
        text = f"{headers[name]}, {text}"  # RFC 9110 §5.2
    if name == "host" and not HOST.fullmatch(text.encode()):
        raise BadHead(400, "the Host header must be: host or host:port")
    headers[name] = text


def _head(target: str, headers: dict[str, str]) -> Head:
    path, _, query = target.partition("?")
    if "host" not in headers:
        raise BadHead(400, "no Host header: send exactly one")
    _upgrade(path, headers)
    return Head(target, _decoded(path, "path"), _query(query), headers)


def _tokens(headers: Mapping[str, str], name: str) -> set[str]:
    return {token.strip(" \t").lower() for token in headers.get(name, "").split(",")}


def _upgrade(path: str, headers: Mapping[str, str]) -> None:
    # Both are lists (RFC 9110 §7.6.1, §7.8) that must contain the word (RFC 6455 §4.2.1).
    if "websocket" not in _tokens(headers, "upgrade") or "upgrade" not in _tokens(headers, "connection"):
        if path == "/healthz":
            raise BadHead(200, "ok")
        raise BadHead(
            426, "this is a WebSocket gateway: connect with a WebSocket client", (("Upgrade", "websocket"), WS_VERSION)
        )
    if headers.get("sec-websocket-version") != "13":
        raise BadHead(426, "WebSocket version 13 is needed: send Sec-WebSocket-Version: 13", (WS_VERSION,))
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        raise BadHead(400, "Sec-WebSocket-Key must be 16 bytes in base64")


def _query(text: str) -> dict[str, str]:
    pairs = [pair for pair in text.split("&") if pair]
    if len(pairs) > MAX_PARAMETERS:  # refused, not cut: one of those left out might have been the token
        raise BadHead(400, f"more than {MAX_PARAMETERS} query parameters: send fewer")
    halves = [pair.partition("=") for pair in pairs]
    return {
        _decoded(name.replace("+", " "), "query"): _decoded(value.replace("+", " "), "query")
        for name, _, value in halves
    }


def _decoded(text: str, where: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadHead(400, f"the {where} is not valid UTF-8: percent-encode UTF-8") from None
    if _CONTROL.search(decoded):  # these alone: names hold wide spaces, and emoji that are joined by a format character
        raise BadHead(400, f"the {where} holds control characters: remove them")
    return decoded


def accepted(head: Head) -> bytes:
    """The 101 that opens the WebSocket (RFC 6455 §4.2.2); no extension and no subprotocol is agreed on."""
    digest = hashlib.sha1(head.key.encode() + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + base64.b64encode(digest)
        + b"\r\n\r\n"
    )


def response(
    status: int,
    reason: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    content_type: str = "application/json",
) -> bytes:
    """A whole HTTP answer after which the connection closes; unless there is a `body`, JSON says why."""
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    if body is None:
        code = phrase.lower().replace(" ", "_").replace("-", "_")
        told = {"status": reason} if status == 200 else {"error": {"code": code, "message": reason}}
        body = json.dumps(told).encode()
    fields = (("Content-Type", content_type), ("Content-Length", str(len(body))), ("Connection", "close"), *headers)
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields)]
    # A value may be built from what a client sent: a CR LF in it must not begin a header of its own.
    return "\r\n".join(_UNSENDABLE.sub("?", line) for line in lines).encode("ascii") + b"\r\n\r\n" + body
