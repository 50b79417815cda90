"""What is measured: each scenario's work, its peers, and the figures that its table shows."""

from __future__ import annotations

from dataclasses import replace

from bench import admin, bots, flood, journal, measure, nobody, publish, scaling
from bench.measure import Work
from bench.scenario import (
    ADMIN,
    ALL,
    BEATS,
    EVENTS,
    FAST,
    FLOOD,
    FRAMES,
    IDLE,
    LIMIT,
    NODE,
    PAIRED,
    PREPARED,
    PYTHON,
    REQUESTS,
    SCALING,
    SLOW,
    STORM,
    STREAMS,
    TRIPS,
    Scenario,
)
from bench.servers import LEVEL

EVENTS_OF_A_SAMPLE = 200
EVERYBODY = (*NODE, PREPARED, *PYTHON, LIMIT, "gatewayd, io_uring off")


def _fanout(clients: int, seconds: float, *extras: str, tls: bool = False) -> Work:
    return Work("fanout", "oxyl", clients, seconds, (f"events={EVENTS_OF_A_SAMPLE}", *extras), tls)


def _delivery(seconds: float) -> list[Scenario]:
    """One event to many."""
    return [
        Scenario(
            "fanout-100",
            "Fan-out, one event in flight, 100 clients",
            _fanout(100, seconds),
            FRAMES,
            ALL,
            note="as fanout; a turn is short, so the round trip to the publisher weighs more",
        ),
        Scenario(
            "fanout",
            "Fan-out, one event in flight, 1,000 clients",
            _fanout(1000, seconds),
            FRAMES,
            EVERYBODY,
            note="oxyl: one client sends a 190-byte event, validated and relayed to all; times: to the last",
        ),
        Scenario(
            "fanout-10k",
            "Fan-out, one event in flight, 10,000 clients",
            _fanout(10000, seconds),
            FRAMES,
            (*NODE, LIMIT),
        ),
        Scenario(
            "burst",
            "Fan-out, bursts of 20 events, 1,000 clients",
            _fanout(1000, seconds, "burst=20"),
            FRAMES,
            EVERYBODY,
            note="20 events in one write; times: until the last client has the last event",
        ),
        Scenario(
            "slow",
            "Fan-out, bursts of 20 events of 4 KB, 10 of 100 clients never read",
            _fanout(100, seconds, "burst=20", "size=4096", "stalled=10", "warm=0"),
            SLOW,
            ("Node.js ws", "Node.js ws, unbound", "picows (uvloop)", "websockets (uvloop)"),
            note="those that read lose nothing; MB: peak beyond the start; unbound: cuts nobody off, its default",
        ),
        Scenario(
            "tls",
            "Fan-out over TLS, one event in flight, 1,000 clients",
            _fanout(1000, seconds, tls=True),
            FRAMES,
            FAST,
            note="the generator decrypts every frame, on the other core",
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
            "journal",
            "Publishing with durability none, batched and always",
            Work("drain", "rooms", 1000, seconds),
            EVENTS,
            (),
            journal.measure,
            note="there: 1,000 clients; away: 1,000 detached sessions with full buffers; lists of 100 for both; "
            "1 away: single events",
            alone=journal.ROWS,
            beside=journal.BESIDE,
        ),
        Scenario(
            "nobody",
            "POST /v1/publish on the admin socket, to nobody, against a bare HTTP server just started",
            Work("drain", "rooms", 0, seconds),
            REQUESTS,
            ("Node.js http",),
            nobody.measure,
            note=f"one event a request, {nobody.REQUESTS} requests on one connection, after {nobody.FIRST}",
        ),
        Scenario(
            "nobody-warm",
            "The same after many more requests",
            Work("drain", "rooms", 0, seconds, (nobody.WARM,)),
            REQUESTS,
            ("Node.js http",),
            nobody.measure,
            note=f"after {nobody.MANY:,} requests, when V8 has compiled what they need",
        ),
    ]


def _bots(seconds: float) -> list[Scenario]:
    """One event to many bots."""
    work = Work("drain", "discord", 300, seconds, (bots.BEAT,))
    pair = ("Node.js ws, zlib", "Node.js ws, async zlib")
    return [
        Scenario(
            "discord",
            "Fan-out of single events to 1,000 clients, rooms and discord",
            Work("drain", "rooms", 1000, seconds, (bots.BEAT,)),
            PAIRED,
            (),
            bots.fanout,
            note="190-byte frames; bots acknowledge every 41.25 s; batched: with a journal, which keeps all until then",
            alone=bots.FANOUT,
            beside=dict.fromkeys(bots.FANOUT[1:], bots.FANOUT[0]),
        ),
        *(
            Scenario(
                f"zlib-{bits}",
                f"Fan-out of single events to 300 discord clients, zlib-stream, {bits} window bits",
                replace(work, protocol=f"discord-{bits}"),
                STREAMS,
                pair,
                bots.streams,
                note=f"750-byte messages, level {LEVEL}; KB: after all events",
            )
            for bits in (15, 12)
        ),
        Scenario(
            "streams",
            "Fan-out of single events to 300 discord clients, by compression",
            work,
            STREAMS,
            (),
            bots.alone,
            note="gatewayd only, with its default levels and window bits",
            alone=bots.ROWS,
            beside=dict.fromkeys(bots.ROWS[1:], bots.ROWS[0]),
        ),
    ]


def _requests(seconds: float) -> list[Scenario]:
    """Each client for itself."""
    return [
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
            (*NODE, "picows (uvloop)", LIMIT),
        ),
        Scenario(
            "requests-tls",
            "Request and reply over TLS, 100 clients ping-pong",
            Work("requests", "oxyl", 100, seconds, tls=True),
            TRIPS,
            FAST,
        ),
        Scenario(
            "scaling",
            "Daemons that share a port: request and reply of 100 clients, fan-out to 1,000",
            Work("requests", "oxyl", 100, seconds),
            SCALING,
            (),
            scaling.measure,
            note="the generator takes a core's share itself: on 2 cores, 2 instances and it compete for them",
            alone=scaling.ROWS,
            beside=scaling.BESIDE,
        ),
        Scenario(
            "beats",
            "1,000 clients, a heartbeat each every second",
            Work("beats", "utilbot", 1000, seconds, ("period=1",)),
            BEATS,
            FAST,
            note="utilbot's op 10, answered; times: of one answer, at a load that leaves the server mostly idle",
        ),
        Scenario(
            "beats-10k",
            "10,000 clients, a heartbeat each every 10 seconds",
            Work("beats", "utilbot", 10000, 2 * seconds, ("period=10",)),
            BEATS,
            FAST,
            note="as many beats a second as in beats, of ten times the clients",
        ),
    ]


def _clients(seconds: float) -> list[Scenario]:
    """Connecting, staying, coming back, and misbehaving."""
    return [
        Scenario(
            "idle",
            "1,000 identified clients that stay",
            Work("idle", "utilbot", 1000, 0),
            IDLE,
            (*NODE, *PYTHON),
            measure.idle,
            note="up to 256 connect at a time; times: of one client, from connect to identified",
        ),
        Scenario(
            "idle-10k",
            "10,000 identified clients that stay",
            Work("idle", "utilbot", 10000, 0),
            IDLE,
            FAST,
            measure.idle,
        ),
        Scenario(
            "storm",
            "1,000 clients drop at once, reconnect and resume",
            Work("storm", "utilbot", 1000, 0),
            STORM,
            FAST,
            measure.storm,
            note="times: of a client's connect to its resumed session; gatewayd also keeps missed events",
        ),
        Scenario(
            "storm-5k",
            "5,000 clients drop at once, reconnect and resume",
            Work("storm", "utilbot", 5000, 0),
            STORM,
            FAST,
            measure.storm,
        ),
        Scenario(
            "flood",
            "A client's requests beside 50 hostile clients that send ..",
            Work("flood", "utilbot", 50, seconds),
            FLOOD,
            (),
            flood.measure,
            note="gatewayd only; the flooders are one Python process: below 100 % it is they who wait for the daemon",
            alone=tuple(flood.FLOODS),
        ),
        Scenario(
            "admin",
            "gatewayctl beside 5,000 idle clients",
            Work("idle", "utilbot", 5000, 0),
            ADMIN,
            (),
            admin.measure,
            note="gatewayd only; times: of the whole command, the start of Python included",
            alone=admin.ROWS,
        ),
    ]


def scenarios(seconds: float) -> list[Scenario]:
    """Every scenario, for a run of so many seconds each."""
    return [*_delivery(seconds), *_bots(seconds), *_requests(seconds), *_clients(seconds)]
