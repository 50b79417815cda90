"""One request of an HTTP/1.1 connection and its response, as an ASGI application receives and sends them."""

from __future__ import annotations

import re
import time
from collections.abc import MutableMapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import h11
import trio
from trio.lowlevel import checkpoint

from gatewayd.net.request_head import HOST, BadHead

if TYPE_CHECKING:
    from gatewayd.admin.http_connection import HttpConnection

Message = MutableMapping[str, Any]

VERSIONS = (b"1.1", b"1.0")
"""Health checks of proxies use HTTP/1.0; h11 closes after the response, and sends no chunks."""

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_FOLD = re.compile(rb"\n[ \t]")
_CONTINUE = h11.InformationalResponse(status_code=100, headers=[])
_BODIED = (b"content-length", b"transfer-encoding")
CLOSE = (b"connection", b"close")
PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


class Exchange:
    """One request and its response, read and written by h11.

    With `read`, another one reads the request: whether it had read all of it when the response began.
    """

    def __init__(self, connection: HttpConnection, head: bytes, *, read: bool | None = None) -> None:
        self._connection = connection
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=connection.limits.head_bytes)
        self._start: h11.Response | None = None
        self.read = bool(read)
        """Whether the request was read to its end."""
        self._delivered = False  # to the application: the end of the request
        self._crowded = False  # more chunks were read than are decoded in a row
        self._chunks = 0  # of such reads
        self.answered = False
        """Whether a response has begun."""
        request = _request(self._http, head, connection.limits.headers)
        self._bodiless = request.method == b"HEAD"
        self.scope = scope_of(request.method, request.target, request.http_version, list(request.headers), connection)
        if read is not None:
            return
        if not any(name in _BODIED for name, _ in request.headers):
            self._advance()
        elif data := connection.take_ahead():
            self._http.receive_data(data)

    @property
    def complete(self) -> bool:
        """Whether request and response are complete, and the connection may serve another request."""
        return self.read and self._http.our_state is h11.DONE

    def _advance(self) -> bytes:
        """The part of the body that h11 has; `read` is set with the last one. Raises `h11.RemoteProtocolError`."""
        parts: list[bytes] = []
        limits = self._connection.limits
        for _ in range(limits.chunks_in_a_row):
            event = self._http.next_event()
            if not isinstance(event, h11.Data):
                break
            parts.append(event.data)
        else:
            self._crowded = True
            self._chunks += limits.chunks_in_a_row
            if self._chunks > limits.body_chunks:
                raise h11.RemoteProtocolError("too many chunks")
            return b"".join(parts)
        if type(event) is h11.EndOfMessage:
            self.read = True
            self._connection.slot.mark_busy()
            self._connection.put_back(self._http.trailing_data[0])
        return b"".join(parts)

    async def receive(self) -> Message:
        """More of the request, or that its client has closed. Raises `trio.TooSlowError` within a body."""
        if self._delivered:
            await self._connection.closed()
            return {"type": "http.disconnect"}
        if self._http.they_are_waiting_for_100_continue:
            await self._connection.write(self._http.send(_CONTINUE))
        if self._crowded:
            self._crowded = False
            await checkpoint()
        try:
            while not (body := self._advance()) and not self.read:
                self._http.receive_data(await self._connection.more())
        except (h11.RemoteProtocolError, trio.BrokenResourceError):
            return {"type": "http.disconnect"}
        self._delivered = self.read
        return {"type": "http.request", "body": body, "more_body": not self.read}

    async def send(self, message: Message) -> None:
        """Send a part of the response; the head waits for the first part of the body, to leave in one write."""
        if message["type"] == "http.response.start":
            headers = [*message["headers"], date()]
            if not self.read:
                headers.append(CLOSE)
            self._start = h11.Response(
                status_code=message["status"], headers=headers, reason=PHRASES.get(message["status"], b"")
            )
            return
        data = b""
        if self._start is not None:
            data, self._start = self._http.send(self._start), None
            self.answered = True
        body = message.get("body", b"")
        if body and not self._bodiless:
            data += self._http.send(h11.Data(data=body))
        if not message.get("more_body", False):
            data += self._http.send(h11.EndOfMessage())
        await self._connection.write(data)


def _request(http: h11.Connection, head: bytes, headers: int) -> h11.Request:
    """The request, if it is valid and has at most so many headers. Raises `BadHead`."""
    if head.count(b"\r\n") > headers + 2:  # the request line, and the empty one
        raise BadHead(431, f"more than {headers} headers: send fewer")
    http.receive_data(head)
    try:
        request = http.next_event()
    except h11.RemoteProtocolError as exc:
        raise BadHead(exc.error_status_hint, f"not a request of HTTP/1.1: {exc}") from None
    assert isinstance(request, h11.Request)
    names = [name for name, _ in request.headers]
    if request.http_version not in VERSIONS:
        raise BadHead(505, "HTTP/1.1 is spoken here, and HTTP/1.0")
    if request.target[:1] != b"/" or request.method == b"CONNECT":
        raise BadHead(400, "the request target must be a path that starts with '/'")
    if _FOLD.search(head):
        raise BadHead(400, "a header may not go on in a second line (RFC 9112, section 5.2)")
    if b"transfer-encoding" in names and b"content-length" in names:
        raise BadHead(400, "Content-Length beside Transfer-Encoding: send one of them")
    host = next((value for name, value in request.headers if name == b"host"), None)  # HTTP/1.0 may have none
    if host is not None and not HOST.fullmatch(host):
        raise BadHead(400, "the Host header must be: host or host:port")
    return request


def _decoded(path: bytes) -> str:
    if b"%" not in path:
        return path.decode("ascii")
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise BadHead(400, "the path is not valid UTF-8: percent-encode UTF-8") from None


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def date() -> tuple[bytes, bytes]:
    """The header of every response."""
    return b"date", _date(int(time.time()))


def scope_of(
    method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]], connection: HttpConnection
) -> dict[str, Any]:
    """The scope of a request in ASGI. Raises `BadHead`."""
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": version.decode("ascii"),
        "method": method.decode("ascii"),
        "scheme": "http",
        "path": _decoded(path),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
        "extensions": {},
        "state": connection.state.copy(),
    }
