"""What the admin API sees of the node."""

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
    """One listener, as the API shows it."""

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
    """The node: its hub, its name, and what the hub does not know. `started_wall` is in seconds since the epoch."""

    hub: Hub
    node: str
    version: str
    started_wall: float
    listeners: Sequence[ListenerView]
    clients: Callable[[], int]
    draining: Callable[[], bool]
    auth: Callable[[], Mapping[str, Any]] = dict
    """Verdicts, by the name of the auth."""
    backend: Callable[[], Mapping[str, Any]] | None = None
    """The state of the backend; None if there is none."""
    journal: Callable[[], Mapping[str, Any]] | None = None
    """The state of the journal; None if everything is in memory."""
    committed: Callable[[], Awaitable[bool]] | None = None
    """Waits until all changes are on disk, and returns whether they are; None if no listener asks for that."""
    writes: Callable[[], str] = lambda: "os.write"
    """How events for many clients are written."""
    loop: Callable[[], Mapping[str, Any]] = dict
    """The stalls of the event loop."""
    hold: Callable[[], None] = lambda: None
    """More is published in this tick: each client gets it in one write."""
    remembered: Remembered = field(factory=Remembered)
    limits: ApiLimits = ApiLimits()
    refused: Counter[str] = field(factory=Counter)
    """Requests, and single events of a list, by the code of their error."""
    refused_clients: Mapping[str, int] = field(factory=dict)
    """Clients that were refused before their upgrade, by reason."""
    wrong_keys: Callable[[], Mapping[str, int]] = dict
    """How the refusals of wrong keys are delayed."""


async def wait_until_durable(node: NodeView) -> bool:
    """Wait until what was done is as durable as a listener demands; False where the disk fails."""
    return node.committed is None or await node.committed()


def marked_durable(value: Any, *, durable: bool) -> Any:
    """An answer, or a list of them, marked if it is not durable; in copies, since some are remembered."""
    if durable:
        return value
    if isinstance(value, list):
        return [marked_durable(item, durable=False) for item in value]
    return value if isinstance(value, msgspec.Raw) or "error" in value else {**value, "durable": False}


async def answer_durably(node: NodeView, value: Any, status: int = 200) -> Response:
    """Answer when the change is as durable as a listener demands; if the disk fails, the answer says so."""
    return answer(marked_durable(value, durable=await wait_until_durable(node)), status)
