"""A plain request of an HTTP/1.1 connection and its response: what `Exchange` does, without h11.

Law: neither the application nor the client can tell which of the two it was; a test compares them byte by byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from gatewayd.admin.exchange import PHRASES, Exchange, Message, date, scope_of

if TYPE_CHECKING:
    from gatewayd.admin.http_connection import HttpConnection
    from gatewayd.admin.plain_head import PlainHead

_JSON = (b"content-type", b"application/json")
_HEAD = b"HTTP/1.1 %d %b\r\ncontent-length: %d\r\ncontent-type: application/json\r\ndate: %b\r\n%b\r\n"
_STATUS = {status: phrase for status, phrase in PHRASES.items() if status >= 200 and status not in (204, 304)}
"""Those whose responses have a body."""


class PlainExchange:
    """One request and its response."""

    def __init__(self, connection: HttpConnection, head: PlainHead) -> None:
        self._connection = connection
        self._head = head
        self._left = head.length or 0  # bytes of the body
        self._delivered = False  # to the application: the end of the request
        self._start: Message | None = None
        self._last = False  # response of the connection
        self._done = False
        self._odd: Exchange | None = None
        """Writes a response that is no JSON of a known length."""
        self.scope: dict[str, Any] = scope_of(head.method, head.target, b"1.1", head.headers, connection)
        self.read = False
        """Whether the request was read to its end."""
        if head.length is None:
            self._read_all()

    @property
    def answered(self) -> bool:
        """Whether a response has begun."""
        return self._done if self._odd is None else self._odd.answered

    @property
    def complete(self) -> bool:
        """Whether request and response are complete, and the connection may serve another request."""
        return self.read and (self._done if self._odd is None else self._odd.complete)

    def _read_all(self) -> None:
        self.read = True
        self._connection.slot.mark_busy()

    async def receive(self) -> Message:
        """More of the request, or that its client has closed. Raises `trio.TooSlowError` within a body."""
        connection, left, body = self._connection, self._left, b""
        if self._delivered:
            await connection.closed()
            return {"type": "http.disconnect"}
        if left:
            try:
                body = connection.take_ahead(left) or await connection.more()
            except trio.BrokenResourceError:
                return {"type": "http.disconnect"}
            if not body:
                return {"type": "http.disconnect"}
            if len(body) > left:
                connection.put_back(body[left:])
                body = body[:left]
            self._left = left = left - len(body)
        if not left:
            self._delivered = True
            if not self.read:
                self._read_all()
        return {"type": "http.request", "body": body, "more_body": left > 0}

    async def send(self, message: Message) -> None:
        """Send a part of the response; the head waits for the first part of the body, to leave in one write."""
        if self._odd is not None:
            await self._odd.send(message)
        elif message["type"] == "http.response.start":
            self._start, self._last = message, not self.read
        else:
            start, self._start = self._start, None
            assert start is not None, "a response begins with its head, and is sent once"
            status, headers, body = start["status"], start["headers"], message.get("body", b"")
            length = len(body)
            plain = [(b"content-length", b"%d" % length), _JSON]
            if message.get("more_body", False) or headers != plain or status not in _STATUS:
                self._odd = Exchange(self._connection, self._head.raw, read=not self._last)
                await self._odd.send(start)
                await self._odd.send(message)
                return
            self._done = True
            last = b"connection: close\r\n" if self._last else b""
            head = _HEAD % (status, _STATUS[status], length, date()[1], last)
            await self._connection.write(head if self._head.method == b"HEAD" else head + body)
