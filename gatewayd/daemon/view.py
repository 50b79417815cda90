"""What the admin API is shown of a node, and the URLs that people are told."""

from __future__ import annotations

from gatewayd import __version__
from gatewayd.admin.node import ListenerView, NodeView
from gatewayd.config.model import ListenerConfig
from gatewayd.daemon.build import Node
from gatewayd.net.gate import Gate
from gatewayd.net.listener import Listener


def node_view(node: Node, *, started: float) -> NodeView:
    """The node, which was started at that time of the wall clock."""
    paths = {name: protocol.path for name, protocol in node.protocols.items()}
    state = node.state
    return NodeView(
        hub=node.hub,
        node=node.config.gateway.node,
        version=__version__,
        started_wall=started,
        listeners=[listener_view(item, node.gate, paths[item.config.protocol]) for item in node.listeners],
        clients=lambda: node.gate.clients,
        draining=lambda: node.gate.draining,
        refused_clients=node.gate.refused,
        wrong_keys=node.brake.status,
        auth=lambda: {name: auth.status() for name, auth in node.auths.items()},
        backend=None if node.backend is None else node.backend.status,
        journal=None if state is None else state.status,
        committed=None if state is None or not node.config.waits_for_disk else state.committed,
        remembered=node.remembered,
        writes=lambda: node.fan.way,
        loop=node.clock.status,
        hold=node.tick.hold,
        limits=node.api_limits,
    )


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
