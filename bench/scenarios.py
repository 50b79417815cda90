"""What is measured: each scenario's work, its peers, and the figures that its table shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench import measure, publish
from bench.measure import Measure, Work


@dataclass(frozen=True)
class Column:
    """One figure of a table."""

    key: str
    label: str
    form: str = ",.0f"


CPU = Column("cpu_us", "CPU µs each", ",.1f")
P50, P99 = Column("p50", "p50 ms", ",.2f"), Column("p99", "p99 ms", ",.2f")
GENERATOR = Column("generator", "generator %")
FRAMES = (Column("rate", "frames/s"), CPU, P50, P99, GENERATOR)
TRIPS = (Column("rate", "round trips/s"), CPU, P50, P99, GENERATOR)
BEATS = (Column("cpu_percent", "CPU %", ".1f"), Column("rate", "beats/s"), CPU, GENERATOR)
IDLE = (Column("kb", "KB per client", ".1f"), Column("rate", "connects/s"), CPU)
STORM = (Column("rate", "resumes/s"), Column("seconds", "all in s", ".2f"), CPU, P99, GENERATOR)
EVENTS = (Column("rate", "events/s"), Column("frames", "frames/s"), CPU, P50, P99, GENERATOR)

NODE = ("Node.js ws",)
PYTHON = ("picows (uvloop)", "websockets (uvloop)", "websockets (asyncio)", "trio-websocket")
ALL = (*NODE, *PYTHON, "C, the limit")


@dataclass(frozen=True)
class Scenario:
    """One table. The first column is the one that is compared and plotted."""

    name: str
    title: str
    work: Work
    columns: tuple[Column, ...]
    peers: tuple[str, ...] = NODE
    run: Measure = measure.traffic
    note: str = ""
    alone: tuple[str, ...] = ()
    """Rows where gatewayd is measured without a peer."""


def _fanout(clients: int, seconds: float, *extras: str) -> Work:
    return Work("fanout", "oxyl", clients, seconds, extras)


def scenarios(seconds: float) -> list[Scenario]:
    """Every scenario, for a run of so many seconds each."""
    return [
        Scenario(
            "fanout",
            "Fan-out, one event in flight, 1,000 clients",
            _fanout(1000, seconds),
            FRAMES,
            ALL,
            note="oxyl: one client sends a 190-byte event, validated and relayed to all; times: to the last",
        ),
        Scenario(
            "burst",
            "Fan-out, bursts of 20 events, 1,000 clients",
            _fanout(1000, seconds, "burst=20"),
            FRAMES,
            ALL,
            note="20 events in one write; times: until the last client has the last event",
        ),
        Scenario(
            "requests",
            "Request and reply, 100 clients ping-pong",
            Work("requests", "oxyl", 100, seconds),
            TRIPS,
            ALL,
            note="oxyl's heartbeat with its data: JSON parsed and validated, deadline moved, answered",
        ),
        Scenario(
            "requests-1k",
            "Request and reply, 1,000 clients ping-pong",
            Work("requests", "oxyl", 1000, seconds),
            TRIPS,
            (*NODE, "picows (uvloop)", "C, the limit"),
        ),
        Scenario(
            "slow",
            "Fan-out, bursts of 20, 10 of 1,000 clients never read",
            _fanout(1000, seconds, "burst=20", "stalled=10"),
            FRAMES,
            note="times of those that read; none of them may lose an event",
        ),
        Scenario(
            "beats",
            "1,000 clients, a heartbeat each every second",
            Work("beats", "utilbot", 1000, seconds, ("period=1",)),
            BEATS,
            (*NODE, "picows (uvloop)", "websockets (uvloop)"),
            note="utilbot's op 10, answered",
        ),
        Scenario(
            "idle",
            "1,000 identified clients that stay",
            Work("idle", "utilbot", 1000, 0),
            IDLE,
            (*NODE, *PYTHON),
            measure.idle,
        ),
        Scenario(
            "storm",
            "1,000 clients drop at once, reconnect and resume",
            Work("storm", "utilbot", 1000, 0),
            STORM,
            (*NODE, "picows (uvloop)", "websockets (uvloop)"),
            measure.storm,
            note="p99: of a client's connect to its resumed session; gatewayd also keeps a buffer of missed events",
        ),
        Scenario(
            "publish",
            "POST /v1/publish on the admin socket, room of 1,000",
            Work("drain", "rooms", 1000, seconds),
            EVENTS,
            (),
            publish.measure,
            note="gatewayd only, no peer has this; the client is Python; times: of one request",
            alone=publish.ROWS,
        ),
        Scenario(
            "tls",
            "Fan-out over TLS, one event in flight, 1,000 clients",
            replace(_fanout(1000, seconds), tls=True),
            FRAMES,
        ),
        Scenario(
            "fanout-10k",
            "Fan-out, one event in flight, 10,000 clients",
            _fanout(10000, seconds),
            FRAMES,
            (*NODE, "C, the limit"),
        ),
        Scenario(
            "idle-10k",
            "10,000 identified clients that stay",
            Work("idle", "utilbot", 10000, 0),
            IDLE,
            (*NODE, "picows (uvloop)", "websockets (uvloop)"),
            measure.idle,
        ),
    ]
