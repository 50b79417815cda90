"""From a configuration to the parts of one node, wired: the daemon and the servers of tests and bench begin here.

Nothing is bound and nothing runs yet; of the journal, the file is open and the queue of lifecycle events is read.
"""

from __future__ import annotations

import ssl
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import evolve, frozen

from gatewayd.admin.idempotency import Remembered
from gatewayd.auth import make
from gatewayd.auth.auth import Auth
from gatewayd.auth.brake import Brake
from gatewayd.auth.static import OpenAuth
from gatewayd.backend.app import load
from gatewayd.backend.lifecycle import MemoryQueue, Recorder
from gatewayd.backend.service import Service, no_backend
from gatewayd.config.backend import BackendConfig
from gatewayd.config.limits import ApiLimits, BackendLimits, ForwardLimits, HubLimits
from gatewayd.config.model import Config, ListenerConfig
from gatewayd.core.behaviour import Behaviour
from gatewayd.core.protocol import Protocol
from gatewayd.core.quota import Intake
from gatewayd.core.sampled import Sampled
from gatewayd.core.settings import Settings
from gatewayd.daemon import host
from gatewayd.daemon.descriptors import share_for
from gatewayd.daemon.lifecycle_queue import JournalQueue
from gatewayd.daemon.state import State
from gatewayd.hub.effects import apply
from gatewayd.hub.hub import Hub
from gatewayd.hub.port import ListenerPort
from gatewayd.journal.engine import Journal
from gatewayd.journal.pinned import JournalError
from gatewayd.net.alarms import Alarms
from gatewayd.net.client import Client
from gatewayd.net.clock import SteadyClock
from gatewayd.net.epoll import Epoll
from gatewayd.net.fan import Fan
from gatewayd.net.forward import Forwarder
from gatewayd.net.gate import Gate
from gatewayd.net.listener import Listener
from gatewayd.net.ring_fan import make_fan
from gatewayd.net.tick import Tick
from gatewayd.net.tls import TlsHandshakes


class StartError(Exception):
    """Something stops the start; the text is one sentence for the operator."""


@frozen(kw_only=True, eq=False)
class Node:
    """The parts of one node; `clock` is the one to run it on."""

    config: Config
    protocols: Mapping[str, Protocol]
    clock: SteadyClock
    gate: Gate
    api_limits: ApiLimits
    """Of each door of the admin API."""
    hub: Hub
    state: State | None
    """None where everything is in memory."""
    remembered: Remembered
    backend: Service | None
    auths: Mapping[str, Auth]
    brake: Brake
    lines: Sampled
    fan: Fan
    tick: Tick
    epoll: Epoll
    alarms: Alarms
    listeners: Sequence[Listener]


def settings_of(config: ListenerConfig) -> Settings:
    """What one client's side of the talk must know of its listener."""
    return Settings(
        interval=config.heartbeat_interval,
        patience=config.heartbeat_interval + config.heartbeat_tolerance,
        identify_timeout=config.identify_timeout,
        heartbeat=config.heartbeat,
        resume_window=config.resume_window,
        resume_events=config.resume_events,
        resume_bytes=config.resume_bytes,
        rate_limit=config.rate_limit,
        unidentified_messages=config.unidentified_messages,
        intake=Intake(config.unidentified_bytes, config.burst_bytes, config.bytes_per_second).holding(
            config.max_message_bytes
        ),
        max_message_bytes=config.max_message_bytes,
        outbox_bytes=config.outbox_bytes,
        outbox_events=config.outbox_events,
        outbox_age=config.outbox_age,
        durable=config.durability != "none",
        always=config.durability == "always",
    )


def forwarder_of(config: ListenerConfig, limits: ForwardLimits) -> Forwarder | None:
    """Who answers plain requests to a listener whose protocol takes them; None where nobody is named."""
    url: str = getattr(config.options, "rest", "")
    return Forwarder(url, max_body=config.options.rest_max_body, limits=limits) if url else None  # type: ignore[attr-defined]


def hub_limits(config: Config) -> HubLimits:
    """What notifications may take in one realm is an equal share for each, so that none pushes out another's."""
    limits, realms = config.limits, {listener.realm for listener in config.listeners}
    share = limits.notifications_total_bytes // max(1, len(realms))
    notifications = evolve(limits.hub.notifications, bytes_per_user=limits.notifications_bytes, bytes=share)
    return evolve(limits.hub, notifications=notifications)


def tls_of(config: ListenerConfig) -> ssl.SSLContext | None:
    """The server's side of TLS, where the listener has it. Raises `StartError`."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.options |= ssl.OP_NO_RENEGOTIATION  # a write would have to wait for what the client says
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as exc:  # ssl.SSLError is one too
        raise StartError(
            f"listener {config.name}: cannot use tls_cert {config.tls_cert} with tls_key {config.tls_key}: "
            f"{exc.strerror or exc}"
        ) from exc
    return context


def build(
    config: Config,
    protocols: Mapping[str, Protocol],
    *,
    descriptors: int = sys.maxsize,
    auths: Mapping[str, Auth] | None = None,
    brake: Brake | None = None,
    gate: Gate | None = None,
    handshakes: TlsHandshakes | None = None,
    settings: Callable[[ListenerConfig], Settings] = settings_of,
    tls: Callable[[ListenerConfig], ssl.SSLContext | None] = tls_of,
    forwarder: Callable[[ListenerConfig, ForwardLimits], Forwarder | None] = forwarder_of,
    new_client: Callable[..., Client] = Client,
    fan: Fan | None = None,
) -> Node:
    """The node that is configured so, in a process that may have so many descriptors. Raises `StartError`.

    What else is passed takes the place of what the configuration says.
    """
    share, limits, net = share_for(config, descriptors), config.limits, config.limits.net
    api_limits = limits.api.within(share.door)
    journal, dropped = _journal(config), Counter[str]()
    queue = _queue(config, journal, dropped)
    observers = []
    if config.backend is not None and queue is not None:
        observers.append(Recorder(queue, config.backend.lifecycle.names))
    hub = Hub(
        trio.current_time,
        limit=2 * limits.max_clients,
        store=journal,
        limits=hub_limits(config),
        soon=_soon,
        observers=observers,
    )
    backend = None
    if config.backend is not None and queue is not None:
        backend = _backend(config.backend, hub, queue, limits.backend)
    lines = Sampled(trio.current_time, hub.timers.at)
    if auths is None:
        auths = {name: make.make(name, item, lines, limits.auth) for name, item in config.auth.items()}
    if gate is None:
        unidentified = min(limits.max_unidentified, max(limits.daemon.few_unidentified, share.clients))
        gate = Gate(share.clients, unidentified, net.address_share)
    remembered = Remembered(journal, api_limits)
    clock = SteadyClock(longest_sleep=limits.daemon.longest_sleep, stall=limits.daemon.stall_seconds)
    fan = fan or make_fan(config.gateway.io_uring)
    tick, epoll, alarms = Tick(clock, fan), Epoll(net.sockets_in_a_row), Alarms()
    brake = brake or Brake(limits.auth.wrong_keys)
    handshakes = handshakes or TlsHandshakes(limits.tls_handshakes, net.tls, address_share=net.address_share)
    listeners = [
        Listener(
            config=item,
            settings=settings(item),
            wire=protocols[item.protocol].wire,
            behaviour=_behaviour(item, protocols[item.protocol], hub, auths, backend, brake),
            hub=hub,
            gate=gate,
            tick=tick,
            epoll=epoll,
            alarms=alarms,
            lines=lines,
            handshakes=handshakes,
            tls=tls(item),
            fast_lane=config.gateway.fast_lane,
            forwarder=forwarder(item, net.forward),
            limits=net,
            new_client=new_client,
        )
        for item in config.listeners
    ]
    kept = queue if isinstance(queue, JournalQueue) else None
    return Node(
        config=config,
        protocols=protocols,
        clock=clock,
        gate=gate,
        api_limits=api_limits,
        hub=hub,
        state=None if journal is None else State(journal, hub, remembered, kept, dropped),
        remembered=remembered,
        backend=backend,
        auths=auths,
        brake=brake,
        lines=lines,
        fan=fan,
        tick=tick,
        epoll=epoll,
        alarms=alarms,
        listeners=listeners,
    )


def _soon(call: Callable[[], None]) -> None:
    trio.lowlevel.current_trio_token().run_sync_soon(call)


def _journal(config: Config) -> Journal | None:
    gateway = config.gateway
    if not gateway.state_dir:
        return None
    try:
        return Journal.open(
            Path(gateway.state_dir),
            interval=gateway.journal_interval,
            full_sync=config.waits_for_disk,
            limits=config.limits.journal,
        )
    except JournalError as exc:
        raise StartError(str(exc)) from exc


def _queue(config: Config, journal: Journal | None, dropped: Counter[str]) -> MemoryQueue | None:
    """Where lifecycle events wait for the backend."""
    if config.backend is None:
        return None
    limit = config.backend.lifecycle_queue
    if journal is None:
        return MemoryQueue(limit)
    try:
        return JournalQueue(journal, limit, dropped)
    except JournalError as exc:
        raise StartError(str(exc)) from exc


def _backend(config: BackendConfig, hub: Hub, queue: MemoryQueue, limits: BackendLimits) -> Service:
    try:
        app = None if config.handlers is None else load(config.handlers)
    except ImportError as exc:
        raise StartError(f"backend.handlers: {exc}") from exc
    return Service(config, partial(apply, hub), node=hub, queue=queue, app=app, limits=limits)


def _behaviour(
    config: ListenerConfig,
    protocol: Protocol,
    hub: Hub,
    auths: Mapping[str, Auth],
    backend: Service | None,
    brake: Brake,
) -> Behaviour[Any]:
    """What a listener's protocol does, on its side of the hub."""
    auth = OpenAuth() if config.auth is None else auths[config.auth]
    port = ListenerPort(
        hub,
        hub.realms.make(config.realm),
        protocol.name,
        partial(auth.verify, listener=config.name, protocol=protocol.name, realm=config.realm),
        no_backend if backend is None else backend.ask,
        machine=host.status,
        hold_back=brake.hold_back,
        pause=trio.lowlevel.checkpoint,
    )
    behaviour = protocol.behaviour(config.name, config.options, port, config.heartbeat_interval)
    hub.serve(behaviour)
    return behaviour
