"""How much one client may send, in messages and in bytes: so much in all before it identifies, then at its rate."""

from __future__ import annotations

import math

from attrs import evolve, frozen

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.rate import Rate

FRAMING = 16384
"""What the frames of one message may add to it: 1,024 headers of 14 bytes, and control frames between."""

FIRST_MESSAGE = 65536
"""Bytes of a message that may be needed to identify, where larger ones are allowed."""


@frozen
class Intake:
    """Bytes from one client: `unidentified` in all before it identifies, then `burst` at once and `per_second`."""

    unidentified: int = 65536
    burst: int = 1048576
    per_second: int = 262144

    def holding(self, message: int) -> Intake:
        """The same with room for one message of that size, which has its own bound; before identify, a first one."""
        first = min(message, FIRST_MESSAGE) + FRAMING
        return evolve(self, unidentified=max(self.unidentified, first), burst=max(self.burst, message + FRAMING))

    def refilled(self, left: float, seconds: float, identified: bool) -> float:  # noqa: FBT001, RUF100
        """What the client may send, so long after `left` was all. Raises `Disconnect` where it has sent more."""
        if not identified:
            raise Disconnect(Cause.RATE_LIMITED, f"more than {self.unidentified} bytes before identify")
        left = min(self.burst, left + seconds * self.per_second)
        if left < 0:
            text = f"more than {self.burst} bytes at once, or {self.per_second} a second"
            raise Disconnect(Cause.RATE_LIMITED, text)
        return left


class Quota:
    """Messages of one client. Before identify a heartbeat counts like any; then heartbeats have a rate of their own."""

    __slots__ = ("_beats", "_messages", "_rate", "_since", "_unidentified")

    def __init__(self, unidentified: int, rate: Rate | None) -> None:
        self._unidentified = unidentified
        self._rate = rate
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
