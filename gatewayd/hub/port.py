"""What one listener's behaviour sees of the node: the hub, narrowed to the port it was promised."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from gatewayd.core.behaviour import Behaviour, Claim, Counts
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.events import Command
from gatewayd.core.grant import Grant
from gatewayd.core.ports import DocumentStore, NotificationStore, RoomStore
from gatewayd.core.session import Session
from gatewayd.hub.hub import Hub
from gatewayd.hub.realm import SERVICE, Realm
from gatewayd.hub.timers import Due

Verify = Callable[[Claim], Awaitable[Grant]]
HoldBack = Callable[[str], Awaitable[None]]
Ask = Callable[["Session", "Command", Callable[[Any], None]], Coroutine[Any, Any, None]]


class ListenerPort:
    """The `Port` of one listener, which documents it. `hold_back` delays the refusal of one more wrong key."""

    def __init__(
        self, hub: Hub, realm: Realm, protocol: str, verify: Verify, ask: Ask, *, hold_back: HoldBack,
        pause: Callable[[], Coroutine[Any, Any, None]], machine: Callable[[], Mapping[str, int]] = dict,
    ) -> None:  # fmt: skip
        self._hub, self._realm = hub, realm
        self.now, self.tell, self.subscribe, self.unsubscribe = hub.clock, hub.tell, hub.subscribe, hub.unsubscribe
        self.realm, self.protocol = realm.name, protocol
        self._verify, self._hold_back = verify, hold_back
        self.ask, self.machine, self.pause, self.shared = ask, machine, pause, realm.shared
        self.documents: DocumentStore = realm.documents
        self.notifications: NotificationStore = realm.notifications
        self.rooms: RoomStore = realm.rooms

    def publish(
        self, channel: str, name: str, data: Any, *, one: bool = False, besides: Session | None = None
    ) -> Counts:
        return self._hub.publish(
            self._realm, channel, name, data, one=one, besides=besides, protocol=self._only(channel)
        )

    def _only(self, channel: str) -> str:
        """The protocol to which a channel is narrowed for this one, or ""."""
        return self.protocol if channel.startswith(SERVICE) else ""

    def relay(self, channel: str, name: str, data: Any, *, one: bool = False) -> Counts:
        return self._hub.publish(self._realm, channel, name, data, one=one, protocol=self._only(channel), whole=True)

    def subscribers(self, channel: str) -> list[Session]:
        heard, only = self._realm.subscribers(channel), self._only(channel)
        return [session for session in heard if session.protocol == only] if only else heard

    def behaviour(self, session: Session) -> Behaviour[Any]:
        return self._hub.behaviours[session.listener]

    def changed(self, session: Session) -> None:
        self._hub.observers.changed(session)

    def end(self, session: Session, cause: Cause, reason: str = "") -> None:
        self._hub.end(session, Disconnect(cause, reason))

    def find(self, identity: str) -> Session | None:
        known = self._hub.find(self.realm, self.protocol, identity)
        return known[-1] if known else None

    def later(self, delay: float, call: Callable[[], None]) -> Due:
        return self._hub.timers.at(self._hub.clock() + delay, call)

    async def verify(self, claim: Claim, address: str | None) -> Grant:
        """Ask the listener's auth about a claim; a refusal may have to wait."""
        grant = (await self._verify(claim)).to(claim, self._hub.clock())
        if not grant and not grant.failure and address is not None:
            await self._hold_back(address)
        return grant
