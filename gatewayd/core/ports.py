"""What a protocol's behaviour may ask of the node: narrow ports that the hub satisfies, and a test fakes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec
from attrs import define

from gatewayd.core.close import Cause
from gatewayd.core.counts import Counts
from gatewayd.core.events import Command
from gatewayd.core.grant import Claim, Grant
from gatewayd.core.rate import Timer
from gatewayd.core.record import MissedNotifications
from gatewayd.core.session import Session


class Resource(StrEnum):
    """A kind of what a realm keeps. Its value is the name of the journal's table."""

    DOCUMENTS = "documents"
    NOTIFICATIONS = "notifications"
    ROOMS = "rooms"


class NoSuchRealm(Exception):
    """No listener is in a realm of that name; `names` are those that there are."""

    def __init__(self, name: str, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"no listener is in realm {name!r}; there are {', '.join(self.names)}")


class SeveralRealms(Exception):
    """Any of the realms in `names` could be meant."""

    def __init__(self, what: str, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"{what} could be of several realms: name one of {', '.join(self.names)}")


class NoBackend(Exception):
    """Nothing is configured that could answer this command, or what is configured does not know it."""


@define(eq=False)
class BackendFailed(Exception):
    """The backend did not answer a command, or not with sense: `slug` for counters and logs, `words` for a client."""

    slug: str
    words: str = Cause.BACKEND_FAILED.words


NO_REPLY: Final = msgspec.UNSET
"""What stands in the place of a reply's data where the backend wants nothing said."""


class DocumentStore(Protocol):
    """JSON values under keys; see `MemoryDocuments` of the hub."""

    def get(self, key: str) -> Any: ...
    def put(self, key: str, value: Any) -> bool: ...
    def delete(self, key: str) -> bool: ...


class NotificationStore(Protocol):
    """What waits for a user who is not there; see `MemoryNotifications` of the hub."""

    def waiting(self, user: str) -> MissedNotifications: ...
    def drop(self, user: str, last: int, lost: int) -> None: ...


class RoomStore(Protocol):
    """Rooms with lock, cap and bans, and which names are closed; see `Rooms` of the hub."""

    def state(self, room: str) -> Mapping[str, Any] | None: ...
    def is_closed(self, room: str) -> bool: ...
    def is_banned(self, room: str, participant: str) -> bool: ...
    def create(self, room: str, state: Mapping[str, Any], *, stays: bool = False) -> bool: ...
    def discard(self, room: str) -> None: ...
    def update(self, room: str, changes: Mapping[str, Any]) -> None: ...
    def ban(self, room: str, participant: str, banned: bool) -> None: ...  # noqa: FBT001, RUF100
    def close(self, room: str) -> None: ...


class Port(Protocol):
    """What a behaviour may ask of the node. Everything is synchronous, except what may have to ask a backend."""

    documents: DocumentStore
    notifications: NotificationStore
    rooms: RoomStore
    realm: str
    """Name of the listener's realm: documents, notifications, rooms and every channel here are that one's."""
    protocol: str
    """Name of the listener's protocol. In a `service:` channel its sessions are the only ones that are seen here."""

    def now(self) -> float:
        """Monotonic seconds."""

    def publish(
        self, channel: str, name: str, data: Any, *, one: bool = False, besides: Session | None = None
    ) -> Counts:
        """Publish an event to a channel, from within the daemon: no check of names, no effects."""

    def relay(self, channel: str, name: str, data: Any, *, one: bool = False) -> Counts:
        """Publish what a client says to others. Raises `EventTooBig` where one of them could never be given it."""

    def tell(self, session: Session, name: str, data: Any) -> Counts:
        """Publish an event to one session; kept for it while it is detached."""

    def subscribe(self, session: Session, channel: str) -> None:
        """Let a session hear a channel."""

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Let it hear that channel no more."""

    def subscribers(self, channel: str) -> list[Session]:
        """The sessions that hear a channel, detached ones included, oldest subscription first."""

    def changed(self, session: Session) -> None:
        """Its metadata, or what the protocol remembers of it, is not what it was: the journal has to know."""

    def end(self, session: Session, cause: Cause, reason: str = "") -> None:
        """End a session and its client."""

    def find(self, identity: str) -> Session | None:
        """The newest session of an identity of this protocol in this realm, connected or detached."""

    def later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Call something after so many seconds, on the daemon's own clock."""

    async def pause(self) -> None:
        """Let everybody else have a turn, in the middle of long work; the client's next message waits."""

    async def verify(self, claim: Claim, address: str | None) -> Grant:
        """Ask the listener's auth about a claim. Where many wrong keys come from an address, refusals are delayed."""

    async def ask(self, session: Session, command: Command, reply: Callable[[Any], None]) -> None:
        """Have the backend answer a command.

        `reply` is called with the answer's data, or `NO_REPLY`, before anything else that the answer says is done;
        it is not called when the client has gone meanwhile. Raises `NoBackend` where nobody knows the command, and
        `BackendFailed`, which a behaviour may let pass: the client gets its protocol's error for it.
        """

    def behaviour(self, session: Session) -> object:
        """What serves a session now, at whichever listener of its protocol that is."""

    def machine(self) -> Mapping[str, int]:
        """How the machine is doing: memory in MB, load in percent, as discodo's STATUS names them."""

    def shared(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """A value that all listeners of the realm share under one name, made at the first asking."""
