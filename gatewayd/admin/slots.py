"""Connection slots of the admin API: how many each party may hold, and which connection is evicted for a new one.

Law 1: a connection on which no request is being answered (idle, silent, or with half a request) is evicted when its
slot is needed, the longest idle first. A new connection is refused only when every candidate is busy.
Law 2: no party (a uid, an address, a token at an address) holds more than its part of a pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator

from attrs import define, field

NO_SLOT = "no_room"
"""The code of a refusal, and what connections are counted under that got no slot, or lost theirs before the answer."""


class NoSlot(Exception):  # noqa: N818, RUF100
    """No slot is free and no connection can be evicted; the text says which bound was met."""


@define(eq=False)
class Slot:
    """One connection's slot in a pool."""

    pool: SlotPool
    party: Hashable
    evict: Callable[[], None]
    """Ends the connection; its slot is already released when this is called."""
    held: bool = True
    busy: bool = False

    def mark_busy(self) -> None:
        """A whole request is being answered: the connection is not evicted until it is idle again."""
        self.busy = True
        if not self.pool.evict_busy:
            self.pool.idle.pop(self, None)

    def mark_idle(self) -> None:
        """Nothing is being done for the connection: of all that are idle it is the last to be evicted."""
        self.busy = False
        if self.held:
            self.pool.idle.pop(self, None)
            self.pool.idle[self] = None

    def move(self, pool: SlotPool, party: Hashable) -> None:
        """Leave this pool for another one. Raises `NoSlot`, and stays, when there is no room."""
        pool.make_room(party)
        self.release()
        self.pool, self.party = pool, party
        pool.add(self)
        if self.busy:
            self.mark_busy()

    def release(self) -> None:
        """The connection is over, or leaves this pool. Safe to call twice."""
        if self.held:
            self.held = False
            self.pool.idle.pop(self, None)
            self.pool.parties[self.party] -= 1
            if not self.pool.parties[self.party]:
                del self.pool.parties[self.party]  # a table that clients can grow holds no zeroes
            self.pool.taken -= 1


@define(eq=False)
class SlotPool:
    """At most `total` slots, and `per_party` for one party; with `evict_busy`, busy ones are evicted too."""

    per_party: int
    total: int
    evict_busy: bool = False
    taken: int = 0
    parties: Counter[Hashable] = field(factory=Counter)
    idle: dict[Slot, None] = field(factory=dict)
    """The candidates for eviction, longest idle first."""

    def acquire(self, party: Hashable, evict: Callable[[], None]) -> Slot:
        """A slot for a new connection. Raises `NoSlot` when nobody can be evicted for it."""
        self.make_room(party)
        slot = Slot(self, party, evict)
        self.add(slot)
        return slot

    def add(self, slot: Slot) -> None:
        """Count a slot for which there is room."""
        slot.held = True
        self.parties[slot.party] += 1
        self.taken += 1
        self.idle[slot] = None

    def make_room(self, party: Hashable) -> None:
        """Evict a connection if there is no room for another one of this party. Raises `NoSlot`."""
        if self.parties[party] >= self.per_party:
            self._evict_one((slot for slot in self.idle if slot.party == party), f"{self.per_party} of yours")
        elif self.taken >= self.total:
            # Of the party that holds most, so that one that holds few is not pushed out by one that keeps coming.
            largest = max(self.idle, key=lambda slot: self.parties[slot.party], default=None)
            self._evict_one(iter(() if largest is None else (largest,)), f"{self.total} in all")

    def _evict_one(self, candidates: Iterator[Slot], bound: str) -> None:
        slot = next(candidates, None)
        if slot is None:
            text = f"too many connections ({bound}), and requests are being answered on all: try again in a moment"
            raise NoSlot(text)
        slot.release()
        slot.evict()
