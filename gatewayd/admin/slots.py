"""How many connections to the admin API each party may hold, and which one gives way to a new one.

Law 1: a connection on which no request is being answered (idle, silent, or with half a request) gives way when its
place is needed, the quietest first. A new one is refused only where all that could give way are busy.
Law 2: no party (a uid, an address, a token at an address) holds more than its part of a share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator

from attrs import define, field


class Full(Exception):  # noqa: N818, RUF100
    """No room, and nobody who could give way; the text says which bound was met."""


@define(eq=False)
class Place:
    """One connection's place in a share."""

    share: Share
    party: Hashable
    give_way: Callable[[], None]
    """Ends the connection; it has no place any more when this is called."""
    held: bool = True

    def busy(self) -> None:
        """A whole request is being answered: from now on it does not give way."""
        if self.share.kept:
            self.share.quiet.pop(self, None)

    def idle(self) -> None:
        """Nothing is being done for it; of all that are idle it is the last to give way."""
        if self.held:
            self.share.quiet.pop(self, None)
            self.share.quiet[self] = None

    def leave(self) -> None:
        """The connection is over, or has found another place. Safe to call twice."""
        if self.held:
            self.held = False
            self.share.quiet.pop(self, None)
            self.share.parties[self.party] -= 1
            if not self.share.parties[self.party]:
                del self.share.parties[self.party]  # a table that clients can grow holds no zeroes
            self.share.taken -= 1


@define(eq=False)
class Share:
    """Places of one kind. `most` in all and `each` for one party; where none is `kept`, a busy one gives way too."""

    each: int
    most: int
    kept: bool = True
    taken: int = 0
    parties: Counter[Hashable] = field(factory=Counter)
    quiet: dict[Place, None] = field(factory=dict)
    """Who may give way, longest quiet first."""

    def enter(self, party: Hashable, give_way: Callable[[], None]) -> Place:
        """A connection has come. Raises `Full` where nobody can give way to it."""
        if self.parties[party] >= self.each:
            self._make_room((place for place in self.quiet if place.party == party), f"{self.each} of yours")
        elif self.taken >= self.most:
            # Of the party that holds most, so that one that holds few is not pushed out by one that keeps coming.
            crowd = max(self.quiet, key=lambda place: self.parties[place.party], default=None)
            self._make_room(iter(() if crowd is None else (crowd,)), f"{self.most} in all")
        place = Place(self, party, give_way)
        self.parties[party] += 1
        self.taken += 1
        self.quiet[place] = None
        return place

    def _make_room(self, candidates: Iterator[Place], bound: str) -> None:
        place = next(candidates, None)
        if place is None:
            raise Full(f"too many connections ({bound}), and requests are being answered on all: try again in a moment")
        place.leave()
        place.give_way()
