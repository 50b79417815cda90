"""What the node has done since it started, and what became of one publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from attrs import define, field

from gatewayd.core.counts import Counts, Drop


@define
class Totals:
    """In plain integers; `closed` counts clients by cause."""

    published: int = 0
    delivered: int = 0
    buffered: int = 0
    dropped: int = 0
    reasons: Counter[str] = field(factory=Counter)
    """Of what was dropped."""
    unheard: int = 0
    """Published where nobody heard the channel."""
    opened: int = 0
    resumed: int = 0
    ended: int = 0
    faults: int = 0
    closed: Counter[str] = field(factory=Counter)
    forgiven: Counter[str] = field(factory=Counter)
    """Messages that were refused while their client stayed, by cause."""

    def drop(self, reason: Drop, count: int = 1) -> None:
        """Whatever is dropped, by whom and for whom ever, is counted here."""
        if count:
            self.dropped += count
            self.reasons[reason._value_] += count


@define(eq=False)
class Tally:
    """What becomes of one publish, and whatever is dropped because of it; the node's totals have it as well."""

    totals: Totals
    delivered: int = 0
    buffered: int = 0
    reasons: dict[str, int] = field(factory=dict)

    def drop(self, reason: Drop, count: int = 1) -> None:
        """So many are dropped."""
        if count:
            self.totals.drop(reason, count)
            value = reason._value_
            self.reasons[value] = self.reasons.get(value, 0) + count

    def add(self, losses: Mapping[Drop, int]) -> None:
        """What a backlog has lost."""
        for reason, count in losses.items():
            self.drop(reason, count)

    def counts(self, number: int) -> Counts:
        """The answer to the publisher; `number` is the event's."""
        dropped = sum(self.reasons.values()) if self.reasons else 0
        return Counts(self.delivered, self.buffered, dropped, self.reasons, number)
