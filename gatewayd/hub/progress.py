"""How far events get that somebody waits for: taken whole by the sockets, acknowledged where the protocol can.

Law 1: nothing is done for an event that nobody waits for.
Law 2: an event has got somewhere when a cursor of its session's backlog has passed its sequence, and it was not lost.
Law 3: bounded, for each tenant by itself: so many watches, and so many pairs of event and session that have still to
get somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import StrEnum
from functools import partial

from attrs import define, field

from gatewayd.config.limits import HubLimits
from gatewayd.core.close import Disconnect
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.observer import Observer
from gatewayd.core.outbox import nobody
from gatewayd.core.session import Session
from gatewayd.hub.timers import Timers


class Goal(StrEnum):
    """How far the events of a watch should get."""

    WRITTEN = "written"
    ACKNOWLEDGED = "acknowledged"


@define(eq=False)
class Followed:
    """One publish: how many sessions have it."""

    watch: Watch
    written: int = 0
    acknowledged: int = 0
    answerable: bool = False
    """Whether the protocol of any session that it reached has an acknowledgement."""
    events: list[Event] = field(factory=list)
    """The event, the one of another realm, and the same one again for another receiver."""


@define(eq=False)
class Watch:
    """Somebody waits for some events. `left` pairs have not got so far; `done` is called when none is left."""

    goal: Goal
    tenant: Hashable = None
    done: Callable[[], None] = nobody
    left: int = 0
    followed: list[Followed] = field(factory=list)


@define(eq=False)
class _Mark:
    """One event on its way to one session, at some sequence."""

    followed: Followed
    written: bool = False


@define(eq=False)
class Progress(Observer):
    """All watches of a node. `soon` calls later: what is learnt at the end of a tick cannot be acted upon there."""

    _clock: Callable[[], float]
    _timers: Timers
    _soon: Callable[[Callable[[], None]], object]
    _limits: HubLimits
    _watches: set[Watch] = field(init=False, factory=set)
    _asked_later: set[Session] = field(init=False, factory=set)
    _parked: set[Event] = field(init=False, factory=set)
    events: dict[Event, Followed] = field(init=False, factory=dict)
    sessions: dict[Session, dict[int, _Mark]] = field(init=False, factory=dict)
    """What is still on its way, by session and sequence, in order."""

    def __len__(self) -> int:
        return len(self._watches)

    # --- for whoever waits ----------------------------------------------------------------------------------

    def full(self, tenant: Hashable) -> bool:
        """Whether nothing more can be followed for it now."""
        return sum(watch.left for watch in self._watches if watch.tenant == tenant) >= self._limits.watched_pairs

    def start(self, goal: Goal, tenant: Hashable = None) -> Watch | None:
        """Begin to wait; None when too many of that tenant do."""
        if sum(watch.tenant == tenant for watch in self._watches) >= self._limits.watches or self.full(tenant):
            return None
        watch = Watch(goal, tenant)
        self._watches.add(watch)
        return watch

    def follow(self, events: Iterable[Event], watch: Watch) -> None:
        """Follow what is about to be published, at once."""
        followed = Followed(watch, events=list(events))
        watch.followed.append(followed)
        self.events.update(dict.fromkeys(followed.events, followed))

    def stop(self, watch: Watch) -> None:
        """Wait no more; what was counted stays as it is."""
        self._watches.discard(watch)
        watch.done = nobody
        for session, marks in tuple(self.sessions.items()):
            for sequence, mark in tuple(marks.items()):
                if mark.followed.watch is watch:
                    self._settle(session, sequence)
        for followed in watch.followed:
            for event in followed.events:
                self._unpark(event)
                del self.events[event]

    # --- for the delivery -----------------------------------------------------------------------------------

    def given(self, event: Event, session: Session) -> None:
        """One that is followed is the newest that this session was given."""
        followed = self.events[event]
        self.sessions.setdefault(session, {})[session.backlog.given] = _Mark(followed)
        followed.watch.left += 1
        self.advanced(session)

    def parked(self, event: Event) -> None:
        """It waits for its first receiver."""
        if event in self.events:
            self._parked.add(event)
            self.events[event].watch.left += 1

    def again(self, old: Event, new: Event) -> None:
        """The same event goes to another receiver."""
        followed = self.events.get(old)
        if followed is not None:
            followed.events.append(new)
            self.events[new] = followed
            self._unpark(old)

    # --- as an observer -------------------------------------------------------------------------------------

    def advanced(self, session: Session) -> None:
        """A cursor of its backlog has moved."""
        marks = self.sessions.get(session)
        if marks is None:
            return
        backlog = session.backlog
        for sequence, mark in tuple(marks.items()):
            if not mark.written:
                if sequence > backlog.written:
                    break
                self._has_it(session, sequence, mark)
            if session.connection is not None and sequence <= (backlog.acknowledged or 0) and sequence in marks:
                mark.followed.acknowledged += 1  # by the client that is there: one that has gone says nothing more
                self._settle(session, sequence)
        if any(mark.written for mark in marks.values()):
            self._soon(partial(self._ask, session))

    def lost(self, session: Session, losses: Mapping[Drop, int]) -> None:
        """The oldest have given way: what the written cursor has passed by that was never written."""
        for sequence, mark in tuple(self.sessions.get(session, {}).items()):
            if not mark.written and sequence <= session.backlog.written:
                self._settle(session, sequence)

    def resumed(self, session: Session) -> None:
        """A new client is about to be said what its session has missed; nothing else will come to it."""
        if session in self.sessions:
            kept = {sequence for sequence, _ in session.backlog.entries(session.backlog.written)}
            for sequence in tuple(self.sessions[session]):
                if sequence not in kept:  # written for the older client, which has not shown that it has read it
                    self._settle(session, sequence)

    def over(self, session: Session) -> None:
        """What it has not got is lost, except for what is still being written to its client."""
        for sequence, mark in tuple(self.sessions.get(session, {}).items()):
            if mark.written or sequence <= session.backlog.written:
                self._settle(session, sequence)

    # --- where an event is ----------------------------------------------------------------------------------

    def _has_it(self, session: Session, sequence: int, mark: _Mark) -> None:
        followed, answers = mark.followed, session.backlog.acknowledged is not None
        mark.written = True
        followed.written += 1
        followed.answerable = followed.answerable or answers
        if followed.watch.goal is Goal.WRITTEN or not answers or session.ended is not None:
            self._settle(session, sequence)

    def _settle(self, session: Session, sequence: int) -> None:
        """Nothing more is to be learnt of the event at that sequence."""
        marks = self.sessions[session]
        mark = marks.pop(sequence)
        if not marks:
            del self.sessions[session]
        self._arrived(mark.followed)

    def _unpark(self, event: Event) -> None:
        if event in self._parked:
            self._parked.remove(event)
            self._arrived(self.events[event])

    def _arrived(self, followed: Followed) -> None:
        followed.watch.left -= 1
        if not followed.watch.left:
            followed.watch.done()

    # --- asking ---------------------------------------------------------------------------------------------

    def _ask(self, session: Session) -> None:
        """Have the client say soon what it has read, while somebody waits for that; not only at its next beat."""
        connection = session.connection
        if connection is None or not connection.open or session in self._asked_later:
            return
        if not any(mark.written for mark in self.sessions.get(session, {}).values()):
            return
        try:
            when = connection.ask(self._clock())
        except Disconnect as verdict:
            connection.end(verdict)
            return
        if when is not None:
            self._asked_later.add(session)
            self._timers.at(when, partial(self._ask_later, session))

    def _ask_later(self, session: Session) -> None:
        self._asked_later.discard(session)
        self._ask(session)
