"""Who hears what: subscriptions, publish, and events for one receiver, over the realms of the node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from gatewayd.core.behaviour import Admission, Behaviour, EventTooBig
from gatewayd.core.counts import Counts, Drop
from gatewayd.core.events import Event
from gatewayd.core.grant import Grant
from gatewayd.core.record import Nowhere, Store
from gatewayd.core.resources import Resource
from gatewayd.core.session import Session
from gatewayd.hub.aims import aims, home, named
from gatewayd.hub.following import Watch
from gatewayd.hub.giving import Given, Giving
from gatewayd.hub.grants import release, settle
from gatewayd.hub.keeper import Keeper
from gatewayd.hub.realm import Realm
from gatewayd.hub.stores import NotificationLimits

NOTIFICATION = "NOTIFICATION"


class Hub(Giving):
    """The node's realms and their sessions, with the behaviours of all listeners."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        limit: int = 30_000,
        store: Store | None = None,
        notifications: NotificationLimits | None = None,
    ) -> None:
        store = store or Nowhere()
        super().__init__(clock, limit=limit, keeper=Keeper(store, clock, self._data))
        self._new_realm = partial(Realm, keeper=self.keeper, store=store, notifications=notifications)
        self.behaviours: dict[str, Behaviour[Any]] = {}
        """By listener."""
        self.numbers = 0
        """Of the newest event."""
        self.judge_again: Callable[[Session], None] | None = None
        """Starts `grants.judge_again` for a session whose grant has expired; None ends the session instead."""

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener."""
        self.behaviours[behaviour.listener] = behaviour
        realm = self.realms[behaviour.port.realm] = self.realm(behaviour.port.realm)
        realm.serve(behaviour)

    def realm(self, name: str) -> Realm:
        """The realm of that name, with listeners or without."""
        if name not in self._realms:
            self._realms[name] = self._new_realm(name)
        return self._realms[name]

    @property
    def all_realms(self) -> tuple[Realm, ...]:
        """Those without a listener as well: the journal kept something for them."""
        return tuple(self._realms.values())

    def realm_for(self, resource: Resource, names: Collection[str] | None = None) -> Realm:
        """The one realm of these (None: of all) that keeps such a resource. Raises `NoSuchRealm`, `SeveralRealms`."""
        return home(named(self.realms, names), resource)

    def waiting(self) -> Iterator[Event]:
        """The events of all realms that wait for their first receiver."""
        for realm in self.all_realms:
            yield from realm.waiting

    # --- subscriptions --------------------------------------------------------------------------------------

    def subscribe(self, session: Session, channel: str) -> None:
        """Let a session hear a channel of its realm."""
        session.channels.add(channel)
        self._realms[session.realm].channels.setdefault(channel, {})[session] = None
        self.keeper.touch(session)

    _hears = subscribe

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Let it hear that channel no more."""
        session.channels.discard(channel)
        self.keeper.touch(session)
        channels = self._realms[session.realm].channels
        subscribers = channels.get(channel)
        if subscribers is not None:
            subscribers.pop(session, None)
            if not subscribers:
                del channels[channel]

    def _claimed(self, session: Session, admission: Admission, grant: Grant | None) -> None:
        channels = (*admission.channels, f"session:{session.id}", f"listener:{session.listener}")
        for channel in session.outgrown(channels):
            self.unsubscribe(session, channel)
        for channel in channels:
            self.subscribe(session, channel)
        session.granted.difference_update(channels)  # heard by its own right now
        settle(self, session, grant or Grant(granted=True))

    def _has_detached(self, session: Session) -> None:
        self.behaviours[session.listener].detached(session)

    def _has_ended(self, session: Session, unsaid: list[Event]) -> None:
        release(session)
        for channel in tuple(session.channels):
            self.unsubscribe(session, channel)
        behaviour = self.behaviours.get(session.listener)
        # Else it is of the last run, and its listener is no more, or is another one now.
        if behaviour is not None and serves(behaviour, session):
            behaviour.ended(session)
        for event in unsaid:
            self._rescue(self._realms[session.realm], event)
        self.following.ended(session, unsaid)

    def _rescue(self, realm: Realm, event: Event) -> None:
        """An event whose receiver in this realm is gone: if it was for that one alone, another gets it, or it waits."""
        if event.one:
            self._to_one(self._again(event))
        elif event.name == NOTIFICATION and event.channel not in realm.channels:
            self._keep_notification(realm, event.channel.partition(":")[2], event.data)
        else:
            self.totals.drop(Drop.LOST_WITH_SESSION)

    # --- publishing -----------------------------------------------------------------------------------------

    def post(
        self,
        channel: str,
        name: str,
        data: Any,
        *,
        realms: Collection[str] | None = None,
        besides: Session | None = None,
        watch: Watch | None = None,
    ) -> Counts:
        """Publish what a backend or an operator says: checked by its protocol, with the effects it has there.

        It goes to the only realm of `realms`, else to each of them (None: of all) where it is heard. Raises
        `NoSuchRealm`; `SeveralRealms` when it would be kept in any one of several; `Unpublishable` when the protocol
        behind the channel cannot say it, or a client could never be given it.
        """
        session = self.sessions.get(channel.removeprefix("session:")) if channel.startswith("session:") else None
        found = aims(named(self.realms, realms), channel, name, data, session)
        for aim in found:
            for behaviour in aim.behaviours:
                behaviour.check(channel, name, data)
        events: list[Event] = []
        receivers: list[Session] = []
        for aim in found:
            hearing = aim.realm.receivers(channel, name, data, besides, aim.one)
            if aim.one:
                events.append(self._event(channel, name, data, realm=aim.realm.name, protocol=aim.one))
                self._refuse_too_big(events[-1], hearing)
            else:
                receivers += hearing
        if receivers or not events:
            events.insert(0, self._event(channel, name, data))
            self._refuse_too_big(events[0], receivers)
        if watch is not None:
            self.following.follow(events, watch)
        counts = self._publish(events, receivers)
        for aim in found:
            for behaviour in aim.behaviours:
                behaviour.published(channel, name, data)
        return counts

    def publish(
        self,
        realm: Realm,
        channel: str,
        name: str,
        data: Any,
        *,
        one: bool = False,
        besides: Session | None = None,
        protocol: str = "",
        whole: bool = False,
    ) -> Counts:
        """Publish an event in one realm from within the daemon: no check of names, no effects.

        `protocol` is the only one whose sessions may get it; "" lets any. With `whole`, raises `EventTooBig` where one
        of them could never be given it.
        """
        if one:
            event = self._event(channel, name, data, realm=realm.name, protocol=protocol)
        else:
            event = self._event(channel, name, data)
        receivers = () if one else realm.receivers(channel, name, data, besides, protocol)
        if whole and not self._fits_all(event):
            self._refuse_too_big(event, receivers or realm.receivers(channel, name, data, besides, protocol))
        return self._publish([event], receivers)

    def _publish(self, events: Sequence[Event], receivers: Sequence[Session]) -> Counts:
        """`receivers` are those of the first event, if that is for everybody; each of the others is for one."""
        self.totals.published += 1
        counts = self._counted(events[0], lambda: self._give_each(events, receivers))
        self.totals.unheard += not receivers and not events[0].one
        self.totals.delivered += counts.delivered
        self.totals.buffered += counts.buffered
        return counts

    def _give_each(self, events: Sequence[Event], receivers: Sequence[Session]) -> Given:
        delivered = buffered = 0
        for event in events:
            now, later = self._to_one(event) if event.one else self._give(receivers, event)
            delivered += now
            buffered += later
        return delivered, buffered

    def _event(self, channel: str, name: str, data: Any, *, realm: str = "", protocol: str = "") -> Event:
        """One that was not there before; with a realm it is for one receiver in that."""
        self.numbers += 1
        return Event(channel, name, data, self.clock(), bool(realm), self.numbers, realm, protocol)

    def _data(self, session: Session) -> Any:
        behaviour = self.behaviours.get(session.listener)
        return None if behaviour is None else behaviour.keep(session)

    def tell(self, session: Session, name: str, data: Any) -> Counts:
        """Publish an event to one session; kept for it while it is detached."""
        event = self._event(f"session:{session.id}", name, data)
        return self._counted(event, lambda: self._give((session,), event))

    def notify(self, user: str, data: Any, realms: Collection[str] | None = None) -> Counts:
        """Tell a user now if one of its sessions is there, else keep it for later.

        Of several `realms` (None: of all) it is the one with notifications. Raises `NoSuchRealm`, `SeveralRealms`.
        """
        realm = self.realm_for(Resource.NOTIFICATIONS, realms)
        channel = f"user:{user}"
        if channel in realm.channels:
            try:
                return self.publish(realm, channel, NOTIFICATION, data, whole=True)
            except EventTooBig:
                pass  # the answer to the next login can hold it
        kept, dropped = self._keep_notification(realm, user, data)
        return Counts(0, int(kept), dropped, {Drop.NOTIFICATIONS_FULL: dropped} if dropped else {})

    def _keep_notification(self, realm: Realm, user: str, data: Any) -> tuple[bool, int]:
        kept, lost = realm.notifications.keep(user, data)
        self.totals.drop(Drop.NOTIFICATIONS_FULL, lost)
        return kept, lost

    # --- events for exactly one receiver --------------------------------------------------------------------

    def _to_one(self, event: Event, *, free: bool = False) -> Given:
        """The receiver with the fewest events not yet written to its socket; equals take turns.

        `free` events are said as a replay is: they come out of another bounded buffer.
        """
        realm = self._realms[event.realm]
        present = realm.present(event.channel, event.name, event.protocol)
        if not present:
            return 0, int(self._park(realm, event))
        fewest = min(waiting for waiting, _ in present)
        chosen = next(session for waiting, session in present if waiting == fewest)
        subscribers = realm.channels[event.channel]
        subscribers[chosen] = subscribers.pop(chosen)  # to the end of the line
        given = self._replay(chosen, event) if free else self._give((chosen,), event)
        if chosen.connection is not None:  # nobody else has it: what its socket does not take must not be lost
            self.keeper.lags(chosen.connection)
        # One that could not take it, and cannot keep it, is cut off; its own `one` events were given on before this.
        return given if any(given) else self._to_one(event)

    def _park(self, realm: Realm, event: Event) -> bool:
        """Let it wait for the first receiver; whether it does."""
        refused = realm.waiting.refuses(event)
        lost = realm.waiting.keep(event)
        self.totals.drop(refused or Drop.WAITING_FULL, lost)
        if refused is None:
            self.following.parked(event)
        return refused is None

    def _again(self, event: Event) -> Event:
        """The same event for another receiver: it has its place among what that one has yet to hear."""
        again = self._event(event.channel, event.name, event.data, realm=event.realm, protocol=event.protocol)
        self.following.again(event, again)
        return again

    def drain_waiting(self, session: Session) -> None:
        """Give a session that is ready the `one` events that waited for the first receiver of its channels."""
        for event in self._realms[session.realm].waiting.take(session.channels, session.protocol):
            self._to_one(self._again(event), free=True)


def serves(behaviour: Behaviour[Any], session: Session) -> bool:
    """Whether it is of the session's realm and protocol; a listener may be another one than it was in the last run."""
    port = behaviour.port
    return (port.realm, port.protocol) == (session.realm, session.protocol)
