"""Telling systemd how things stand: datagrams to the socket that it named (sd_notify(3)).

Law 1: what cannot be sent is dropped: systemd may be busy. Only the start and the stop wait a moment for it; while
clients are served, nothing does.
Law 2: the watchdog hears only of a loop that turns; nothing beside the loop may speak for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import trio


def notify(*lines: str, timeout: float = 1.0) -> bool:
    """Send lines such as "READY=1"; False when not under systemd, nobody listens, or nobody reads in time.

    The event loop waits for up to `timeout` seconds.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(timeout)
            sock.sendto("\n".join(lines).encode(), address)
    except OSError:
        return False
    return True


def watchdog_seconds() -> float | None:
    """After how much silence systemd kills this process (`WatchdogSec=`, sd_watchdog_enabled(3)); None for never."""
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", ""))
        meant = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and meant == os.getpid() else None


async def beat(status: Callable[[], str], seconds: float) -> None:
    """Tell systemd from time to time that the loop turns, and how the daemon is doing; ends at once without systemd.

    Every so many `seconds`, or as often as the watchdog wants it. A loop that is stuck does not come round to this
    task, and with `WatchdogSec=` set systemd restarts the daemon.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    patience = watchdog_seconds()
    # A third: one late beat on a busy machine is not yet a reason to be killed.
    pause = seconds if patience is None else min(seconds, patience / 3)
    while True:
        await trio.sleep(pause)
        notify("WATCHDOG=1", f"STATUS={status()}", timeout=0.0)
