"""The daemon's clock: monotonic, but it stands still while the event loop does.

A process that was stopped (SIGSTOP, a debugger, a suspended container) or that blocked for seconds has not read from
its clients meanwhile. All liveness is judged by `trio.current_time()`, so a clock that leaves the stall out moves every
deadline by it: heartbeats, identify and handshake timeouts, resume windows, write deadlines, waits of the admin API.

Law 1: the clock is read once a tick. Within a tick no time passes, and asking for it costs nothing.
Law 2: a tick that took longer than `stall` seconds counts as `longest_sleep`. Not as nothing: where every tick is slow,
deadlines come late, but they come.
Law 3: the loop never sleeps longer than `longest_sleep`, so that a long tick is always a stall and never a quiet hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import trio

log = logging.getLogger("gatewayd")


class SteadyClock(trio.abc.Clock):
    """For `trio.run`. `net/tick.py` calls `expire` at the end of each tick.

    Trio asks for the time in each tick, right after it has waited for the outside and before it expires deadlines.
    """

    def __init__(
        self, *, longest_sleep: float = 0.5, stall: float = 1.0, source: Callable[[], float] = time.perf_counter
    ) -> None:
        self._longest_sleep = longest_sleep
        self._stall = stall
        self._source = source
        self._stale = True  # the tick is over: the next one who asks reads the source
        self._began = self._now = source()
        self._lost = 0.0  # what the clock is behind its source
        self.stalls = 0
        self.longest = 0.0
        """Of the stalls, in seconds."""
        self.last: tuple[float, float] | None = None
        """The latest stall: when it was over, by the source, and how many seconds it took."""

    def expire(self) -> None:
        """The tick is over: the time is read anew when it is asked for next."""
        self._stale = True

    def start_clock(self) -> None:
        """Trio begins."""
        self._began = self._source()
        self._lost = self._began - self._now

    def current_time(self) -> float:
        """The time of this tick."""
        if self._stale:
            self._read()
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Until the deadline, and no longer than `longest_sleep`. The tick is over when Trio asks for this."""
        self._stale = True
        return min(deadline - (self._source() - self._lost), self._longest_sleep)

    def _read(self) -> None:
        """A tick begins: until now nothing that came meanwhile was read, and no deadline was judged."""
        self._stale = False
        at = self._source()
        took = at - self._began
        self._began = at
        if took > self._stall:
            self._lost += took - self._longest_sleep
            self._noted(took)
        self._now = at - self._lost

    def excuse(self) -> None:
        """What this tick took until now was necessary work: it is left out, and is no stall."""
        at = self._source()
        self._lost += at - self._began
        self._began = at

    def _noted(self, took: float) -> None:
        self.stalls += 1
        self.longest = max(self.longest, took)
        self.last = (self._began, took)
        log.warning("the event loop stalled for %.1f s: all deadlines are moved by that", took)

    def status(self) -> dict[str, Any]:
        """What `/v1/status` shows."""
        last = None
        if self.last is not None:
            at, took = self.last
            last = {"seconds": round(took, 3), "ago": round(self._source() - at, 3)}
        return {"stalls": self.stalls, "longest": round(self.longest, 3), "last": last}
