"""What the running daemon does for its hub: it makes the calls that are due, and asks about expired logins."""

from __future__ import annotations

import logging

import trio

from gatewayd.core.session import Session
from gatewayd.hub.grants import LOGIN_EXPIRED, judge_again
from gatewayd.hub.hub import Hub
from gatewayd.net.epoll import Epoll

log = logging.getLogger("gatewayd")


async def run_timers(hub: Hub, epoll: Epoll, catch_up_seconds: float) -> None:
    """Make the hub's calls when they are due, until cancelled.

    What lies in the sockets is read first, for `catch_up_seconds` at most: it may be the sign of life that a call asks
    about.
    """
    timers = hub.timers
    while True:
        woken = trio.Event()
        timers.woken = woken.set
        if timers.next <= trio.current_time():
            with trio.move_on_after(catch_up_seconds):
                await epoll.caught_up()
        while (call := timers.pop_due(trio.current_time())) is not None:
            try:
                call()
            except Exception:  # a bug of ours in one call must not stop all later ones
                hub.totals.faults += 1
                log.exception("fault in a timer")
        with trio.move_on_at(timers.next):
            await woken.wait()


class LoginJudge:
    """Asks auth about expired logins, so many at a time."""

    def __init__(self, hub: Hub, at_once: int) -> None:
        self._hub = hub
        self._room = trio.CapacityLimiter(at_once)

    async def judge(self, session: Session) -> None:
        """Ask about one session's login."""
        async with self._room:
            try:
                await judge_again(self._hub, session)
            except Exception:  # a bug of ours must not stop the daemon, nor leave a login without an end
                self._hub.totals.faults += 1
                log.exception("fault while asking about the login of session %s again", session.id)
                self._hub.end(session, LOGIN_EXPIRED)
