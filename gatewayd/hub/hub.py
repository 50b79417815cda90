"""The hub: a facade over who is here, who hears what, how events get there, and who looks on.

Law 1: a session has at most one client; who takes it over gets all that the older client did not.
Law 2: a session that was never claimed just ends; a claimed one waits for its resume window where it can be resumed.
Law 3: of a claimed session, observers are told: opened once, then detached and resumed in turn, and ended once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from gatewayd.config.limits import HubLimits
from gatewayd.core.behaviour import Admission, Behaviour, EventTooBig
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.counts import Counts
from gatewayd.core.events import Event
from gatewayd.core.grant import Grant
from gatewayd.core.observer import Observer, Observers
from gatewayd.core.ports import Resource
from gatewayd.core.record import Store
from gatewayd.core.session import Session, session_of
from gatewayd.hub.away import Away
from gatewayd.hub.channels import Channels
from gatewayd.hub.delivery import NOTIFICATION, Delivery
from gatewayd.hub.grants import release, settle
from gatewayd.hub.hearing import Hearers
from gatewayd.hub.journaling import Journaling
from gatewayd.hub.progress import Progress, Watch
from gatewayd.hub.realm import Realm, Realms
from gatewayd.hub.registry import Registry
from gatewayd.hub.timers import Timers
from gatewayd.hub.totals import Tally, Totals


class Hub:
    """The sessions and realms of the node, with the behaviours of all listeners. `clock` gives monotonic seconds.

    `limit` bounds living and detached sessions; `soon` calls something soon, from within an instrument of Trio's too;
    `observers` are told of sessions after journal and waits.
    """

    def __init__(
        self, clock: Callable[[], float], *, limit: int = 30_000, store: Store | None = None,
        limits: HubLimits | None = None, soon: Callable[[Callable[[], None]], object] = lambda call: call(),
        observers: Sequence[Observer] = (),
    ) -> None:  # fmt: skip
        self._journaled = store is not None
        store, self.limits = store or Store(), limits or HubLimits()
        self.clock = clock
        self.timers = Timers()
        self.totals = Totals()
        self.behaviours: dict[str, Behaviour[Any]] = {}  # by listener
        self.journaling = Journaling(store, clock, self.behaviours, self.limits.ahead)
        self.progress = Progress(clock, self.timers, soon, self.limits)
        self.observers = Observers((self.journaling, self.progress, *observers))
        self.realms = Realms(partial(Realm, self.journaling, store, self.limits))
        self.channels = Channels(self.realms.by_name, self.observers)
        self.registry = Registry(
            clock, self.realms, self.timers, limit, self._journaled,
            lambda session: self.end(session, Disconnect(Cause.EXPIRED)),
        )  # fmt: skip
        self.away = Away(self.realms.by_name, self.journaling, self.observers, self.progress.sessions)
        self.delivery = Delivery(
            clock, self.realms, self.registry, self.progress, self.observers, self.totals, self.away, self._leave
        )
        # What one part does by itself.
        self.sessions, self.find = self.registry.sessions, self.registry.find
        self.subscribe, self.unsubscribe = self.channels.subscribe, self.channels.unsubscribe
        self.drain_waiting = self.delivery.drain_waiting

    def serve(self, behaviour: Behaviour[Any]) -> None:
        """Register the behaviour that serves a listener."""
        self.behaviours[behaviour.listener] = behaviour
        self.realms.serve(behaviour)
        if self._journaled:
            self.delivery.serve(behaviour.policy)

    # --- the life of a session ------------------------------------------------------------------------------

    def open(self, connection: Connection, listener: str, realm: str, remote: str) -> Session:
        """A session for a client that is about to be greeted; it can be seen and kicked, and hears nothing yet."""
        if (surplus := self.registry.surplus()) is not None:
            self.end(surplus, Disconnect(Cause.EXPIRED, "too many sessions wait to be resumed"))
        return self.registry.open(connection, listener, realm, remote, self.behaviours[listener].policy)

    def claim(self, connection: Connection, admission: Admission) -> dict[str, int] | None:
        """Give a client the session that its identity is owed. None where that begins; where an older one goes on, what
        this client will never get, by reason: the rest is unwritten, and is said to it next.

        Raises the `Disconnect` of a client that cannot be where it says that it is; nothing is done then.
        """
        fresh = session_of(connection)
        assert fresh is not None, "a client is given a session before it can identify"
        session = self.registry.owed(fresh, admission)
        if admission.cursor is not None and not (session or fresh).backlog.covers(admission.cursor):
            raise Disconnect(Cause.INVALID_SEQUENCE)
        replaced: Disconnect | None = None
        gaps: dict[str, int] | None = None
        if session is None:
            session = fresh
            self.totals.opened += 1
            self.registry.enrol(session, admission)
        else:
            self.totals.resumed += 1
            replaced = self._take_over(session, fresh, connection)
            gaps = self._resume(session, admission.cursor)
        if admission.variant != connection.variant:
            connection.speak(admission.variant)
        connection.outbox.attach(session.backlog)
        self.channels.claim(session, admission.channels)
        settle(self, session, admission.grant or fresh.grant or Grant(granted=True))
        session.metadata.update(admission.metadata)
        self._tell(session, "opened" if gaps is None else "resumed", replaced, gaps or {})
        self.observers.changed(session)
        return gaps

    def _take_over(self, older: Session, fresh: Session, connection: Connection) -> Disconnect | None:
        """The verdict on the client that it is taken from, where there is still one."""
        replaced = older.connection
        if replaced is not None:
            self._part(older, replaced, Tally(self.totals))
        self.registry.take_over(older, fresh, connection)
        self.journaling.move(older, durable=fresh.durable)
        if replaced is None:
            return None
        replaced.end(Disconnect(Cause.REPLACED))
        return replaced.verdict

    def _part(self, session: Session, connection: Connection, tally: Tally) -> None:
        """A client goes: what its socket did not take is bounded now as what is missed."""
        _cut(session, connection)
        losses = session.backlog.part()
        if losses:
            tally.add(losses)
            self.observers.lost(session, losses)
        self.observers.behind(session)

    def _resume(self, session: Session, cursor: int | None) -> dict[str, int]:
        unsure, connection = session.backlog.unsure, session.connection
        if unsure is not None and cursor is None and connection is not None and connection.wire.number is not None:
            session.backlog.make_sure(unsure[1])  # it counts, and does not say how far
        gaps = session.backlog.resume(cursor, self.clock())
        if unsure is not None:
            self.journaling.renumbered(session)
        if cursor is not None:
            self.progress.advanced(session)  # the client says itself what it has
        self.progress.resumed(session)
        return gaps

    def left(self, connection: Connection, verdict: Disconnect) -> None:
        """A client is ending, with that verdict: its session waits for the next one, or ends."""
        self.totals.closed[verdict.cause.value] += 1
        session = session_of(connection)
        if session is not None and session.connection is connection and session.ended is None:
            connection.judge(verdict)
            self._leave(session)

    def _leave(self, session: Session, tally: Tally | None = None) -> None:
        """Its client has its verdict, and may still be leaving: settle now where the session goes."""
        assert session.connection is not None
        verdict = session.connection.verdict
        assert verdict is not None, "an identified client that is not open has its verdict"
        if verdict.cause.detaches and session.resumable:
            self.detach(session, tally=tally)
        else:
            self.end(session, verdict, tally=tally)

    def detach(self, session: Session, *, tally: Tally | None = None) -> None:
        """The session has lost its client."""
        connection = session.connection
        if connection is None:
            return
        verdict = connection.verdict
        # With a journal nothing is lost by waiting; without one, this is the last chance to say it.
        if session.durable or verdict is None or verdict.cause is not Cause.SHUTDOWN:
            self._part(session, connection, tally or Tally(self.totals))
        self.registry.wait(session, self.clock())
        self._tell(session, "detached", verdict, session.backlog.gaps)
        self.observers.changed(session)
        self.behaviours[session.listener].detached(session)

    def adopt(self, session: Session, channels: Iterable[str], since: float, gone: Disconnect | None) -> None:
        """Take up a session of the last run, without a client; `gone` is what it lost that to, if it had one."""
        self.registry.adopt(session, since)
        for channel in channels:
            self.channels.subscribe(session, channel)
        if gone is not None:
            self._tell(session, "detached", gone, session.backlog.gaps)
        self.observers.changed(session)

    def end(self, session: Session, verdict: Disconnect, *, tally: Tally | None = None) -> None:
        """The session is over; a client that it still has is told so and has to go."""
        if session.ended is not None:
            return
        connection = session.connection
        missed: list[Event] = []
        # Else the client is still there to read what waits for it before the close frame.
        if connection is None or verdict.cause.detaches or verdict.cause in (Cause.CLIENT_CLOSED, Cause.PROTOCOL_ERROR):
            if connection is not None:
                _cut(session, connection)
            missed = session.backlog.close(away=connection is None or verdict.cause.detaches)
        session.connection = None
        session.ended = verdict
        self.registry.remove(session)
        self.journaling.forget(session)
        self.totals.ended += session.key is not None
        if connection is not None:
            connection.end(verdict)
        release(session)
        self.channels.leave(session)
        own = self.behaviours.get(session.listener)
        # Else it is of the last run, and its listener is no more, or is another one now.
        if own is not None and (own.port.realm, own.port.protocol) == (session.realm, session.protocol):
            own.ended(session)
        self.delivery.rescue(session, missed, tally or Tally(self.totals))
        if session.lifecycle_sequence:
            self._tell(session, "ended", verdict, session.backlog.gaps)
        self.observers.over(session)

    def end_all(self, cause: Cause) -> None:
        """The node stops: what no journal keeps ends with it."""
        for session in tuple(self.sessions.values()):
            if not session.durable:
                self.end(session, Disconnect(cause))

    def _tell(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
        session.lifecycle_sequence += 1
        self.observers.happened(session, kind, verdict, lost)

    # --- publishing -----------------------------------------------------------------------------------------

    def post(
        self, channel: str, name: str, data: Any, *, realms: Collection[str] | None = None,
        besides: Session | None = None, watch: Watch | None = None,
    ) -> Counts:  # fmt: skip
        """Publish what a backend or an operator says: checked by its protocol, with the effects it has there.

        It goes to the only realm of `realms`, else to each of them (None: of all) where it is heard. Raises
        `NoSuchRealm`; `SeveralRealms` when it would be kept in any one of several; `Unpublishable` when the protocol
        behind the channel cannot say it, or a client could never be given it.
        """
        delivery = self.delivery
        session = self.sessions.get(channel.removeprefix("session:")) if channel.startswith("session:") else None
        found = self.realms.aims(realms, channel, name, data, session)
        for aim in found:
            aim.check(channel, name, data)
        events: list[Event] = []
        receivers = Hearers()
        for aim in found:
            if aim.one:
                hearing = aim.realm.receivers(channel, name, data, besides, aim.one, aim.mute)
                events.append(delivery.event(channel, name, data, realm=aim.realm.name, protocol=aim.one))
                delivery.refuse_too_big(events[-1], hearing)
            elif watch is None:
                receivers += aim.realm.hearers(channel, name, data, besides, mute=aim.mute)
            else:  # who is followed is told of one by one
                receivers.sessions += aim.realm.receivers(channel, name, data, besides, mute=aim.mute)
        if receivers or not events:
            events.insert(0, delivery.event(channel, name, data))
            delivery.refuse_too_big(events[0], receivers)
        if watch is not None:
            self.progress.follow(events, watch)
        counts = delivery.publish(events, receivers)
        for aim in found:
            for behaviour in aim.behaviours:
                behaviour.published(channel, name, data)
        return counts

    def publish(
        self, realm: Realm, channel: str, name: str, data: Any, *, one: bool = False, besides: Session | None = None,
        protocol: str = "", whole: bool = False,
    ) -> Counts:  # fmt: skip
        """Publish an event in one realm from within the daemon: no check of names, no effects.

        `protocol` is the only one whose sessions may get it; "" lets any. With `whole`, raises `EventTooBig` where one
        of them could never be given it.
        """
        place = {"realm": realm.name, "protocol": protocol} if one else {}
        event = self.delivery.event(channel, name, data, **place)
        if one:
            hearing = Hearers([], realm.receivers(channel, name, data, besides, protocol) if whole else [])
        else:
            hearing = realm.hearers(channel, name, data, besides, protocol)
        if whole:
            self.delivery.refuse_too_big(event, hearing)
        return self.delivery.publish([event], Hearers() if one else hearing)

    def tell(self, session: Session, name: str, data: Any) -> Counts:
        """Publish an event to one session; kept for it while it is detached."""
        event, tally = self.delivery.event(f"session:{session.id}", name, data), Tally(self.totals)
        self.delivery.give((session,), event, tally)
        return tally.counts(event.number)

    def notify(self, user: str, data: Any, realms: Collection[str] | None = None) -> Counts:
        """Tell a user now if one of its sessions is there, else keep it for later.

        Of several `realms` (None: of all) it is the one with notifications. Raises `NoSuchRealm`, `SeveralRealms`.
        """
        realm, channel = self.realms.home(Resource.NOTIFICATIONS, realms), f"user:{user}"
        if channel in realm.channels:
            try:
                return self.publish(realm, channel, NOTIFICATION, data, whole=True)
            except EventTooBig:
                pass  # the answer to the next login can hold it
        tally = Tally(self.totals)
        self.delivery.keep_notification(realm, user, data, tally)
        return tally.counts(0)


def _cut(session: Session, connection: Connection) -> None:
    """Nothing more of its session's events is written to this client."""
    connection.cut()
    if connection.wire.answers_beats and not connection.beats and not session.backlog.acknowledged:
        session.backlog.settle()  # a client that answers none would be said everything again
