"""One measurement: a fresh server, the generator against it, and both their counters read around the run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.process import Server
from bench.servers import serve
from bench.tools import Tools

Figures = dict[str, float]
PATIENCE = 120
"""Seconds after which a run has failed."""
QUIET = 1.0
"""Seconds in which a server finishes what was only needed to connect, or to part."""


@dataclass(frozen=True)
class Work:
    """What the generator is to do."""

    mode: str
    protocol: str
    clients: int
    seconds: float
    extras: tuple[str, ...] = ()
    tls: bool = False


class Generator:
    """The load generator at work: it has connected, and waits to be told to go."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.connected = self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise RuntimeError(self._process.stderr.read().strip() or "the generator ended")
        told: dict[str, Any] = json.loads(line)
        return told

    def go(self, what: str = "") -> None:
        """Start what is measured, which may be more than once."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """What it measured, once it has."""
        return self._line()

    def do(self, what: str = "") -> dict[str, Any]:
        """Both in one."""
        self.go(what)
        return self.result()


@contextlib.contextmanager
def generator(tools: Tools, server: Server, work: Work) -> Iterator[Generator]:
    """Start the generator and wait until all its clients are identified."""
    dialect = work.protocol.partition("-")[0]
    what = [work.mode, str(server.port), dialect, str(work.clients), str(work.seconds), *work.extras]
    process = subprocess.Popen(
        ["timeout", str(PATIENCE), tools.load(tls=work.tls), *what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Generator(process)
    finally:
        process.terminate()
        process.communicate()


def drive(server: Server, tools: Tools, work: Work) -> Figures:
    """The generator's work on a running server, after half a second of the same.

    rate: frames to clients a second; cpu_us: CPU of the server per frame, in µs; cpu_percent: of one core; mb: the most
    memory that it took beyond what it had with all clients there; p50, p99, max: ms; generator: per cent of a core.
    """
    with generator(tools, server, work) as load:
        load.do("warm")
        before, used = server.watch_memory(), server.cpu()
        told = load.do()
        used, peak = server.cpu() - used, server.peak()
    return {
        "rate": told["frames"] / told["seconds"],
        "cpu_us": used / max(told["frames"], 1) * 1e6,
        "cpu_percent": used / told["seconds"] * 100,
        "mb": (peak - before) / 1024,
        **_times(told),
    }


def _times(told: dict[str, Any]) -> Figures:
    """What the generator says of times (ms) and of itself (per cent of a core)."""
    return {"p50": told["p50"], "p99": told["p99"], "max": told["max"], "generator": told["load"] * 100}


def traffic(name: str, tools: Tools, work: Work) -> Figures:
    """Frames to clients: how many a second, what each costs the server, and how long they take."""
    with serve(name, work.protocol, tools, tls=work.tls) as server:
        return drive(server, tools, work)


def idle(name: str, tools: Tools, work: Work) -> Figures:
    """Clients that connect and stay: what each keeps of memory (KB), how fast they come, and for how much CPU (µs).

    Memory is that of the first clients of a fresh server. They part, and as many others come: these are timed.
    """
    with serve(name, work.protocol, tools) as server:
        before = server.rss()
        with generator(tools, server, work) as load:
            time.sleep(QUIET)
            kilobytes = server.rss() - before
            load.do("drop")
            time.sleep(QUIET)
            used = server.cpu()
            told = load.do()
            used = server.cpu() - used
    return {
        "rate": work.clients / told["seconds"],
        "cpu_us": used / work.clients * 1e6,
        "kb": kilobytes / work.clients,
        **_times(told),
    }


def storm(name: str, tools: Tools, work: Work) -> Figures:
    """All clients drop at once and come back to their sessions, for the second time: the first is the warm-up.

    Times are of one client, from its connect to its session.
    """
    with serve(name, work.protocol, tools, tls=work.tls) as server, generator(tools, server, work) as load:
        load.do("warm")
        time.sleep(QUIET)
        used = server.cpu()
        told = load.do()
        used = server.cpu() - used
    if told["resumed"] != work.clients:
        raise RuntimeError(f"only {told['resumed']} of {work.clients} sessions were resumed")
    return {
        "rate": work.clients / told["seconds"],
        "seconds": told["seconds"],
        "cpu_us": used / work.clients * 1e6,
        **_times(told),
    }


Measure = Callable[[str, Tools, Work], Figures]
