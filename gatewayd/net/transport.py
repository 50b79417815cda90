"""One accepted socket as a Trio stream: plain, non-blocking, closable at once.

Written against the socket, since `trio.SocketStream` hides two things that are needed: how many bytes of a write the
kernel took, and a close that never waits.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio
from trio.lowlevel import checkpoint, notify_closing, wait_readable, wait_writable

from gatewayd.core.outbox import nobody
from gatewayd.net.epoll import RECEIVE_BYTES, Epoll, Reader, SocketReader


class SocketTransport(trio.abc.Stream):
    """A connected, non-blocking stream socket. `remote` is its peer as text; "unix" for a Unix socket."""

    __slots__ = ("closing", "reader", "remote", "send", "sock", "waited", "wake")

    def __init__(self, sock: socket.socket, remote: str) -> None:
        self.sock = sock
        self.send: Callable[[bytes], int] = sock.send
        """The socket's own, which may raise `OSError`: for the one place where a call less is worth it."""
        self.remote = remote
        self.wake: Callable[[], None] = nobody
        """Called when something is left to be written that was counted as taken."""
        self.closing: Callable[[], None] = nobody
        """Called before the descriptor is closed: it may be another socket's at once."""
        self.waited = False
        """Whether Trio has ever waited for this socket, and has to be told when it is closed."""
        self.reader: SocketReader | None = None
        """Reads the socket once it has joined the epoll."""

    def join(self, epoll: Epoll) -> Reader:
        """From now on the node's epoll reads the socket; `receive_some` may be called once the reader is done with."""
        self.reader = SocketReader(epoll, self.sock)
        return self.reader

    def receive_now(self, max_bytes: int) -> bytes | None:
        """What is here, b"" at the end; None if nothing is, or the connection is lost, which whoever waits learns."""
        try:
            return self.sock.recv(max_bytes)
        except OSError:
            return None

    def has_unread(self) -> bool:
        """Whether the peer has sent something that was not acted on yet; known once it has joined the epoll."""
        return self.reader is not None and self.reader.has_unread()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Read at least one byte; b"" at the end. Raises `BrokenResourceError`, `ClosedResourceError`."""
        while True:
            try:
                # Waiting first: a client has seldom sent more by the time it is read again.
                self.waited = True
                await wait_readable(self.sock)
                return self.sock.recv(max_bytes or RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise self._failure() from exc

    def write_some(self, data: bytes) -> int:
        """Write without waiting: how many bytes the kernel took, 0 when it takes none now."""
        try:
            return self.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise self._failure() from exc

    def write_first(self, data: bytes) -> int:
        """As `write_some`, for what is followed by more at once: the kernel sends both as one (MSG_MORE, send(2))."""
        try:
            return self.sock.send(data, socket.MSG_MORE)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise self._failure() from exc

    def drained(self) -> bool:
        """Write what the kernel takes now; whether it has all that was counted as taken."""
        return True

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything."""
        await checkpoint()
        view = bytes(data)
        while view:
            sent = self.write_some(view)
            view = view[sent:]
            if not sent:
                await self.wait_send_all_might_not_block()
        while not self.drained():
            await self.wait_send_all_might_not_block()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write would take something."""
        self.waited = True
        try:
            await wait_writable(self.sock)
        except OSError as exc:
            raise self._failure() from exc

    async def linger(self, seconds: float, most: int) -> None:
        """Send the end of the stream, and read for a moment what the peer was still sending, up to `most` bytes.

        Closing a socket with unread bytes resets the connection, and the reset may overtake our last bytes.
        """
        self.send_eof()
        with trio.move_on_after(seconds):
            try:
                while most > 0 and (data := await self.receive_some()):
                    most -= len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def answer_and_linger(self, answer: bytes, seconds: float, most: int) -> None:
        """Send a last answer and `linger`, so that no reset overtakes it; `seconds` are for both together."""
        with trio.move_on_after(seconds):
            await self.send_all(answer)
            await self.linger(seconds, most)

    def send_eof(self) -> None:
        """Tell the peer that nothing more will come; it may still be sending."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer is gone already

    def reject(self, answer: bytes, most: int) -> None:
        """Send what can be sent without waiting, and close: for a client that there is no room for."""
        try:
            self.sock.send(answer)
            # Up to `most` bytes are read: a close over unread bytes would be a reset, which may overtake the answer.
            self.sock.recv(most)
        except OSError:
            pass  # it did not wait for the answer, or has sent nothing yet
        self.abort()

    def _failure(self) -> trio.ClosedResourceError | trio.BrokenResourceError:
        if self.sock.fileno() == -1:
            return trio.ClosedResourceError("this transport was closed")
        return trio.BrokenResourceError("the connection was lost")

    def abort(self) -> None:
        """Close at once, whatever is still in flight. Safe to call twice."""
        self.wake = nobody  # the writer holds this object
        if self.sock.fileno() != -1:
            if self.reader is not None:
                self.reader.close()
            self.closing()
            self.closing = nobody
            if self.waited:
                notify_closing(self.sock)
            self.sock.close()

    async def aclose(self) -> None:
        """Close at once."""
        self.abort()
        await checkpoint()
