"""What is said within one tick of the loop has left at its end, joined into as few writes as can be.

Law 1: nothing waits longer than the tick in which it was said, whoever said it: no scope to open, no flush to forget.
Law 2: at the end of a tick nothing may be scheduled, since Trio has already decided how long to sleep. What the
kernel does not take at once is handed to the client's own writer task, over the one call that wakes the loop.
"""

from __future__ import annotations

import logging
from typing import Protocol

import trio

from gatewayd.net.clock import SteadyClock

log = logging.getLogger("gatewayd.client")


class Speaker(Protocol):
    """Who has something to say at the end of the tick."""

    def write_now(self) -> bool:
        """Write without waiting; False when that is not all of it."""

    def write_later(self) -> None:
        """Have the rest written by a task."""


class Tick(trio.abc.Instrument):
    """The speakers of the running tick, and the `Pace` of every outbox. One serves the whole node.

    Use as a context manager inside `trio.run`.
    """

    def __init__(self, clock: SteadyClock | None = None) -> None:
        self._clock = clock or SteadyClock()
        self._speakers: list[Speaker] = []
        self._blocked: list[Speaker] = []
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

    def add(self, speaker: Speaker) -> None:
        """Write for this one when the tick ends. A speaker sees to it that it is added once."""
        self._speakers.append(speaker)

    def hold(self) -> None:
        """More is being said in this tick: even a lone frame waits for its end, to leave with what follows."""
        self.held = True

    def before_io_wait(self, _timeout: float) -> None:
        """Trio is about to wait for the outside: the tick is over."""
        self.number += 1
        self.held = False
        self._clock.expire()
        if not self._speakers:
            return
        speakers, self._speakers = self._speakers, []
        for speaker in speakers:
            try:
                done = speaker.write_now()
            except Exception:  # an exception that left here would switch the whole instrument off
                log.exception("fault while writing at the end of a tick")
                done = False
            if not done:
                self._blocked.append(speaker)
        self._clock.expire()  # again: a write may have asked for the time
        if self._blocked and self._token is not None:
            self._token.run_sync_soon(self._hand_over)

    def _hand_over(self) -> None:
        blocked, self._blocked = self._blocked, []
        for speaker in blocked:
            speaker.write_later()
