"""A client's WebSocket pings, as far as anything above the socket asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Pings(Protocol):
    """Questions that the client's WebSocket answers by itself, whatever its program does."""

    def ping(self, told: Callable[[], None]) -> None:
        """Ask for a pong; `told` is called when it comes: all that was said before the ping has arrived."""

    async def alive(self, within: float) -> bool:
        """Whether the client answers a ping within so many seconds."""


class NoPings:
    """Those of a client that has no socket, or none any more."""

    def ping(self, told: Callable[[], None]) -> None:
        """No pong will come."""

    async def alive(self, within: float) -> bool:
        """Nobody answers."""
        return False


NO_PINGS = NoPings()
