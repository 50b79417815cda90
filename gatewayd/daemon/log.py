"""Logging that never stops the daemon: a bounded queue to a thread that writes.

A full stderr pipe would otherwise freeze every client; what does not fit is dropped and counted.

Law: a line is written at once, and what follows within a moment together. A thread that wakes for every line takes
the interpreter from the loop each time, which costs more than the line.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TextIO

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
MOMENT = 0.02
"""Seconds between two writes, if there is so much to write."""


class BoundedHandler(logging.Handler):
    """Puts lines into a queue of at most `most`, or drops and counts them."""

    def __init__(self, lines: queue.SimpleQueue[str | None], most: int) -> None:
        super().__init__()
        self.lines = lines
        self.most = most
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits."""
        if self.lines.qsize() >= self.most:
            self.dropped += 1
            return
        try:
            self.lines.put(self.format(record) + "\n")
        except Exception:  # noqa: BLE001  # whatever is wrong in its arguments must not end what it tells of
            self.handleError(record)


class TimeFormatter(logging.Formatter):
    """For people: with the time, whose date and second are the same for many lines."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Local time with milliseconds."""
        return f"{_second(int(record.created))},{int(record.msecs):03d}"


class JournalFormatter(logging.Formatter):
    """For systemd's journal: a priority in front (sd-daemon(3)), and no time, which the journal adds itself."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; what follows a line break is indented by the journal's own rules."""
        return f"<{PRIORITIES.get(record.levelno, 5)}>{super().format(record)}"


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def _write(stream: TextIO, lines: queue.SimpleQueue[str | None], ended: threading.Event) -> None:
    """Write what comes, up to None."""
    line: str | None = ""
    while line is not None:
        line = lines.get()
        text = []
        while line is not None:
            text.append(line)
            if lines.empty():
                break
            line = lines.get()
        try:
            stream.write("".join(text))
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it: it was closed, or its reader is gone
        ended.wait(MOMENT)


@contextmanager
def logging_to_stderr(level: int, records: int) -> Iterator[BoundedHandler]:
    """Log for as long as the block runs, with a queue of so many lines; what it holds at the end is still written."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    ended = threading.Event()
    handler = BoundedHandler(lines, records)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(TimeFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line shows them
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(max(level, logging.WARNING))  # else one line, with the URL, for every request
    writer = threading.Thread(target=_write, args=(sys.stderr, lines, ended), name="log", daemon=True)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    writer.start()  # it inherits the mask: a signal that is held back must not be taken there
    signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        lines.put(None)
        ended.set()
        writer.join()
