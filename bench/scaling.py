"""More daemons on one port: each listens with `reuse_port = true`, and the kernel spreads the clients over them.

The load generator is measured beside them, since it works on the same cores: what it takes, the daemons do not have.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from bench.bodies import encoded, plain
from bench.measure import Figures, Generator, Work, drive, generator
from bench.process import Server
from bench.publish import Admin
from bench.servers import share
from bench.tools import Tools

TRIPS, FANOUT = "round trips", "fan-out"
ROWS = tuple(f"{what}, {instances}" for what in (TRIPS, FANOUT) for instances in ("1 instance", "2 instances"))
BESIDE = {f"{what}, 2 instances": f"{what}, 1 instance" for what in (TRIPS, FANOUT)}
CLIENTS = 1000
"""Of the fan-out."""
EVENTS = 300
FIRST = 50
"""Events before what is measured."""


def measure(row: str, tools: Tools, work: Work) -> Figures:
    """The same load against so many instances; CPU is that of all of them."""
    what, _, instances = row.partition(", ")
    count = int(instances.split()[0])
    if what == TRIPS:
        with share(count, work.protocol, tools) as server:
            return drive(server, tools, work)
    work = replace(work, mode="drain", protocol="rooms", clients=CLIENTS)
    with share(count, work.protocol, tools) as server, generator(tools, server, work) as load:
        _publish(server, load, FIRST, [])
        used, began = server.cpu(), time.perf_counter()
        told = _publish(server, load, EVENTS, times := list[float]())
        seconds, used = time.perf_counter() - began, server.cpu() - used
    frames = EVENTS * CLIENTS
    return {
        "rate": frames / seconds,
        "cpu_us": used / frames * 1e6,
        "cpu_percent": used / seconds * 100,
        "p50": sorted(times)[len(times) // 2] * 1e3,
        "p99": sorted(times)[int(len(times) * 0.99)] * 1e3,
        "generator": told["load"] * 100,
    }


def _publish(server: Server, load: Generator, events: int, times: list[float]) -> dict[str, float]:
    """Every event to each instance, one after the other at each: an instance knows only its own clients.

    What the requests take is added to `times`.
    """
    load.go(str(events))
    publishers = [threading.Thread(target=_all, args=(Admin(path), events, times)) for path in server.admins]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    return load.result()


def _all(admin: Admin, events: int, times: list[float]) -> None:
    body = encoded(plain("rooms", 0))
    for _ in range(events):
        asked = time.perf_counter()
        admin.publish(body, "application/json")
        times.append(time.perf_counter() - asked)
    admin.close()
