"""What the journal is told of sessions and events, so that a crash is no more to a client than a lost connection.

Law 1: what a backlog keeps is written down. An event that every socket took at once costs the journal nothing, where
its protocol keeps it no longer than that.
Law 2: an event is one row, with its sequence in each backlog that keeps it; a session's row has the cursors.
Law 3: rows are made when they are about to be written, so that what changes twice is encoded once.
Law 4: the row of an event in an away log has its position there, and the row of a session its spans: which parts of
logs it keeps. So an event costs the same however many sessions are in the log.
Law 5: a session whose socket takes no more is looked at before every write, until it does.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from attrs import define, field

from gatewayd.core.away import Absent, AwayLog
from gatewayd.core.behaviour import Behaviour
from gatewayd.core.counts import Drop
from gatewayd.core.entries import Entries
from gatewayd.core.events import Event
from gatewayd.core.observer import Observer
from gatewayd.core.record import EventRecord, Row, SessionRecord, Span, Store, Table, encode
from gatewayd.core.session import Session

SLACK = 64
"""How many events that a session keeps no more may stay held behind one that it does."""
SPANS = 16
"""How many parts of logs a session's row may name; what it has of others is held for it by itself."""


@define(eq=False)
class _Held:
    """What the journal knows that a session keeps, and how far that had written then."""

    written: int
    entries: Entries = field(factory=Entries)
    spans: list[Span] = field(factory=list)
    """Which of these are a log's, in its rows."""


@define(eq=False)
class _Holders:
    """Who keeps an event: ids of sessions with its sequence there, and with 0 the channel where it waits for the first
    receiver. Those that keep it no more stay here, since their own rows say so, and are not counted.

    16 bytes a holder: there may be a thousand of each of a million events.
    """

    count: int = 0
    names: list[str] = field(factory=list)
    sequences: array[int] = field(factory=lambda: array("Q"))
    logs: dict[str, tuple[int, int]] = field(factory=dict)
    """As in its row; counted while the log keeps it, and for each span."""


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
    _grown: dict[AwayLog, None] = field(factory=dict, init=False)
    _logs: dict[AwayLog, Entries] = field(factory=dict, init=False)
    """What has a row of each, by position."""
    _left: dict[Session, list[tuple[AwayLog, Span]]] = field(factory=dict, init=False)
    """Who has left logs since the last write, and with what."""
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

    # --- away logs ------------------------------------------------------------------------------------------

    def grew(self, log: AwayLog) -> None:
        """Its sessions were given an event."""
        if log.durable and log not in self._grown:
            if not self._grown:
                self._store.stir()
            self._grown[log] = None

    def left(self, absent: Absent) -> None:
        """A session is about to leave its log."""
        log, session = absent.log, absent.session
        if log.durable and session.durable:
            span = Span(log.name, absent.position, absent.sequence, log.head - absent.position)
            self._left.setdefault(session, []).append((log, span))
            self.grew(log)
            self.changed(session)

    def _hold_span(self, session: Session, log: AwayLog, span: Span) -> None:
        """What a session has taken along, and has not got since, stays in the rows of the log that it has left. What is
        older is held already: it was looked at when it had joined, before the log had such rows.
        """
        held, known = self._holding(session), self._logs.get(log)
        if known is None or len(held.spans) >= SPANS:
            return
        shift = span.sequence - span.position
        first = max(span.position, session.backlog.floor - shift)
        part = [entry for entry in known.after(first) if entry[0] + shift <= span.last]
        for position, event in part:
            held.entries.append(position + shift, event)
            self.holders[event].count += 1
        if part:
            held.spans.append(Span(span.log, first, first + shift, part[-1][0] - first))

    def _follow(self, log: AwayLog) -> None:
        """Hold what a log keeps, let go of what it keeps no more."""
        held = self._logs.pop(log, None) or Entries()
        while held and held.first[0] <= log.floor:
            self.release(held.popleft()[1])
        known = max(held.newest, log.floor)
        for position, event in enumerate(log.after(known), known + 1):
            held.append(position, event)
            self._name(event, log.name, position, log.floor)
            self._fresh[event] = None
        if log.members:
            self._logs[log] = held

    def _name(self, event: Event, log: str, position: int, floor: int) -> None:
        holders = self._holders(event)
        holders.count += 1
        holders.logs[log] = position, floor

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
            self._left.pop(session, None)
            self._store.delete(Table.SESSIONS, session.id)

    def adopt(self, session: Session, spans: Sequence[Span], floors: Mapping[str, int]) -> None:
        """A session of the last run is taken up: the journal knows what it keeps, and what of that by spans of logs,
        of which all up to these positions had given way.
        """
        held = _Held(session.backlog.written, spans=list(spans))
        for sequence, event in session.backlog.entries():
            held.entries.append(sequence, event)
            if (span := _span_at(spans, sequence)) is not None:
                self._name(event, span.log, sequence - span.sequence + span.position, floors[span.log])
            else:
                self._add(event, session.id, sequence)
        if held.entries:
            self._held[session] = held

    def renumbered(self, session: Session) -> None:
        """What it keeps has other sequences than the journal knows."""
        self._let_go(session, forgotten=True)
        self._left.pop(session, None)
        self.behind(session)
        self.changed(session)

    def _let_go(self, session: Session, *, forgotten: bool = False) -> None:
        """It keeps nothing that the journal knows of; where that is `forgotten`, its row may be read as if it did."""
        held = self._held.pop(session, None)
        for sequence, event in () if held is None else reversed(held.entries):
            if forgotten and held is not None and _span_at(held.spans, sequence) is None:
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
        left, self._left = self._left, {}
        for session, parts in left.items():
            for log, span in parts:
                self._hold_span(session, log, span)
        due, self._due = self._due, {}
        for session, changed in due.items():
            if self._look(session) or changed:
                self._store.put(Table.SESSIONS, session.id, self._row(session))
        grown, self._grown = self._grown, {}
        for log in grown:
            self._follow(log)
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
        held = self._holding(session)
        moved = backlog.written > held.written  # else what is behind something kept longer is said again
        held.written = backlog.written
        while held.entries and held.entries.first[0] <= floor:
            self.release(held.entries.popleft()[1])
            moved = True
        if len(held.entries) > 2 * backlog.kept + SLACK:
            self._sweep(session, held)
        while held.spans and held.spans[0].last <= floor:
            del held.spans[0]
        for sequence, event in backlog.own(max(floor, held.entries.newest)):
            held.entries.append(sequence, event)
            self.hold(event, session.id, sequence)
        if not held.entries:
            del self._held[session]
        connection = session.connection
        if connection is not None and len(connection.outbox):  # be it no event: the next one would wait behind it
            self.behind(session)
        return moved

    def _holding(self, session: Session) -> _Held:
        held = self._held.get(session)
        if held is None:
            held = self._held[session] = _Held(session.backlog.written)
        return held

    def _sweep(self, session: Session, held: _Held) -> None:
        """Let go of what is kept no more behind something that is; the cursors in its row say so already."""
        kept = {sequence for sequence, _ in session.backlog.entries()}
        for _ in range(len(held.entries)):
            sequence, event = held.entries.popleft()
            if sequence in kept:
                held.entries.append(sequence, event)
            else:
                self.release(event)

    def _holders(self, event: Event) -> _Holders:
        holders = self.holders.get(event)
        if holders is None:
            holders = self.holders[event] = _Holders()
        return holders

    def _add(self, event: Event, holder: str, sequence: int) -> None:
        holders = self._holders(event)
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
        written, lost, gaps = backlog.own_cursors()
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
                written=written,
                acknowledged=backlog.acknowledged,
                mark=backlog.given if self._orderly else backlog.given + self._ahead,
                lost=lost,
                gaps=gaps,
                spans=self._spans(session),
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

    def _spans(self, session: Session) -> tuple[Span, ...]:
        """Which parts of logs are its own; the last one grows while it is in there."""
        held, source = self._held.get(session), session.backlog.source
        spans = () if held is None else tuple(held.spans)
        if isinstance(source, Absent):
            return (*spans, Span(source.log.name, source.position, source.sequence))
        return spans

    def _event_row(self, event: Event) -> bytes:
        holders = self.holders[event]
        return encode(
            EventRecord(
                channel=event.channel,
                name=event.name,
                data=msgspec.Raw(event.body),
                at=time.time() - (self._clock() - event.at),
                holders=dict(zip(holders.names, holders.sequences, strict=True)),
                logs=holders.logs,
                one=event.one,
                realm=event.realm,
                protocol=event.protocol,
            )
        )


def _span_at(spans: Sequence[Span], sequence: int) -> Span | None:
    """The span by which a session has the event at a sequence."""
    return next((span for span in spans if span.sequence < sequence <= span.last), None)
