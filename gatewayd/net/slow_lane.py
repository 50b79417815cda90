"""trio-websocket, the judge of every frame that is out of the ordinary; nothing else of gatewayd knows it.

It is made when the first such frame comes, over a stream that leads nowhere: it reads what it is given, and what it
says goes to the client's writer. It never sees the socket, so it can neither lose bytes nor let them pass each other.
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
"""The client's own request was answered long ago; the library has to see one to begin."""
VIOLATIONS = {1002: Cause.PROTOCOL_ERROR, 1007: Cause.INVALID_TEXT, 1009: Cause.TOO_BIG}
"""What the library calls a peer's mistake, by the code that RFC 6455 §7.4.1 gives it."""


class _Tap(trio.abc.Stream):
    """What the library takes for the socket."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._given = [REQUEST]
        self._more = trio.Event()
        self.asked = trio.Event()
        """All that was given is read, or the library will read no more."""
        self.upgraded = False
        self.closed = False

    def give(self, data: bytes) -> None:
        self._given.append(data)
        self.asked = trio.Event()
        self._more.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while not self._given:
            self._more = trio.Event()
            self.asked.set()
            await self._more.wait()
        return self._given.pop(0)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        frame = bytes(data)
        # The 101 is not for the client, which has got ours; nor is the close: it follows from the verdict, like any.
        if self.upgraded and frame[0] & 15 != frames.CLOSE:
            self._writer.say(frame)
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.closed = True
        self.asked.set()
        await trio.lowlevel.checkpoint()


class SlowLane:
    """One client's slow lane. `run` in a nursery of the client; then `eat` raw bytes, and take each `message`."""

    def __init__(self, writer: Writer, max_message_bytes: int) -> None:
        self._tap = _Tap(writer)
        self._max_bytes = max_message_bytes
        self._connection: WebSocketConnection | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until the library has closed."""
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(
                    nursery, self._tap, max_message_size=self._max_bytes, receive_buffer_size=65536
                )
                self._connection = await request.accept()
                self._tap.upgraded = True
                task_status.started()
        except* (LocalProtocolError, ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            # Its own state machine objects to what it says itself in some corners; the talk is over either way.
            self._tap.closed = True
            self._tap.asked.set()

    @property
    def closed(self) -> bool:
        """Whether it has passed a verdict, which `message` tells."""
        return self._tap.closed

    async def eat(self, data: bytes) -> None:
        """Give it bytes, and wait until it has acted on all of them."""
        if not self._tap.closed:
            self._tap.give(data)
            await self._tap.asked.wait()

    async def message(self) -> str | bytes:
        """The message that is due. Raises the `Disconnect` that it found instead."""
        assert self._connection is not None
        try:
            return await self._connection.get_message()
        except ConnectionClosed as closed:
            code = closed.reason.code if closed.reason is not None else 1006
            words = (closed.reason.reason if closed.reason is not None else None) or ""
            raise Disconnect(VIOLATIONS.get(code, Cause.PROTOCOL_ERROR), words) from None
