"""One publish to a room that nobody is in: what the admin socket itself costs, beside a bare HTTP server."""

from __future__ import annotations

import time

from bench.bodies import encoded, plain
from bench.measure import Figures, Work
from bench.publish import Admin
from bench.servers import serve
from bench.tools import Tools

FIRST = 50
"""Requests before what is measured: of a server that was just started, as one is after every deployment."""
REQUESTS = 500
WARM = "warm"
MANY = 10_000
"""Requests before it where a server has run for a while."""


def measure(name: str, tools: Tools, work: Work) -> Figures:
    """A fresh server each time. rate: requests a second; cpu_us: of each; p50, p99, max: ms of one."""
    body, times = encoded(plain("rooms", 0)), list[float]()
    with serve(name, work.protocol, tools) as server:
        admin = Admin(server.admin)
        for _ in range(MANY if WARM in work.extras else FIRST):
            admin.publish(body, "application/json")
        used, began = server.cpu(), time.perf_counter()
        for _ in range(REQUESTS):
            asked = time.perf_counter()
            admin.publish(body, "application/json")
            times.append(time.perf_counter() - asked)
        seconds, used = time.perf_counter() - began, server.cpu() - used
        admin.close()
    times.sort()
    return {
        "rate": REQUESTS / seconds,
        "cpu_us": used / REQUESTS * 1e6,
        "p50": times[REQUESTS // 2] * 1e3,
        "p99": times[int(REQUESTS * 0.99)] * 1e3,
        "max": times[-1] * 1e3,
    }
