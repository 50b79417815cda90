"""What the admin API may see of the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from gatewayd.admin.idempotency import Remembered
from gatewayd.hub.hub import Hub


@define(kw_only=True)
class ListenerView:
    """One listener, as people see it."""

    name: str
    protocol: str
    address: str
    url: str
    tls: bool
    settings: Mapping[str, Any]
    clients: Callable[[], int]


@define(kw_only=True)
class NodeView:
    """The node: its hub, its name, and what cannot be read off the hub. `started_wall` is seconds since the epoch."""

    hub: Hub
    node: str
    version: str
    started_wall: float
    listeners: Sequence[ListenerView]
    clients: Callable[[], int]
    draining: Callable[[], bool]
    auth: Callable[[], Mapping[str, Any]] = dict
    """Verdicts by the name of their auth."""
    backend: Callable[[], Mapping[str, Any]] | None = None
    """How the backend is doing; None where there is none."""
    journal: Callable[[], Mapping[str, Any]] | None = None
    """How the journal is doing; None where all is in memory."""
    committed: Callable[[], Awaitable[bool]] | None = None
    """Waits until all that was done is kept, and tells whether it is; None where nobody has to wait for that."""
    remembered: Remembered = field(factory=Remembered)
