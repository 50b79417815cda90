"""The slow lane: trio-websocket, which judges every unusual frame. No other file of gatewayd imports it.

It is created at the first such frame, over a stream in memory: it reads the bytes that it is fed, and what it writes
goes to the client's writer. It never sees the socket, so it can neither lose bytes nor reorder them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from gatewayd.core.close import Cause, Disconnect
from gatewayd.net import frames

if TYPE_CHECKING:
    from gatewayd.net.writer import Writer

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: gatewayd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
"""The client's own request is answered already; the library needs one to begin."""
VIOLATIONS = {1002: Cause.PROTOCOL_ERROR, 1007: Cause.INVALID_TEXT, 1009: Cause.TOO_BIG}
"""The cause of a violation, by the close code that the library gives it (RFC 6455 §7.4.1)."""


class _MemoryStream(trio.abc.Stream):
    """Takes the place of the socket."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._unread = [REQUEST]
        self._more = trio.Event()
        self.drained = trio.Event()
        """The library has read all that it was fed, or will read no more."""
        self.upgraded = False
        self.closed = False

    def feed(self, data: bytes) -> None:
        self._unread.append(data)
        self.drained = trio.Event()
        self._more.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while not self._unread:
            self._more = trio.Event()
            self.drained.set()
            await self._more.wait()
        return self._unread.pop(0)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        frame = bytes(data)
        # The client has our own 101 already, and its close frame follows from the verdict, like any.
        if self.upgraded and frame[0] & 15 != frames.CLOSE:
            self._writer.send_control(frame)
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.closed = True
        self.drained.set()
        await trio.lowlevel.checkpoint()


class SlowLane:
    """One client's slow lane. `run` it in a nursery of the client; then `feed` raw bytes, and take each `message`."""

    def __init__(self, writer: Writer, max_message_bytes: int) -> None:
        self._stream = _MemoryStream(writer)
        self._max_bytes = max_message_bytes
        self._connection: WebSocketConnection | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until the library has closed."""
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(
                    nursery, self._stream, max_message_size=self._max_bytes, receive_buffer_size=65536
                )
                self._connection = await request.accept()
                self._stream.upgraded = True
                task_status.started()
        except* (LocalProtocolError, ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            # In some corners the library refuses what it sends itself; the connection is over either way.
            self._stream.closed = True
            self._stream.drained.set()

    @property
    def closed(self) -> bool:
        """Whether it has found a violation, which `message` raises."""
        return self._stream.closed

    async def feed(self, data: bytes) -> None:
        """Feed it bytes, and wait until it has acted on all of them."""
        if not self._stream.closed:
            self._stream.feed(data)
            await self._stream.drained.wait()

    async def message(self) -> str | bytes:
        """The message that is complete. Raises the `Disconnect` of a violation instead."""
        assert self._connection is not None
        try:
            return await self._connection.get_message()
        except ConnectionClosed as closed:
            code = closed.reason.code if closed.reason is not None else 1006
            words = (closed.reason.reason if closed.reason is not None else None) or ""
            raise Disconnect(VIOLATIONS.get(code, Cause.PROTOCOL_ERROR), words) from None
