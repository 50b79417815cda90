"""Peer: `trio_websocket` as its documentation shows it; `python -m bench.peers.plain_trio PORT PROTOCOL [CERT KEY]`."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable
from functools import partial

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from bench.peers.dialect import Gateway, Violation, arguments

WAITING = 1024
"""Events that may wait for one client before it is given up as a slow consumer."""


async def main() -> None:
    """Serve until killed."""
    port, protocol, tls = arguments()
    outboxes: dict[WebSocketConnection, trio.MemorySendChannel[bytes]] = {}

    def broadcast(links: Iterable[WebSocketConnection], data: bytes) -> None:
        # A client that does not read must not hold up the others: everybody has a writer of their own.
        for link in links:
            try:
                outboxes[link].send_nowait(data)
            except trio.WouldBlock:
                outboxes[link].close()
            except trio.ClosedResourceError:
                pass  # given up before

    gateway: Gateway[WebSocketConnection] = Gateway(protocol, broadcast)

    async def write(link: WebSocketConnection, events: trio.MemoryReceiveChannel[bytes]) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in events:
                await link.send_message(data.decode())
            await link.aclose(4010, "slow consumer")

    async def client(request: WebSocketRequest) -> None:
        link = await request.accept()
        send, receive = trio.open_memory_channel[bytes](WAITING)
        outboxes[link] = send
        peer = gateway.join(link, send.send_nowait)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, link, receive)
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        try:
                            gateway.received(peer, await link.get_message())
                        except Violation as wrong:
                            await link.aclose(wrong.code, wrong.reason)
                nursery.cancel_scope.cancel()
        finally:
            gateway.leave(peer)
            del outboxes[link]

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_websocket, client, "127.0.0.1", port, tls))
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        while True:
            await trio.sleep(1)
            for link in gateway.overdue():
                nursery.start_soon(link.aclose, 4007, "heartbeat missed")


with contextlib.suppress(KeyboardInterrupt):
    trio.run(main)
