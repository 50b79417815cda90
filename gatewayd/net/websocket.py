"""One client's WebSocket, read in two lanes: plain text frames at once, all that is unusual by the library.

Law 1: messages come out in the order in which their last frames came in, whichever lane they took.
Law 2: what is a whole, plain text frame, ping, pong or close is dealt with here; whatever is not is given, byte by
byte as it came, to `slow_lane.SlowLane`, and its judgement stands.
Law 3: every frame passes the bounds first: its size, the fragments of its message, the control frames per second.
Law 4: every byte counts as it is read, whatever it is part of; the clock is asked only once a burst is used up.
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
    from gatewayd.net.epoll import Heard, Take
    from gatewayd.net.writer import Writer

    Later = Coroutine[Any, Any, None] | None
    Act = Callable[[str | bytes], Later]
    """Acts on a message at once; what it cannot do at once, it returns to be awaited."""


class WebSocket:
    """One upgraded client; `rest` came with its request. Without `fast` the library does it all."""

    __slots__ = (
        "_act", "_allowance", "_at", "_begun", "_connection", "_data", "_ear", "_fast", "_fragments", "_later",
        "_left", "_limits", "_max_bytes", "_nursery", "_refilled", "_share", "_size", "_slow_lane", "_sound", "_writer",
        "answered", "controls",
    )  # fmt: skip

    def __init__(
        self, ear: Heard, writer: Writer, connection: Connection, limits: ClientLimits, *, rest: bytes, fast: bool
    ) -> None:  # fmt: skip
        self._writer = writer
        self._limits = limits
        self._connection = connection
        self._max_bytes = connection.settings.max_message_bytes
        self._allowance: float = connection.settings.intake.unidentified - len(rest)
        self._refilled = -math.inf  # when time was last added to the allowance
        self._fast = fast
        self._ear: Heard | None = ear
        self._act: Act | None = None
        self._later: Later = None  # what the last message asked for that could not be done at once
        self._nursery: trio.Nursery | None = None
        self._slow_lane: SlowLane | None = None
        self._data = rest
        self._at = 0  # where the next frame begins in what was read
        self._left = 0  # bytes of a frame of the slow lane that are still to come
        self._fragments = 0  # of the message that is in the middle
        self._size = 0  # of that message, in bytes
        self._begun: frames.Text | None = None  # the text frame of which a part is here
        self._share = 0
        self._sound = True  # no violation so far
        self.controls = Controls(
            writer, limits.control_frames, connection.end, close_detaches=connection.wire.close_detaches
        )
        self.answered = False
        """The client's own close frame has come, or it has hung up."""

    async def hear(self, nursery: trio.Nursery, act: Act) -> None:
        """Call `act` with message after message; as soon as the client closes, its connection is ended.

        Raises the `Disconnect` that a close or a violation is. The library lives in the nursery, should it be needed.
        """
        self._nursery, self._act = nursery, act
        in_a_row = self._limits.messages_in_a_row
        while True:
            message: str | bytes | None = None
            if self._at == len(self._data):
                await self._wait(self._at_once if self._fast else self._append)
            elif not self._fast or (message := self._plain()) is None:
                message = await self._unusual()
            if message is not None:
                if self._at < len(self._data):
                    self._writer.hold()
                self._later = act(message)
            if self._later is not None:
                later, self._later = self._later, None
                await later
            self._share += message is not None
            if self._share >= in_a_row:
                self._share = 0
                await trio.lowlevel.checkpoint()

    # --- reading --------------------------------------------------------------------------------------------

    async def _wait(self, take: Take) -> None:
        """Have `take` called with what comes."""
        # What is dealt with is let go before the wait: an idle client must not hold on to it.
        self._data = self._data[self._at :]
        self._at = 0
        assert self._ear is not None
        await self._ear.wait(take)

    def _append(self, fresh: bytes) -> bool:
        if not fresh:
            raise Disconnect(Cause.PEER_GONE)
        self._data = self._data + fresh if self._data else fresh
        left = self._allowance = self._allowance - len(fresh)
        if left < 0:
            self._refill()
        return False

    def _refill(self) -> None:
        """The client has sent what it may send at once: add what it has earned since, or pass the verdict."""
        connection, now = self._connection, trio.current_time()
        identified = connection.state in IDENTIFIED
        self._allowance = connection.settings.intake.refilled(self._allowance, now - self._refilled, identified)
        self._refilled = now

    async def _read(self) -> int:
        """Read on behind what is here; how many bytes came."""
        here = len(self._data) - self._at
        await self._wait(self._append)
        return len(self._data) - here

    def _at_once(self, fresh: bytes) -> bool:
        """Act on plain messages where nothing else is waiting; False when there is more to do than that."""
        self._append(fresh)
        act = self._act
        assert act is not None
        for _ in range(self._limits.messages_in_a_row):
            message = self._plain()
            if message is None:
                self._look_for_close()
                return False
            if self._at < len(fresh):
                self._writer.hold()
            self._later = act(message)
            if self._later is not None or self._at == len(fresh):
                break
        if self._later is not None or self._at < len(fresh):
            return False
        self._data, self._at = b"", 0
        return True

    def _plain(self) -> str | None:
        """The next message, if that is one whole text frame of the plainest kind."""
        if self._fragments or self._left:
            return None
        found = frames.plain(self._data, self._at, self._max_bytes)
        if found is not None:
            self._at, self._begun = found[1], None
        return found and found[0]

    # --- everything else ------------------------------------------------------------------------------------

    async def _unusual(self) -> str | bytes | None:
        """Deal with the next frame, or with what there is of it; a message, if it was the last frame of one."""
        if self._left:
            return await self._pass_on()
        header = frames.header(self._data, self._at)
        if header is None:
            await self._read()
            return None
        if not header.sound:
            return await self._violation()
        if header.opcode >= frames.CLOSE:
            return await self._control(header)
        self._bound(header)
        end = self._at + header.start + header.size
        plain = self._fast and header.opcode == frames.TEXT and header.final and header.size < 65536
        if plain and len(self._data) < end and self._still_text(header):  # awaited here, since it will be a plain one
            await self._read()
            return None
        self._begun = None
        self._left = header.start + header.size
        self._fragments = 0 if header.final else self._fragments + 1
        self._size = 0 if header.final else self._size + header.size
        return await self._pass_on()

    def _bound(self, header: frames.Header) -> None:
        """Refuse at its header what would be too much."""
        if self._size + header.size > self._max_bytes:
            raise Disconnect(Cause.TOO_BIG, f"a message is larger than {self._max_bytes} bytes")
        if self._fragments >= self._limits.fragments:
            raise Disconnect(Cause.FLOOD, f"a message of more than {self._limits.fragments} fragments")

    def _still_text(self, header: frames.Header) -> bool:
        """Whether what there is of a frame can still become UTF-8. Looks at each byte once."""
        start = self._at + header.start
        self._begun = self._begun or frames.Text(self._data[start - 4 : start])
        return self._begun.takes(self._data[start + self._begun.size :])

    async def _pass_on(self) -> str | bytes | None:
        """Give the library what is here of the frame that is its own; the message, if that ends one."""
        piece = self._data[self._at : self._at + self._left]
        if not piece:
            await self._read()
            return None
        self._at += len(piece)
        self._left -= len(piece)
        slow_lane = await self._judge()
        await slow_lane.eat(piece)
        self._sound = not slow_lane.closed
        if slow_lane.closed or (not self._left and not self._fragments):
            return await slow_lane.message()
        return None

    async def _violation(self) -> str | bytes:
        """A frame that RFC 6455 does not allow: the library says when, and with which code, the talk ends."""
        self._sound = False
        slow_lane = await self._judge()
        while not slow_lane.closed:
            rest, self._data, self._at = self._data[self._at :], b"", 0
            if rest:
                await slow_lane.eat(rest)
            else:
                await self._read()
        return await slow_lane.message()

    async def _judge(self) -> SlowLane:
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
            verdict = self.controls.closed(payload)
            if verdict is not None:
                raise verdict
            self._at = begin
            return await self._violation()
        if header.opcode == frames.PING or not self.controls.answers(payload):
            self.controls.count()
        if not self._fast:
            await (await self._judge()).eat(self._data[begin : self._at])
        elif header.opcode == frames.PING:
            self._writer.say(frames.control(frames.PONG, payload))
        return None

    def _payload(self, header: frames.Header) -> bytes | None:
        """Of a short frame that is all here."""
        start = self._at + header.start
        raw = self._data[start : start + header.size]
        return frames.unmask(raw, self._data[start - 4 : start]) if len(raw) == header.size else None

    def _look_for_close(self) -> None:
        """Tell of a close frame as soon as it is here: nothing more must be said to this client."""
        header = frames.header(self._data, self._at) if not self._left else None
        if header is not None and header.sound and header.opcode == frames.CLOSE:
            payload = self._payload(header)
            if payload is not None:
                self.controls.closed(payload)

    # --- the end --------------------------------------------------------------------------------------------

    async def goodbye(self, code: int, reason: str) -> None:
        """Say close, and wait until the client has answered, hung up, or said too much. Not bounded in time."""
        self._allowance = math.inf  # what follows has bounds of its own
        self._writer.say_close(frames.close(code, reason))
        await self._writer.flush()
        # Behind a violation nobody knows where a frame begins (and it may have been the client's close itself).
        limits = self._limits
        frames_left, bytes_left = limits.drain_frames if self._sound else 0, limits.drain_bytes
        try:
            while frames_left > 0 and bytes_left > 0:
                passed = min(self._left, len(self._data) - self._at)
                self._at += passed
                self._left -= passed
                header = frames.header(self._data, self._at) if not self._left else None
                if header is None:
                    bytes_left -= await self._read()
                elif not header.sound or header.opcode == frames.CLOSE:
                    self.answered = header.sound
                    return
                else:
                    self._left = header.start + header.size
                    frames_left -= 1
        except Disconnect:
            self.answered = True  # it hung up: nobody is left who might be talking

    def release(self) -> None:
        """The client is gone: let go of what it sent, and of all that holds this object."""
        self._data = b""
        self._act = self._begun = self._ear = self._slow_lane = self._nursery = None
        self.controls.release()
