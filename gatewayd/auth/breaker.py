"""Whether a backend that keeps failing should be asked at all. Monotonic seconds, passed in."""

from __future__ import annotations

import math


class Breaker:
    """Open after so many failures in a row, for a pause; then one trial decides."""

    def __init__(self, failures: int, pause: float) -> None:
        self.failures = failures
        self.pause = pause
        self.opened = 0
        """How often."""
        self._in_a_row = 0
        self._until = -math.inf
        self._trial = False

    def is_open(self, now: float) -> bool:
        """Whether nobody, or nobody but a trial, is asked at this time."""
        return self._in_a_row >= self.failures and (now < self._until or self._trial)

    def enter(self, now: float) -> bool:
        """Whether to ask now. After True, one of the three below has to follow."""
        if self.is_open(now):
            return False
        self._trial = self._in_a_row >= self.failures
        return True

    def succeeded(self) -> None:
        """The backend answered."""
        self._in_a_row, self._trial = 0, False

    def failed(self, now: float) -> bool:
        """The backend did not; True when this has opened the breaker."""
        late = self._in_a_row >= self.failures and not self._trial  # asked before others opened it
        self._in_a_row += 1
        self._trial = False
        if late or self._in_a_row < self.failures:
            return False
        self._until = now + self.pause
        self.opened += 1
        return True

    def left(self) -> None:
        """Nobody waited for the answer."""
        self._trial = False
