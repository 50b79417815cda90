"""Slots for commands at the backend, shared fairly: where some wait for a slot, their realms take turns.

Law: a slot that is released goes to whoever waits, and never to somebody who comes later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class FairLimiter:
    """`count` slots. A tenant whose commands take long makes another's wait for one slot, not for its whole queue."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queues: dict[str, deque[trio.Event]] = {}
        """Who waits, by realm, in the order of their turns; none is empty."""

    @asynccontextmanager
    async def slot(self, realm: str) -> AsyncIterator[None]:
        """A slot for as long as the block runs."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(realm)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, realm: str) -> None:
        turn = trio.Event()
        self._queues.setdefault(realm, deque()).append(turn)
        try:
            await turn.wait()
        except trio.Cancelled:
            if turn.is_set():  # in the same moment
                self._release()
            else:
                self._queues[realm].remove(turn)
                if not self._queues[realm]:
                    del self._queues[realm]
            raise

    def _release(self) -> None:
        if not self._queues:
            self._free += 1
            return
        realm = next(iter(self._queues))
        queue = self._queues.pop(realm)
        queue.popleft().set()
        if queue:
            self._queues[realm] = queue
