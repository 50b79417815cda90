"""What a scenario is: its work, the servers that do it, and the figures that its table shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench import measure, version
from bench.measure import Measure, Work


@dataclass(frozen=True)
class Column:
    """One figure of a table."""

    key: str
    label: str
    form: str = ",.0f"
    less: bool = False
    """Less is better."""
    compared: str = ""
    """What its ratio to a peer's is called, where it has one."""


def rate(label: str) -> Column:
    """What is done in a second."""
    return Column("rate", label, compared="rate")


CPU = Column("cpu_us", "CPU µs each", ",.2f", less=True, compared="CPU")
FRAME = Column("frame_us", "CPU µs each", ",.2f", less=True, compared="CPU")
PERCENT = Column("cpu_percent", "CPU %", ",.1f", less=True)
P50, P99 = Column("p50", "p50 ms", ",.2f", less=True), Column("p99", "p99 ms", ",.2f", less=True)
MAX = Column("max", "max ms", ",.1f", less=True)
MB = Column("mb", "MB more", ",.1f", less=True)
KB = Column("kb", "KB per client", ",.1f", less=True, compared="KB")
KEPT = Column("kb", "KB per client", ",.1f", less=True)
GENERATOR = Column("generator", "generator %")
FRAMES = (rate("frames/s"), CPU, P50, P99, GENERATOR)
SLOW = (FRAMES[0], MB, *FRAMES[1:])
TRIPS = (rate("round trips/s"), CPU, P50, P99, GENERATOR)
SCALING = (rate("a second"), PERCENT, *TRIPS[1:])
BEATS = (PERCENT, Column("rate", "beats/s"), CPU, P50, P99, GENERATOR)
IDLE = (rate("connects/s"), CPU, KB, P50, P99, GENERATOR)
STORM = (rate("resumes/s"), Column("seconds", "all in s", ",.2f", less=True), CPU, P50, P99, GENERATOR)
REQUESTS = (rate("requests/s"), CPU, P50, P99)
EVENTS = (rate("events/s"), Column("frames", "frames/s"), CPU, P50, P99, GENERATOR)
PAIRED = (Column("frames", "frames/s", compared="rate"), FRAME, P50, P99, GENERATOR)
STREAMS = (*PAIRED[:2], KEPT, Column("bytes", "bytes each"), P50, P99, GENERATOR)
FLOOD = (P99, P50, MAX, PERCENT, MB, GENERATOR)
ADMIN = (P50, MAX, Column("cpu_ms", "daemon CPU ms", ",.1f", less=True), Column("lines", "lines"))

OURS = version.OURS.name
NODE = ("Node.js ws",)
FAST = (*NODE, "picows (uvloop)", "websockets (uvloop)")
PYTHON = ("picows (uvloop)", "websockets (uvloop)", "websockets (asyncio)", "trio-websocket")
PREPARED = "Node.js ws, prepared"
LIMIT = "C, the limit"
ALL = (*NODE, *PYTHON, LIMIT)


@dataclass(frozen=True)
class Scenario:
    """One table. The first column is the one that is plotted."""

    name: str
    title: str
    work: Work
    columns: tuple[Column, ...]
    peers: tuple[str, ...] = NODE
    """Servers that gatewayd is compared with, each in pairs of runs."""
    run: Measure = measure.traffic
    note: str = ""
    alone: tuple[str, ...] = ()
    """Rows where gatewayd is measured without a peer."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Rows of these that are compared with another of them."""

    @property
    def compared(self) -> tuple[Column, ...]:
        """The columns of which ratios are shown."""
        return tuple(column for column in self.columns if column.compared)

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows that are gatewayd's own."""
        return self.alone or (OURS,)
