"""The realms of the node, and which of them are meant by what a backend, an operator or a program says.

Law 1: a realm that is named is meant, whoever hears it there. Without a name it is every realm in which an event is
heard or has effects.
Law 2: what would be kept in one of several realms is kept in none of them: whoever says it has to name one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define

from gatewayd.core.behaviour import Behaviour
from gatewayd.core.ports import NoSuchRealm as NoSuchRealm
from gatewayd.core.ports import Resource
from gatewayd.core.ports import SeveralRealms as SeveralRealms
from gatewayd.core.session import Session
from gatewayd.hub.realm import Realm


@define(eq=False)
class Aim:
    """One realm that an event goes to. `one` names the protocol whose sessions are to get it once; "" is everybody."""

    realm: Realm
    behaviours: tuple[Behaviour[Any], ...]
    one: str = ""


class Realms:
    """All of them, with a listener or without; `new` makes one."""

    def __init__(self, new: Callable[[str], Realm]) -> None:
        self._new = new
        self.by_name: dict[str, Realm] = {}
        """Those without a listener as well: the journal kept something for them."""
        self.served: dict[str, Realm] = {}
        """Those that have a listener, in the order of the listeners."""

    @property
    def all(self) -> tuple[Realm, ...]:
        """All of them."""
        return tuple(self.by_name.values())

    def make(self, name: str) -> Realm:
        """The realm of that name; one that was not there has no listener."""
        realm = self.by_name.get(name)
        if realm is None:
            realm = self.by_name[name] = self._new(name)
        return realm

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener."""
        realm = self.served[behaviour.port.realm] = self.make(behaviour.port.realm)
        realm.serve(behaviour)

    def named(self, names: Collection[str] | None) -> Sequence[Realm]:
        """The served realms of these names; None is all of them. Raises `NoSuchRealm`."""
        if names is None:
            return tuple(self.served.values())
        for name in names:
            if name not in self.served:
                raise NoSuchRealm(name, self.served)
        return [self.served[name] for name in names]

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
        realms = self.named(names)
        if len(realms) == 1:
            return (_aim(realms[0], channel, name, session),)
        found = [_aim(realm, channel, name, session) for realm in realms]
        hit = [aim for aim in found if _hits(aim, channel, name, data)]
        if hit:
            return hit
        lasting = [aim for aim in found if aim.one or any(item.lasts(channel, name, data) for item in aim.behaviours)]
        if len(lasting) > 1:
            raise SeveralRealms(f"{name} to {channel}", (aim.realm.name for aim in lasting))
        return lasting or found  # nobody hears it, and nothing comes of it


def _aim(realm: Realm, channel: str, name: str, session: Session | None) -> Aim:
    here = session if session is not None and session.realm == realm.name else None
    return Aim(realm, realm.concerned(channel, here), realm.runs_once(channel, name))


def _hits(aim: Aim, channel: str, name: str, data: Any) -> bool:
    """Whether anybody hears it there now, or it has effects there."""
    if aim.one:
        return bool(aim.realm.present(channel, name, aim.one))
    return channel in aim.realm.channels or any(item.concerns(channel, name, data) for item in aim.behaviours)
