"""Peer: `websockets` on asyncio or uvloop; `python -m bench.peers.ws_asyncio PORT PROTOCOL [uvloop] [CERT KEY]`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from bench.peers.dialect import BACKLOG, Gateway, Violation, arguments


async def main() -> None:
    """Serve until killed."""
    port, protocol, tls = arguments()
    links: set[ServerConnection] = set()
    gateway: Gateway[ServerConnection] = Gateway(protocol, lambda to, data: broadcast(to, data.decode()))

    async def client(link: ServerConnection) -> None:
        # What is told to this client is written once its message has been judged.
        replies: list[bytes] = []
        peer = gateway.join(link, replies.append)
        links.add(link)
        try:
            await link.send(replies.pop(), text=True)
            async for message in link:
                gateway.received(peer, message)
                while replies:
                    await link.send(replies.pop(0), text=True)
        except Violation as wrong:
            await link.close(wrong.code, wrong.reason)
        except ConnectionClosed:
            pass
        finally:
            links.discard(link)
            gateway.leave(peer)

    async with serve(client, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096, ssl=tls):
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        while True:
            await asyncio.sleep(1)
            for link in [*links]:
                if link.transport.get_write_buffer_size() > BACKLOG:
                    link.transport.abort()
            for link in gateway.overdue():
                await link.close(4007, "heartbeat missed")


with contextlib.suppress(KeyboardInterrupt):
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
