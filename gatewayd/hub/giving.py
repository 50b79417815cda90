"""Sessions are given events: said to their clients, or kept for the next one; what is dropped by the way is counted.

Law 1: no publisher ever waits for a reader; what a client cannot take makes it a slow consumer, then and there.
Law 2: an event is said to a client only when all that its session missed before has been said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from gatewayd.core.behaviour import EventTooBig
from gatewayd.core.close import Verdict
from gatewayd.core.counts import Counts, Drop
from gatewayd.hub.following import Following
from gatewayd.hub.sessions import Sessions

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.events import Event
    from gatewayd.core.session import Session
    from gatewayd.hub.keeper import Keeper

Given = tuple[int, int]
"""How many have an event now, and how many get it when they are resumed."""
MOST_AROUND = 8192
"""No protocol puts as many bytes around an event's data: an event that is smaller than an outbox by more fits it."""


class Giving(Sessions):
    """Sessions, and the way of an event to them."""

    def __init__(self, clock: Callable[[], float], *, limit: int, keeper: Keeper) -> None:
        super().__init__(clock, limit=limit)
        self.keeper = keeper
        self.following = Following(clock, self.timers)

    def _counted(self, event: Event, give: Callable[[], Given]) -> Counts:
        """What became of an event, and whatever was dropped because of it, with the reasons."""
        totals = self.totals
        dropped, before = totals.dropped, dict(totals.reasons)
        delivered, buffered = give()
        if totals.dropped == dropped:
            return Counts(delivered, buffered, number=event.number)
        reasons = {name: count - before.get(name, 0) for name, count in totals.reasons.items()}
        reasons = {name: count for name, count in reasons.items() if count}
        return Counts(delivered, buffered, totals.dropped - dropped, reasons, event.number)

    def _fits_all(self, event: Event) -> bool:
        """Whether every outbox that there is can hold it."""
        return event.size + MOST_AROUND < self.smallest_outbox

    def _refuse_too_big(self, event: Event, receivers: Sequence[Session]) -> None:
        """Raise `EventTooBig` where a receiver's outbox could never hold it: it would cut off its client."""
        if self._fits_all(event):
            return
        for session in receivers:
            connection = session.connection
            if connection is not None and connection.open:
                limit, size = connection.settings.outbox_bytes, len(connection.wire.frame(event, connection.variant))
                if size > limit:
                    raise EventTooBig(size, limit, session.listener)

    def _give(self, receivers: Collection[Session], event: Event) -> Given:
        delivered = 0
        missing = []
        now, number = self.clock(), event.number
        for session in receivers:
            connection = session.connection
            if connection is not None and connection.deliver(event, now):
                session.delivered += 1
                session.given = number
                delivered += 1
            else:
                missing.append(session)
        buffered = sum([self._keep(session, event) for session in missing])
        if self.following.events:
            self.following.given(event, receivers)
        return delivered, buffered

    def _replay(self, session: Session, event: Event) -> Given:
        """Give an event to a session whose client is open, free of the bounds of its outbox."""
        assert session.connection is not None
        session.connection.replay(event, self.clock())
        session.delivered += 1
        session.given = event.number
        if self.following.events:
            self.following.given(event, (session,))
        return 1, 0

    def _keep(self, session: Session, event: Event) -> bool:
        """A session's client cannot take an event, or there is none; whether it gets it when it is resumed."""
        connection = session.connection
        if connection is not None:
            self._cut_off(session, connection)
        if event.one and (session.ended is not None or session.missed.refuses(event) is not None):
            return False  # nothing is lost: another one gets it
        if session.ended is None:
            return self._miss(session, event)
        self.totals.drop(Drop.SESSION_ENDED)
        return False

    def _cut_off(self, session: Session, connection: Connection) -> None:
        """The client has its verdict but is still leaving: settle now where its session goes."""
        verdict = connection.verdict
        assert verdict is not None, "an identified client that is not open has its verdict"
        if session.resumable and verdict.cause.detaches:
            self.detach(session)
        else:
            self.end(session, Verdict(verdict.cause, verdict.reason))

    def replayed(self, session: Session, events: list[Event]) -> None:
        """A client was given what its session had missed."""
        if events:
            session.given = events[-1].number
        self.following.replayed(session, events)
