"""Sets of clients who hear the same and keep up with it: written to in one go, and counted once.

Law 1: a member's client is open, its socket is plain, and nothing waits for it. Whoever is anything else has left.
Law 2: bytes leave in the order in which events were said. Who leaves while some wait for the end of the tick takes them
along, into its own outbox.
Law 3: a descriptor has left every set before it is closed: its transport says so first.
Law 4: what a member was given is its own count and, of each of its sets, what that has given since the member came.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from gatewayd.core.events import Event
from gatewayd.core.frame import frame as framed
from gatewayd.core.pace import Pace
from gatewayd.core.retention import Policy
from gatewayd.core.wire import Wire

FLUSH_BYTES = 65536
"""The most that waits for the end of a tick: what would be more is written at once."""
UNTOLD = 64
"""The most written events that backlogs are not told of yet, each of at most `UNTOLD_BYTES`: so many may be kept beyond
the resume bounds."""
UNTOLD_BYTES = 2048

Unwritten = tuple[int, bytes, Event, float]
"""Number of an event, what is the same for all members of its frame, the event, and when it was said."""
_number = attrgetter("number")


class _Outbox(Protocol):
    """An outbox, as its sets see it."""

    places: tuple[Place, ...]
    descriptor: int

    @property
    def given(self) -> int:
        """The newest sequence."""

    def leave(self) -> None:
        """Leave all sets, with what they have not written."""

    def stay_away(self) -> None:
        """Leave them for a while."""

    def advance(self, count: int) -> bool:
        """The socket has taken so many bytes of what waits."""

    def report(self, now: float) -> None:
        """Have the backlog keep what was written of late."""


class _Connection(Protocol):
    """A connection, as its sets see it."""

    wire: Wire
    variant: str
    session: Any

    @property
    def outbox(self) -> _Outbox:
        """What waits for its socket."""

    def overrun(self) -> None:
        """It has more to read than it may have."""


class Place:
    """One member of a set: who it is, where it stands there, and up to where it has counted what the set has given."""

    __slots__ = ("connection", "index", "since", "within")

    def __init__(self, within: InSync, connection: _Connection) -> None:
        self.within = within
        self.connection = connection
        self.index = len(within.members)
        self.since = within.given


class InSync:
    """Members who hear the same in the same variant. `aside` are the sessions that hear it too, and are no members;
    `audience` is that of every member.
    """

    __slots__ = (
        "_frames", "_kept", "_listed", "_log", "_number", "_offsets", "_overlaps", "_own", "_sent_in", "aside",
        "audience", "descriptors", "given", "members", "pace", "pending", "pending_bytes", "policy", "strict",
        "variant", "wire",
    )  # fmt: skip

    def __init__(
        self, wire: Wire, variant: str, policy: Policy, audience: object, pace: Pace, aside: dict[Any, None]
    ) -> None:
        self.wire, self.variant, self.policy, self.audience, self.pace = wire, variant, policy, audience, pace
        self.aside = aside
        self._own = self.wire.own(None)
        self._frames = self.wire.key(self.variant, own=self._own)
        self._number = self.wire.number
        self.members: list[Place] = []
        self.descriptors = array("i")
        self._offsets = array("q")  # from what the set has given to a member's own sequence, where clients see that
        self._overlaps: dict[InSync, int] = {}
        self.given = 0
        """Events that all members were given."""
        self.pending: list[Unwritten] = []
        """The newest of `given`."""
        self.pending_bytes = 0
        self._listed = False
        self._sent_in = -1  # the tick in which it has last written
        self._kept = policy.keeps_all
        self._log: list[Event] = []  # those of `given` that not every member has told its backlog of
        self.strict = self._kept or self._number is not None
        """Whether what a member is given alone changes what it is in the set."""

    # --- who is in it ---------------------------------------------------------------------------------------

    def join(self, connection: _Connection) -> None:
        """A client that keeps up; while events wait for the end of the tick, nobody joins."""
        outbox = connection.outbox
        place = Place(self, connection)
        for other in outbox.places:
            self._meet(other.within, 1)
            other.within._meet(self, 1)
        self.members.append(place)
        self.descriptors.append(outbox.descriptor)
        if self._number is not None:
            self._offsets.append(outbox.given - self.given)
        outbox.places = (*outbox.places, place)

    def drop(self, place: Place, places: Sequence[Place]) -> None:
        """This one is no member any more; `places` were those of its client."""
        for other in places:
            if other is not place:
                self._meet(other.within, -1)
        index, last = place.index, self.members.pop()
        descriptor = self.descriptors.pop()
        offset = self._offsets.pop() if self._number is not None else 0
        if last is not place:
            last.index = index
            self.members[index] = last
            self.descriptors[index] = descriptor
            if self._number is not None:
                self._offsets[index] = offset
        self.aside[place.connection.session] = None

    def _meet(self, other: InSync, count: int) -> None:
        """Another set has so many members more that are in this one too."""
        common = self._overlaps.get(other, 0) + count
        if common:
            self._overlaps[other] = common
        else:
            del self._overlaps[other]

    # --- what they are given --------------------------------------------------------------------------------

    def give(self, event: Event, now: float) -> None:
        """Say an event to all members: now, or at the end of the tick with what else is said until then."""
        made = event.frames.get(self._frames) or self.wire.make(event, self.variant, own=self._own)
        pace = self.pace
        self.given += 1
        if self._kept:
            self._log.append(event)
        if self._overlaps and self._number is not None:
            self._count_elsewhere()
        self.pending.append((event.number, made, event, now))
        self.pending_bytes += len(made)
        if (
            self._sent_in == pace.number
            or pace.held
            or (self._overlaps and any(other.busy for other in self._overlaps))
        ) and self.pending_bytes < FLUSH_BYTES:
            if not self._listed:
                self._listed = True
                pace.add(self)
        else:
            self._sent_in = pace.number
            self._flush()

    def _count_elsewhere(self) -> None:
        """Members of other sets too have one sequence for all."""
        for place in self.members:
            for other in place.connection.outbox.places:
                if other is not place:
                    other.within._offsets[other.index] += 1

    @property
    def busy(self) -> bool:
        """Whether it has said something in this tick."""
        return bool(self.pending) or self._sent_in == self.pace.number

    def write_now(self) -> bool:
        """The tick is over: write what waits. What a member does not take is its own outbox's from here on."""
        self._listed = False
        if self.pending:
            self._flush()
        return True

    def write_later(self) -> None:
        """Never asked: nothing is left."""

    def _flush(self) -> None:
        for other in tuple(self._overlaps):
            if other.pending:  # members of both would get one set's events before older ones of the other
                self._split(other)
        if self.members:
            self._write()
        self.pending, self.pending_bytes = [], 0
        if len(self._log) >= UNTOLD or (self._log and self._log[-1].size > UNTOLD_BYTES):
            self.report()

    def _split(self, other: InSync) -> None:
        for place in tuple(self.members):
            if any(item.within is other for item in place.connection.outbox.places):
                place.connection.outbox.stay_away()

    def _write(self) -> None:
        pending, fan = self.pending, self.pace.fan
        if self._number is None:
            frames = {0: b"".join([said[1] for said in pending])}
        else:
            first = self.given - len(pending) + 1
            frames = {offset: self._joined(first + offset) for offset in set(self._offsets)}
        if len(frames) == 1:
            ((_, frame),) = frames.items()
            taken = fan.write(self.descriptors, frame)
            if taken is not None:
                self._fall_behind(taken, repeat(len(frame)))
        else:
            each = [frames[offset] for offset in self._offsets]
            taken = fan.write_each(self.descriptors, each)
            if taken is not None:
                self._fall_behind(taken, map(len, each))

    def _joined(self, sequence: int) -> bytes:
        """The frames of what waits, for a member to whom the first of them is its event of that sequence."""
        return b"".join([self.frame(said[1], at) for at, said in enumerate(self.pending, sequence)])

    def frame(self, made: bytes, sequence: int) -> bytes:
        """A member's frame of what is the same for all."""
        return made if self._number is None else framed(self._number % sequence + made)

    def _fall_behind(self, taken: Iterable[int], sizes: Iterable[int]) -> None:
        """Who has not taken all of it leaves, and what is left waits in its own outbox, whose bounds are judged."""
        for place, count, size in tuple(zip(self.members, taken, sizes)):  # noqa: B905  # one size may be for all
            if count != size:
                outbox = place.connection.outbox
                outbox.leave()
                if count:
                    outbox.advance(count)

    # --- what they keep -------------------------------------------------------------------------------------

    @property
    def written(self) -> int:
        """Events that the members' sockets have taken."""
        return self.given - len(self.pending)

    def kept(self, place: Place) -> list[Event]:
        """What a member has been written since it last counted, where it is to keep that."""
        log, given = self._log, self.given
        return log[len(log) - (given - place.since) : len(log) - len(self.pending)] if self._kept else []

    def report(self) -> None:
        """All members tell their backlogs what was written."""
        newest = self._log[-1].at
        for place in self.members:
            place.connection.outbox.report(newest)
        self._log.clear()


def in_order(places: Sequence[Place]) -> list[Event]:
    """What a member of these has been written since it last counted, where it is to keep that."""
    if len(places) == 1:
        return places[0].within.kept(places[0])
    events = [event for place in places for event in place.within.kept(place)]
    events.sort(key=_number)
    return events


def waiting(places: Sequence[Place]) -> list[Unwritten]:
    """What is said to a member of these, and not written, in order."""
    said = [item for place in places for item in place.within.pending]
    if len(places) > 1:
        said.sort(key=itemgetter(0))
    return said
