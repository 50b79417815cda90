"""Publishing through the admin Unix socket: one event a request, a list of 100, or 100 lines of NDJSON."""

from __future__ import annotations

import http.client
import itertools
import math
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import encoded, plain
from bench.measure import Figures, Generator, Work, generator
from bench.process import Server
from bench.servers import serve
from bench.tools import Tools

BATCH = 100
ONE_CLIENT = "single, room of 1"
ROWS = ("single", "list of 100", "NDJSON of 100", ONE_CLIENT)
TRIAL = 0.3
"""Seconds of publishing at least, which warm the server up, and from which the rate is estimated."""
LEAST = 200
"""Events that are measured at least."""


class Admin(http.client.HTTPConnection):
    """HTTP over a Unix socket, one connection for all requests."""

    def __init__(self, path: Path) -> None:
        super().__init__("gatewayd")
        self._path = path

    def connect(self) -> None:
        """To the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))

    def publish(self, body: bytes, kind: str) -> None:
        """One request, and its answer read to the end."""
        self.request("POST", "/v1/publish", body, {"Content-Type": kind})
        answer = self.getresponse()
        said = answer.read()
        if answer.status != 200 or b'"error"' in said:
            raise RuntimeError(f"publish was answered by {answer.status}: {said[:200]!r}")


@dataclass(frozen=True)
class Requests:
    """What is published, in turn and again: bodies of so many events each."""

    bodies: Sequence[bytes]
    events: int = 1
    kind: str = "application/json"


def _requests(how: str, protocol: str) -> Requests:
    if how.startswith("single"):
        return Requests([encoded(plain(protocol, 0))])
    items = [plain(protocol, number) for number in range(BATCH)]
    if how == "NDJSON of 100":
        return Requests([b"\n".join(encoded(item) for item in items)], BATCH, "application/x-ndjson")
    return Requests([encoded(items)], BATCH)


def measure(how: str, tools: Tools, work: Work, name: str = "gatewayd") -> Figures:
    """Publish to rooms; the figures of `drive`."""
    work = Work(work.mode, work.protocol, 1 if how == ONE_CLIENT else work.clients, work.seconds, work.extras)
    with serve(name, work.protocol, tools) as server, generator(tools, server, work) as load:
        return drive(server, load, work, _requests(how, work.protocol))


def drive(server: Server, load: Generator, work: Work, requests: Requests) -> Figures:
    """Publish for about the time asked for; it counts until every client of the generator has everything.

    rate: events a second; frames: to clients a second; cpu_us: CPU of the server per event; frame_us: per client's
    frame; bytes: of a frame's payload; events: published in all; p50, p99, max: ms of one request.
    """
    admin = Admin(server.admin)
    bodies = itertools.cycle(requests.bodies)

    def publish(count: int) -> list[float]:
        times = []
        load.go(str(count * requests.events))
        for _ in range(count):
            asked = time.perf_counter()
            admin.publish(next(bodies), requests.kind)
            times.append(time.perf_counter() - asked)
        return times

    # The generator must know how many to wait for: what a second carries is estimated first.
    trial, spent, began = 0, 0.0, time.perf_counter()
    while spent < TRIAL:
        publish(more := max(1, trial))
        load.result()
        trial, spent = trial + more, time.perf_counter() - began
    count = max(math.ceil(LEAST / requests.events), round(work.seconds * trial / spent))
    used, began = server.cpu(), time.perf_counter()
    times = sorted(publish(count))
    told = load.result()
    seconds, used = time.perf_counter() - began, server.cpu() - used
    admin.close()
    events = count * requests.events
    return {
        "rate": events / seconds,
        "frames": events * work.clients / seconds,
        "cpu_us": used / events * 1e6,
        "frame_us": used / events / work.clients * 1e6,
        "bytes": told["bytes"] / told["frames"],
        "events": trial * requests.events + events,
        "p50": times[len(times) // 2] * 1e3,
        "p99": times[math.ceil(len(times) * 0.99) - 1] * 1e3,
        "max": times[-1] * 1e3,
        "generator": told["load"] * 100,
    }
