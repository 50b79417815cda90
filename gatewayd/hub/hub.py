"""Who hears what: channels, subscriptions and publish, over the sessions of the node.

Law 1: no publisher ever waits for a reader; what a client cannot take makes it a slow consumer, then and there.
Law 2: an event is said to a client only when all that its session missed before has been said.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from gatewayd.core.behaviour import Admission, Behaviour, Counts
from gatewayd.core.close import Verdict
from gatewayd.core.events import Event
from gatewayd.core.grant import Grant
from gatewayd.core.record import Nowhere, Store
from gatewayd.core.session import Session
from gatewayd.hub.grants import release, settle
from gatewayd.hub.keeper import Keeper
from gatewayd.hub.rooms import Rooms
from gatewayd.hub.sessions import Sessions
from gatewayd.hub.waiting import Waiting
from gatewayd.journal.memory import MemoryDocuments, MemoryNotifications

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatewayd.core.connection import Connection

NOTIFICATION = "NOTIFICATION"


class Hub(Sessions):
    """The node's sessions and their channels, with what its behaviours share."""

    def __init__(self, clock: Callable[[], float], *, limit: int = 30_000, store: Store | None = None) -> None:
        super().__init__(clock, limit=limit)
        self.rooms = Rooms()
        self.documents = MemoryDocuments()
        self.notifications = MemoryNotifications()
        self.channels: dict[str, dict[Session, None]] = {}
        self.behaviours: dict[str, Behaviour[Any]] = {}
        self._by_prefix: dict[str, list[Behaviour[Any]]] = {}
        self._filters: dict[str, Callable[[Session, str, Any], bool]] = {}
        self.keeper = Keeper(store or Nowhere(), clock, self._data)
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

    def _rescue(self, event: Event) -> None:
        """An event whose only receiver is gone: another one gets it, or it waits."""
        if event.one:
            self._to_one(self._again(event))
        elif event.name == NOTIFICATION and event.channel not in self.channels:
            self.notifications.keep(event.channel.partition(":")[2], event.data)

    # --- publishing -----------------------------------------------------------------------------------------

    def post(self, channel: str, name: str, data: Any, *, besides: Session | None = None) -> Counts:
        """Publish what a backend or an operator says: checked by its protocol, with the effects it has there.

        Raises `Unpublishable` when the protocol behind the channel cannot say it.
        """
        concerned = self._concerned(channel)
        for behaviour in concerned:
            behaviour.check(channel, name, data)
        one = any(behaviour.delivers_one(channel, name) for behaviour in concerned)
        counts = self.publish(channel, name, data, one=one, besides=besides)
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
        self.totals.published += 1
        counts = self._to_one(event) if one else self._give(self._receivers(event, besides), event)
        self.totals.delivered += counts.delivered
        self.totals.buffered += counts.buffered
        self.totals.dropped += counts.dropped
        return counts

    def _event(self, channel: str, name: str, data: Any, *, one: bool = False) -> Event:
        self.numbers += 1
        return Event(channel, name, data, self.clock(), one, self.numbers)

    def _data(self, session: Session) -> Any:
        behaviour = self.behaviours.get(session.listener)
        return None if behaviour is None else behaviour.keep(session)

    def _receivers(self, event: Event, besides: Session | None) -> list[Session]:
        """Who hears an event; a copy, since a receiver that is full is unsubscribed on the way."""
        subscribers = self.channels.get(event.channel, ())
        filters = self._filters
        if not filters and besides is None:
            return list(subscribers)
        return [
            session
            for session in subscribers
            if session is not besides
            and ((hears := filters.get(session.listener)) is None or hears(session, event.name, event.data))
        ]

    def tell(self, session: Session, name: str, data: Any) -> Counts:
        """Publish an event to one session; kept for it while it is detached."""
        return self._give((session,), self._event(f"session:{session.id}", name, data))

    def notify(self, user: str, data: Any) -> Counts:
        """Tell a user now if one of its sessions is there, else keep it for later."""
        channel = f"user:{user}"
        if channel in self.channels:
            return self.publish(channel, NOTIFICATION, data)
        return Counts(buffered=1, dropped=self.notifications.keep(user, data))

    def _give(self, receivers: Iterable[Session], event: Event) -> Counts:
        delivered = buffered = dropped = 0
        now = self.clock()
        for session in receivers:
            connection = session.connection
            if connection is not None and connection.deliver(event, now):
                session.delivered += 1
                delivered += 1
                continue
            if connection is not None and session.connection is connection:
                self._cut_off(session, connection)
            if session.ended is not None:
                dropped += 1
                continue
            lost = session.missed.keep(event)
            self.keeper.hold(session, event)
            session.lost += lost
            dropped += lost
            buffered += 1
        return Counts(delivered, buffered, dropped)

    def _cut_off(self, session: Session, connection: Connection) -> None:
        """The client has its verdict but is still leaving: settle now where its session goes."""
        verdict = connection.verdict
        assert verdict is not None, "an identified client that is not open has its verdict"
        if session.resumable and verdict.cause.detaches:
            self.detach(session)
        else:
            self.end(session, Verdict(verdict.cause, verdict.reason))

    # --- events for exactly one receiver --------------------------------------------------------------------

    def _to_one(self, event: Event) -> Counts:
        """The receiver with the fewest events not yet written to its socket; equals take turns."""
        subscribers = self.channels.get(event.channel, {})
        present = [(s.connection.outbox.events, s) for s in subscribers if s.connection and s.connection.open]
        if not present:
            return Counts(buffered=1, dropped=self.waiting.keep(event))
        fewest = min(waiting for waiting, _ in present)
        chosen = next(session for waiting, session in present if waiting == fewest)
        subscribers[chosen] = subscribers.pop(chosen)  # to the end of the line
        counts = self._give((chosen,), event)
        if chosen.connection is not None:  # nobody else has it: what its socket does not take must not be lost
            self.keeper.lags(chosen.connection)
        # A receiver that could not take it has ended, and an ended session's `one` events were given on before this.
        return counts if not counts.dropped else self._to_one(event)

    def _again(self, event: Event) -> Event:
        """The same event for another receiver: it has its place among what that one has yet to hear."""
        return self._event(event.channel, event.name, event.data, one=True)

    def drain_waiting(self, session: Session) -> None:
        """Give a session that is ready the `one` events that waited for the first receiver of its channels."""
        for event in self.waiting.take(session.channels):
            self._to_one(self._again(event))
