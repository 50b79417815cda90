"""The realms of the node: each with its channels, identities, rooms, documents, notifications, and behaviours.

Law 1: nothing in a realm is known to another, and nothing that a client causes leaves it.
Law 2: a realm that is named is meant. Without a name it is every realm in which an event is heard or has effects.
Law 3: what would be kept in one of several realms is kept in none of them: whoever says it has to name one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import Any

from attrs import define, field

from gatewayd.config.limits import HubLimits
from gatewayd.core.behaviour import Behaviour, Unpublishable
from gatewayd.core.ports import NoSuchRealm, Resource, SeveralRealms
from gatewayd.core.record import Row, Store, Within, parts
from gatewayd.core.session import Session
from gatewayd.hub.first_receiver import FirstReceiver
from gatewayd.hub.hearing import Hearing
from gatewayd.hub.journaling import Journaling
from gatewayd.hub.rooms import Rooms
from gatewayd.hub.stores import MemoryDocuments, MemoryNotifications
from gatewayd.hub.timers import Due

SERVICE = "service:"
"""Channels in which a client reaches and sees the sessions of its own protocol alone."""


class Realm:
    """Who may hear whom. It has listeners, or is what the journal kept of a realm that has none any more."""

    def __init__(self, journaling: Journaling, store: Store, limits: HubLimits, name: str) -> None:
        self.name = name
        store = Within(store, name)
        self.hearing = Hearing(limits.in_sync)
        self.channels, self.subscribers = self.hearing.channels, self.hearing.subscribers
        self.receivers, self.hearers, self.present = self.hearing.receivers, self.hearing.hearers, self.hearing.present
        self.identities: dict[tuple[str, str], list[Session]] = {}
        """By protocol and key, oldest first."""
        self.detached: dict[Session, Due] = {}
        """Those that wait for a client, longest first, and when their windows pass."""
        self.rooms = Rooms(store, limits.rooms)
        self.documents = MemoryDocuments(limits.documents, limits.documents_bytes, store=store)
        self.notifications = MemoryNotifications(limits.notifications, store=store)
        self.kept: dict[Resource, MemoryDocuments | MemoryNotifications | Rooms] = {
            Resource.DOCUMENTS: self.documents,
            Resource.NOTIFICATIONS: self.notifications,
            Resource.ROOMS: self.rooms,
        }
        self.waiting = FirstReceiver(journaling, limits.first_receiver)
        self.behaviours: dict[str, Behaviour[Any]] = {}  # by listener
        self._by_prefix: dict[str, list[Behaviour[Any]]] = {}
        self._speakers: dict[str, tuple[Behaviour[Any], ...]] = {}  # one of each protocol
        self._shared: dict[Hashable, Any] = {}

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener of this realm."""
        self.behaviours[behaviour.listener] = behaviour
        for prefix in behaviour.prefixes:
            known = self._by_prefix.setdefault(prefix, [])
            known.append(behaviour)
            self._speakers[prefix] = tuple({type(item): item for item in reversed(known)}.values())
        self.hearing.serve(behaviour)

    def shared(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """A value that all listeners of the realm share under one name, made at the first asking."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def uses(self, resource: Resource) -> bool:
        """Whether a listener of this realm uses such a resource."""
        return any(resource in behaviour.uses for behaviour in self.behaviours.values())

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

    def rows(self) -> Iterator[Row]:
        """All rows that there have to be of what this realm keeps, sessions and events apart."""
        for kept in self.kept.values():
            for table, key, value in kept.rows():
                yield table, (self.name, *parts(key)), value


@define(eq=False)
class Aim:
    """One realm that an event goes to. `one` names the protocol whose sessions are to get it once; "" is everybody.
    `mute` protocols cannot say it.
    """

    realm: Realm
    behaviours: tuple[Behaviour[Any], ...]
    one: str = ""
    mute: frozenset[str] = frozenset()

    def check(self, channel: str, name: str, data: Any) -> None:
        """Find the protocols that cannot say it. Raises the `Unpublishable` of the first if none of them can."""
        mute: dict[Behaviour[Any], Unpublishable] = {}
        for behaviour in self.behaviours:
            try:
                behaviour.check(channel, name, data)
            except Unpublishable as why:
                mute[behaviour] = why
        if not mute:
            return
        if len(mute) == len(self.behaviours):
            raise mute[self.behaviours[0]]
        self.behaviours = tuple(behaviour for behaviour in self.behaviours if behaviour not in mute)
        self.mute = frozenset(behaviour.port.protocol for behaviour in mute)


@define(eq=False)
class Realms:
    """All of them, with a listener or without; `new` makes one."""

    _new: Callable[[str], Realm]
    by_name: dict[str, Realm] = field(init=False, factory=dict)
    """Those without a listener as well: the journal kept something for them."""
    served: dict[str, Realm] = field(init=False, factory=dict)
    """Those that have a listener, in the order of the listeners."""

    def make(self, name: str) -> Realm:
        """The realm of that name; one that was not there has no listener."""
        if name not in self.by_name:
            self.by_name[name] = self._new(name)
        return self.by_name[name]

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener."""
        realm = self.served[behaviour.port.realm] = self.make(behaviour.port.realm)
        realm.serve(behaviour)

    def named(self, names: Collection[str] | None) -> Sequence[Realm]:
        """The served realms of these names; None is all of them. Raises `NoSuchRealm`."""
        try:
            return [self.served[name] for name in (self.served if names is None else names)]
        except KeyError as missing:
            raise NoSuchRealm(missing.args[0], self.served) from None

    def home(self, resource: Resource, names: Collection[str] | None = None) -> Realm:
        """The one realm of these that such a resource is kept in. Raises `NoSuchRealm`, `SeveralRealms`."""
        realms = self.named(names)
        users = realms if len(realms) == 1 else [realm for realm in realms if realm.uses(resource)] or realms
        if len(users) != 1:
            raise SeveralRealms(resource.value, (realm.name for realm in users))
        return users[0]

    def aims(
        self, names: Collection[str] | None, channel: str, name: str, data: Any, session: Session | None
    ) -> Sequence[Aim]:
        """Where an event goes; `session` is the one that the channel names. Raises `NoSuchRealm`, `SeveralRealms`."""
        found = [
            Aim(realm, realm.concerned(channel, session), realm.runs_once(channel, name)) for realm in self.named(names)
        ]
        if len(found) == 1:
            return found
        if hit := [aim for aim in found if _hits(aim, channel, name, data)]:
            return hit
        lasting = [aim for aim in found if aim.one or any(item.lasts(channel, name, data) for item in aim.behaviours)]
        if len(lasting) > 1:
            raise SeveralRealms(f"{name} to {channel}", (aim.realm.name for aim in lasting))
        return lasting or found  # nobody hears it, and nothing comes of it


def _hits(aim: Aim, channel: str, name: str, data: Any) -> bool:
    """Whether anybody hears it there now, or it has effects there."""
    if aim.one:
        return bool(aim.realm.present(channel, name, aim.one))
    heard = aim.realm.hearing.everybody(channel)
    return bool(heard) or any(item.concerns(channel, name, data) for item in aim.behaviours)
