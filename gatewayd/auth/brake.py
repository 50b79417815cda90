"""Wrong keys from one address: the first few are answered at once, the refusal of each further one later.

Law 1: a right key never waits; nor does anybody else at the same address.
Law 2: the table is bounded: the address that has been quiet for longest gives way.
"""

from __future__ import annotations

from collections.abc import Mapping

import trio
from attrs import define

from gatewayd.config.limits import BrakeLimits


@define
class _Wrong:
    """How many wrong keys an address has shown since then."""

    since: float
    count: int = 0


class Brake:
    """The wrong keys of a node."""

    def __init__(self, limits: BrakeLimits = BrakeLimits()) -> None:
        self._limits = limits
        self._wrong: dict[str, _Wrong] = {}
        self._delayed = 0
        self._waiting = 0

    async def hold_back(self, address: str) -> None:
        """One more wrong key from there: wait as long as its answer has to."""
        pause = self._pause(address, trio.current_time())
        if pause:
            self._delayed += 1
            self._waiting += 1
            try:
                await trio.sleep(pause)
            finally:
                self._waiting -= 1

    def _pause(self, address: str, now: float) -> float:
        limits = self._limits
        wrong = self._wrong.pop(address, None)
        if wrong is None or now - wrong.since >= limits.period:
            wrong = _Wrong(now)
        wrong.count += 1
        self._wrong[address] = wrong  # the newest stands last
        if len(self._wrong) > limits.addresses:
            del self._wrong[next(iter(self._wrong))]
        over = wrong.count - limits.free
        return min(limits.longest_pause, limits.first_pause * 2.0 ** min(over - 1, 64)) if over > 0 else 0.0

    def status(self) -> Mapping[str, int]:
        """Refusals that were delayed, those that are waiting now, and addresses that are remembered."""
        return {"delayed": self._delayed, "waiting": self._waiting, "addresses": len(self._wrong)}
