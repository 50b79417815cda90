"""Writes one client's outbox to its socket, in order.

Law 1: nothing follows a close frame.
Law 2: a write that makes no progress in time is the slow-consumer verdict.
Law 3: a lone frame is written at once; what follows in the same tick is written at its end, in one write. The writer
task exists only while the kernel takes no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.outbox import Outbox
from gatewayd.core.session import session_of
from gatewayd.net.transport import SocketTransport

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.observer import Observer
    from gatewayd.core.settings import Settings
    from gatewayd.net.tick import Tick


class Writer:
    """Writes one connection's outbox to its socket; a write may be blocked for `write_seconds`, or `outbox_age`.

    `observer` is told when its session's backlog keeps what the socket does not take, and when that is written.
    """

    __slots__ = (
        "_dirty", "_nursery", "_observer", "_outbox", "_patience", "_task", "_tick",
        "closing", "connection", "socket",
    )  # fmt: skip

    def __init__(
        self, transport: SocketTransport, settings: Settings, tick: Tick, write_seconds: float,
        connect: Callable[[Outbox], Connection], observer: Observer,
    ) -> None:  # fmt: skip
        self.socket = transport
        self._outbox = Outbox(settings, send=transport.send, wake=self.wake, pace=tick)
        if type(transport) is SocketTransport:
            self._outbox.descriptor = transport.sock.fileno()
            transport.closing = self._outbox.close
        self.connection = connect(self._outbox)
        """Whose outbox this is, made with it."""
        self._observer = observer
        self._tick = tick
        self._patience = min(write_seconds, settings.outbox_age)
        self._nursery: trio.Nursery | None = None
        self._dirty = False
        self._task = False
        self.closing = False
        """A close frame is in the outbox or out."""

    def wake(self) -> None:
        """Something waits to be written: at the end of the tick, unless the writer task is running."""
        if not self._dirty and not self._task:
            self._dirty = True
            self._tick.add(self)

    def hold(self) -> None:
        """More follows in this tick: join it to one write, for every client."""
        self._tick.hold()

    def use(self, nursery: trio.Nursery | None) -> None:
        """The nursery of the writer task; None when it is closing, and `flush` is called instead."""
        self._nursery = nursery
        self._task = False

    def send_control(self, frame: bytes) -> None:
        """Queue a ping, pong or close frame: bounded by what causes it, not by the outbox."""
        if not self.closing:
            self._outbox.push(frame, trio.current_time(), free=True)

    def send_close(self, frame: bytes) -> None:
        """Queue a close frame; nothing is queued behind it."""
        self.send_control(frame)
        self.closing = True
        self._outbox.finish()

    def write_now(self) -> bool:
        """Write what the kernel takes now; False when something is left."""
        self._dirty = False
        if self._task:
            return True  # the task writes it
        try:
            return self._write_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False  # the writer task meets the same error, in the client's nursery

    def _write_some(self) -> bool:
        while data := self._outbox.batch():
            sent = self.socket.write_some(data)
            if not sent:
                return False
            self._wrote(sent)
        return self.socket.drained()

    def write_later(self) -> None:
        """Start the writer task; it ends when the outbox is empty."""
        if self._nursery is not None and not self._task:
            self._task = True
            if (session := session_of(self.connection)) is not None:
                self._observer.behind(session)
            self._nursery.start_soon(self._write)

    async def _write(self) -> None:
        try:
            await self.flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.connection.end(Disconnect(Cause.PEER_GONE))
        finally:
            self._task = False

    @property
    def pending(self) -> bool:
        """Whether anything waits to be written. Raises `trio.BrokenResourceError`."""
        return len(self._outbox) > 0 or not self.socket.drained()

    async def flush(self) -> None:
        """Write until the outbox is empty; one task at a time. Raises `trio.BrokenResourceError`."""
        while self.pending:
            with trio.move_on_after(self._patience) as patience:
                if not self._write_some():
                    # The outbox may change meanwhile: the next round asks it again what to write.
                    await self.socket.wait_send_all_might_not_block()
            if patience.cancelled_caught or self._outbox.stale(trio.current_time()):
                self._give_up()

    def _wrote(self, count: int) -> None:
        if self._outbox.advance(count) and (session := session_of(self.connection)) is not None:
            self._observer.advanced(session)

    def _give_up(self) -> None:
        """The peer does not read, which is the verdict; what is left stays in the session's backlog."""
        self.connection.end(Disconnect(Cause.SLOW_CONSUMER, f"nothing was read for {self._patience:g} s"))
        raise trio.BrokenResourceError("the peer does not read")
