"""What one listener's behaviour sees of the node: the hub, narrowed to the port it was promised."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from typing import TYPE_CHECKING, Any

from gatewayd.core.behaviour import Behaviour, Claim, Counts
from gatewayd.core.close import Cause, Verdict
from gatewayd.core.grant import Grant
from gatewayd.core.ports import DocumentStore, NotificationStore, RoomStore
from gatewayd.hub.realm import SERVICE

if TYPE_CHECKING:
    from gatewayd.core.events import Command
    from gatewayd.core.session import Session
    from gatewayd.hub.hub import Hub
    from gatewayd.hub.realm import Realm
    from gatewayd.hub.timers import Due

Verify = Callable[[Claim], Awaitable[Grant]]
HoldBack = Callable[[str], Awaitable[None]]
Ask = Callable[["Session", "Command", Callable[[Any], None]], Awaitable[None]]


async def _at_once(_address: str) -> None:
    """No refusal waits."""


async def _go_on() -> None:
    """Nobody else is there to have a turn."""


class ListenerPort:
    """`gatewayd.core.behaviour.Port` for one listener; `verify` is its auth, `ask` the node's backend.

    `hold_back` waits as long as the refusal of one more wrong key from an address has to, `pause` for one turn.
    """

    documents: DocumentStore
    notifications: NotificationStore
    rooms: RoomStore

    def __init__(
        self,
        hub: Hub,
        realm: Realm,
        protocol: str,
        verify: Verify,
        ask: Ask,
        machine: Callable[[], Mapping[str, int]] = dict,
        hold_back: HoldBack = _at_once,
        pause: Callable[[], Coroutine[Any, Any, None]] = _go_on,
    ) -> None:
        self._hub = hub
        self._realm = realm
        self.realm = realm.name
        self.protocol = protocol
        self._verify = verify
        self._ask = ask
        self._hold_back = hold_back
        self.machine = machine
        self.pause = pause
        self.documents = realm.documents
        self.notifications = realm.notifications
        self.rooms = realm.rooms

    def now(self) -> float:
        """Monotonic seconds."""
        return self._hub.clock()

    def publish(
        self, channel: str, name: str, data: Any, *, one: bool = False, besides: Session | None = None
    ) -> Counts:
        """Publish an event from within the daemon."""
        return self._hub.publish(
            self._realm, channel, name, data, one=one, besides=besides, protocol=self._only(channel)
        )

    def _only(self, channel: str) -> str:
        """The protocol to which a channel is narrowed for this one, or ""."""
        return self.protocol if channel.startswith(SERVICE) else ""

    def relay(self, channel: str, name: str, data: Any, *, one: bool = False) -> Counts:
        """Publish what a client says to others."""
        return self._hub.publish(self._realm, channel, name, data, one=one, protocol=self._only(channel), whole=True)

    def tell(self, session: Session, name: str, data: Any) -> None:
        """Publish an event to one session."""
        self._hub.tell(session, name, data)

    def subscribe(self, session: Session, channel: str) -> None:
        """Let a session hear a channel."""
        self._hub.subscribe(session, channel)

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Let it hear that channel no more."""
        self._hub.unsubscribe(session, channel)

    def subscribers(self, channel: str) -> list[Session]:
        """The sessions that hear a channel."""
        heard, only = self._realm.subscribers(channel), self._only(channel)
        return [session for session in heard if session.protocol == only] if only else heard

    def behaviour(self, session: Session) -> Behaviour[Any]:
        """What serves a session now."""
        return self._hub.behaviours[session.listener]

    def changed(self, session: Session) -> None:
        """Have the journal know what the session is now."""
        self._hub.observers.changed(session)

    def end(self, session: Session, cause: Cause, reason: str = "") -> None:
        """End a session and its client."""
        self._hub.end(session, Verdict(cause, reason or cause.words))

    def find(self, identity: str) -> Session | None:
        """The newest session of an identity of this protocol in this realm."""
        known = self._hub.find(self.realm, self.protocol, identity)
        return known[-1] if known else None

    def later(self, delay: float, call: Callable[[], None]) -> Due:
        """Call something after so many seconds."""
        return self._hub.timers.at(self._hub.clock() + delay, call)

    async def verify(self, claim: Claim, address: str | None) -> Grant:
        """Ask the listener's auth about a claim; a refusal may have to wait."""
        grant = (await self._verify(claim)).to(claim, self._hub.clock())
        if not grant and not grant.failure and address is not None:
            await self._hold_back(address)
        return grant

    async def ask(self, session: Session, command: Command, reply: Callable[[Any], None]) -> None:
        """Have the backend answer a command."""
        await self._ask(session, command, reply)

    def shared(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """A value that all listeners of the realm share."""
        return self._realm.shared(name, make)
