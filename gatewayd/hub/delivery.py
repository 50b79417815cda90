"""The way of an event to its sessions: to all that hear it, or to exactly one; what is dropped by the way is counted.

Law 1: no publisher ever waits for a reader; what a client cannot take makes it a slow consumer, then and there.
Law 2: an event is said to a client only when all that its session missed before has been said.
Law 3: an event for one receiver is given to another when that one's session ends without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from attrs import define, field

from gatewayd.core.away import AwayLog
from gatewayd.core.behaviour import EventTooBig
from gatewayd.core.counts import Counts, Drop
from gatewayd.core.events import Event
from gatewayd.core.insync import InSync
from gatewayd.core.observer import Observer
from gatewayd.core.retention import Policy, Retention
from gatewayd.core.session import Session
from gatewayd.hub.away import Away
from gatewayd.hub.hearing import Hearers
from gatewayd.hub.progress import Progress
from gatewayd.hub.realm import Realm, Realms
from gatewayd.hub.registry import Registry
from gatewayd.hub.totals import Tally, Totals

NOTIFICATION = "NOTIFICATION"
MOST_AROUND = 8192
"""No protocol puts as many bytes around an event's data: an event that is smaller than an outbox by more fits it."""


@define(eq=False)
class Delivery:
    """Gives events to sessions. `cut_off` settles where a session goes whose client has its verdict."""

    _clock: Callable[[], float]
    _realms: Realms
    _registry: Registry
    _progress: Progress
    _observers: Observer
    _totals: Totals
    _away: Away
    _cut_off: Callable[[Session, Tally], None]
    numbers: int = field(default=0, init=False)  # of the newest event
    _retained: set[str | None] = field(factory=set, init=False)

    def serve(self, policy: Policy) -> None:
        """A listener's protocol keeps events of these names longer than until they are written; None is all."""
        if policy.retention is not Retention.WRITTEN:
            self._retained |= policy.names or {None}

    def event(self, channel: str, name: str, data: Any, *, realm: str = "", protocol: str = "") -> Event:
        """One that was not there before; with a realm it is for one receiver in that."""
        self.numbers += 1
        return Event(channel, name, data, self._clock(), bool(realm), self.numbers, realm, protocol)

    def publish(self, events: Sequence[Event], receivers: Hearers) -> Counts:
        """`receivers` are those of the first event, if that is for everybody; each of the others is for one."""
        totals, tally = self._totals, Tally(self._totals)
        totals.published += 1
        heard = 0
        for event in events:
            if event.one:
                self.to_one(event, tally)
            else:
                heard = len(receivers)
                if receivers.sets:
                    self._give_in_one_go(receivers.sets, event, tally)
                if receivers.sessions or receivers.logs:
                    self.give(receivers.sessions, event, tally, receivers.logs)
        totals.unheard += not heard and not events[0].one
        totals.delivered += tally.delivered
        totals.buffered += tally.buffered
        return tally.counts(events[0].number)

    def refuse_too_big(self, event: Event, receivers: Iterable[Session]) -> None:
        """Raise `EventTooBig` where a receiver's outbox could never hold it: it would cut off its client."""
        if event.size + MOST_AROUND < self._registry.smallest_outbox:
            return
        for session in receivers:
            connection = session.connection
            if connection is not None and connection.open:
                limit, size = connection.settings.outbox_bytes, len(connection.wire.frame(event, connection.variant))
                if size > limit:
                    raise EventTooBig(size, limit, session.listener)

    def give(self, receivers: Collection[Session], event: Event, tally: Tally, whole: Sequence[AwayLog] = ()) -> None:
        """Give an event to all of these, and to those in whole logs."""
        followed = event in self._progress.events  # who is, is told of one by one
        logs: list[AwayLog] = []
        if whole or (event.channel in self._away.logs and not followed):
            logs, receivers = self._away.split(receivers, event, whole)
        missing = []
        now = self._clock()
        for session in receivers:
            connection = session.connection
            if connection is None or not connection.deliver(event, now):
                missing.append(session)
        tally.delivered += len(receivers) - len(missing)
        if self._retained and not self._retained.isdisjoint((event.name, None)):
            for session in receivers:
                if session.backlog.policy.keeps(event):
                    self._observers.behind(session)
        if followed:
            for session in receivers:
                if session not in missing:
                    self._progress.given(event, session)
        alone: Collection[Session] = missing
        if missing and not followed:
            alone = self._away.join(missing, event, logs)
        for log in logs:
            self._away.give(log, event, tally)
        for session in alone:
            if self._keep(session, event, tally):
                tally.buffered += 1
                if followed:
                    self._progress.given(event, session)

    def _give_in_one_go(self, sets: Sequence[InSync], event: Event, tally: Tally) -> None:
        """Give an event to all members of these."""
        now = self._clock()
        for found in sets:
            tally.delivered += len(found.members)
            if self._retained and found.policy.keeps(event):
                for place in found.members:
                    self._observers.behind(place.connection.session)
            found.give(event, now)

    def _keep(self, session: Session, event: Event, tally: Tally) -> bool:
        """A session's client cannot take an event, or there is none; whether it gets it when it is resumed."""
        if session.connection is not None:
            self._cut_off(session, tally)
        backlog = session.backlog
        if session.ended is not None:
            if not event.one:  # else nothing is lost: another one gets it
                tally.drop(Drop.SESSION_ENDED)
            return False
        if event.one and backlog.refuses(event) is not None:
            return False
        losses = backlog.keep(event)
        if losses:
            tally.add(losses)
            self._observers.lost(session, losses)
            if Drop.TOO_BIG in losses or Drop.NOT_KEPT in losses:
                return False
        self._observers.behind(session)
        return True

    def rescue(self, session: Session, missed: Sequence[Event], tally: Tally) -> None:
        """A session has ended without these: what was for it alone is given to another, or waits for its user."""
        realm = self._realms.by_name[session.realm]
        delivered, buffered = tally.delivered, tally.buffered
        for event in missed:
            if event.one:
                self.to_one(self._again(event), tally)
            elif not (
                event.name == NOTIFICATION and event.channel.startswith("user:") and self._hand_on(event, realm, tally)
            ):
                tally.add(session.backlog.lose(Drop.LOST_WITH_SESSION, 1))
        tally.delivered, tally.buffered = delivered, buffered  # who gets these says nothing of what was published

    def _hand_on(self, event: Event, realm: Realm, tally: Tally) -> bool:
        """A notification is given to the user's sessions that came later, or waits; False where all others heard it."""
        if event.channel not in realm.channels:
            self.keep_notification(realm, event.channel.partition(":")[2], event.data, tally)
            return True
        there = realm.receivers(event.channel, event.name, event.data)
        later = [session for session in there if session.opened > event.at]
        if later:
            self.give(later, self._again(event), tally)
        return bool(later)

    def keep_notification(self, realm: Realm, user: str, data: Any, tally: Tally) -> None:
        """A user is not there: the notification waits, where it can."""
        kept, lost = realm.notifications.keep(user, data)
        tally.buffered += kept
        tally.drop(Drop.NOTIFICATIONS_FULL, lost)

    def to_one(self, event: Event, tally: Tally, *, free: bool = False) -> None:
        """Give it to the receiver with the fewest unwritten events; equals take turns. `free` is outside the bounds."""
        realm = self._realms.by_name[event.realm]
        while present := realm.present(event.channel, event.name, event.protocol):
            fewest = min(waiting for waiting, _ in present)
            chosen = next(session for waiting, session in present if waiting == fewest)
            subscribers = realm.channels[event.channel]
            subscribers[chosen] = subscribers.pop(chosen)  # to the end of the line
            before = tally.delivered + tally.buffered
            if free:
                self._replay(chosen, event, tally)
            else:
                self.give((chosen,), event, tally)
            self._observers.behind(chosen)  # nobody else has it: what its socket does not take must not be lost
            if tally.delivered + tally.buffered > before:
                return
            # It could not take it, and cannot keep it: it was cut off, and its own `one` events were given on.
        refused, lost = realm.waiting.keep(event)
        tally.drop(refused or Drop.WAITING_FULL, lost)
        if refused is None:
            tally.buffered += 1
            self._progress.parked(event)

    def _replay(self, session: Session, event: Event, tally: Tally) -> None:
        """Give an event to a session whose client is open, free of the bounds of its outbox."""
        assert session.connection is not None
        session.backlog.append(event)
        session.connection.replay(session.backlog.given, event, self._clock())
        tally.delivered += 1
        if event in self._progress.events:
            self._progress.given(event, session)

    def _again(self, event: Event) -> Event:
        """The same event for another receiver: it has its place among what that one has yet to hear."""
        again = self.event(event.channel, event.name, event.data, realm=event.realm, protocol=event.protocol)
        self._progress.again(event, again)
        return again

    def drain_waiting(self, session: Session) -> None:
        """Give a session that is ready the `one` events that waited for the first receiver of its channels."""
        for event in self._realms.by_name[session.realm].waiting.take(session.channels, session.protocol):
            self.to_one(self._again(event), Tally(self._totals), free=True)
