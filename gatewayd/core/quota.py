"""How many messages one client may send: so many in all before it identifies, then at its rate."""

from __future__ import annotations

import math

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.settings import Settings


class Quota:
    """Messages of one client. Before identify a heartbeat counts like any; then heartbeats have a rate of their own."""

    __slots__ = ("_beats", "_messages", "_rate", "_since", "_unidentified")

    def __init__(self, settings: Settings) -> None:
        self._unidentified = settings.unidentified_messages
        self._rate = settings.rate_limit
        self._since = -math.inf
        self._messages = self._beats = 0

    def count(self, number: int, now: float, *, heartbeat: bool, identified: bool) -> bool:
        """Count a message, the client's `number`th; False where no later one needs to be. Raises `Disconnect`."""
        if not identified and number > self._unidentified:
            raise Disconnect(Cause.RATE_LIMITED, f"more than {self._unidentified} messages before identify")
        rate = self._rate
        if rate is None:
            return not identified
        if now - self._since >= rate.period:
            self._since = now
            self._messages = self._beats = 0
        if heartbeat:
            self._beats += 1
        else:
            self._messages += 1
        if max(self._messages, self._beats) > rate.count:
            raise Disconnect(Cause.RATE_LIMITED, f"more than {rate.count} messages in {rate.period:g} s")
        return True
