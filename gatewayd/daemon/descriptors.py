"""How the descriptors that a process may have open are shared out: to clients, the doors of the admin API, and itself.

Law: a crowd at one of them takes nothing from the others. Where there are few for all, the doors give way to clients
first, down to a small part of their own, and then clients have fewer than `max_clients`.
"""

from __future__ import annotations

import logging
import resource
import sys

from attrs import frozen

from gatewayd.config.auth import HttpConfig
from gatewayd.config.model import Config, LimitsConfig

log = logging.getLogger("gatewayd")


@frozen
class Share:
    """So many clients, and so many connections to each door of the admin API."""

    clients: int
    door: int


def share_out(limit: int, limits: LimitsConfig, *, doors: int, backends: int) -> Share:
    """What is possible with `limit` descriptors, of the clients and doors that are wanted, and so many to backends."""
    daemon, clients = limits.daemon, limits.max_clients
    rest = limit - min(daemon.own_descriptors + backends, limit // daemon.own_part)
    least = max(1, min(daemon.door_connections, rest // daemon.door_part))
    door = min(limits.api.connections, max(least, (rest - clients) // doors))
    return Share(max(1, min(clients, rest - doors * door)), door)


def raise_limit() -> int:
    """Raise the soft limit on descriptors to the hard one, which is returned."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def share_for(config: Config, limit: int) -> Share:
    """What a node has that is configured so; the log says where that is less than it asks for."""
    forwarding = [item for item in config.listeners if getattr(item.options, "rest", "")]
    backends = config.limits.net.forward.calls * len(forwarding)
    backends += 0 if config.backend is None else config.backend.max_concurrent
    backends += sum(item.max_connections for item in config.auth.values() if isinstance(item, HttpConfig))
    wanted, doors = config.limits.max_clients, 1 if config.api is None else 2
    share = share_out(limit, config.limits, doors=doors, backends=backends)
    if share.clients < wanted:
        log.warning(
            "max_clients is %d, but %d descriptors (ulimit -n) leave room for %d clients, and %d connections to %s",
            wanted, limit, share.clients, share.door, "the admin API" if doors == 1 else "each door of the API",
        )  # fmt: skip
    return share
