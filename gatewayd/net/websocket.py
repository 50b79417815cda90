"""trio-websocket, and nothing else of gatewayd knows it: upgrade, messages, pings, and what its closes mean."""

from __future__ import annotations

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from gatewayd.core.close import Cause, Disconnect
from gatewayd.net.stream import OPCODE_CLOSE, ClientStream

VIOLATIONS = {1002: Cause.PROTOCOL_ERROR, 1007: Cause.INVALID_TEXT}
"""What the library's parser calls a peer's mistake, by the code that RFC 6455 §7.4.1 gives it."""


def close_frame(code: int, reason: str) -> bytes:
    """One unmasked close frame (RFC 6455 §5.5.1); `reason` is already cut to size."""
    body = code.to_bytes(2, "big") + reason.encode()
    return bytes((0x80 | OPCODE_CLOSE, len(body))) + body


class WebSocket:
    """One upgraded client. `run` holds the library's own reader; `done` is set when that has ended."""

    def __init__(self, stream: ClientStream, *, max_message_bytes: int, close_detaches: bool) -> None:
        self._stream = stream
        self._max_bytes = max_message_bytes
        self._close_detaches = close_detaches
        self._library: WebSocketConnection | None = None
        self.answered = False
        """The client's own close frame has come."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer the upgrade, then serve the library until the client is gone. Once started, look at `upgraded`."""
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(
                    nursery, self._stream, max_message_size=self._max_bytes, receive_buffer_size=65536
                )
                self._library = await request.accept()
                self._stream.accept()
                task_status.started()
        except* LocalProtocolError:
            # The library answers a ping although it has said goodbye, and its own state machine objects.
            pass
        except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            # The transport went while the library was writing: the reader or the writer pass that verdict.
            pass
        if not self.upgraded:
            task_status.started()

    @property
    def upgraded(self) -> bool:
        """Whether the 101 went out."""
        return self._library is not None

    async def receive(self) -> str | bytes:
        """The next message. Raises the `Disconnect` that a close or a violation amounts to."""
        assert self._library is not None
        try:
            message = await self._library.get_message()
        except ConnectionClosed as closed:
            code = closed.reason.code if closed.reason is not None else 1006
            words = (closed.reason.reason if closed.reason is not None else None) or ""
            raise self._meaning(code, words) from None
        if len(message) * 4 > self._max_bytes and _size(message) > self._max_bytes:
            raise Disconnect(Cause.TOO_BIG, f"a message is larger than {self._max_bytes} bytes")
        return message

    def _meaning(self, code: int, words: str) -> Disconnect:
        if not self._stream.closing:
            cause = VIOLATIONS.get(code, Cause.PEER_GONE)
            return Disconnect(cause, words if cause is not Cause.PEER_GONE else "")
        if code == 1009 and words.startswith("Exceeded"):  # the library's own words: it has closed already
            return Disconnect(Cause.TOO_BIG, f"a message is larger than {self._max_bytes} bytes")
        self.answered = True
        leaves = code != 1000 or self._close_detaches
        return Disconnect(Cause.CLIENT_LEFT if leaves else Cause.CLIENT_CLOSED, f"closed by the client with {code}")

    async def alive(self, within: float) -> bool:
        """Whether the client answers a ping within so many seconds."""
        assert self._library is not None
        with trio.move_on_after(within):
            try:
                await self._library.ping()
            except ConnectionClosed:
                return False
            return True
        return False

    async def goodbye(self, code: int, reason: str) -> None:
        """Say close, and wait until the client has answered, hung up, or said too much. Not bounded in time."""
        self._stream.say_close(close_frame(code, reason))
        await self._stream.flush()
        assert self._library is not None
        try:
            while True:
                await self._library.get_message()
        except ConnectionClosed as closed:
            self.answered = closed.reason is not None and closed.reason.code not in (1002, 1006, 1007, 1009)


def _size(message: str | bytes) -> int:
    """Bytes of a message on the wire; the library's own bound counts characters."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
