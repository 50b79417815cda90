"""What the journal is told of sessions and events, so that a crash is no more to a client than a lost connection.

Law 1: written is what somebody has not got. An event that every socket took at once costs the journal nothing.
Law 2: an event is one row, however many sessions it waits for; a session's row says up to where it has been told.
Law 3: rows are made when they are about to be written, so that what changes twice is encoded once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from gatewayd.core.events import Event
from gatewayd.core.record import EventRecord, Nowhere, Row, SessionRecord, Store, Table, encode
from gatewayd.core.session import NOTHING

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session


class Keeper:
    """Follows the sessions of a hub. `clock` gives monotonic seconds; `data` what a session's protocol remembers."""

    def __init__(self, store: Store, clock: Callable[[], float], data: Callable[[Session], Any]) -> None:
        self._store = store
        self.on = not isinstance(store, Nowhere)
        """Whether anything is kept."""
        self._clock = clock
        self._data = data
        self._touched: dict[Session, None] = {}
        self._lagging: dict[Session, None] = {}
        self._fresh: dict[Event, None] = {}
        self._latest: Event | None = None  # of the fresh ones

    def touch(self, session: Session) -> None:
        """Something about this session has changed."""
        if session.durable and session.sequence and session.ended is None:
            if not self._touched:
                self._store.stir()
            self._touched[session] = None

    def lags(self, connection: Connection) -> None:
        """The client's socket takes no more for now: what waits in its outbox could be lost."""
        session = connection.session
        if session is not None and session.durable and session.ended is None:
            self._lagging[session] = None
            self._store.stir()

    def hold(self, session: Session, event: Event) -> None:
        """The session has not got this event. Twice is once."""
        unsaid = session.unsaid
        if not session.durable or (unsaid and unsaid[-1].number >= event.number):
            return
        if unsaid is NOTHING:
            unsaid = session.unsaid = deque()
        unsaid.append(event)
        # A publish may come here for thousands of sessions in a row: what is the same for all of them is done once.
        event.holders.append(session.id)
        event.waiting += 1
        self._touched[session] = None
        if self._latest is not event:
            self._latest = event
            self._fresh[event] = None
            self._store.stir()

    def wait(self, event: Event, holder: str) -> None:
        """The event waits for somebody, a session or the first receiver of a channel."""
        event.holders.append(holder)
        event.waiting += 1
        self._fresh[event] = None
        self._store.stir()

    def release(self, event: Event, holder: str | None = None) -> None:
        """It waits for that one no more. `holder` is named where the session's row does not say it."""
        event.waiting -= 1
        if event.waiting == 0:
            self._fresh.pop(event, None)
            if self._latest is event:
                self._latest = None
            self._store.delete(Table.EVENTS, event.number)
        elif holder is not None:
            event.holders.remove(holder)
            self._fresh[event] = None

    def end(self, session: Session) -> None:
        """The session is over: it waits for nothing, and its row goes."""
        if session.durable:
            self._settle(session, None)
            self._touched.pop(session, None)
            self._lagging.pop(session, None)
            self._store.delete(Table.SESSIONS, session.id)

    def forget(self, number: int) -> None:
        """An event of the last run that nobody waits for any more."""
        self._store.delete(Table.EVENTS, number)

    def gather(self) -> None:
        """Tell the store all that has changed; called when it is about to write."""
        for session in tuple(self._lagging):
            connection = session.connection
            waiting = connection.outbox.waiting() if connection is not None else []
            for event in waiting:
                self.hold(session, event)
            self.touch(session)
            if not waiting:
                del self._lagging[session]
        touched, self._touched = self._touched, {}
        for session in touched:
            self._settle(session, _oldest(session))
            self._store.put(Table.SESSIONS, session.id, self._row(session))
        fresh, self._fresh, self._latest = self._fresh, {}, None
        for event in fresh:
            self._store.put(Table.EVENTS, event.number, _event_row(event, self._clock()))

    def _settle(self, session: Session, oldest: Event | None) -> None:
        """Everything older than the oldest that the session has not got, it has got, or it is lost."""
        unsaid = session.unsaid
        while unsaid and (oldest is None or unsaid[0].number < oldest.number):
            event = unsaid.popleft()
            session.said = event.number
            self.release(event)
        if not unsaid:
            session.unsaid = NOTHING

    def rows(self, sessions: Iterator[Session], waiting: Iterator[Event]) -> Iterator[Row]:
        """All rows there have to be, for these sessions and these events that wait for a first receiver."""
        self.gather()
        events = dict.fromkeys(waiting)
        for session in sessions:
            if session.durable and session.sequence:
                yield Table.SESSIONS, session.id, self._row(session)
                events |= dict.fromkeys(session.unsaid)
        now = self._clock()
        for event in events:
            yield Table.EVENTS, event.number, _event_row(event, now)

    def _row(self, session: Session) -> bytes:
        detached = session.detached_at
        return encode(
            SessionRecord(
                listener=session.listener,
                protocol=session.protocol,
                auth=session.realm[1],
                remote=session.remote,
                opened=session.opened_wall,
                identity=session.identity,
                key=session.key,
                resumable=session.resumable,
                generation=session.generation,
                sequence=session.sequence,
                resumes=session.resumes,
                lost=session.lost,
                delivered=session.delivered,
                detached=None if detached is None else time.time() - (self._clock() - detached),
                said=session.said,
                channels=list(session.channels),
                granted=list(session.granted),
                metadata=session.metadata,
                data=self._data(session),
            )
        )


def _oldest(session: Session) -> Event | None:
    """The oldest event that the session has not got: in its outbox, or else among what it missed."""
    if session.connection is not None:
        waiting = session.connection.outbox.waiting()
        if waiting:
            return waiting[0]
    return session.missed.oldest


def _event_row(event: Event, now: float) -> bytes:
    at = time.time() - (now - event.at)
    body = msgspec.Raw(event.body)
    return encode(
        EventRecord(channel=event.channel, name=event.name, data=body, at=at, holders=event.holders, one=event.one)
    )
