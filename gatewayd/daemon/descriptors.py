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
from gatewayd.config.limits import ApiLimits
from gatewayd.config.model import Config

OWN = 64
"""Listening sockets and files; connections to backends come to that, as many as are configured."""
MOST_OWN = 4
"""All that has at most a quarter."""
DOOR, DOORS_PART = 256, 16
"""A door has this many before clients have all they may; but where there are few, at most a sixteenth of the rest."""

log = logging.getLogger("gatewayd")


@frozen
class Share:
    """So many clients, and so many connections to each door of the admin API."""

    clients: int
    door: int


def share_out(limit: int, *, clients: int, doors: int, backends: int, api: ApiLimits = ApiLimits()) -> Share:
    """What is possible with `limit` descriptors, of so many clients, doors, and connections to backends."""
    rest = limit - min(OWN + backends, limit // MOST_OWN)
    least = max(1, min(DOOR, rest // DOORS_PART))
    door = min(api.connections, max(least, (rest - clients) // doors))
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
    share = share_out(limit, clients=wanted, doors=doors, backends=backends, api=config.limits.api)
    if share.clients < wanted:
        log.warning(
            "max_clients is %d, but %d descriptors (ulimit -n) leave room for %d clients, and %d connections to %s",
            wanted, limit, share.clients, share.door, "the admin API" if doors == 1 else "each door of the API",
        )  # fmt: skip
    return share
