"""What one client was given, by itself and as a member of sets: its count, and its way out of them.

Law: who leaves takes along, in order, what its sets have said and not written; what they have written is counted, and
told to its backlog where that keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatewayd.core.events import Event
from gatewayd.core.insync import Place, Unwritten, in_order, waiting
from gatewayd.core.pace import Pace
from gatewayd.core.source import Source

MOST_SETS = 8
"""Sets that a client is a member of at a time: each makes it dearer to leave, and to count where clients see that."""


class Membership(Source):
    """What an outbox counts, and in which sets; the queue is `Outbox`'s."""

    __slots__ = ("_away_until", "_count", "_queued", "_untold", "descriptor", "pace", "places")

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._away_until = 0  # the tick from which on it may join sets again
        self._untold: list[Event] | None = None  # written and kept; None where not every event is
        self._count = 0  # the newest sequence, but for what its sets have given since
        self._queued = 0  # events in the queue that the backlog does not keep
        self.descriptor = -1
        """Of a plain socket, as long as that is open."""
        self.places: tuple[Place, ...] = ()
        """In the sets that its client is a member of."""

    @property
    def given(self) -> int:
        """The newest sequence."""
        count = self._count
        for place in self.places:
            count += place.within.given - place.since
        return count

    @given.setter
    def given(self, sequence: int) -> None:
        self.leave()
        self._count = sequence

    @property
    def waiting(self) -> int:
        """How many of the newest events are not written, and not in the backlog."""
        count = self._queued
        for place in self.places:
            count += len(place.within.pending)
        return count

    def settle(self) -> None:
        """Count by itself what its sets have written."""
        if self._untold is not None:
            self._untold += in_order(self.places)
        for place in self.places:
            written = place.within.written
            self._count += written - place.since
            place.since = written

    def overtakes(self) -> bool:
        """Whether a frame that left now would overtake what its sets have said."""
        for place in self.places:  # noqa: SIM110  # a generator costs each answer to a member half a microsecond
            if place.within.pending:
                return True
        return False

    def step_aside(self) -> None:
        """An event is for its client alone: it leaves where that changes what it is in a set, or would overtake one."""
        for place in self.places:
            if place.within.strict or place.within.pending:
                self.stay_away()
                return

    @property
    def may_join(self) -> bool:
        """Whether its client may be a member of one set more."""
        return self.descriptor >= 0 and len(self.places) < MOST_SETS and self.pace.number >= self._away_until

    def stay_away(self) -> None:
        """Leave, and join no set for a while: what called its client away may go on, and each time costs more than a
        few events do.
        """
        self.leave()
        self._away_until = self.pace.number + self.pace.apart

    def leave(self) -> None:
        """Its client is a member of no set any more: from here on it counts by itself."""
        places = self.places
        if places:
            said = waiting(places)
            self.settle()
            self.places = ()
            for place in places:
                place.within.drop(place, places)
            if said:
                self.take_along(said, places[0])

    def take_along(self, said: Sequence[Unwritten], place: Place) -> None:
        """Queue what was said to its client in sets, as in that place, and not written."""

    def close(self) -> None:
        """The socket is about to be closed: no set may write to its descriptor again."""
        self.leave()
        self.descriptor = -1
