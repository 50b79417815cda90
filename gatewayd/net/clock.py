"""The daemon's clock: monotonic, but it stands still while the event loop does.

A process that was stopped (SIGSTOP, a debugger, a suspended container) or that blocked for seconds has not heard its
clients meanwhile. All liveness is judged by `trio.current_time()`, so a clock that leaves the stall out moves every
deadline by it: heartbeats, identify and handshake timeouts, resume windows, write deadlines, waits of the admin API.

Law 1: the clock is read once a turn of the loop. Within a turn time does not pass, and to ask for it costs nothing.
Law 2: a turn that took longer than `stall` seconds counts as one `tick`. Not as nothing: where every turn is slow,
deadlines are late, and still come.
Law 3: the loop never sleeps longer than `tick`, so that a long turn is always a stall and never a quiet hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import trio

log = logging.getLogger("gatewayd")


class SteadyClock(trio.abc.Clock):
    """For `trio.run`. Who knows of the end of a turn, which is `net.tick`, sets `stale`.

    Trio asks for the time in each turn, right after it has waited for the outside and before it expires deadlines.
    """

    def __init__(
        self, *, tick: float = 0.5, stall: float = 1.0, source: Callable[[], float] = time.perf_counter
    ) -> None:
        self._tick = tick
        self._stall = stall
        self._source = source
        self.stale = True
        """The turn is over: whoever asks next, looks."""
        self._turned = self._now = source()
        self._lost = 0.0  # what the clock is behind its source
        self.stalls = 0
        self.longest = 0.0
        """Of the stalls, in seconds."""
        self.last: tuple[float, float] | None = None
        """The latest stall: when it was over, by the source, and how many seconds it took."""

    def start_clock(self) -> None:
        """Trio begins."""
        self._turned = self._source()
        self._lost = self._turned - self._now

    def current_time(self) -> float:
        """Of this turn of the loop."""
        if self.stale:
            self._look()
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Until the deadline, or until the next tick. The turn is over when this is asked for."""
        self.stale = True
        return min(deadline - (self._source() - self._lost), self._tick)

    def _look(self) -> None:
        """A turn begins: until now nothing that came meanwhile was read, and no deadline was judged."""
        self.stale = False
        at = self._source()
        took = at - self._turned
        self._turned = at
        if took > self._stall:
            self._lost += took - self._tick
            self._noted(took)
        self._now = at - self._lost

    def excuse(self) -> None:
        """What this turn took until now was work that had to be done: it is left out, and is no stall."""
        at = self._source()
        self._lost += at - self._turned
        self._turned = at

    def _noted(self, took: float) -> None:
        self.stalls += 1
        self.longest = max(self.longest, took)
        self.last = (self._turned, took)
        log.warning("the event loop stalled for %.1f s: all deadlines are moved by that", took)

    def status(self) -> dict[str, Any]:
        """What `/v1/status` shows."""
        last = None
        if self.last is not None:
            at, took = self.last
            last = {"seconds": round(took, 3), "ago": round(self._source() - at, 3)}
        return {"stalls": self.stalls, "longest": round(self.longest, 3), "last": last}
