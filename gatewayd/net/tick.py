"""A tick is one round of Trio's loop: what is queued within one is written at its end, in one write per client.

Law 1: nothing waits longer than the tick in which it was queued: there is no scope to open and no flush to forget.
Law 2: at the end of a tick nothing may be scheduled, since Trio has already decided how long to sleep. What the kernel
does not take at once is handed to the client's own writer task, by the one call that wakes the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from gatewayd.core import pace
from gatewayd.net.clock import SteadyClock
from gatewayd.net.fan import Fan

log = logging.getLogger("gatewayd.client")


class Tick(trio.abc.Instrument, pace.Pace):
    """The writers with something to write in the running tick, and the `Pace` of every outbox. One for the node.

    Use as a context manager inside `trio.run`.
    """

    def __init__(self, clock: SteadyClock | None = None, fan: pace.Fan | None = None) -> None:
        self.fan = fan or Fan()
        self._clock = clock or SteadyClock()
        self._dirty: list[pace.Flushable] = []
        self._blocked: list[pace.Flushable] = []
        self._token: trio.lowlevel.TrioToken | None = None
        self.number = 0
        self.held = False

    def __enter__(self) -> Tick:
        self._token = trio.lowlevel.current_trio_token()
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *exc: object) -> None:
        trio.lowlevel.remove_instrument(self)
        self._token = None

    def add(self, writer: pace.Flushable) -> None:
        """Write for this one when the tick ends. It must add itself only once a tick."""
        self._dirty.append(writer)

    def soon(self, call: Callable[[], object]) -> None:
        """Call it in the next tick, which begins at once."""
        if self._token is not None:
            self._token.run_sync_soon(call)

    def hold(self) -> None:
        """More follows in this tick: even a lone frame waits for its end, to leave in one write with the rest."""
        self.held = True

    def before_io_wait(self, _timeout: float) -> None:
        """Trio is about to wait for I/O: the tick is over."""
        self.number += 1
        self.held = False
        self._clock.expire()
        if not self._dirty:
            return
        for writer in self._dirty:  # some add others: what a member of a set did not take
            try:
                done = writer.write_now()
            except Exception:  # an exception that leaves here would switch the instrument off
                log.exception("fault while writing at the end of a tick")
                done = False
            if not done:
                self._blocked.append(writer)
        self._dirty.clear()
        self._clock.expire()  # again: a write may have asked for the time
        if self._blocked and self._token is not None:
            self._token.run_sync_soon(self._hand_over)

    def _hand_over(self) -> None:
        blocked, self._blocked = self._blocked, []
        for writer in blocked:
            writer.write_later()
