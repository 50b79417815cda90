"""What the journal is told of sessions and events, so that a crash is no more to a client than a lost connection.

Law 1: what a backlog keeps is written down. An event that every socket took at once costs the journal nothing, where
its protocol keeps it no longer than that.
Law 2: an event is one row, with its sequence in each backlog that keeps it; a session's row has the cursors.
Law 3: rows are made when they are about to be written, so that what changes twice is encoded once.
Law 4: a session whose socket takes no more is looked at before every write, until it does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import define, field

from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.observer import Observer
from gatewayd.core.record import EventRecord, Nowhere, Row, SessionRecord, Store, Table, encode

if TYPE_CHECKING:
    from gatewayd.core.session import Session

SLACK = 64
"""How many events that a session keeps no more may stay held behind one that it does."""


@define(eq=False)
class _Held:
    """The events of which the journal knows that a session keeps them, oldest first; and how far it had written."""

    written: int
    events: deque[Event] = field(factory=deque)


class Journaling(Observer):
    """Follows the sessions of a hub. `clock` gives monotonic seconds; `data` what a session's protocol remembers.

    `ahead` is how many sequences a session with a client has reserved.
    """

    def __init__(self, store: Store, clock: Callable[[], float], data: Callable[[Session], Any], ahead: int) -> None:
        self._store = store
        self.on = not isinstance(store, Nowhere)
        """Whether anything is kept."""
        self._clock = clock
        self._data = data
        self._ahead = ahead
        self._changed: dict[Session, None] = {}
        self._behind: dict[Session, None] = {}
        self._held: dict[Session, _Held] = {}
        self.holders: dict[Event, dict[str, int]] = {}
        """The sequence of each by id of the session; 0 by name of the channel where it waits for the first receiver."""
        self._fresh: dict[Event, None] = {}
        self.before = 0.0
        """From the clock to the node's own time: what all its runs have lasted until now, down times left out."""

    def lived(self) -> float:
        """The node's own time."""
        return self._clock() + self.before

    # --- as an observer -------------------------------------------------------------------------------------

    def changed(self, session: Session) -> None:
        """Its row is out of date."""
        if session.durable and session.lifecycle_sequence and session.ended is None:
            if not self._changed:
                self._store.stir()
            self._changed[session] = None

    def behind(self, session: Session) -> None:
        """It may keep what the journal does not know of; a publish may come here for thousands in a row."""
        if session.durable and session.ended is None:
            if not self._behind:
                self._store.stir()
            self._behind[session] = None

    def advanced(self, session: Session) -> None:
        """It may keep less than the journal knows of."""
        if session in self._held:
            self.behind(session)

    def lost(self, session: Session, losses: Mapping[Drop, int]) -> None:
        """The row has the count."""
        self.changed(session)

    # --- sessions that come and go --------------------------------------------------------------------------

    def move(self, session: Session, *, durable: bool) -> None:
        """The session goes on at another listener, perhaps at one that keeps its sessions where this one did not."""
        if session.durable and not durable:
            self.forget(session)
        session.durable = durable
        self.behind(session)

    def forget(self, session: Session) -> None:
        """The session is over, for the journal: its row goes, and it keeps nothing."""
        if session.durable:
            held = self._held.pop(session, None)
            for event in () if held is None else held.events:
                self._release(event, session.id)
            self._changed.pop(session, None)
            self._behind.pop(session, None)
            self._store.delete(Table.SESSIONS, session.id)

    def adopt(self, session: Session) -> None:
        """A session of the last run is taken up: the journal knows what it keeps."""
        entries = session.backlog.entries()
        if entries:
            self._held[session] = _Held(session.backlog.written, deque(event for _, event in entries))
            for sequence, event in entries:
                self.holders.setdefault(event, {})[session.id] = sequence

    def drop(self, number: int) -> None:
        """An event of the last run that nobody keeps any more."""
        self._store.delete(Table.EVENTS, number)

    # --- events for the first receiver ----------------------------------------------------------------------

    def park(self, event: Event) -> None:
        """The event waits for the first receiver of its channel."""
        self._hold(event, event.channel, 0)

    def unpark(self, event: Event) -> None:
        """It waits no more."""
        self._release(event, event.channel)

    def knows(self, event: Event) -> bool:
        """Whether anybody keeps it, as far as the journal knows."""
        return event in self.holders

    # --- rows -----------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Tell the store all that has changed; called when it is about to write."""
        changed, self._changed = self._changed, {}
        behind, self._behind = self._behind, {}
        for session in behind | changed:
            if self._look(session) or session in changed:
                self._store.put(Table.SESSIONS, session.id, self._row(session))
        fresh, self._fresh = self._fresh, {}
        for event in fresh:
            self._store.put(Table.EVENTS, event.number, self._event_row(event))

    def reserve(self, sessions: Iterator[Session]) -> None:
        """Many events were published: the rows of those that are there reserve more sequences."""
        for session in sessions:
            if session.connection is not None:
                self.changed(session)

    def _look(self, session: Session) -> bool:
        """Hold what it keeps, let go of what it keeps no more; whether its row has to say so."""
        backlog, name = session.backlog, session.id
        floor, moved = backlog.floor, False
        newest = floor
        held = self._held.pop(session, None)
        if held is None:
            held = _Held(backlog.written)
        else:
            events = held.events
            newest = max(newest, self.holders[events[-1]][name])
            moved = backlog.written > held.written  # else what is behind something kept longer is said again
            held.written = backlog.written
            while events and self.holders[events[0]][name] <= floor:
                self._release(events.popleft(), name)
                moved = True
            if len(events) > 2 * backlog.kept + SLACK:
                self._sweep(session, events)
        for sequence, event in backlog.entries(newest):
            held.events.append(event)
            self._hold(event, name, sequence)
        if held.events:
            self._held[session] = held
        connection = session.connection
        if connection is not None and len(connection.outbox):  # be it no event: the next one would wait behind it
            self._behind[session] = None
            self._store.stir()
        return moved

    def _sweep(self, session: Session, held: deque[Event]) -> None:
        """Let go of what is kept no more behind something that is; the cursors in its row say so already."""
        kept = {event for _, event in session.backlog.entries()}
        for event in tuple(held):
            held.popleft()
            if event in kept:
                held.append(event)
            else:
                self._release(event, session.id)

    def _hold(self, event: Event, holder: str, sequence: int) -> None:
        holders = self.holders.get(event)
        if holders is None:
            holders = self.holders[event] = {}
        holders[holder] = sequence
        if not self._fresh:
            self._store.stir()
        self._fresh[event] = None

    def _release(self, event: Event, holder: str) -> None:
        """That one's row says by its cursors that it keeps the event no more, or is gone."""
        holders = self.holders[event]
        del holders[holder]
        if not holders:
            del self.holders[event]
            self._fresh.pop(event, None)
            self._store.delete(Table.EVENTS, event.number)

    def rows(self, sessions: Iterator[Session]) -> Iterator[Row]:
        """All rows there have to be, for these sessions and all events that somebody keeps."""
        self.gather()
        for session in sessions:
            if session.durable and session.lifecycle_sequence:
                yield Table.SESSIONS, session.id, self._row(session)
        for event in self.holders:
            yield Table.EVENTS, event.number, self._event_row(event)

    def _row(self, session: Session) -> bytes:
        detached, grant, backlog = session.detached_at, session.grant, session.backlog
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
                lifecycle_sequence=session.lifecycle_sequence,
                resumes=session.resumes,
                given=backlog.given,
                written=backlog.written,
                acknowledged=backlog.acknowledged,
                # Without a client nobody learns of a sequence: what is not written down may be given again.
                mark=backlog.given if session.connection is None else backlog.given + self._ahead,
                lost=backlog.lost,
                gaps=backlog.gaps,
                unsure=backlog.unsure,
                skipped=backlog.skipped,
                detached=None if detached is None else time.time() - (self._clock() - detached),
                left=None if detached is None else detached + self.before,
                channels=list(session.channels),
                granted=list(session.granted),
                grant=None if grant is None else (list(grant.channels), dict(grant.metadata)),
                metadata=session.metadata,
                data=self._data(session),
            )
        )

    def _event_row(self, event: Event) -> bytes:
        return encode(
            EventRecord(
                channel=event.channel,
                name=event.name,
                data=msgspec.Raw(event.body),
                at=time.time() - (self._clock() - event.at),
                holders=self.holders[event],
                one=event.one,
                realm=event.realm,
                protocol=event.protocol,
            )
        )
