"""What the admin API may see of the node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from attrs import define, field
from starlette.responses import Response

from gatewayd.admin.http import answer
from gatewayd.admin.idempotency import Remembered
from gatewayd.config.limits import ApiLimits
from gatewayd.hub.hub import Hub


@define(kw_only=True)
class ListenerView:
    """One listener, as people see it."""

    name: str
    protocol: str
    address: str
    url: str
    tls: bool
    realm: str
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
    loop: Callable[[], Mapping[str, Any]] = dict
    """When the event loop has stalled."""
    hold: Callable[[], None] = lambda: None
    """More is being published in this turn of the loop: it leaves in one write to each client."""
    remembered: Remembered = field(factory=Remembered)
    limits: ApiLimits = ApiLimits()
    refused: Counter[str] = field(factory=Counter)
    """Requests, and single events of a list, by the code of their error."""
    refused_clients: Mapping[str, int] = field(factory=dict)
    """Clients that were refused before their upgrade, by reason."""
    wrong_keys: Callable[[], Mapping[str, int]] = dict
    """How the refusals of wrong keys are held back."""


async def wait_until_durable(node: NodeView) -> bool:
    """Wait until what was done is as durable as a listener demands; False where the disk fails."""
    return node.committed is None or await node.committed()


def marked_durable(said: Any, *, durable: bool) -> Any:
    """An answer, or a list of them, that says if it is not durable: in copies, since some are remembered."""
    if durable:
        return said
    if isinstance(said, list):
        return [marked_durable(item, durable=False) for item in said]
    return said if isinstance(said, msgspec.Raw) or "error" in said else {**said, "durable": False}


async def answer_durably(node: NodeView, said: Any, status: int = 200) -> Response:
    """Answer when what was done is as durable as a listener demands; where the disk fails, say so."""
    return answer(marked_durable(said, durable=await wait_until_durable(node)), status)
