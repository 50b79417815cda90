"""Logging that never stops the daemon: a bounded queue to a thread that writes.

A full stderr pipe would otherwise freeze every client; what does not fit is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


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
def logging_to_stderr(level: int, records: int) -> Iterator[BoundedHandler]:
    """Log for as long as the block runs, with a queue of so many records; what it holds at the end is still written."""
    stream = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        stream.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler = BoundedHandler(queue.Queue(records))
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
