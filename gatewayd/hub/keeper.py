"""What the journal is told of sessions and events, so that a crash is no more to a client than a lost connection.

Law 1: written is what somebody has not got. An event that every socket took at once costs the journal nothing.
Law 2: an event is one row, however many sessions it waits for; a session's row says up to where it has been told.
Law 3: rows are made when they are about to be written, so that what changes twice is encoded once.
Law 4: a session that has not got something is looked at before every write, until it has.
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

SLACK = 64
"""How many events beyond what it missed a session may hold until the next write."""


class Keeper:
    """Follows the sessions of a hub. `clock` gives monotonic seconds; `data` what a session's protocol remembers."""

    def __init__(self, store: Store, clock: Callable[[], float], data: Callable[[Session], Any]) -> None:
        self._store = store
        self.on = not isinstance(store, Nowhere)
        """Whether anything is kept."""
        self._clock = clock
        self._data = data
        self._touched: dict[Session, None] = {}
        self._behind: dict[Session, None] = {}
        self._fresh: dict[Event, None] = {}
        self._latest: Event | None = None  # of the fresh ones
        self.before = 0.0
        """From the clock to the node's own time: what all its runs have lasted until now, down times left out."""

    def lived(self) -> float:
        """The node's own time."""
        return self._clock() + self.before

    def touch(self, session: Session) -> None:
        """Something about this session has changed."""
        if session.durable and session.sequence and session.ended is None:
            if not self._touched:
                self._store.stir()
            self._touched[session] = None

    def lags(self, connection: Connection) -> None:
        """The client's socket may have taken less than all: what waits in its outbox could be lost."""
        session = connection.session
        if session is not None and session.durable and session.ended is None:
            self._behind[session] = None
            self._store.stir()

    def turn(self, session: Session, *, durable: bool) -> None:
        """The session goes on at another listener, perhaps at one that keeps its sessions where this one did not."""
        if session.durable and not durable:
            held, said = tuple(session.unsaid), session.said
            self.end(session)
            for event in held:  # it has got none of them: they are held anew if it turns back
                event.holders.pop(session.id, None)
            session.said = said
        session.durable = durable

    def hold(self, session: Session, event: Event) -> None:
        """The session has not got this event. Twice is once."""
        if not session.durable or session.id in event.holders:
            return
        if session.connection is None and session.missed.newest is not event:
            self.touch(session)  # there was no room for it: it is lost, and counted
            return
        unsaid = session.unsaid
        if unsaid is NOTHING:
            unsaid = session.unsaid = deque()
        # What is published while another event is on its way may be faster; `said` cannot say that.
        number, newest, name = event.number, session.said, session.id
        for known in reversed(unsaid):
            if not known.holders[name]:
                newest = known.number
                break
        unsaid.append(event)
        event.holders[name] = number <= newest
        event.waiting += 1
        if self._latest is not event:
            self._noticed(event)
        self._behind[session] = None
        if session.connection is None and len(unsaid) > 2 * len(session.missed) + SLACK:
            self._settle(session, session.missed.oldest)  # nobody may be writing: the disk can hang for hours
            self.touch(session)

    def wait(self, event: Event, holder: str) -> None:
        """The event waits for the first receiver of a channel."""
        event.holders[holder] = False
        event.waiting += 1
        self._noticed(event)

    def _noticed(self, event: Event) -> None:
        """Somebody more waits for it. A publish may come here for thousands of sessions in a row."""
        self._latest = event
        self._fresh[event] = None
        self._store.stir()

    def release(self, event: Event, holder: str) -> None:
        """It waits for that one no more; the event's own row has to say so."""
        event.waiting -= 1
        if event.waiting == 0:
            self._fresh.pop(event, None)
            if self._latest is event:
                self._latest = None
            self._store.delete(Table.EVENTS, event.number)
        else:
            del event.holders[holder]
            self._fresh[event] = None

    def end(self, session: Session) -> None:
        """The session is over, for the journal: it waits for nothing, and its row goes."""
        if session.durable:
            self._settle(session, None)
            self._touched.pop(session, None)
            self._behind.pop(session, None)
            self._store.delete(Table.SESSIONS, session.id)

    def forget(self, number: int) -> None:
        """An event of the last run that nobody waits for any more."""
        self._store.delete(Table.EVENTS, number)

    def gather(self) -> None:
        """Tell the store all that has changed; called when it is about to write."""
        touched, self._touched = self._touched, {}
        behind, self._behind = self._behind, {}
        for session in behind | touched:
            said = session.said
            self._look(session)
            if session in touched or session.said != said:
                self._store.put(Table.SESSIONS, session.id, self._row(session))
        fresh, self._fresh, self._latest = self._fresh, {}, None
        for event in fresh:
            self._store.put(Table.EVENTS, event.number, _event_row(event, self._clock()))

    def _look(self, session: Session) -> None:
        """Hold what its client's socket has not taken, and let go of what it has got."""
        connection = session.connection
        oldest = session.missed.oldest
        if connection is not None:
            fresh = []
            for event in connection.outbox.latest():  # back to the first that is held: all before it are, too
                if session.id in event.holders:
                    break
                fresh.append(event)
            for event in reversed(fresh):
                self.hold(session, event)
            oldest = connection.outbox.oldest or oldest
        self._settle(session, oldest)
        if connection is not None and len(connection.outbox):  # be it no event: the next one would wait behind it
            self._behind[session] = None
            self._store.stir()

    def _settle(self, session: Session, oldest: Event | None) -> None:
        """Everything before the oldest that the session has not got, it has got, or it is lost."""
        unsaid = session.unsaid
        while unsaid and unsaid[0] is not oldest:
            event = unsaid.popleft()
            if event.holders[session.id]:
                self.release(event, session.id)
                continue
            session.said = event.number
            if event.waiting > 1:
                event.waiting -= 1
            else:
                self.release(event, session.id)
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
        detached, grant = session.detached_at, session.grant
        return encode(
            SessionRecord(
                listener=session.listener,
                protocol=session.protocol,
                realm=session.realm,
                remote=session.remote,
                opened=session.opened_wall,
                identity=session.identity,
                key=session.key,
                resumable=session.resumable,
                generation=session.generation,
                sequence=session.sequence,
                resumes=session.resumes,
                lost=session.lost,
                untold=session.missed.lost,
                delivered=session.delivered,
                detached=None if detached is None else time.time() - (self._clock() - detached),
                left=None if detached is None else detached + self.before,
                said=session.said,
                channels=list(session.channels),
                granted=list(session.granted),
                grant=None if grant is None else (list(grant.channels), dict(grant.metadata)),
                metadata=session.metadata,
                data=self._data(session),
            )
        )


def _event_row(event: Event, now: float) -> bytes:
    at = time.time() - (now - event.at)
    body = msgspec.Raw(event.body)
    holders = list(event.holders)
    late = [holder for holder in holders if event.holders[holder]]
    return encode(
        EventRecord(
            channel=event.channel,
            name=event.name,
            data=body,
            at=at,
            holders=holders,
            late=late,
            one=event.one,
            realm=event.realm,
            protocol=event.protocol,
        )
    )
