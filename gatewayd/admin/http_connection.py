"""HTTP/1.1 for the admin API: the requests of one connection, one after the other, each passed to an ASGI application.

Law 1: h11 parses messages, and is spared the plain ones; this file checks the bytes of a head before h11 sees them, and
bounds everything in time.
Law 2: a response that is sent before its request was read to the end is the last one of its connection.
Law 3: a half-close does not end the connection: the client still gets its responses.

Sources: RFC 9112 (HTTP/1.1 messages), RFC 9110 (fields), the ASGI specification (HTTP, version 2.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from trio.lowlevel import checkpoint

from gatewayd.admin.exchange import Exchange
from gatewayd.admin.plain_exchange import PlainExchange
from gatewayd.admin.plain_head import PlainHead, plain_head
from gatewayd.admin.slots import Slot
from gatewayd.config.limits import ApiLimits
from gatewayd.net.request_head import FORBIDDEN, BadHead, response
from gatewayd.net.transport import SocketTransport

Asgi = Callable[..., Awaitable[None]]

_END = b"\r\n\r\n"
NO_REQUEST = "not a request of HTTP/1.1: printable ASCII, in lines that end with CR LF"
_CLEAN = bytes((*b"\t\r\n", *range(0x20, 0x7F)))
_BEGINNING = re.compile(rb"[A-Z]{1,20}(?: .*)?", re.DOTALL)


class Gone(OSError):
    """The client reads no response any more; ASGI asks for an OSError here."""


class HttpConnection:
    """One accepted connection; `state` is what the application finds in the scope of each request.

    A head that `plain` does not recognize is for h11.
    """

    def __init__(
        self, app: Asgi, stream: SocketTransport, slot: Slot, limits: ApiLimits, state: dict[str, Any],
        plain: Callable[[bytearray, ApiLimits], PlainHead | None] = plain_head,
    ) -> None:  # fmt: skip
        self._app = app
        self._stream = stream
        self.slot = slot
        self.limits = limits
        self.state = state
        self._ahead = bytearray()  # read, and part of no request yet
        self._served = 0
        self._gone = False
        self._exchange: Exchange | PlainExchange | None = None
        self._plain = plain
        self._patience = trio.CancelScope()
        """With the next request; one for all of them, since a scope costs as much as the parsing of a head."""

    @property
    def unanswered(self) -> bool:
        """Whether the client has begun a request, or has yet to send its first one, and got no response."""
        if self._exchange is not None:
            return not self._exchange.answered
        return bool(self._ahead) or not self._served

    async def run(self) -> None:
        """Serve until the client or a bound ends it. Raises `trio.BrokenResourceError` when the connection is lost."""
        try:
            with self._patience:
                await self._serve()
            if self._patience.cancelled_caught and self._ahead:
                seconds = self.limits.head_seconds
                raise BadHead(408, f"the rest of the request head did not come within {seconds:g} s")
        except BadHead as bad:
            await refuse(self._stream, bad.status, bad.reason, self.limits)
        except Gone:
            pass  # it was sent as much as it read

    async def _serve(self) -> None:
        while (head := await self._read_head()) is not None:
            exchange = Exchange(self, head) if isinstance(head, bytes) else PlainExchange(self, head)
            self._exchange = exchange
            await self._app(exchange.scope, exchange.receive, exchange.send)
            self.slot.mark_idle()
            if self._gone:
                return  # the application may have ended normally
            if not exchange.complete:
                if self._ahead or not exchange.read:  # a close over unread bytes would be a reset
                    await self._stream.linger(self.limits.linger_seconds, self.limits.linger_bytes)
                return
            self._served += 1
            self._exchange = None

    async def _read_head(self) -> PlainHead | bytes | None:
        """The next request's head; None when there is no further request. Raises `BadHead`.

        In bytes, with its empty line, it is for h11: it is not plain, or did not come in one piece.
        """
        ahead, limits, scanned = self._ahead, self.limits, 0
        idle = self._served and not ahead
        if not idle:
            await checkpoint()  # pipelined requests must not starve other connections
        patience = self._patience
        patience.deadline = trio.current_time() + (limits.idle_seconds if idle else limits.head_seconds)
        while not ahead or (head := self._complete(scanned)) is None:
            if idle and ahead and not scanned:
                patience.deadline = trio.current_time() + limits.head_seconds
            scanned = len(ahead)
            data = await self._stream.receive_some()
            if not data:
                return None
            if patience.cancel_called:  # in this very tick: what came with it is not begun
                await checkpoint()
            ahead += data
        patience.deadline = math.inf
        return head

    def _complete(self, scanned: int) -> PlainHead | bytes | None:
        """The head that was read, with nothing new in its first `scanned` bytes; None without its end."""
        ahead, limits = self._ahead, self.limits
        if not scanned and (plain := self._plain(ahead, limits)) is not None:
            del ahead[: len(plain.raw)]
            return plain
        end = ahead.find(_END, max(0, scanned - 3), limits.head_bytes) + len(_END)
        whole = end >= len(_END)
        _check(ahead, scanned, end if whole else len(ahead))
        if whole:
            head = bytes(ahead[:end])
            del ahead[:end]
            return head
        if len(ahead) >= limits.head_bytes:
            raise BadHead(431, f"the request head is larger than {limits.head_bytes} bytes")
        return None

    # --- what an exchange needs of its connection -------------------------------------------------------------

    def take_ahead(self, most: int | None = None) -> bytes:
        """What was read after a head, or so many bytes of it."""
        data = bytes(self._ahead[:most])
        del self._ahead[:most]
        return data

    async def more(self) -> bytes:
        """The next part of a request's body; b"" at the end. Raises `trio.TooSlowError`."""
        with trio.fail_after(self.limits.body_seconds):
            return await self._stream.receive_some()

    def put_back(self, data: bytes) -> None:
        """What was read after the end of a body."""
        self._ahead[:0] = data

    async def closed(self) -> None:
        """Wait until the client closes; what it sends meanwhile is later requests."""
        try:
            while len(self._ahead) < self.limits.read_ahead:
                data = await self._stream.receive_some()
                if not data:
                    return
                self._ahead += data
        except trio.BrokenResourceError:
            return
        await trio.sleep_forever()  # a client that pipelines so much is there

    async def write(self, data: bytes) -> None:
        """Write all of it. Raises `Gone` when the client is gone, or reads nothing for too long."""
        try:
            taken = self._stream.write_some(data)  # usually all of it
            piece = self.limits.piece_bytes
            for start in range(taken, len(data), piece):
                with trio.fail_after(self.limits.write_seconds):
                    await self._stream.send_all(data[start : start + piece])
        except (trio.BrokenResourceError, trio.TooSlowError) as exc:
            self._gone = True
            self._stream.abort()  # what it got is no complete response
            raise Gone("the client reads nothing") from exc


def _check(ahead: bytearray, scanned: int, end: int) -> None:
    """Refuse what cannot become a request as soon as it is read: the rest may never come."""
    new = ahead[scanned:end]
    # Nearly every head is complete and clean; only others need the slower search.
    clean = not new.translate(None, _CLEAN) and new.count(b"\r") == new.count(b"\n") == new.count(b"\r\n")
    if not clean and FORBIDDEN.search(ahead, scanned, end):
        raise BadHead(400, NO_REQUEST)
    if ahead and not _BEGINNING.fullmatch(ahead, 0, min(end, 24)):
        raise BadHead(400, NO_REQUEST)


async def refuse(stream: SocketTransport, status: int, reason: str, limits: ApiLimits) -> None:
    """Respond with an error, and close."""
    await stream.answer_and_linger(response(status, reason), limits.linger_seconds, limits.linger_bytes)
