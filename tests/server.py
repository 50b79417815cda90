"""A real listener on a free loopback port, for tests that speak to it over a real WebSocket."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define
from websockets.trio.client import ClientConnection, connect

from gatewayd.auth.brake import Brake
from gatewayd.config.limits import HubLimits, NetLimits
from gatewayd.config.model import Config, GatewayConfig, LimitsConfig, ListenerConfig
from gatewayd.config.values import Bind
from gatewayd.core.protocol import Protocol
from gatewayd.core.settings import Settings
from gatewayd.daemon.build import build
from gatewayd.daemon.upkeep import run_timers
from gatewayd.hub.hub import Hub
from gatewayd.net.accept import Acceptor
from gatewayd.net.bind import bind_tcp
from gatewayd.net.client import Client
from gatewayd.net.fan import Fan
from gatewayd.net.forward import Forwarder
from gatewayd.net.gate import Gate
from gatewayd.net.listener import Listener
from gatewayd.net.ring_fan import RingFan
from gatewayd.net.tls import TlsHandshakes
from tests.playbook import STATIC


@define
class Served:
    """What is listening: its port, and the parts behind it."""

    port: int
    hub: Hub
    gate: Gate
    listener: Listener
    clients: trio.Nursery
    tls: bool = False

    def url(self, path: str = "/") -> str:
        """Where a client connects to."""
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}{path}"

    async def raw(self) -> trio.SocketStream:
        """A bare TCP connection."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def settled(self) -> None:
        """Wait until every client is gone."""
        with trio.fail_after(10):
            while self.gate.clients:
                await trio.sleep(0.005)


class Held(Brake):
    """Wrong keys wait as long as a test says."""

    def __init__(self, hold_back: Callable[[str], Awaitable[None]]) -> None:
        super().__init__()
        self._wait = hold_back

    async def hold_back(self, address: str) -> None:
        """As the test says."""
        await self._wait(address)


@asynccontextmanager
async def serving(
    protocol: Protocol,
    *,
    options: Mapping[str, Any] | None = None,
    auth: Any = STATIC,
    tls: ssl.SSLContext | None = None,
    gate: Gate | None = None,
    config: Mapping[str, Any] | None = None,
    handshakes: TlsHandshakes | None = None,
    hold_back: Callable[[str], Awaitable[None]] | None = None,
    forwarder: Forwarder | None = None,
    limits: NetLimits = NetLimits(),
    hub_limits: HubLimits = HubLimits(),
    new_client: Callable[..., Client] = Client,
    fan: Fan | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve one protocol for as long as the block runs; afterwards no fault of ours may have been counted."""
    timing = protocol.timing
    interval = settings.get("interval", timing.interval)
    values = {
        "interval": interval,
        "patience": timing.patience(interval),
        "identify_timeout": timing.identify_timeout,
        "resume_window": timing.resume_window,
        "heartbeat": timing.heartbeat,
        "rate_limit": timing.rate_limit,
        "max_message_bytes": timing.max_message_bytes or 65536,
        **settings,
    }
    main = ListenerConfig(
        name="main", protocol=protocol.name, bind=Bind.parse("127.0.0.1:1"), auth="main", realm="main",
        heartbeat_interval=interval, options=protocol.options(**(options or {})), **(config or {}),
    )  # fmt: skip
    gateway = GatewayConfig(
        fast_lane=os.environ.get("GATEWAYD_TEST_FAST_LANE", "on") == "on",
        io_uring="off",  # or `fan` below, which takes the ring for few clients too
    )
    node = build(
        Config(gateway=gateway, limits=LimitsConfig(net=limits, hub=hub_limits), listeners=(main,)),
        {protocol.name: protocol},
        auths={"main": auth},
        brake=None if hold_back is None else Held(hold_back),
        gate=gate or Gate(max_clients=1000, max_unidentified=1000),
        handshakes=handshakes,
        settings=lambda _: Settings(**values),
        tls=lambda _: tls,
        forwarder=lambda *_: forwarder,
        new_client=new_client,
        fan=fan or (None if os.environ.get("GATEWAYD_TEST_IO_URING") == "off" else RingFan(fewest=1)),
    )
    (listener,) = node.listeners
    sock = bind_tcp("127.0.0.1", 0)
    number = sock.getsockname()[1]
    with node.fan, node.tick, node.epoll:
        async with trio.open_nursery() as clients:
            async with trio.open_nursery() as accepting:
                clients.start_soon(node.epoll.run)
                clients.start_soon(node.alarms.run)
                accepting.start_soon(listener.serve, Acceptor("main", sock), clients)
                accepting.start_soon(run_timers, node.hub, node.epoll, node.config.limits.daemon)
                yield Served(number, node.hub, node.gate, listener, clients, tls is not None)
                accepting.cancel_scope.cancel()
            clients.cancel_scope.cancel()
    sock.close()
    assert node.hub.totals.faults == 0, "a fault of ours was counted; see the log"


@asynccontextmanager
async def client(served: Served, path: str = "/", **options: Any) -> AsyncIterator[ClientConnection]:
    """A client of the `websockets` library; `proxy=None` keeps it off any proxy of the machine."""
    async with connect(served.url(path), proxy=None, open_timeout=5, close_timeout=2, **options) as connection:
        yield connection


async def hear(connection: ClientConnection) -> Any:
    """The next payload."""
    with trio.fail_after(5):
        return json.loads(await connection.recv())


async def say(connection: ClientConnection, payload: Any) -> None:
    """Send one payload."""
    await connection.send(json.dumps(payload))


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
