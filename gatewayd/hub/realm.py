"""One realm: its channels, identities, rooms, documents, notifications, and the behaviours of its listeners.

Law: nothing in here is known to another realm, and nothing that a client causes leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Protocol

from gatewayd.config.limits import HubLimits
from gatewayd.core.behaviour import Behaviour
from gatewayd.core.ports import Resource
from gatewayd.core.record import Key, Row, Store, Within, parts
from gatewayd.core.session import Session
from gatewayd.hub.first_receiver import FirstReceiver
from gatewayd.hub.journaling import Journaling
from gatewayd.hub.rooms import Rooms
from gatewayd.hub.stores import MemoryDocuments, MemoryNotifications, NotificationLimits
from gatewayd.hub.timers import Due

SERVICE = "service:"
"""Channels in which a client reaches and sees the sessions of its own protocol alone."""


class Kept(Protocol):
    """What is kept of one kind, as the journal sees it; its keys do not name the realm."""

    def restore(self, rows: Iterable[tuple[Key, bytes]]) -> int:
        """Fill from what was kept; the answer is how many could not be taken."""

    def rows(self) -> Iterator[Row]:
        """All rows that there have to be."""


class Realm:
    """Who may hear whom. It has listeners, or is what the journal kept of a realm that has none any more."""

    def __init__(
        self,
        journaling: Journaling,
        store: Store,
        limits: HubLimits,
        notifications: NotificationLimits | None,
        name: str,
    ) -> None:
        self.name = name
        store = Within(store, name)
        self.channels: dict[str, dict[Session, None]] = {}
        self.identities: dict[tuple[str, str], list[Session]] = {}
        """By protocol and key, oldest first."""
        self.detached: dict[Session, Due] = {}
        """Those that wait for a client, longest first, and when their windows pass."""
        self.rooms = Rooms(store, limits.rooms)
        self.documents = MemoryDocuments(limits.documents, limits.documents_bytes, store=store)
        self.notifications = MemoryNotifications(notifications, store=store)
        self._kept: dict[Resource, Kept] = {
            Resource.DOCUMENTS: self.documents,
            Resource.NOTIFICATIONS: self.notifications,
            Resource.ROOMS: self.rooms,
        }
        self.waiting = FirstReceiver(journaling, limits.first_receiver)
        self.behaviours: dict[str, Behaviour[Any]] = {}
        """By listener."""
        self._by_prefix: dict[str, list[Behaviour[Any]]] = {}
        self._speakers: dict[str, tuple[Behaviour[Any], ...]] = {}
        """One of each protocol."""
        self._says: dict[str, Callable[[str], bool]] = {}
        self._filters: dict[str, Callable[[Session, str, Any], bool]] = {}
        self._shared: dict[Hashable, Any] = {}

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener of this realm."""
        self.behaviours[behaviour.listener] = behaviour
        for prefix in behaviour.prefixes:
            known = self._by_prefix.setdefault(prefix, [])
            known.append(behaviour)
            self._speakers[prefix] = tuple({type(item): item for item in reversed(known)}.values())
        if type(behaviour).hears is not Behaviour.hears:  # most protocols never filter: spare them the call
            self._filters[behaviour.listener] = behaviour.hears
        if type(behaviour).says is not Behaviour.says:
            self._says[behaviour.listener] = behaviour.says

    def shared(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """A value that all listeners of the realm share under one name, made at the first asking."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def keeps(self, resource: Resource) -> Kept:
        """Where such resources are kept."""
        return self._kept[resource]

    def uses(self, resource: Resource) -> bool:
        """Whether a listener of this realm uses such a resource."""
        return any(resource in behaviour.uses for behaviour in self.behaviours.values())

    def subscribers(self, channel: str) -> list[Session]:
        """The sessions that hear a channel, detached ones included, oldest subscription first."""
        return list(self.channels.get(channel, ()))

    def concerned(self, channel: str, session: Session | None) -> tuple[Behaviour[Any], ...]:
        """One behaviour of each protocol that speaks on this channel; `session` is the one that it names, if any."""
        prefix, _, rest = channel.partition(":")
        speakers = self._speakers.get(prefix, ())
        listener = session.listener if session is not None else rest if prefix == "listener" else ""
        own = self.behaviours.get(listener)
        if own is None:
            return speakers
        return (*(speaker for speaker in speakers if type(speaker) is not type(own)), own)

    def runs_once(self, channel: str, name: str) -> str:
        """The protocol by whose routes one session gets this event; "" for none. Any listener may say so."""
        for behaviour in self._by_prefix.get(channel.partition(":")[0], ()):
            if behaviour.delivers_one(channel, name):
                return behaviour.port.protocol
        return ""

    def receivers(
        self, channel: str, name: str, data: Any, besides: Session | None = None, protocol: str = ""
    ) -> list[Session]:
        """Who hears an event; a copy, since a receiver that is full is unsubscribed on the way."""
        subscribers = self.channels.get(channel, ())
        filters, mute = self._filters, self._mute(name)
        if not filters and not mute and besides is None and not protocol:
            return list(subscribers)
        return [
            session
            for session in subscribers
            if session is not besides
            and session.listener not in mute
            and (not protocol or session.protocol == protocol)
            and ((hears := filters.get(session.listener)) is None or hears(session, name, data))
        ]

    def present(self, channel: str, name: str, protocol: str = "") -> list[tuple[int, Session]]:
        """Those who could be the one receiver of an event, each with how many events wait for its socket."""
        mute = self._mute(name)
        return [
            (session.connection.outbox.events, session)
            for session in self.channels.get(channel, ())
            if session.connection
            and session.connection.open
            and session.listener not in mute
            and (not protocol or session.protocol == protocol)
        ]

    def _mute(self, name: str) -> set[str]:
        """Listeners whose protocol has no words for such an event, whoever has subscribed their sessions to it."""
        return {listener for listener, says in self._says.items() if not says(name)}

    @property
    def keeps_anything(self) -> bool:
        """Whether something of it would have to be kept without a session."""
        return any(True for _ in self.rows()) or any(True for _ in self.waiting)

    def rows(self) -> Iterator[Row]:
        """All rows that there have to be of what this realm keeps, sessions and events apart."""
        for kept in self._kept.values():
            for table, key, value in kept.rows():
                yield table, (self.name, *parts(key)), value
