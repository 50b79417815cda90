"""How often something may happen, and how long it takes: the two plain numbers that settings are made of."""

from typing import NewType

import attrs

Seconds = NewType("Seconds", float)
"""A duration in seconds; in the configuration also written as text, such as "30s" or "500ms"."""


@attrs.frozen
class Rate:
    """At most `count` times in any `period` (seconds)."""

    count: int
    period: float
