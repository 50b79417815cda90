"""Writes to many sockets in one go: `os.write` mapped over their descriptors, a loop that runs in C.

Law 1: nothing here waits or raises. A socket that takes no more, or fails, took 0 bytes: the error is met by whoever
writes the rest, in that client's own task.
Law 2: nothing is kept between two calls. A descriptor is used in the call that names it, and never after.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat


class Fan:
    """The way of writing that works everywhere, with `os.write`; the sockets are non-blocking.

    Use as a context manager, in the thread that writes.
    """

    def __enter__(self) -> Fan:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    @property
    def way(self) -> str:
        """How it writes, for people."""
        return "os.write"

    def write(self, descriptors: array[int], data: bytes) -> list[int] | None:
        """Write the same bytes to all. None: each took all of it; else how many bytes each took, in their order."""
        taken = _take_all(map(os.write, descriptors, repeat(data)))
        return None if taken.count(len(data)) == len(taken) else taken

    def write_each(self, descriptors: array[int], frames: Sequence[bytes]) -> list[int] | None:
        """Write to each its own bytes; the answer is that of `write`."""
        taken = _take_all(map(os.write, descriptors, frames))
        return None if taken == list(map(len, frames)) else taken


def _take_all(writes: Iterator[int]) -> list[int]:
    """The result of each write, 0 where it fails: a `map` goes on behind an exception, with the next descriptor."""
    taken: list[int] = []
    while True:
        try:
            taken.extend(writes)
        except OSError:
            taken.append(0)
        else:
            return taken
