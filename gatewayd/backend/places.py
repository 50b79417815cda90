"""So many commands at the backend at a time; of those who wait for a place, the realms take turns.

Law: a place that is given back goes to whoever waits, and never to somebody who comes later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Places:
    """`count` places. A tenant whose commands take long makes another's wait for one place, not for its whole line."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lines: dict[str, deque[trio.Event]] = {}
        """Who waits, by realm, in the order of their turns; none is empty."""

    @asynccontextmanager
    async def one(self, realm: str) -> AsyncIterator[None]:
        """A place for as long as the block runs."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(realm)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, realm: str) -> None:
        turn = trio.Event()
        self._lines.setdefault(realm, deque()).append(turn)
        try:
            await turn.wait()
        except trio.Cancelled:
            if turn.is_set():  # in the same moment
                self._pass_on()
            else:
                self._lines[realm].remove(turn)
                if not self._lines[realm]:
                    del self._lines[realm]
            raise

    def _pass_on(self) -> None:
        if not self._lines:
            self._free += 1
            return
        realm = next(iter(self._lines))
        line = self._lines.pop(realm)
        line.popleft().set()
        if line:
            self._lines[realm] = line
