"""Parses the head of an upgrade request, byte by byte and strictly.

Law 1: pure bytes in, a `Head` or a `BadHead` out; no input can raise anything else.
Law 2: the result does not depend on how the bytes were cut: the first byte that no valid request can have decides,
whatever follows it. It takes time linear in the number of bytes.
Law 3: a sound upgrade request that comes in one piece is read in one go, if nothing about it is unusual. Everything
else is read line by line, and only there a request is refused.

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

from attrs import define, field

from gatewayd.config.limits import HeadLimits
from gatewayd.net import request_target

BARE_LINE = len(b"GET  HTTP/1.1\r\n")
"""A request line without its target."""
NO_GET = "a WebSocket upgrade is a GET"
WEBSOCKET = ("Upgrade", "websocket")
WS_VERSION = ("Sec-WebSocket-Version", "13")

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(rb"[A-Z]{1,20}")
_TARGET = re.compile(rb"/[\x21-\x22\x24-\x7e]*")
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]{1,5})?")
# Never allowed in a head: a CR without its LF, an LF without its CR (RFC 9112 §2.2), other control bytes, non-ASCII.
# It matches at the byte that shows it and looks only backwards, so that no cut can hide one.
FORBIDDEN = re.compile(rb"(?<=\r)[^\n]|(?<!\r)\n|[^\t\r\n\x20-\x7e]")
_UNSENDABLE = re.compile(r"[^\t\x20-\x7e]")
BODY = frozenset({"content-length", "transfer-encoding"})
"""A request with one of these has a body (RFC 9112 §6.3)."""
_ONCE = BODY | {"host", "origin", "authorization", "sec-websocket-key", "sec-websocket-version"}
_PHRASES = {414: "URI Too Long"}  # RFC 9110's; Python's own, and our error code with it, changed in 3.13
FIELDS = rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e]*+\r\n)++)\r\n"
"""An expression for all header lines and the empty one; it never looks at a byte twice."""
_WHOLE = re.compile(rb"GET (/[\x21-\x22\x24-\x7e]*+) HTTP/1\.1\r\n" + FIELDS)
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
"""16 bytes in base64."""
_UPGRADE = frozenset({b"GET"})
"""The method of an upgrade (RFC 6455 §4.1)."""
_PLAIN = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""The methods of a listener that takes plain requests as well: all but CONNECT, which asks for a tunnel, and TRACE,
which sends a client's secrets back."""
_TLS_HANDSHAKE = b"\x16"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class BadHead(Exception):  # noqa: N818, RUF100
    """A request that is answered over HTTP only: status, one sentence, and headers for the answer."""

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers


@define  # nobody changes it, and to be frozen would cost more than to read it
class Head:
    """A request to upgrade, or a plain one. Header names are in lower case; of a repeated query parameter the last one
    counts.
    """

    target: str = field(repr=False)  # target, query and headers may hold a secret, and a repr ends up in logs
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    method: str = "GET"
    upgrades: bool = True
    """Whether it asks for a WebSocket."""

    @property
    def host(self) -> str:
        """Host, and port if there is one, as the client wrote it."""
        return self.headers["host"]

    @property
    def key(self) -> str:
        """Sec-WebSocket-Key: 16 bytes in base64."""
        return self.headers["sec-websocket-key"]

    @property
    def origin(self) -> str | None:
        """The origin of the page that a browser connects for."""
        return self.headers.get("origin")

    @property
    def user_agent(self) -> str | None:
        """The client's User-Agent."""
        return self.headers.get("user-agent")

    @property
    def authorization(self) -> str | None:
        """Scheme and credentials; must not be logged."""
        return self.headers.get("authorization")


class HeadReader:
    """`feed` it bytes until it returns a head; `pipelined` is what came after it.

    With `plain`, requests that are no upgrades are accepted as well.
    """

    def __init__(self, limits: HeadLimits = HeadLimits(), *, plain: bool = False) -> None:
        self._limits = limits
        self._plain = plain
        self._data = bytearray()
        self._scanned = 0  # nothing before it is looked at again
        self._lines = 0
        self._line_start = 0
        self._method = self._target = ""
        self._headers: dict[str, str] = {}
        self.pipelined = b""

    def feed(self, data: bytes) -> Head | None:
        """A `Head` when it is complete, None while more is needed. Raises `BadHead` as soon as it cannot become one."""
        if not self._data and (found := whole_head(data, self._limits)) is not None:
            self.pipelined = data[found[1] :]
            return found[0]
        self._data += data
        most = self._limits.head_bytes
        while True:
            newline = self._data.find(b"\n", self._scanned, most)
            end = newline + 1 or min(len(self._data), most)
            self._check_bytes(end)
            self._scanned = end
            if newline < 0:
                if end == most:
                    raise BadHead(431, f"the request head is larger than {most} bytes: send less in its headers")
                return None
            line = bytes(self._data[self._line_start : end - 2])
            self._line_start = end
            self._lines += 1
            if self._lines == 1:
                self._method, self._target = _request_line(line)
            elif not line:
                self.pipelined = bytes(self._data[end:])
                return self._head()
            elif self._lines > self._limits.headers + 1:
                raise BadHead(431, f"more than {self._limits.headers} headers: send fewer")
            else:
                self._add_header(line)

    def _add_header(self, line: bytes) -> None:
        name, text = _field(line)
        if name in BODY and not self._plain:
            raise BadHead(400, f"an upgrade request has no body: remove {name}")
        if name in self._headers:
            if name in _ONCE:
                raise BadHead(400, f"more than one {name} header: send one")
            text = f"{self._headers[name]}, {text}"  # RFC 9110 §5.2
        if name == "host" and not HOST.fullmatch(text.encode()):
            raise BadHead(400, "the Host header must be: host or host:port")
        self._headers[name] = text

    def _head(self) -> Head:
        if "host" not in self._headers:
            raise BadHead(400, "no Host header: send exactly one")
        try:
            path, query = request_target.split(self._target, self._limits.parameters)
        except ValueError as bad:
            raise BadHead(400, str(bad)) from None
        # Both are lists (RFC 9110 §7.6.1, §7.8) that must contain the word (RFC 6455 §4.2.1).
        upgrades = "websocket" in tokens(self._headers, "upgrade") and "upgrade" in tokens(self._headers, "connection")
        head = Head(self._target, path, query, self._headers, self._method, upgrades)
        if upgrades or not self._plain or path == "/healthz":
            _check_upgrade(head)
        return head

    def _check_bytes(self, end: int) -> None:
        """Check what is here of a line, complete or not: the rest may never come."""
        found = FORBIDDEN.search(self._data, self._scanned, end)
        sound = end if found is None else found.start()
        if self._lines == 0:
            beginning = bytes(self._data[:24])
            if beginning[:1] == _TLS_HANDSHAKE:
                raise BadHead(400, "this port speaks plain HTTP, not TLS: connect with ws://, or set tls_cert for it")
            if sound:
                _check_beginning(beginning[:sound], plain=self._plain)
            most = self._limits.target_bytes
            if sound > BARE_LINE + most:
                raise BadHead(414, f"the request target is longer than {most} bytes: shorten it")
        if sound == end:
            return
        if sound and self._data[sound - 1] == ord("\r"):
            raise BadHead(400, "a CR that ends no line: lines end with CR LF (RFC 9112, section 2.2)")
        if self._data[sound] == ord("\n"):
            raise BadHead(400, "an LF without its CR: lines end with CR LF (RFC 9112, section 2.2)")
        raise BadHead(400, "a request head may hold printable ASCII only: percent-encode the rest")


def whole_head(data: bytes, limits: HeadLimits) -> tuple[Head, int] | None:
    """The head of a sound upgrade request at the start of `data`, and where it ends; None where `HeadReader` must look
    line by line.
    """
    found = _WHOLE.match(data, 0, limits.head_bytes)
    if found is None:
        return None
    target, block = found.group(1, 2)
    lines = block.decode("ascii").split("\r\n")
    if len(target) > limits.target_bytes or len(lines) > limits.headers + 1:
        return None
    del lines[-1]
    headers = {name.lower(): value.strip(" \t") for name, _, value in [line.partition(":") for line in lines]}
    get = headers.get
    if (
        len(headers) < len(lines)  # one was sent twice
        or get("upgrade", "").lower() != "websocket"
        or (get("connection", "").lower() != "upgrade" and "upgrade" not in tokens(headers, "connection"))
        or get("sec-websocket-version") != "13"
        or not _KEY.fullmatch(get("sec-websocket-key", ""))
        or not HOST.fullmatch(get("host", "").encode())
        or not BODY.isdisjoint(headers)
    ):
        return None
    asked = target.decode("ascii")
    try:
        path, query = request_target.split(asked, limits.parameters)
    except ValueError:
        return None
    return Head(asked, path, query, headers), found.end()


def _check_beginning(line: bytes, *, plain: bool) -> None:
    """Check the first bytes: what is no HTTP/1.1 request must not keep a connection open until it times out."""
    method, space, rest = line.partition(b" ")
    if not _METHOD.fullmatch(method):
        raise BadHead(400, "not an HTTP request: connect with a WebSocket client")
    if space and method == b"PRI":
        raise BadHead(400, "HTTP/2 is not spoken here: upgrade over HTTP/1.1")
    if space and method == b"CONNECT" and plain:
        raise BadHead(400, "CONNECT is not supported: this server is not a proxy")
    methods = _PLAIN if plain else _UPGRADE
    if space and method not in methods:
        allow = (("Allow", ", ".join(sorted(name.decode() for name in methods))),)
        raise BadHead(405, "this method is not forwarded" if plain else NO_GET, allow)
    if rest and rest[:1] != b"/":
        raise BadHead(400, "the request target must be a path that starts with '/'")


def _request_line(line: bytes) -> tuple[str, str]:
    """Method and target. The method and the length of the target were checked as they arrived."""
    parts = line.split(b" ")
    method = parts[0].decode("ascii")
    if len(parts) > 1 and b"#" in parts[1]:
        raise BadHead(400, "the request target has a fragment: leave out '#' and what follows it")
    if len(parts) != 3 or not _TARGET.fullmatch(parts[1]):
        raise BadHead(400, f"the request line must be: {method} <path> HTTP/1.1")
    if parts[2] != b"HTTP/1.1":
        if parts == [
            b"GET",
            b"/healthz",
            b"HTTP/1.0",
        ]:  # a proxy's probe, perhaps without a Host
            raise BadHead(200, "ok")
        if re.fullmatch(rb"HTTP/[0-9]\.[0-9]", parts[2]):
            raise BadHead(505, "HTTP/1.1 is needed")
        raise BadHead(400, f"the request line must be: {method} <path> HTTP/1.1")
    return method, parts[1].decode("ascii")


def _field(line: bytes) -> tuple[str, str]:
    """Name, in lower case, and value."""
    if line[:1] in (b" ", b"\t"):
        raise BadHead(400, "a header may not go on in a second line (RFC 9112, section 5.2)")
    raw, colon, value = line.partition(b":")
    if colon and raw[-1:] in (b" ", b"\t"):
        # Servers that disagree about this one make request smuggling possible.
        raise BadHead(400, "no space may stand before the colon of a header (RFC 9112, section 5.1)")
    if not colon or not _TOKEN.fullmatch(raw):
        raise BadHead(400, "a header line must be: Name: value")
    return raw.decode("ascii").lower(), value.decode("ascii").strip(" \t")


def tokens(headers: Mapping[str, str], name: str) -> set[str]:
    """The tokens of a header that is a list, in lower case."""
    return {token.strip(" \t").lower() for token in headers.get(name, "").split(",")}


def _check_upgrade(head: Head) -> None:
    for name in BODY & head.headers.keys():
        raise BadHead(400, f"an upgrade request has no body: remove {name}")
    if head.method != "GET":
        raise BadHead(405, NO_GET, (("Allow", "GET"),))
    if not head.upgrades:
        if head.path == "/healthz":
            raise BadHead(200, "ok")
        raise BadHead(426, "this is a WebSocket gateway: connect with a WebSocket client", (WEBSOCKET, WS_VERSION))
    if head.headers.get("sec-websocket-version") != "13":
        raise BadHead(426, "WebSocket version 13 is needed: send Sec-WebSocket-Version: 13", (WS_VERSION,))
    try:
        key = base64.b64decode(head.headers.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        raise BadHead(400, "Sec-WebSocket-Key must be 16 bytes in base64")


def switching_protocols(head: Head) -> bytes:
    """The 101 that opens the WebSocket (RFC 6455 §4.2.2), without extension or subprotocol."""
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
    plain: bool = False,
) -> bytes:
    """A complete HTTP response, after which the connection closes; without a `body`, JSON with the reason.

    The response to a `plain` request has the reason at the top level as well, where REST clients look.
    """
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    if body is None:
        code = phrase.lower().replace(" ", "_").replace("-", "_")
        message: dict[str, object] = {"message": reason} if plain else {}
        message |= {"status": reason} if status == 200 else {"error": {"code": code, "message": reason}}
        body = json.dumps(message).encode()
    fields = (("Content-Type", content_type), ("Content-Length", str(len(body))), ("Connection", "close"), *headers)
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields)]
    # A value may contain what a client sent: a CR LF in it must not begin another header.
    return "\r\n".join(_UNSENDABLE.sub("?", line) for line in lines).encode("ascii") + b"\r\n\r\n" + body
