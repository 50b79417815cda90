"""What a client has shown to have read, in a protocol where its heartbeat answers ours: all that was said before.

Law 1: an answer counts for the oldest beat that it can be for, so that a late or a missing one never proves too much.
Law 2: an answer to nothing counts for nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatewayd.core.rate import Rate

AGAIN = 1.0
"""Seconds between two beats, at the least, where one is said out of turn."""


class Asked:
    """The beats of one connection, and how many of them are not answered. Times are monotonic seconds."""

    __slots__ = ("_mark", "_owed", "last", "unanswered")

    def __init__(self) -> None:
        self.last = -math.inf
        """When the newest beat was said."""
        self.unanswered = 0
        self._mark = 0  # number of the newest event before the beat that is followed
        self._owed = 0  # answers until that one's; 0 while none is followed

    def beat(self, newest: int, now: float) -> None:
        """A beat was said, and `newest` is the number of the newest event before it."""
        self.last = now
        self.unanswered += 1
        if not self._owed:
            self._mark, self._owed = newest, self.unanswered

    def again(self, rate: Rate | None) -> float:
        """When the next one may be said out of turn: the answers to it must not break the client's own rate."""
        return self.last + (AGAIN if rate is None else max(AGAIN, 2 * rate.period / rate.count))

    def answer(self) -> int | None:
        """A heartbeat came; the number of the newest event that it proves, None where it proves nothing new."""
        if not self.unanswered:
            return None
        self.unanswered -= 1
        if not self._owed:
            return None
        self._owed -= 1
        return None if self._owed else self._mark
