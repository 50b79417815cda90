"""Small things that the daemon makes its parts from: settings, and views."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

from gatewayd.admin.node import ListenerView
from gatewayd.config.limits import ForwardLimits
from gatewayd.config.model import Config, ListenerConfig
from gatewayd.core.quota import Intake
from gatewayd.core.record import Store
from gatewayd.core.settings import Settings
from gatewayd.hub.hub import Hub
from gatewayd.hub.stores import NotificationLimits
from gatewayd.net.forward import Forwarder
from gatewayd.net.gate import Gate
from gatewayd.net.listener import Listener

log = logging.getLogger("gatewayd")


class StartError(Exception):
    """Something stops the start; the text is one sentence for the operator."""


def listener_view(listener: Listener, gate: Gate, path: str) -> ListenerView:
    """One listener, for the admin API; `path` is that of its protocol."""
    config = listener.config
    return ListenerView(
        name=config.name,
        protocol=config.protocol,
        address=str(config.bind),
        url=url(config, path),
        tls=listener.tls is not None,
        realm=config.realm,
        settings={
            "heartbeat": config.heartbeat,
            "heartbeat_interval": config.heartbeat_interval,
            "heartbeat_tolerance": config.heartbeat_tolerance,
            "identify_timeout": config.identify_timeout,
            "resume_window": config.resume_window,
            "auth": config.auth,
        },
        clients=lambda: gate.by_listener[config.name],
    )


def url(config: ListenerConfig, path: str) -> str:
    """Where clients connect to, as people write it; `path` is the protocol's, where the options have none."""
    path = getattr(config.options, "path", path)
    scheme = "wss" if config.tls_cert else "ws"
    if config.bind.kind == "unix":
        return f"{scheme}+{config.bind}:{path}"  # with a colon between: where the file's path ends
    return f"{scheme}://{config.bind}{path}" if config.bind.kind == "tcp" else f"{config.bind}{path}"


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
    )


def rest_of(config: ListenerConfig, limits: ForwardLimits) -> Forwarder | None:
    """Who answers plain requests to a listener whose protocol takes them; None where nobody is named."""
    url: str = getattr(config.options, "rest", "")
    return Forwarder(url, max_body=config.options.rest_max_body, limits=limits) if url else None  # type: ignore[attr-defined]


def notification_limits(config: Config) -> NotificationLimits:
    """What may wait in one realm: an equal share of what all may take, so that none pushes out another's."""
    limits, realms = config.limits, {listener.realm for listener in config.listeners}
    share = limits.notifications_total_bytes // max(1, len(realms))
    return NotificationLimits(bytes_per_user=limits.notifications_bytes, bytes=share)


def hub_of(config: Config, clock: Callable[[], float], store: Store | None) -> Hub:
    """The hub of a node that is configured so; `store` is its journal."""
    return Hub(clock, limit=2 * config.limits.max_clients, store=store, notifications=notification_limits(config))


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
