"""How often something may happen, how long it takes, and what is due later."""

from typing import NewType, Protocol

import attrs

Seconds = NewType("Seconds", float)
"""A duration in seconds; in the configuration also written as text, such as "30s" or "500ms"."""


@attrs.frozen
class Rate:
    """At most `count` times in any `period` (seconds)."""

    count: int
    period: float


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Let it not happen; harmless when it has."""
