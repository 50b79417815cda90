"""The identity behind a client: outlives it by the resume window, with its subscriptions, metadata and one backlog."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from gatewayd.core.backlog import Backlog
from gatewayd.core.close import Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.grant import Grant
from gatewayd.core.rate import Timer


@define(eq=False, kw_only=True)
class Session:
    """One identity. Times are monotonic seconds unless named wall."""

    id: str
    listener: str
    protocol: str
    realm: str
    """Name of the realm of its listener: it hears, and is heard, in no other."""
    remote: str
    opened: float
    opened_wall: float
    backlog: Backlog
    """The events that it was given; its `max_age` is the resume window."""
    connection: Connection | None
    identity: str | None = None
    key: str | None = None
    """The identity as its protocol compares it; `identity` is what people see."""
    resumable: bool = False
    detached_at: float | None = None
    generation: int = 1
    lifecycle_sequence: int = 0
    """How many lifecycle events there have been of it; 0 until it is identified."""
    resumes: int = 0
    durable: bool = False
    """Whether the journal is told of it."""
    channels: set[str] = field(factory=set)
    metadata: dict[str, Any] = field(factory=dict)
    data: Any = None
    audience: Any = None
    """Its protocol's: one value for all sessions that hear the same, where `hears` tells them apart by that."""
    grant: Grant | None = None
    """The latest verdict of auth; `granted` are the channels heard because of it alone, `expiry` its end."""
    granted: frozenset[str] = frozenset()
    expiry: Timer | None = None
    ended: Disconnect | None = None

    @property
    def state(self) -> str:
        """The client's state, or "detached" between clients, or "ended"."""
        if self.ended is not None:
            return "ended"
        return self.connection.state.value if self.connection is not None else "detached"


def session_of(connection: Connection) -> Session | None:
    """The session of a client; None before it is greeted."""
    session = connection.session
    return session if isinstance(session, Session) else None
