"""When frames may leave, and the ways of writing that all outboxes of a node share: what its tick offers them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Protocol


class Fan(Protocol):
    """Writes to many plain sockets without waiting."""

    def write(self, descriptors: array[int], data: bytes) -> list[int] | None:
        """The same to all. None: each took all of it; else how many bytes each took, 0 where it failed."""

    def write_each(self, descriptors: array[int], frames: Sequence[bytes]) -> list[int] | None:
        """To each its own; the answer as above."""


class Flushable(Protocol):
    """Has something to write at the end of the tick."""

    def write_now(self) -> bool:
        """Write without waiting; False when that is not all of it."""

    def write_later(self) -> None:
        """Start a task that writes the rest."""


class Pace:
    """Tells when a frame may leave at once: the first one of a client's in a tick, unless all is held. In this class
    itself everything is held.
    """

    number = 0
    """Of the tick."""
    held = True
    """Whether even a lone frame waits for the end of this tick, since more are coming."""
    apart = 32
    """Ticks for which a client that was called away from its sets joins none."""
    fan: Fan
    """Writes for sets of clients."""

    def add(self, item: Flushable) -> None:
        """Have it write when the tick ends; once a tick."""

    def soon(self, call: Callable[[], object]) -> None:
        """Call it before long: at the end of a tick no task can be stopped."""
