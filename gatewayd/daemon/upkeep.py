"""What the running daemon does for its hub: it makes the calls that are due, and asks about expired logins."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

import trio

from gatewayd.config.limits import DaemonLimits
from gatewayd.hub.hub import Hub
from gatewayd.net.epoll import Epoll

log = logging.getLogger("gatewayd")


async def run_timers(hub: Hub, epoll: Epoll, limits: DaemonLimits) -> None:
    """Make the hub's calls when they are due, until cancelled, and wait for what they have to wait for.

    What lies in the sockets is read first, for `catch_up_seconds` at most: it may be the sign of life that a call asks
    about.
    """
    async with trio.open_nursery() as nursery:
        await _make_calls(hub, epoll, nursery, limits)


async def _make_calls(hub: Hub, epoll: Epoll, nursery: trio.Nursery, limits: DaemonLimits) -> None:
    timers, room = hub.timers, trio.CapacityLimiter(limits.logins_at_once)
    while True:
        if timers.next <= trio.current_time():
            with trio.move_on_after(limits.catch_up_seconds):
                await epoll.caught_up()
        while (call := timers.pop_due(trio.current_time())) is not None:
            try:
                later = call()
                if later is not None:
                    nursery.start_soon(_wait, later, room)
            except Exception:  # a bug of ours in one call must not stop all later ones
                hub.totals.faults += 1
                log.exception("fault in a timer")
        woken = trio.Event()
        with trio.move_on_at(timers.when_earlier(woken.set)):
            await woken.wait()


async def _wait(later: Coroutine[Any, Any, None], room: trio.CapacityLimiter) -> None:
    async with room:
        await later
