"""What one idle, identified client costs in bytes, by the file that asked for the memory.

    python -m bench.memory --clients 1000

A listener of this process serves raw sockets of another one; `tracemalloc` sees what Python allocates meanwhile. The
kernel's own buffers are in no process's figures, and what the allocator loses to its pages is the rest of what the
scenario `idle` shows per client. One run is enough: allocations do not vary as times do.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import trio

from bench.clients import identified
from bench.tools import raise_files
from gatewayd.auth.static import OpenAuth
from gatewayd.net.gate import Gate
from gatewayd.protocols import utilbot
from tests.server import serving

WARM = 20
"""Clients that come first, so that what is made once is not counted."""
LIMIT = 20_000
"""More clients than anybody asks for."""
ROWS = 20
"""Files that are shown, the costliest first."""


def crowd(port: int, count: int, first: int) -> None:
    """So many identified clients that say nothing more, until they are killed."""
    _socks = [identified(port, str(number)) for number in range(first, first + count)]
    time.sleep(3600)


def part(name: str) -> str:
    """The part of the software that a file belongs to."""
    path = Path(name)
    for top in ("gatewayd", "trio", "outcome"):
        if top in path.parts:
            inside = path.parts[len(path.parts) - path.parts[::-1].index(top) :]
            return "/".join((top, *inside)) if top == "gatewayd" else top
    return f"python: {path.name}"


def show(found: tracemalloc.Snapshot, count: int) -> None:
    """Bytes and memory blocks of one client, by file."""
    sizes: Counter[str] = Counter()
    blocks: Counter[str] = Counter()
    for item in found.statistics("filename"):
        sizes[part(item.traceback[0].filename)] += item.size
        blocks[part(item.traceback[0].filename)] += item.count
    print(f"bytes per client   blocks   of {count:,} idle utilbot clients")
    for name, size in sizes.most_common(ROWS):
        print(f"{size / count:16,.0f}   {blocks[name] / count:6.1f}   {name}")
    print(f"{sum(sizes.values()) / count:16,.0f}   {sum(blocks.values()) / count:6.1f}   in all")


async def measure(count: int) -> None:
    """Serve, count, print."""
    gate = Gate(max_clients=LIMIT, max_unidentified=LIMIT)
    config = {"max_clients": LIMIT, "max_clients_per_ip": LIMIT}
    async with serving(utilbot.PROTOCOL, auth=OpenAuth(), gate=gate, config=config) as served:

        async def come(number: int, first: int) -> multiprocessing.Process:
            process = multiprocessing.Process(target=crowd, args=(served.port, number, first), daemon=True)
            process.start()
            while served.hub.totals.opened < first + number:
                if not process.is_alive():
                    raise RuntimeError("the clients gave up")
                await trio.sleep(0.05)
            return process

        # Started afresh and not forked: a copy of this process would hold what is served, too.
        multiprocessing.set_start_method("spawn")
        processes = [await come(WARM, 0)]
        gc.collect()
        tracemalloc.start()
        processes.append(await come(count, WARM))
        await trio.sleep(0.5)  # what was needed only to connect is given back
        gc.collect()
        found = tracemalloc.take_snapshot()
        tracemalloc.stop()
        for process in processes:
            process.kill()
        served.clients.cancel_scope.cancel()
    show(found, count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000, help="clients that are counted (1000)")
    asked = parser.parse_args().clients
    raise_files()
    trio.run(measure, asked)
