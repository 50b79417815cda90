"""What the node has done since it started."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from gatewayd.core.counts import Drop


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

    def drop(self, reason: Drop, count: int = 1) -> None:
        """Whatever is dropped, by whom and for whom ever, is counted here."""
        if count:
            self.dropped += count
            self.reasons[reason.value] += count
