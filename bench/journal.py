"""What the journal costs: publishing to clients that are there, and to sessions whose clients are away."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from bench import publish
from bench.clients import identified
from bench.measure import Figures, Work
from bench.publish import Admin
from bench.servers import serve
from bench.tools import Tools

THERE, AWAY, ONE_AWAY = "there", "away", "1 away"
ROWS = tuple(f"{clients}: {kept}" for clients in (THERE, AWAY, ONE_AWAY) for kept in ("none", "batched", "always"))
BESIDE = {row: f"{clients}: none" for row in ROWS for clients in [row.partition(":")[0]] if not row.endswith("none")}
SESSIONS = 1000
BATCH = 100
FULL = 1200
"""Events before what is measured: more than a session keeps for a client that is away."""
LEAST = 200
"""Events that are measured at least."""


def measure(row: str, tools: Tools, work: Work) -> Figures:
    """rate: events a second; frames: to sessions a second; cpu_us: per event; p50, p99, max: ms of one request."""
    clients, _, kept = row.partition(": ")
    name = f"gatewayd, {kept}"
    if clients == THERE:
        return publish.measure("list of 100", tools, replace(work, protocol="rooms"), name)
    return _away(name, tools, work, SESSIONS if clients == AWAY else 1)


def _away(name: str, tools: Tools, work: Work, sessions: int) -> Figures:
    """Every event is kept for each of them; a single session is published to one event at a time."""
    size = BATCH if sessions > 1 else 1
    event = {"channel": "service:bot", "event": "E", "data": {"content": "x" * 150}}
    body = json.dumps([event] * size).encode()
    with serve(name, "utilbot", tools) as server:
        for sock in [identified(server.port, f"bot{number}") for number in range(sessions)]:
            sock.close()
        admin = Admin(server.admin)
        for _ in range(0, FULL, size):
            admin.publish(body, "application/json")
        used, began, times = server.cpu(), time.perf_counter(), list[float]()
        while time.perf_counter() - began < work.seconds or len(times) * size < LEAST:
            asked = time.perf_counter()
            admin.publish(body, "application/json")
            times.append(time.perf_counter() - asked)
        seconds, used = time.perf_counter() - began, server.cpu() - used
        admin.close()
    times.sort()
    count = len(times) * size
    return {
        "rate": count / seconds,
        "frames": count * sessions / seconds,
        "cpu_us": used / count * 1e6,
        "p50": times[len(times) // 2] * 1e3,
        "p99": times[int(len(times) * 0.99)] * 1e3,
        "max": times[-1] * 1e3,
        "generator": 0.0,
    }
