"""What a backend is told: a session as it is now, a command, and what became of sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from gatewayd.core.events import Command
from gatewayd.core.session import Session


@frozen(kw_only=True)
class Caller:
    """The session that a command comes from, as it was when it came. `metadata` is its protocol's own."""

    id: str
    listener: str
    protocol: str
    realm: str
    identity: str | None
    generation: int
    remote: str
    metadata: Mapping[str, Any]
    channels: tuple[str, ...]

    @classmethod
    def of(cls, session: Session) -> Caller:
        """The session as it is now."""
        return cls(
            id=session.id,
            listener=session.listener,
            protocol=session.protocol,
            realm=session.realm,
            identity=session.identity,
            generation=session.generation,
            remote=session.remote,
            metadata=dict(session.metadata),
            channels=tuple(sorted(session.channels)),
        )


@frozen(kw_only=True)
class CommandRequest:
    """One command: its name, or the opcode where that is all it has, and its data as the client sent it."""

    session: Caller
    command: str | int
    data: Any

    @classmethod
    def of(cls, session: Session, command: Command) -> CommandRequest:
        """The command of a session as it is now."""
        return cls(session=Caller.of(session), command=command.name or command.op, data=command.data)


@frozen(kw_only=True)
class Entry:
    """One lifecycle event.

    `n` counts the node's events, `sequence` those of the session from 1 on. `kind` is opened, detached, resumed or
    ended; `cause` the slug of why, "" where there is none; `at` is seconds since the epoch. `lost` counts by reason the
    events that the session will never get and its client has not been told of until now.
    """

    n: int
    session: str
    generation: int
    sequence: int
    kind: str
    cause: str
    at: float
    listener: str
    protocol: str
    identity: str | None
    realm: str = ""
    """"" in what a version without realms has queued."""
    metadata: Mapping[str, Any] = field(factory=dict)
    lost: Mapping[str, int] = field(factory=dict)
