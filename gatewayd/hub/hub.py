"""Who hears what: channels, subscriptions and publish, over the sessions of the node."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from gatewayd.core.behaviour import Admission, Behaviour, EventTooBig
from gatewayd.core.counts import Counts, Drop
from gatewayd.core.events import Event
from gatewayd.core.grant import Grant
from gatewayd.core.record import Nowhere, Store
from gatewayd.core.session import Session
from gatewayd.hub.following import Watch
from gatewayd.hub.giving import Given, Giving
from gatewayd.hub.grants import release, settle
from gatewayd.hub.keeper import Keeper
from gatewayd.hub.rooms import Rooms
from gatewayd.hub.waiting import Waiting
from gatewayd.journal.memory import MemoryDocuments, MemoryNotifications, NotificationLimits

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTIFICATION = "NOTIFICATION"
MOST_AROUND = 8192
"""No protocol puts as many bytes around an event's data: an event that is smaller than an outbox by more fits it."""


class Hub(Giving):
    """The node's sessions and their channels, with what its behaviours share."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        limit: int = 30_000,
        store: Store | None = None,
        notifications: NotificationLimits | None = None,
    ) -> None:
        super().__init__(clock, limit=limit, keeper=Keeper(store or Nowhere(), clock, self._data))
        self.rooms = Rooms()
        self.documents = MemoryDocuments()
        self.notifications = MemoryNotifications(notifications)
        self.channels: dict[str, dict[Session, None]] = {}
        self.behaviours: dict[str, Behaviour[Any]] = {}
        self._by_prefix: dict[str, list[Behaviour[Any]]] = {}
        self._says: dict[str, Callable[[str], bool]] = {}
        self._filters: dict[str, Callable[[Session, str, Any], bool]] = {}
        self.waiting = Waiting(self.keeper)
        self.numbers = 0
        """Of the newest event."""
        self._shared: dict[Hashable, Any] = {}
        self.judge_again: Callable[[Session], None] | None = None
        """Starts `grants.judge_again` for a session whose grant has expired; None ends the session instead."""

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener."""
        self.behaviours[behaviour.listener] = behaviour
        for prefix in behaviour.prefixes:
            self._by_prefix.setdefault(prefix, []).append(behaviour)
        if type(behaviour).hears is not Behaviour.hears:  # most protocols never filter: spare them the call
            self._filters[behaviour.listener] = behaviour.hears
        if type(behaviour).says is not Behaviour.says:
            self._says[behaviour.listener] = behaviour.says

    def shared(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """A value that all listeners of the node share under one name, made at the first asking."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    # --- subscriptions --------------------------------------------------------------------------------------

    def subscribe(self, session: Session, channel: str) -> None:
        """Let a session hear a channel."""
        session.channels.add(channel)
        self.channels.setdefault(channel, {})[session] = None
        self.keeper.touch(session)

    _hears = subscribe

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Let it hear that channel no more."""
        session.channels.discard(channel)
        self.keeper.touch(session)
        subscribers = self.channels.get(channel)
        if subscribers is not None:
            subscribers.pop(session, None)
            if not subscribers:
                del self.channels[channel]

    def subscribers(self, channel: str) -> list[Session]:
        """The sessions that hear a channel, detached ones included, oldest subscription first."""
        return list(self.channels.get(channel, ()))

    def _claimed(self, session: Session, admission: Admission, grant: Grant | None) -> None:
        channels = (*admission.channels, f"session:{session.id}", f"listener:{session.listener}")
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
        # Else it is of the last run, and its listener is no more, or speaks another protocol now.
        if behaviour is not None and behaviour.port.realm[0] == session.protocol:
            behaviour.ended(session)
        for event in unsaid:
            self._rescue(event)
        self.following.ended(session, unsaid)

    def _rescue(self, event: Event) -> None:
        """An event whose only receiver is gone: another one gets it, or it waits."""
        if event.one:
            self._to_one(self._again(event))
        elif event.name == NOTIFICATION and event.channel not in self.channels:
            self._keep_notification(event.channel.partition(":")[2], event.data)
        else:
            self.totals.drop(Drop.LOST_WITH_SESSION)

    # --- publishing -----------------------------------------------------------------------------------------

    def post(
        self, channel: str, name: str, data: Any, *, besides: Session | None = None, watch: Watch | None = None
    ) -> Counts:
        """Publish what a backend or an operator says: checked by its protocol, with the effects it has there.

        Raises `Unpublishable` when the protocol behind the channel cannot say it, or a client could never be given it.
        """
        concerned = self._concerned(channel)
        for behaviour in concerned:
            behaviour.check(channel, name, data)
        # Every listener has a say here: its options tell which events run once.
        speakers = self._by_prefix.get(channel.partition(":")[0], ())
        one = any(behaviour.delivers_one(channel, name) for behaviour in speakers)
        event = self._event(channel, name, data, one=one)
        receivers = self._receivers(event, besides)
        self._refuse_too_big(event, receivers)
        if watch is not None:
            self.following.follow(event, watch)
        counts = self._publish(event, receivers)
        for behaviour in concerned:
            behaviour.published(channel, name, data)
        return counts

    def _concerned(self, channel: str) -> Iterable[Behaviour[Any]]:
        """One behaviour of each protocol that speaks on this channel."""
        prefix, _, rest = channel.partition(":")
        found = {type(behaviour): behaviour for behaviour in reversed(self._by_prefix.get(prefix, ()))}
        listener = rest if prefix == "listener" else None
        if prefix == "session" and rest in self.sessions:
            listener = self.sessions[rest].listener
        if listener in self.behaviours:
            found[type(self.behaviours[listener])] = self.behaviours[listener]
        return tuple(found.values())

    def publish(
        self, channel: str, name: str, data: Any, *, one: bool = False, besides: Session | None = None
    ) -> Counts:
        """Publish an event from within the daemon: no check of names, no effects."""
        event = self._event(channel, name, data, one=one)
        return self._publish(event, self._receivers(event, besides))

    def _publish(self, event: Event, receivers: list[Session]) -> Counts:
        self.totals.published += 1
        if event.one:
            counts = self._counted(event, lambda: self._to_one(event))
        else:
            counts = self._counted(event, lambda: self._give(receivers, event))
            self.totals.unheard += not receivers
        self.totals.delivered += counts.delivered
        self.totals.buffered += counts.buffered
        return counts

    def _refuse_too_big(self, event: Event, receivers: list[Session]) -> None:
        """Whoever reads as fast as can be would still be cut off by a frame that is larger than its outbox."""
        if event.size + MOST_AROUND < self.smallest_outbox:
            return
        for session in receivers:
            connection = session.connection
            if connection is not None and connection.open:
                limit, size = connection.settings.outbox_bytes, len(connection.wire.frame(event, connection.variant))
                if size > limit:
                    raise EventTooBig(size, limit, session.listener)

    def _event(self, channel: str, name: str, data: Any, *, one: bool = False) -> Event:
        self.numbers += 1
        return Event(channel, name, data, self.clock(), one, self.numbers)

    def _data(self, session: Session) -> Any:
        behaviour = self.behaviours.get(session.listener)
        return None if behaviour is None else behaviour.keep(session)

    def _receivers(self, event: Event, besides: Session | None) -> list[Session]:
        """Who hears an event; a copy, since a receiver that is full is unsubscribed on the way."""
        subscribers = self.channels.get(event.channel, ())
        filters, mute = self._filters, self._mute(event.name)
        if not filters and not mute and besides is None:
            return list(subscribers)
        return [
            session
            for session in subscribers
            if session is not besides
            and session.listener not in mute
            and ((hears := filters.get(session.listener)) is None or hears(session, event.name, event.data))
        ]

    def _mute(self, name: str) -> set[str]:
        """Listeners whose protocol has no words for such an event, whoever has subscribed their sessions to it."""
        return {listener for listener, says in self._says.items() if not says(name)}

    def tell(self, session: Session, name: str, data: Any) -> Counts:
        """Publish an event to one session; kept for it while it is detached."""
        event = self._event(f"session:{session.id}", name, data)
        return self._counted(event, lambda: self._give((session,), event))

    def notify(self, user: str, data: Any) -> Counts:
        """Tell a user now if one of its sessions is there, else keep it for later."""
        channel = f"user:{user}"
        if channel in self.channels:
            return self.publish(channel, NOTIFICATION, data)
        kept, dropped = self._keep_notification(user, data)
        return Counts(0, int(kept), dropped, {Drop.NOTIFICATIONS_FULL: dropped} if dropped else {})

    def _keep_notification(self, user: str, data: Any) -> tuple[bool, int]:
        kept, lost = self.notifications.keep(user, data)
        self.totals.drop(Drop.NOTIFICATIONS_FULL, lost)
        return kept, lost

    # --- events for exactly one receiver --------------------------------------------------------------------

    def _to_one(self, event: Event, *, free: bool = False) -> Given:
        """The receiver with the fewest events not yet written to its socket; equals take turns.

        `free` events are said as a replay is: they come out of another bounded buffer.
        """
        subscribers = self.channels.get(event.channel, {})
        mute = self._mute(event.name)
        present = [
            (s.connection.outbox.events, s)
            for s in subscribers
            if s.connection and s.connection.open and s.listener not in mute
        ]
        if not present:
            return 0, int(self._park(event))
        fewest = min(waiting for waiting, _ in present)
        chosen = next(session for waiting, session in present if waiting == fewest)
        subscribers[chosen] = subscribers.pop(chosen)  # to the end of the line
        given = self._replay(chosen, event) if free else self._give((chosen,), event)
        if chosen.connection is not None:  # nobody else has it: what its socket does not take must not be lost
            self.keeper.lags(chosen.connection)
        # One that could not take it, and cannot keep it, is cut off; its own `one` events were given on before this.
        return given if any(given) else self._to_one(event)

    def _park(self, event: Event) -> bool:
        """Let it wait for the first receiver; whether it does."""
        refused = self.waiting.refuses(event)
        lost = self.waiting.keep(event)
        self.totals.drop(refused or Drop.WAITING_FULL, lost)
        if refused is None:
            self.following.parked(event)
        return refused is None

    def _again(self, event: Event) -> Event:
        """The same event for another receiver: it has its place among what that one has yet to hear."""
        again = self._event(event.channel, event.name, event.data, one=True)
        self.following.again(event, again)
        return again

    def drain_waiting(self, session: Session) -> None:
        """Give a session that is ready the `one` events that waited for the first receiver of its channels."""
        for event in self.waiting.take(session.channels):
            self._to_one(self._again(event), free=True)
