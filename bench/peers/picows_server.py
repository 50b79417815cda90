"""Peer: `picows` (WebSockets in Cython) on uvloop; `python -m bench.peers.picows_server PORT PROTOCOL [CERT KEY]`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterable

import uvloop
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from bench.peers.dialect import BACKLOG, Gateway, Peer, Violation, arguments

ROOM = 14
"""Bytes in front of a payload, where picows puts its frame's header."""


def broadcast(links: Iterable[WSTransport], data: bytes) -> None:
    """One payload to each transport, from one buffer that nobody copies: each call tries the socket at once."""
    shared, text = bytearray(ROOM) + data, WSMsgType.TEXT
    for link in links:
        link.send_reuse_external_bytearray(text, shared, ROOM)


class Client(WSListener):
    """One connection."""

    gateway: Gateway[WSTransport]
    links: set[WSTransport]
    peer: Peer[WSTransport]

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Hello."""
        self.links.add(transport)
        self.peer = self.gateway.join(transport, lambda data: transport.send(WSMsgType.TEXT, data))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame; the measured clients send no fragments."""
        if frame.msg_type == WSMsgType.TEXT:
            try:
                self.gateway.received(self.peer, frame.get_payload_as_bytes())
            except Violation as wrong:
                transport.send_close(WSCloseCode(wrong.code), wrong.reason.encode())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Gone."""
        self.links.discard(transport)
        self.gateway.leave(self.peer)


async def main() -> None:
    """Serve until killed."""
    port, protocol, tls = arguments()
    Client.gateway, Client.links = Gateway(protocol, broadcast), set()
    server = await ws_create_server(
        lambda request: Client(), "127.0.0.1", port, ssl=tls, backlog=4096, max_frame_size=65536
    )
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    async with server:
        while True:
            await asyncio.sleep(1)
            for link in [*Client.links]:
                if link.underlying_transport.get_write_buffer_size() > BACKLOG:
                    link.disconnect(graceful=False)  # what waits would be written first, and is never read
            for link in Client.gateway.overdue():
                link.disconnect()


with contextlib.suppress(KeyboardInterrupt):
    uvloop.run(main())
