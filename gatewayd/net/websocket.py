"""One client's WebSocket, read in two lanes: plain text frames at once, everything unusual by the library.

Law 1: messages come out in the order in which their last frames arrived, whichever lane they took.
Law 2: a complete, plain text frame, ping, pong or close is handled here; any other frame is fed, byte for byte, to
`slow_lane.SlowLane`, whose judgement stands.
Law 3: every frame passes the bounds first: its size, the fragments of its message, the control frames per second.
Law 4: every byte counts as it is read, whatever it is part of; the clock is asked only when a burst is used up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import trio

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.machine import IDENTIFIED
from gatewayd.net import frames
from gatewayd.net.controls import Controls
from gatewayd.net.slow_lane import SlowLane

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gatewayd.config.limits import ClientLimits
    from gatewayd.core.connection import Connection
    from gatewayd.net.epoll import OnData, Reader
    from gatewayd.net.writer import Writer

    Later = Coroutine[Any, Any, None] | None
    OnMessage = Callable[[str | bytes], Later]
    """Acts on a message; returns a coroutine for what it cannot do at once."""


class WebSocket:
    """One upgraded client; `pipelined` came with its request. Without `fast` every frame takes the slow lane."""

    __slots__ = (
        "_allowance", "_at", "_connection", "_data", "_fast", "_fragments", "_frame_left", "_in_a_row", "_later",
        "_limits", "_max_bytes", "_nursery", "_on_message", "_partial_text", "_reader", "_refilled", "_size",
        "_slow_lane", "_valid", "_writer",
        "answered", "controls",
    )  # fmt: skip

    def __init__(
        self, reader: Reader, writer: Writer, connection: Connection, limits: ClientLimits, *,
        pipelined: bytes, fast: bool,
    ) -> None:  # fmt: skip
        self._writer = writer
        self._limits = limits
        self._connection = connection
        self._max_bytes = connection.settings.max_message_bytes
        self._allowance: float = connection.settings.intake.unidentified - len(pipelined)
        self._refilled = -math.inf  # when time was last added to the allowance
        self._fast = fast
        self._reader: Reader | None = reader
        self._on_message: OnMessage | None = None
        self._later: Later = None  # of the last message: what could not be done at once
        self._nursery: trio.Nursery | None = None
        self._slow_lane: SlowLane | None = None
        self._data = pipelined
        self._at = 0  # where the next frame begins in `_data`
        self._frame_left = 0  # bytes of a slow lane's frame that are still to come
        self._fragments = 0  # of the message that is incomplete
        self._size = 0  # of that message, in bytes
        self._partial_text: frames.Utf8Check | None = None  # of a text frame that is incomplete
        self._in_a_row = 0
        self._valid = True  # no violation so far
        self.controls = Controls(writer, limits.control_frames, connection.end, connection.wire.goodbyes)
        self.answered = False
        """The client has sent its own close frame, or closed the connection."""

    async def read(self, nursery: trio.Nursery, on_message: OnMessage) -> None:
        """Call `on_message` with message after message; as soon as the client closes, its connection is ended.

        Raises the `Disconnect` of a close or a violation. The slow lane runs in the nursery, if it is needed.
        """
        self._nursery, self._on_message = nursery, on_message
        most = self._limits.messages_in_a_row
        while True:
            message: str | bytes | None = None
            if self._at == len(self._data):
                self._data, self._at = b"", 0  # an idle client must not hold on to what is handled
                assert self._reader is not None
                await self._reader.read(self._on_data if self._fast else self._append)
            elif not self._fast or (message := self._next_plain()) is None:
                message = await self._next_unusual()
            if message is not None:
                if self._at < len(self._data):
                    self._writer.hold()
                self._later = on_message(message)
            if self._later is not None:
                later, self._later = self._later, None
                await later
                del later  # nor must it hold on to this
            self._in_a_row += message is not None
            if self._in_a_row >= most:
                self._in_a_row = 0
                await trio.lowlevel.checkpoint()

    # --- reading --------------------------------------------------------------------------------------------

    async def _wait(self, on_data: OnData) -> None:
        """Wait for more, and call `on_data` with it."""
        # What is handled is let go before the wait: an idle client must not hold on to it.
        self._data = self._data[self._at :]
        self._at = 0
        assert self._reader is not None
        await self._reader.read(on_data)

    def _append(self, fresh: bytes) -> bool:
        if not fresh:
            raise Disconnect(Cause.PEER_GONE)
        self._data = self._data + fresh if self._data else fresh
        left = self._allowance = self._allowance - len(fresh)
        if left < 0:
            self._refill()
        return False

    def _refill(self) -> None:
        """The burst is used up: add what the client has earned since the last time, or raise the verdict."""
        connection, now = self._connection, trio.current_time()
        identified = connection.state in IDENTIFIED
        self._allowance = connection.settings.intake.refilled(self._allowance, now - self._refilled, identified)
        self._refilled = now

    async def _read(self) -> int:
        """Read more; how many bytes came."""
        here = len(self._data) - self._at
        await self._wait(self._append)
        return len(self._data) - here

    def _on_data(self, fresh: bytes) -> bool:
        """Act on plain messages as they are read; False when the client's task has to do more."""
        on_message = self._on_message
        assert on_message is not None
        if not self._data and not self._fragments and not self._frame_left:
            text = frames.small(fresh, self._max_bytes)
            if text is not None:  # nearly always
                self._allowance -= len(fresh)
                if self._allowance < 0:
                    self._refill()
                self._later = on_message(text)
                return self._later is None
        self._append(fresh)
        for _ in range(self._limits.messages_in_a_row):
            message = self._next_plain()
            if message is None:
                self._check_close()
                return False
            if self._at < len(fresh):
                self._writer.hold()
            self._later = on_message(message)
            if self._later is not None or self._at == len(fresh):
                break
        if self._later is not None or self._at < len(fresh):
            return False
        self._data, self._at = b"", 0
        return True

    def _next_plain(self) -> str | None:
        """The next message, if it is one complete, plain text frame."""
        if self._fragments or self._frame_left:
            return None
        found = frames.plain(self._data, self._at, self._max_bytes)
        if found is not None:
            self._at, self._partial_text = found[1], None
        return found and found[0]

    # --- everything else ------------------------------------------------------------------------------------

    async def _next_unusual(self) -> str | bytes | None:
        """Handle the next frame, or what is here of it; the message, if it was the last frame of one."""
        if self._frame_left:
            return await self._feed_slow_lane()
        header = frames.header(self._data, self._at)
        if header is None:
            await self._read()
            return None
        if not header.valid:
            return await self._violation()
        if header.opcode >= frames.CLOSE:
            return await self._control(header)
        self._check_bounds(header)
        end = self._at + header.start + header.size
        plain = self._fast and header.opcode == frames.TEXT and header.final and header.size < 65536
        if plain and len(self._data) < end and self._still_text(header):  # read on: it will be a plain one
            await self._read()
            return None
        self._partial_text = None
        self._frame_left = header.start + header.size
        self._fragments = 0 if header.final else self._fragments + 1
        self._size = 0 if header.final else self._size + header.size
        return await self._feed_slow_lane()

    def _check_bounds(self, header: frames.Header) -> None:
        """Refuse a frame that is too much as soon as its header is read."""
        if self._size + header.size > self._max_bytes:
            raise Disconnect(Cause.TOO_BIG, f"a message is larger than {self._max_bytes} bytes")
        if self._fragments >= self._limits.fragments:
            raise Disconnect(Cause.FLOOD, f"a message of more than {self._limits.fragments} fragments")

    def _still_text(self, header: frames.Header) -> bool:
        """Whether what is here of a frame can still become UTF-8. Looks at each byte once."""
        start = self._at + header.start
        text = self._partial_text = self._partial_text or frames.Utf8Check(self._data[start - 4 : start])
        return text.check(self._data[start + text.size :])

    async def _feed_slow_lane(self) -> str | bytes | None:
        """Feed the slow lane what is here of its frame; the message, if that completes one."""
        piece = self._data[self._at : self._at + self._frame_left]
        if not piece:
            await self._read()
            return None
        self._at += len(piece)
        self._frame_left -= len(piece)
        slow_lane = await self._open_slow_lane()
        await slow_lane.feed(piece)
        self._valid = not slow_lane.closed
        if slow_lane.closed or (not self._frame_left and not self._fragments):
            return await slow_lane.message()
        return None

    async def _violation(self) -> str | bytes:
        """A frame that RFC 6455 does not allow: the library decides when, and with which code, the connection ends."""
        self._valid = False
        slow_lane = await self._open_slow_lane()
        while not slow_lane.closed:
            rest, self._data, self._at = self._data[self._at :], b"", 0
            if rest:
                await slow_lane.feed(rest)
            else:
                await self._read()
        return await slow_lane.message()

    async def _open_slow_lane(self) -> SlowLane:
        if self._slow_lane is None:
            assert self._nursery is not None
            self._slow_lane = SlowLane(self._writer, self._max_bytes)
            await self._nursery.start(self._slow_lane.run)
        return self._slow_lane

    # --- control frames -------------------------------------------------------------------------------------

    async def _control(self, header: frames.Header) -> str | bytes | None:
        payload = self._payload(header)
        if payload is None:
            await self._read()
            return None
        begin, self._at = self._at, self._at + header.start + header.size
        if header.opcode == frames.CLOSE:
            verdict = self.controls.on_close(payload)
            if verdict is not None:
                raise verdict
            self._at = begin
            return await self._violation()
        if header.opcode == frames.PING or not self.controls.is_answer(payload):
            self.controls.count()
        if not self._fast:
            await (await self._open_slow_lane()).feed(self._data[begin : self._at])
        elif header.opcode == frames.PING:
            self._writer.send_control(frames.control(frames.PONG, payload))
        return None

    def _payload(self, header: frames.Header) -> bytes | None:
        """The payload of a short frame; None if it is incomplete."""
        start = self._at + header.start
        raw = self._data[start : start + header.size]
        return frames.unmask(raw, self._data[start - 4 : start]) if len(raw) == header.size else None

    def _check_close(self) -> None:
        """End the connection as soon as a close frame is here: nothing more must be sent to this client."""
        header = frames.header(self._data, self._at) if not self._frame_left else None
        if header is not None and header.valid and header.opcode == frames.CLOSE:
            payload = self._payload(header)
            if payload is not None:
                self.controls.on_close(payload)

    # --- the end --------------------------------------------------------------------------------------------

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, and wait until the client answers it, closes, or sends too much. Not bounded in time."""
        self._allowance = math.inf  # what follows has its own bounds
        self._writer.send_close(frames.close(code, reason))
        await self._writer.flush()
        # After a violation no frame can be found any more (and it may have been the client's close itself).
        limits = self._limits
        frames_left, bytes_left = limits.drain_frames if self._valid else 0, limits.drain_bytes
        try:
            while frames_left > 0 and bytes_left > 0:
                passed = min(self._frame_left, len(self._data) - self._at)
                self._at += passed
                self._frame_left -= passed
                header = frames.header(self._data, self._at) if not self._frame_left else None
                if header is None:
                    bytes_left -= await self._read()
                elif not header.valid or header.opcode == frames.CLOSE:
                    self.answered = header.valid
                    return
                else:
                    self._frame_left = header.start + header.size
                    frames_left -= 1
        except Disconnect:
            self.answered = True  # it closed the connection

    def release(self) -> None:
        """The client is gone: let go of its data, and of everything that refers to this object."""
        self._data = b""
        self._on_message = self._partial_text = self._reader = self._slow_lane = self._nursery = None
        self.controls.release()
