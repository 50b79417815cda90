"""What the journal is told of sessions and events, so that a crash is no more to a client than a lost connection.

Law 1: what a backlog keeps is written down. An event that every socket took at once costs the journal nothing, where
its protocol keeps it no longer than that.
Law 2: an event is one row, with its sequence in each backlog that keeps it; a session's row has the cursors.
Law 3: rows are made when they are about to be written, so that what changes twice is encoded once.
Law 4: a session whose socket takes no more is looked at before every write, until it does.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from attrs import define, field

from gatewayd.core.behaviour import Behaviour
from gatewayd.core.counts import Drop
from gatewayd.core.entries import Entries
from gatewayd.core.events import Event
from gatewayd.core.observer import Observer
from gatewayd.core.record import EventRecord, Row, SessionRecord, Store, Table, encode
from gatewayd.core.session import Session

SLACK = 64
"""How many events that a session keeps no more may stay held behind one that it does."""


@define(eq=False)
class _Held:
    """What the journal knows that a session keeps, and how far that had written then."""

    written: int
    entries: Entries = field(factory=Entries)


@define(eq=False)
class _Holders:
    """Who keeps an event: ids of sessions with its sequence there, and with 0 the channel where it waits for the first
    receiver. Those that keep it no more stay here, since their own rows say so, and are not counted.

    16 bytes a holder: there may be a thousand of each of a million events.
    """

    count: int = 0
    names: list[str] = field(factory=list)
    sequences: array[int] = field(factory=lambda: array("Q"))


@define(eq=False)
class Journaling(Observer):
    """Follows the sessions of a hub. `clock` gives monotonic seconds; `behaviours` are those of the listeners.

    `ahead` is how many sequences a session has reserved, for the case that the run does not end in order.
    """

    _store: Store
    _clock: Callable[[], float]
    _behaviours: Mapping[str, Behaviour[Any]]
    _ahead: int
    _due: dict[Session, bool] = field(factory=dict, init=False)
    """Who is looked at before the next write, and whether its row is out of date in any case."""
    _held: dict[Session, _Held] = field(factory=dict, init=False)
    _orderly: bool = field(default=False, init=False)
    holders: dict[Event, _Holders] = field(factory=dict, init=False)
    """Of every event that has a row."""
    _fresh: dict[Event, None] = field(factory=dict, init=False)
    before: float = field(default=0.0, init=False)
    """From the clock to the node's own time: what all its runs have lasted until now, down times left out."""

    def lived(self) -> float:
        """The node's own time."""
        return self._clock() + self.before

    # --- as an observer -------------------------------------------------------------------------------------

    def changed(self, session: Session) -> None:
        """Its row is out of date."""
        if session.durable and session.lifecycle_sequence and session.ended is None:
            if not self._due:
                self._store.stir()
            self._due[session] = True

    def behind(self, session: Session) -> None:
        """It may keep what the journal does not know of; a publish may come here for thousands in a row."""
        if session.durable and session.ended is None and session not in self._due:
            if not self._due:
                self._store.stir()
            self._due[session] = False

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
            self._let_go(session)
            self._due.pop(session, None)
            self._store.delete(Table.SESSIONS, session.id)

    def adopt(self, session: Session) -> None:
        """A session of the last run is taken up: the journal knows what it keeps."""
        held = _Held(session.backlog.written)
        for sequence, event in session.backlog.entries():
            held.entries.append(sequence, event)
            self._add(event, session.id, sequence)
        if held.entries:
            self._held[session] = held

    def renumbered(self, session: Session) -> None:
        """What it keeps has other sequences than the journal knows."""
        self._let_go(session, forgotten=True)
        self.behind(session)
        self.changed(session)

    def _let_go(self, session: Session, *, forgotten: bool = False) -> None:
        """It keeps nothing that the journal knows of; where that is `forgotten`, its row may be read as if it did."""
        held = self._held.pop(session, None)
        for _, event in () if held is None else reversed(held.entries):
            if forgotten:
                holders = self.holders[event]
                at = holders.names.index(session.id)
                del holders.names[at], holders.sequences[at]
            self.release(event)

    def drop(self, number: int) -> None:
        """An event of the last run that nobody keeps any more."""
        self._store.delete(Table.EVENTS, number)

    # --- rows -----------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Tell the store all that has changed; called when it is about to write."""
        due, self._due = self._due, {}
        for session, changed in due.items():
            if self._look(session) or changed:
                self._store.put(Table.SESSIONS, session.id, self._row(session))
        fresh, self._fresh = self._fresh, {}
        for event in fresh:
            self._store.put(Table.EVENTS, event.number, self._event_row(event))

    def reserve(self, sessions: Iterable[Session]) -> None:
        """Many events were published: all rows reserve more sequences."""
        for session in sessions:
            self.changed(session)

    def finish(self, sessions: Iterable[Session]) -> None:
        """The run ends in order: the next one goes on with the very next sequence of each."""
        self._orderly = True
        self.reserve(sessions)

    def _look(self, session: Session) -> bool:
        """Hold what it keeps, let go of what it keeps no more; whether its row has to say so."""
        backlog, floor = session.backlog, session.backlog.floor
        held = self._held.pop(session, None) or _Held(backlog.written)
        moved = backlog.written > held.written  # else what is behind something kept longer is said again
        held.written = backlog.written
        while held.entries and held.entries.first[0] <= floor:
            self.release(held.entries.popleft()[1])
            moved = True
        if len(held.entries) > 2 * backlog.kept + SLACK:
            self._sweep(session, held)
        for sequence, event in backlog.entries(max(floor, held.entries.newest)):
            held.entries.append(sequence, event)
            self.hold(event, session.id, sequence)
        if held.entries:
            self._held[session] = held
        connection = session.connection
        if connection is not None and len(connection.outbox):  # be it no event: the next one would wait behind it
            self.behind(session)
        return moved

    def _sweep(self, session: Session, held: _Held) -> None:
        """Let go of what is kept no more behind something that is; the cursors in its row say so already."""
        kept = {sequence for sequence, _ in session.backlog.entries()}
        for _ in range(len(held.entries)):
            sequence, event = held.entries.popleft()
            if sequence in kept:
                held.entries.append(sequence, event)
            else:
                self.release(event)

    def _add(self, event: Event, holder: str, sequence: int) -> None:
        holders = self.holders.get(event)
        if holders is None:
            holders = self.holders[event] = _Holders()
        holders.count += 1
        holders.names.append(holder)
        holders.sequences.append(sequence)

    def hold(self, event: Event, holder: str, sequence: int) -> None:
        """One holder more, of which the event's row has to tell."""
        self._add(event, holder, sequence)
        if not self._fresh:
            self._store.stir()
        self._fresh[event] = None

    def release(self, event: Event) -> None:
        """One holder less: that one's row says by its cursors that it keeps the event no more, or is gone."""
        holders = self.holders[event]
        holders.count -= 1
        if not holders.count:
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
        behaviour = self._behaviours.get(session.listener)
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
                mark=backlog.given if self._orderly else backlog.given + self._ahead,
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
                data=None if behaviour is None else behaviour.keep(session),
            )
        )

    def _event_row(self, event: Event) -> bytes:
        holders = self.holders[event]
        return encode(
            EventRecord(
                channel=event.channel,
                name=event.name,
                data=msgspec.Raw(event.body),
                at=time.time() - (self._clock() - event.at),
                holders=dict(zip(holders.names, holders.sequences, strict=True)),
                one=event.one,
                realm=event.realm,
                protocol=event.protocol,
            )
        )
