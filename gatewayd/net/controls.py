"""A client's control frames: how many it may send, whether it answers our ping, and its close."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatewayd.core.close import Cause, Disconnect
from gatewayd.net import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatewayd.net.writer import Writer

MAX_CONTROLS = 10
"""Control frames in one second; of data frames, the protocol's own rate decides."""


class Controls:
    """Of one client. `close_detaches`: every close leaves its session to be resumed, 1000 included."""

    __slots__ = ("_close_detaches", "_count", "_pinged", "_pong", "_since", "_writer", "end", "reply")

    def __init__(self, writer: Writer, *, close_detaches: bool) -> None:
        self._writer = writer
        self._close_detaches = close_detaches
        self._count = 0
        self._since = 0.0
        self._pinged = b""
        self._pong: trio.Event | None = None
        self.end: Callable[[Disconnect], None] | None = None
        """Told at once when the client has closed: nothing more must be said to it."""
        self.reply: bytes | None = None
        """The close frame that answers the client's own."""

    def count(self) -> None:
        """One more. Raises the `Disconnect` of a client that sends too many."""
        now = trio.current_time()
        if now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > MAX_CONTROLS:
            raise Disconnect(Cause.FLOOD, f"more than {MAX_CONTROLS} control frames in a second")

    def answers(self, payload: bytes) -> bool:
        """Whether a pong is the answer to our ping. That one is no flood, however many ask."""
        if self._pong is None or payload != self._pinged:
            return False
        self._pong.set()
        self._pong = None
        return True

    async def alive(self, within: float) -> bool:
        """Whether the client answers a ping within so many seconds; those who ask at the same time share one."""
        if self._pong is None:
            self._pong = trio.Event()
            self._pinged = trio.current_time().hex().encode()
            self._writer.say(frames.control(frames.PING, self._pinged))
        pong = self._pong
        with trio.move_on_after(within):
            await pong.wait()
        if self._pong is pong:
            self._pong = None
        return pong.is_set()

    def closed(self, payload: bytes) -> Disconnect | None:
        """What a close frame amounts to; None for one that RFC 6455 §7.4 does not allow."""
        code = frames.close_code(payload)
        if code is None:
            return None
        self.reply = frames.close(None if code == 1005 else code)
        leaves = code != 1000 or self._close_detaches
        cause = Cause.CLIENT_LEFT if leaves else Cause.CLIENT_CLOSED
        verdict = Disconnect(cause, f"closed by the client with {code}")
        if self.end is not None:
            self.end(verdict)
        return verdict
