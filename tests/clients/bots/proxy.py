"""A TCP proxy between a bot and the daemon, in which connections break as they do on the way."""

from __future__ import annotations

import socket
import struct

import trio
from attrs import define, field

ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: a close that is a reset."""


@define(eq=False)
class Link:
    """One connection of a bot, and the one to the daemon that belongs to it."""

    near: trio.SocketStream
    far: trio.SocketStream
    muted: bool = False
    """What the daemon sends is taken and thrown away; that it closes is passed on."""
    lines: list[bytes] = field(factory=list)
    """The first line of what the bot sent."""

    async def carry(self) -> None:
        """Both ways, until either side is done."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._upwards)
                async for data in self.far:
                    if not self.muted:
                        await self.near.send_all(data)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one of them is gone, so the other one goes too
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self.near)
                await trio.aclose_forcefully(self.far)

    async def _upwards(self) -> None:
        async for data in self.near:
            self.lines = self.lines or [bytes(data).partition(b"\r\n")[0]]
            await self.far.send_all(data)
        await self.far.send_eof()

    def cut(self, *, reset: bool) -> None:
        """The end, without a close frame: with FIN, or with RST."""
        for stream in (self.near, self.far):
            if reset:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            stream.socket.close()


@define
class Proxy:
    """Listens for bots. `live` has the links of the moment, `requests` the first line that each link has carried."""

    target: int
    live: list[Link] = field(factory=list)
    requests: list[str] = field(factory=list)
    closed: trio.Event | None = None
    """While it is there, nobody gets through: who connects waits for it."""
    port: int = 0

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until it is cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._link, listeners)

    async def _link(self, near: trio.SocketStream) -> None:
        if self.closed is not None:
            await self.closed.wait()
        try:
            link = Link(near, await trio.open_tcp_stream("127.0.0.1", self.target))
        except OSError:  # nobody is there
            await trio.aclose_forcefully(near)
            return
        self.live.append(link)
        await link.carry()
        self.live.remove(link)
        self.requests += [line.decode(errors="replace") for line in link.lines]

    def mute(self) -> None:
        """From now on the links of the moment bring nothing to the bots."""
        for link in self.live:
            link.muted = True

    def cut(self, *, reset: bool = False) -> None:
        """All links of the moment end."""
        for link in list(self.live):
            link.cut(reset=reset)
