"""A plugin of pytest: no test takes longer than `limit_seconds`, and one that does fails alone.

pytest-timeout raises wherever the program happens to be. Where that is Trio's own loop, which it is while all tasks
sleep, the next test finds Trio in the middle of a run. Here the run is ended in Trio's own way first.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from typing import Any

import pytest
import trio

GRACE = 5.0
"""Seconds from the end of a Trio run that was asked for to the end of whatever does not let itself be ended."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make it known."""
    parser.addini("limit_seconds", "how long a test may take, its fixtures included", default="120")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Set an alarm for each test."""
    seconds = float(item.config.getini("limit_seconds"))
    asked = False

    def expire(*_: object) -> None:
        nonlocal asked
        said = f"the test took longer than {seconds:g} s"
        if not trio.lowlevel.in_trio_run() or (asked and trio.lowlevel.in_trio_task()):
            pytest.fail(said)
        if asked:  # a task that cannot be cancelled sleeps: there is no way out of Trio's loop
            pytest.exit(f"{item.nodeid}: {said}, and cannot be ended", returncode=pytest.ExitCode.INTERNAL_ERROR)

        def end() -> None:
            raise TimeoutError(said)

        asked = True
        trio.lowlevel.current_trio_token().run_sync_soon(end)  # all tasks are cancelled, and the run ends with this

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, min(seconds, GRACE))
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
