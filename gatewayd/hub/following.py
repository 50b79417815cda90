"""How far events get that somebody waits for: taken whole by the sockets, acknowledged where the protocol can.

Law 1: nothing is done for an event that nobody follows.
Law 2: written is what a socket has taken whole; acknowledged is what its client has answered for on that connection.
Law 3: bounded, for each tenant by itself: so many watches, and so many pairs of event and session that have still to
get somewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

from gatewayd.core.close import Disconnect

if TYPE_CHECKING:
    from gatewayd.core.events import Event
    from gatewayd.core.session import Session
    from gatewayd.hub.timers import Timers

MAX_WATCHES = 32
"""Who waits must not keep out who wants to look."""
MAX_PAIRS = 100_000
"""Bounds of one tenant: of all who reach the same realms."""


class Goal(StrEnum):
    """How far the events of a watch should get."""

    WRITTEN = "written"
    ACKNOWLEDGED = "acknowledged"


def _nobody() -> None:
    """There is nobody to be told."""


def _now(call: Callable[[], None]) -> None:
    call()


@define(eq=False)
class Followed:
    """One publish, and the sessions that have still to get it. None stands for the first receiver that comes."""

    watch: Watch
    written: int = 0
    acknowledged: int = 0
    answerable: bool = False
    """Whether the protocol of any session that it reached has an acknowledgement."""
    events: list[Event] = field(factory=list)
    """The event, the one of another realm, and the same one again for another receiver."""
    unwritten: set[Session | None] = field(factory=set)
    unanswered: set[Session | None] = field(factory=set)


@define(eq=False)
class Watch:
    """Somebody waits for some events. `left` pairs have not got so far; `done` is called when none is left."""

    goal: Goal
    tenant: Hashable = None
    done: Callable[[], None] = _nobody
    left: int = 0
    followed: list[Followed] = field(factory=list)


class Following:
    """All watches of a node. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], timers: Timers) -> None:
        self._clock = clock
        self._timers = timers
        self._watches: set[Watch] = set()
        self._asked_later: set[Session] = set()
        self.events: dict[Event, Followed] = {}
        self.sessions: dict[Session | None, dict[Event, Followed]] = {}
        """What is still on its way, by whom it is for."""
        self._pairs: Counter[Hashable] = Counter()
        """By tenant."""
        self.soon: Callable[[Callable[[], None]], object] = _now
        """Calls something soon: what is learnt at the end of a turn of the loop cannot be acted upon there."""

    def __len__(self) -> int:
        return len(self._watches)

    # --- for whoever waits ----------------------------------------------------------------------------------

    @property
    def pairs(self) -> int:
        """How many have still to get somewhere."""
        return self._pairs.total()

    def full(self, tenant: Hashable) -> bool:
        """Whether nothing more can be followed for it now."""
        return self._pairs[tenant] >= MAX_PAIRS

    def start(self, goal: Goal, tenant: Hashable = None) -> Watch | None:
        """Begin to wait; None when too many of that tenant do."""
        if sum(watch.tenant == tenant for watch in self._watches) >= MAX_WATCHES or self.full(tenant):
            return None
        watch = Watch(goal, tenant)
        self._watches.add(watch)
        return watch

    def follow(self, events: Iterable[Event], watch: Watch) -> None:
        """Follow what was published at once, and nobody has been given yet."""
        followed = Followed(watch)
        watch.followed.append(followed)
        for event in events:
            self._join(event, followed)

    def stop(self, watch: Watch) -> None:
        """Wait no more; what was counted stays as it is."""
        self._watches.discard(watch)
        watch.done = _nobody
        for followed in watch.followed:
            for session in followed.unwritten | followed.unanswered:
                for event in followed.events:
                    self._settle(session, event)
            for event in followed.events:
                del self.events[event]

    # --- for the hub ----------------------------------------------------------------------------------------

    def parked(self, event: Event) -> None:
        """It waits for its first receiver."""
        followed = self.events.get(event)
        if followed is not None:
            self._expect(None, event, followed)

    def again(self, old: Event, new: Event) -> None:
        """The same event goes to another receiver."""
        followed = self.events.get(old)
        if followed is not None:
            self._join(new, followed)
            self._settle(None, old)

    def given(self, event: Event, receivers: Iterable[Session]) -> None:
        """It was said to these, or is kept for them, or was dropped."""
        followed = self.events.get(event)
        if followed is not None:
            for session in receivers:
                self._look(session, event, followed)

    def replayed(self, session: Session, events: Iterable[Event]) -> None:
        """A new client of the session was given what it missed; nothing else will come to it."""
        said = set(events)
        for event, followed in tuple(self.sessions.get(session, {}).items()):
            if session in followed.unwritten and event in said:
                self._look(session, event, followed)
            else:  # lost; or written for the older client, which has not shown that it has read it
                self._settle(session, event)

    def answered(self, session: Session) -> None:
        """A heartbeat came, and may have shown what the client has read."""
        for event, followed in tuple(self.sessions.get(session, {}).items()):
            if session in followed.unanswered and event.number <= (session.acknowledged or 0):
                followed.acknowledged += 1
                self._settle(session, event)
        self._ask_again(session)

    def ended(self, session: Session, unsaid: Iterable[Event]) -> None:
        """The session is over: what it has not got is lost, except for what is still being written to its client."""
        lost = set(unsaid)
        for event, followed in tuple(self.sessions.get(session, {}).items()):
            if session not in followed.unwritten or event in lost:
                self._settle(session, event)

    # --- where an event is ----------------------------------------------------------------------------------

    def _join(self, event: Event, followed: Followed) -> None:
        followed.events.append(event)
        self.events[event] = followed

    def _look(self, session: Session, event: Event, followed: Followed) -> None:
        connection = session.connection
        if connection is None:
            if event in session.missed:
                self._expect(session, event, followed)
        elif event in connection.outbox.waiting():
            self._expect(session, event, followed)
            connection.outbox.written = partial(self._wrote, session)
        else:
            self._has_it(session, event, followed)

    def _wrote(self, session: Session, events: list[Event]) -> None:
        waits = self.sessions.get(session, {})
        for event in events:
            followed = waits.get(event)
            if followed is not None and session in followed.unwritten:
                self._has_it(session, event, followed)

    def _has_it(self, session: Session, event: Event, followed: Followed) -> None:
        followed.written += 1
        followed.unwritten.discard(session)
        followed.answerable = followed.answerable or session.acknowledged is not None
        if followed.watch.goal is Goal.WRITTEN or session.acknowledged is None or session.ended is not None:
            self._settle(session, event)
            return
        self._pair(session, event, followed)
        followed.unanswered.add(session)
        self.soon(partial(self._ask_again, session))

    def _expect(self, session: Session | None, event: Event, followed: Followed) -> None:
        self._pair(session, event, followed)
        followed.unwritten.add(session)

    def _pair(self, session: Session | None, event: Event, followed: Followed) -> None:
        waits = self.sessions.setdefault(session, {})
        if event not in waits:
            waits[event] = followed
            followed.watch.left += 1
            self._pairs[followed.watch.tenant] += 1

    def _settle(self, session: Session | None, event: Event) -> None:
        """Nothing more is to be learnt of this event and that session."""
        waits = self.sessions.get(session, {})
        followed = waits.pop(event, None)
        if followed is None:
            return
        followed.unwritten.discard(session)
        followed.unanswered.discard(session)
        self._pairs[followed.watch.tenant] -= 1
        if not waits:
            del self.sessions[session]
            if session is not None and session.connection is not None:
                session.connection.outbox.written = None
        followed.watch.left -= 1
        if not followed.watch.left:
            followed.watch.done()

    # --- asking ---------------------------------------------------------------------------------------------

    def _ask(self, session: Session) -> None:
        """Have the client say soon what it has read, while somebody waits for that; not only at its next beat."""
        connection = session.connection
        if connection is None or not connection.open or session in self._asked_later:
            return
        try:
            when = connection.ask(self._clock())
        except Disconnect as verdict:
            connection.end(verdict)
            return
        if when is not None:
            self._asked_later.add(session)
            self._timers.at(when, lambda: self._ask_later(session))

    def _ask_later(self, session: Session) -> None:
        self._asked_later.discard(session)
        self._ask_again(session)

    def _ask_again(self, session: Session) -> None:
        if any(session in followed.unanswered for followed in self.sessions.get(session, {}).values()):
            self._ask(session)
