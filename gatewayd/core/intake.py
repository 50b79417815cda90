"""How many bytes one client may send: so many in all before it identifies, then at its rate."""

from __future__ import annotations

from attrs import evolve, frozen

from gatewayd.core.close import Cause, Disconnect

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
        """The same, where one message of that size always fits: its own bound says whether it is too big.

        Before identify one of `FIRST_MESSAGE` does: nobody has more to say then.
        """
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
