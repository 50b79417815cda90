"""Plain trio-websocket as an echo server: what the fuzzing client finds in ours is measured against this.

`python -m tests.autobahn.plain` prints its URL on one line, and serves until it is interrupted.
"""

from __future__ import annotations

import contextlib

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, WebSocketServer, serve_websocket

MAX_MESSAGE_BYTES = 64 * 1024 * 1024


async def echo(request: WebSocketRequest) -> None:
    """Say each message again, text as text and binary as binary."""
    connection = await request.accept()
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.send_message(await connection.get_message())


async def main() -> None:
    """Serve on a free loopback port."""
    async with trio.open_nursery() as nursery:
        server: WebSocketServer = await nursery.start(
            lambda task_status: serve_websocket(
                echo, "127.0.0.1", 0, None, max_message_size=MAX_MESSAGE_BYTES, task_status=task_status
            )
        )
        print(f"ws://127.0.0.1:{server.port}/", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(main)
