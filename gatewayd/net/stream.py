"""The stream of ours beneath trio-websocket: it hands the library a clean head, orders all writes, and bounds them.

Law 1: the library gets nothing from the socket until its 101 is out, and nothing that was pipelined is lost.
Law 2: every byte to the socket goes through the outbox, the library's own frames too; nothing follows a close frame.
Law 3: a write that makes no progress in time is the slow-consumer verdict.
Law 4: the library's `aclose` only tells the library; the socket is closed by the supervisor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatewayd.core.close import Cause, Disconnect
from gatewayd.net.transport import SocketTransport

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection

WRITE_SECONDS = 10.0
"""How long one write may be blocked; `outbox_age` where that is less."""
DRAIN_BYTES = 1048576
"""How much is still read from a peer that has been told goodbye."""
TLS_BATCH = 16384
OPCODE_CLOSE = 8

Transport = SocketTransport | trio.SSLStream[SocketTransport]


class ClientStream(trio.abc.Stream):
    """One client's byte stream, as trio-websocket sees it, and as the writer and the supervisor do."""

    def __init__(self, transport: Transport, connection: Connection, *, head: bytes, rest: bytes) -> None:
        self._transport = transport
        self._socket = transport if isinstance(transport, SocketTransport) else transport.transport_stream
        self._connection = connection
        self._outbox = connection.outbox
        self._head = head
        self._rest = rest
        self._accepted = trio.Event()
        self._work = trio.Event()
        self._lock = trio.Lock()
        self._let_go = False
        self._patience = min(WRITE_SECONDS, connection.settings.outbox_age)
        self._drained = 0
        self.closing = False
        """A close frame is in the outbox or out."""
        connection.wake = self._wake

    def _wake(self) -> None:
        self._work.set()

    def accept(self) -> None:
        """The upgrade is answered: from here on the library reads what the client says."""
        self._accepted.set()

    # --- what the library calls -----------------------------------------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The clean head first; after the upgrade what was pipelined, then the socket."""
        if self._head:
            head, self._head = self._head, b""
            await trio.lowlevel.checkpoint()
            return head
        await self._accepted.wait()
        if self._let_go:
            raise trio.ClosedResourceError
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        data = bytes(await self._transport.receive_some(max_bytes))
        if self.closing:
            self._drained += len(data)
            return data if self._drained <= DRAIN_BYTES else b""
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """The library's own frames (101, pong, close) take their place in the outbox; waits until they are out."""
        if self.closing:
            return  # we have said goodbye: a pong or a second close frame has no place behind it
        frame = bytes(data)
        if self._accepted.is_set() and frame[0] & 15 == OPCODE_CLOSE:
            self.say_close(frame)
        else:
            self._outbox.push(frame, None, trio.current_time(), free=True)
        await self.flush()

    async def wait_send_all_might_not_block(self) -> None:
        """Part of the stream interface; the outbox always takes the library's frames."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """The library lets go; the socket stays open for our own goodbye."""
        self._let_go = True
        await trio.lowlevel.checkpoint()

    # --- what the writer and the supervisor call ------------------------------------------------------------

    def say_close(self, frame: bytes) -> None:
        """Queue a close frame; nothing is queued behind it."""
        if not self.closing:
            self.closing = True
            self._outbox.push(frame, None, trio.current_time(), free=True)
            self._outbox.finish()

    async def write(self) -> None:
        """The writer task: write whatever is queued, for ever. Raises `Disconnect` when that fails."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            try:
                await self.flush()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise Disconnect(Cause.PEER_GONE) from exc

    async def flush(self) -> None:
        """Write until the outbox is empty. One at a time, so that bytes leave in their order."""
        async with self._lock:
            while len(self._outbox):
                with trio.move_on_after(self._patience) as patience:
                    await self._write_some()
                if patience.cancelled_caught or self._outbox.stale(trio.current_time()):
                    self._give_up()

    async def _write_some(self) -> None:
        data = self._outbox.batch()
        if isinstance(self._transport, SocketTransport):
            sent = self._transport.write_some(data)
            if not sent:
                # The outbox may change while we wait: the next round asks it again for what to write.
                await self._transport.wait_send_all_might_not_block()
                return
        else:
            data = data[:TLS_BATCH]
            # A TLS write that is cancelled half-way ruins the stream: it ends by its own patience alone.
            with trio.move_on_after(self._patience, shield=True) as patience:
                await self._transport.send_all(data)
            if patience.cancelled_caught:
                self._give_up()
            sent = len(data)
        self._wrote(sent)

    def _wrote(self, count: int) -> None:
        done = self._outbox.advance(count)
        session = self._connection.session
        if done and session is not None and self._connection.verdict is not None:
            for event in done:  # taken back as unsent while its frame was half out: it did go out after all
                session.missed.forget(event)

    def _give_up(self) -> None:
        """The peer does not read: that is the verdict, and what is left can only be taken back."""
        self._connection.end(Disconnect(Cause.SLOW_CONSUMER, f"nothing was read for {self._patience:g} s"))
        raise trio.BrokenResourceError("the peer does not read")

    async def linger(self, seconds: float) -> None:
        """Say that nothing more comes, and read for a moment what the peer was still sending.

        Closing a socket with unread bytes resets the connection, and the reset may overtake our close frame.
        """
        self._socket.send_eof()
        with trio.move_on_after(seconds):
            try:
                while self._drained <= DRAIN_BYTES and (data := await self._socket.receive_some()):
                    self._drained += len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    def abort(self) -> None:
        """Close the socket at once."""
        self._socket.abort()
