"""Answers that were given lately, by the publisher's own id: the same id twice publishes once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

KEEP_SECONDS = 300.0
KEEP_COUNT = 100_000


class Remembered:
    """Bounded in time and number. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, tuple[float, Any]] = OrderedDict()

    def get(self, key: str, now: float) -> Any:
        """The answer that was given to this id, or None."""
        self._forget(now)
        entry = self._answers.get(key)
        return None if entry is None else entry[1]

    def put(self, key: str, answer: Any, now: float) -> None:
        """Remember an answer; the oldest gives way."""
        self._answers[key] = (now + KEEP_SECONDS, answer)
        if len(self._answers) > KEEP_COUNT:
            self._answers.popitem(last=False)

    def _forget(self, now: float) -> None:
        while self._answers and next(iter(self._answers.values()))[0] <= now:
            self._answers.popitem(last=False)
