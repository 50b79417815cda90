"""The signals that stop the daemon, from its first moment to its last.

Law 1: whenever one comes, the process ends with 0: at once while there is nothing to clear away, else in order.
Law 2: this file imports next to nothing, since it is at work while everything else is imported.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP stops a daemon whose terminal is closed, and is only logged where there is none."""


class Stopped(Exception):
    """A signal came before anything was served."""


def exit_when_told() -> None:
    """From now on a signal ends the process: nothing is bound, and the journal withstands worse."""
    for number in STOP_SIGNALS:
        signal.signal(number, _exit)


def _exit(number: int, _frame: object) -> None:
    if _means_it(number):
        os._exit(0)  # not SystemExit, which would be lost in a destructor or a callback of the collector


@contextmanager
def held() -> Iterator[None]:
    """Signals wait, until the block is over or `release` is called: sockets are bound, nobody listens for signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release() -> None:
    """Let the signals come that were held."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def check() -> None:
    """Raises `Stopped` where a signal that stops the daemon is held."""
    if any(_means_it(number) for number in signal.sigpending() & set(STOP_SIGNALS)):
        raise Stopped


async def told_to_stop(signals: AsyncIterator[int]) -> str:
    """Wait for a signal that means it; its name."""
    async for number in signals:
        if _means_it(number):
            return signal.Signals(number).name
        import logging  # here: to import it takes as long as all that has to be there before a signal may come

        logging.getLogger("gatewayd").warning(
            "SIGHUP: the configuration is not read again by this version; restart to change it"
        )
    raise AssertionError("signals never end")


def _means_it(number: int) -> bool:
    return number != signal.SIGHUP or sys.stderr.isatty()
