"""What one idle, identified client costs, by the file that asked for the memory.

    python bench/memory.py --clients 1000

A listener of this process serves raw sockets of another one; `tracemalloc` sees what Python allocates meanwhile. The
kernel's own buffers are in no process's figures, and what the allocator loses to its pages is the rest.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import socket
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import trio

from bench.idle import REQUEST, frame
from gatewayd.backend.static import OpenAuth
from gatewayd.net.gate import Gate
from gatewayd.protocols import utilbot
from tests.server import serving

WARM = 20
"""Clients that come first, so that what is made once is not counted."""


def clients(port: int, count: int, first: int) -> None:
    """So many identified clients that say nothing more."""
    socks = []
    for number in range(first, first + count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(REQUEST)
        got = b""
        while b"heartbeat" not in got:
            got += sock.recv(4096)
        sock.sendall(frame({"op": 1, "t": "identify", "d": {"type": "t", "key": "k", "id": str(number)}}))
        while b"bot_connect_success" not in got:
            got += sock.recv(4096)
        socks.append(sock)
    time.sleep(3600)


def part(name: str) -> str:
    """The part of the software that a file belongs to."""
    path = Path(name)
    for top in ("gatewayd", "trio", "outcome"):
        if top in path.parts:
            inside = path.parts[len(path.parts) - path.parts[::-1].index(top) :]
            return "/".join((top, *inside)) if top == "gatewayd" else top
    return f"python: {path.name}"


async def main(count: int) -> None:
    """Serve, count, print."""
    gate = Gate(max_clients=20_000, max_unidentified=20_000)
    config = {"max_clients": 20_000, "max_clients_per_ip": 20_000}
    async with serving(utilbot.PROTOCOL, auth=OpenAuth(), gate=gate, config=config) as served:
        warm = multiprocessing.Process(target=clients, args=(served.port, WARM, 0), daemon=True)
        warm.start()
        while served.hub.totals.opened < WARM:
            await trio.sleep(0.05)
        gc.collect()
        tracemalloc.start()
        crowd = multiprocessing.Process(target=clients, args=(served.port, count, WARM), daemon=True)
        crowd.start()
        while served.hub.totals.opened < WARM + count:
            await trio.sleep(0.05)
        await trio.sleep(0.5)
        gc.collect()
        found = tracemalloc.take_snapshot()
        tracemalloc.stop()
        sizes: Counter[str] = Counter()
        blocks: Counter[str] = Counter()
        for item in found.statistics("filename"):
            sizes[part(item.traceback[0].filename)] += item.size
            blocks[part(item.traceback[0].filename)] += item.count
        print(f"bytes a client   blocks   of {count} idle utilbot clients")
        for name, size in sizes.most_common(20):
            print(f"{size / count:14.0f}   {blocks[name] / count:6.1f}   {name}")
        print(f"{sum(sizes.values()) / count:14.0f}   {sum(blocks.values()) / count:6.1f}   in all")
        for crowd_member in (warm, crowd):
            crowd_member.kill()
        served.clients.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    trio.run(main, parser.parse_args().clients)
