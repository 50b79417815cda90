"""A client's control frames: how many it may send, whether it answers our pings, and its close frame."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Pings
from gatewayd.core.text import printable
from gatewayd.net import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatewayd.net.writer import Writer


class Controls(Pings):
    """Of one client, `most` in a second; with one of the codes in `goodbyes` it ends its session."""

    __slots__ = (
        "_count", "_end", "_goodbyes", "_most", "_pings", "_pong", "_since", "_unanswered", "_writer",
        "reply",
    )  # fmt: skip

    def __init__(
        self, writer: Writer, most: int, end: Callable[[Disconnect], None], goodbyes: frozenset[int]
    ) -> None:  # fmt: skip
        self._writer = writer
        self._most = most
        self._goodbyes = goodbyes
        self._count = 0
        self._since = 0.0
        self._pings = 0
        self._unanswered: deque[tuple[bytes, Callable[[], None]]] | None = None  # an empty one costs 760 bytes
        self._pong: trio.Event | None = None
        self._end: Callable[[Disconnect], None] | None = end  # called as soon as the client closes
        self.reply: bytes | None = None
        """The close frame that answers the client's."""

    def count(self) -> None:
        """Count one frame. Raises the `Disconnect` of a client that sends too many."""
        now = trio.current_time()
        if now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > self._most:
            raise Disconnect(Cause.FLOOD, f"more than {self._most} control frames in a second")

    def ping(self, told: Callable[[], None]) -> None:
        """Ask for a pong; `told` is called when it comes: the client has read all that was sent before the ping."""
        self._pings += 1
        payload = b"%d" % self._pings
        if self._unanswered is None:
            self._unanswered = deque()
        self._unanswered.append((payload, told))
        self._writer.send_control(frames.control(frames.PING, payload))

    def is_answer(self, payload: bytes) -> bool:
        """Whether a pong answers a ping of ours, and all before it (RFC 6455 §5.5.3); then it does not count."""
        unanswered = self._unanswered
        if unanswered is None or all(payload != sent for sent, _ in unanswered):
            return False
        answered = b""
        while answered != payload:
            answered, told = unanswered.popleft()
            told()
        if not unanswered:
            self._unanswered = None
        return True

    async def alive(self, within: float) -> bool:
        """Whether the client answers a ping within so many seconds; concurrent calls share one ping."""
        if self._pong is None:
            self._pong = trio.Event()
            self.ping(self._pong.set)
        pong = self._pong
        with trio.move_on_after(within):
            await pong.wait()
        if self._pong is pong:
            self._pong = None
        return pong.is_set()

    def on_close(self, payload: bytes) -> Disconnect | None:
        """The verdict of a close frame; None if RFC 6455 §7.4 does not allow it."""
        code = frames.close_code(payload)
        if code is None:
            return None
        self.reply = frames.close(None if code == 1005 else code)
        words = printable(payload[2:].decode())
        cause = Cause.CLIENT_CLOSED if code in self._goodbyes else Cause.CLIENT_LEFT
        verdict = Disconnect(cause, f"closed by the client with {code}" + (f": {words}" if words else ""))
        if self._end is not None:
            self._end(verdict)
        return verdict

    def release(self) -> None:
        """The client is gone: let go of the callbacks that wait for a pong."""
        self._end = self._unanswered = None
