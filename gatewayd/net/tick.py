"""A tick is one round of Trio's loop: what is queued within one is written at its end, in one write per client.

Law 1: nothing waits longer than the tick in which it was queued: there is no scope to open and no flush to forget.
Law 2: at the end of a tick nothing may be scheduled, since Trio has already decided how long to sleep. What the kernel
does not take at once is handed to the client's own writer task, by the one call that wakes the loop.
"""

from __future__ import annotations

import logging
from typing import Protocol

import trio

from gatewayd.core.outbox import Pace
from gatewayd.net.clock import SteadyClock

log = logging.getLogger("gatewayd.client")


class Flushable(Protocol):
    """Has something to write at the end of the tick."""

    def write_now(self) -> bool:
        """Write without waiting; False when that is not all of it."""

    def write_later(self) -> None:
        """Start a task that writes the rest."""


class Tick(trio.abc.Instrument, Pace):
    """The writers with something to write in the running tick, and the `Pace` of every outbox. One for the node.

    Use as a context manager inside `trio.run`.
    """

    def __init__(self, clock: SteadyClock | None = None) -> None:
        self._clock = clock or SteadyClock()
        self._dirty: list[Flushable] = []
        self._blocked: list[Flushable] = []
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

    def add(self, writer: Flushable) -> None:
        """Write for this one when the tick ends. It must add itself only once a tick."""
        self._dirty.append(writer)

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
        dirty, self._dirty = self._dirty, []
        for writer in dirty:
            try:
                done = writer.write_now()
            except Exception:  # an exception that leaves here would switch the instrument off
                log.exception("fault while writing at the end of a tick")
                done = False
            if not done:
                self._blocked.append(writer)
        self._clock.expire()  # again: a write may have asked for the time
        if self._blocked and self._token is not None:
            self._token.run_sync_soon(self._hand_over)

    def _hand_over(self) -> None:
        blocked, self._blocked = self._blocked, []
        for writer in blocked:
            writer.write_later()
