"""Logging that never stops the daemon: a bounded queue to a thread that writes, and a bound on what strangers cause.

A full stderr pipe would otherwise freeze every client; what does not fit is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from logging.handlers import QueueHandler, QueueListener

from attrs import define

QUEUE_RECORDS = 10_000
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


@define
class _Period:
    """What became of one kind of line since its period began."""

    end: float
    lines: int = 0
    left_out: int = 0
    last: tuple[object, ...] = ()


Kind = tuple[logging.Logger, int, str, str]


class Sampled:
    """Writes lines that strangers can cause: of each kind the first few in a period, then the last one and a count.

    A kind is a message before its arguments are put in, and what `kind` adds to that: of a set that the code bounds.
    `later(when, call)` makes a call at a time of `clock`; without it, a count is only said when its kind comes again.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], object] | None = None, *, period: float = 10.0,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._later = later
        self._period = period
        self._periods: dict[Kind, _Period] = {}

    def log(
        self, log: logging.Logger, level: int, message: str, *args: object, kind: str = "", first: int = 10,
        exc_info: bool = False,
    ) -> None:  # fmt: skip
        """Log the line, or count it where there were `first` of its kind in this period."""
        if not log.isEnabledFor(level):
            return
        key, now = (log, level, message, kind), self._clock()
        period = self._periods.get(key)
        if period is None or now >= period.end:
            if period is not None:
                self._close(key, period)
            period = self._periods[key] = _Period(now + self._period)
        if period.lines < first:
            period.lines += 1
            log.log(level, message, *args, exc_info=exc_info)
            return
        if not period.left_out and self._later is not None:
            self._later(period.end, partial(self._close, key, period))
        period.left_out += 1
        period.last = args

    def _close(self, key: Kind, period: _Period) -> None:
        """The period is over: say what was left out. Safe to call twice."""
        if self._periods.get(key) is not period:
            return
        del self._periods[key]
        if period.left_out:
            log, level, message, _ = key
            log.log(level, message + " (the last of %d such lines that were left out)", *period.last, period.left_out)


class BoundedHandler(QueueHandler):
    """Puts records into the queue, or drops and counts them."""

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Never waits."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class JournalFormatter(logging.Formatter):
    """For systemd's journal: a priority in front (sd-daemon(3)), and no time, which the journal adds itself."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; what follows a line break is indented by the journal's own rules."""
        return f"<{PRIORITIES.get(record.levelno, 5)}>{super().format(record)}"


@contextmanager
def logging_to_stderr(level: int) -> Iterator[BoundedHandler]:
    """Log for as long as the block runs; what is queued at its end is still written."""
    stream = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        stream.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler = BoundedHandler(queue.Queue(QUEUE_RECORDS))
    listener = QueueListener(handler.queue, stream)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(max(level, logging.WARNING))  # else one line, with the URL, for every request
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    listener.start()  # its thread inherits the mask: a signal that is held back must not be taken there
    signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        listener.stop()
