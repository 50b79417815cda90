"""The head of an upgrade request, judged byte by byte before the WebSocket library sees any of it.

Law 1: pure bytes in, a `Head` or a `BadHead` out; no input can raise anything else.
Law 2: the verdict does not depend on how the bytes were cut, and costs time linear in their number.

Sources: RFC 9112 (HTTP/1.1 messages), RFC 9110 (fields), RFC 6455 §4.2.1 (the upgrade).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from attrs import frozen

MAX_HEAD = 8192
MAX_TARGET = 4096
MAX_HEADERS = 64
MAX_PARAMETERS = 32
WS_VERSION = ("Sec-WebSocket-Version", "13")

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(rb"[A-Z]{1,20}")
_TARGET = re.compile(rb"/[\x21-\x22\x24-\x7e]*")
_VALUE = re.compile(rb"[\t\x20-\x7e]*")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]{1,5})?")
_STRAY = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_ONCE = frozenset({"host", "origin", "authorization", "sec-websocket-key", "sec-websocket-version", "upgrade"})


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

    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

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


class HeadReader:
    """Feed it what comes; `rest` is what was pipelined behind the head."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._scanned = 0
        self._lines = 0
        self._line_start = 0
        self.rest = b""

    def feed(self, data: bytes) -> Head | None:
        """A `Head` when it is whole, None while more is needed. Raises `BadHead` as soon as it cannot become one."""
        self._data += data
        while True:
            end = self._data.find(b"\n", self._scanned, MAX_HEAD)
            if end < 0:
                self._scanned = min(len(self._data), MAX_HEAD)
                self._check_unfinished()
                return None
            line = bytes(self._data[self._line_start : end])
            self._scanned = self._line_start = end + 1
            if self._lines == 0:
                _check_beginning(line)
            if not line.endswith(b"\r"):
                raise BadHead(400, "lines must end with CR LF (RFC 9112, section 2.2)")
            self._lines += 1
            if line == b"\r":
                if self._lines == 1:
                    raise BadHead(400, "an empty line where the request line is due")
                self.rest = bytes(self._data[end + 1 :])
                return _judge(bytes(self._data[: end - 1]))
            if self._lines == 1:
                _request_line(line[:-1])
            elif self._lines > MAX_HEADERS + 1:
                raise BadHead(431, f"more than {MAX_HEADERS} headers")

    def _check_unfinished(self) -> None:
        pending = bytes(self._data[self._line_start : MAX_HEAD])
        if self._lines == 0 and pending:
            _check_beginning(pending)
            if len(pending) > MAX_TARGET + 64:
                raise BadHead(414, f"the request target is longer than {MAX_TARGET} bytes")
        if len(self._data) >= MAX_HEAD:
            raise BadHead(431, f"the request head is larger than {MAX_HEAD} bytes")


def _check_beginning(line: bytes) -> None:
    """Judge the first bytes: what is no HTTP/1.1 request should not keep a connection open until it times out."""
    if line[:1] == b"\x16":
        raise BadHead(400, "this port speaks plain HTTP, not TLS: connect with ws://, or set tls_cert for the listener")
    if line[:4] == b"PRI ":
        raise BadHead(400, "HTTP/2 is not spoken here: upgrade over HTTP/1.1")
    method, space, rest = line[:24].partition(b" ")
    if not _METHOD.fullmatch(method):
        raise BadHead(400, "not an HTTP request")
    if space and method != b"GET":
        raise BadHead(405, "a WebSocket upgrade is a GET", (("Allow", "GET"),))
    if space and rest and rest[:1] != b"/":
        raise BadHead(400, "the request target must be a path that starts with '/'")


def _request_line(line: bytes) -> None:
    parts = line.split(b" ")
    if len(parts) > 1 and len(parts[1]) > MAX_TARGET:
        raise BadHead(414, f"the request target is longer than {MAX_TARGET} bytes")
    if len(parts) != 3 or not _TARGET.fullmatch(parts[1]):
        raise BadHead(400, "the request line must be: GET <path> HTTP/1.1")
    if parts[2] != b"HTTP/1.1":
        if re.fullmatch(rb"HTTP/[0-9]\.[0-9]", parts[2]):
            raise BadHead(505, "the upgrade needs HTTP/1.1")
        raise BadHead(400, "the request line must be: GET <path> HTTP/1.1")


def _judge(head: bytes) -> Head:
    request, *lines = head.split(b"\r\n")[:-1] if head.endswith(b"\r\n") else head.split(b"\r\n")
    target = request.split(b" ")[1].decode("ascii")
    path, _, query = target.partition("?")
    headers = _headers(lines)
    if "host" not in headers or not _HOST.fullmatch(headers["host"].encode()):
        raise BadHead(400, "exactly one valid Host header is needed")
    for name in ("content-length", "transfer-encoding"):
        if name in headers:
            raise BadHead(400, f"an upgrade request has no body: remove {name}")
    _upgrade(path, headers)
    return Head(target, _decoded(path, "path"), _query(query), headers)


def _headers(lines: Iterable[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        if _STRAY.search(line):
            raise BadHead(400, "a CR or LF that ends no line")
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            # A line that begins with a space is obs-fold (RFC 9112 §5.2), and a space before the colon smuggling.
            raise BadHead(400, "a header line must be: Name: value")
        if not _VALUE.fullmatch(value):
            raise BadHead(400, "a header value may hold printable ASCII only")
        key, text = name.decode().lower(), value.decode().strip(" \t")
        if key in headers:
            if key in _ONCE:
                raise BadHead(400, f"more than one {key} header")
            text = f"{headers[key]}, {text}"
        headers[key] = text
    return headers


def _upgrade(path: str, headers: Mapping[str, str]) -> None:
    tokens = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in tokens:
        if path == "/healthz":
            raise BadHead(200, "ok")
        raise BadHead(
            426, "this is a WebSocket gateway: connect with a WebSocket client", (("Upgrade", "websocket"), WS_VERSION)
        )
    if headers.get("sec-websocket-version") != "13":
        raise BadHead(426, "WebSocket version 13 is needed", (WS_VERSION,))
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        raise BadHead(400, "Sec-WebSocket-Key must be 16 bytes in base64")


def _query(text: str) -> dict[str, str]:
    if not text:
        return {}
    pairs = text.split("&")
    if len(pairs) > MAX_PARAMETERS:
        raise BadHead(400, f"more than {MAX_PARAMETERS} query parameters")
    halves = [pair.partition("=") for pair in pairs]
    return {
        _decoded(name.replace("+", " "), "query"): _decoded(value.replace("+", " "), "query")
        for name, _, value in halves
    }


def _decoded(text: str, where: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadHead(400, f"the {where} is not valid UTF-8") from None
    if not decoded.isprintable():
        raise BadHead(400, f"the {where} holds control characters")
    return decoded


def upgrade_request(head: Head) -> bytes:
    """The least that the WebSocket library must be told: nothing of it is the client's but the key."""
    return (
        "GET / HTTP/1.1\r\nHost: gatewayd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {head.key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def response(status: int, reason: str, *, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole HTTP answer after which the connection closes; its JSON body says why."""
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    told = {"status": reason} if status == 200 else {"error": {"code": code, "message": reason}}
    body = json.dumps(told).encode()
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join(lines).encode("ascii", "replace") + b"\r\n\r\n" + body
