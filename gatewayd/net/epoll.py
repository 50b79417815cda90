"""All clients' sockets in one epoll: what has come is dealt with at once, and a client's own task sleeps on.

Waking a task for each message, and asking Trio for its socket again each time, costs more than most messages do.

Law 1: what is done here never waits and never raises: whatever goes wrong goes wrong in the client's own task.
Law 2: a socket is taken out before it is closed, since its number may be another one's a moment later.
"""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable
from typing import Protocol

import outcome
import trio

from gatewayd.config.limits import NetLimits

RECEIVE_BYTES = 65536

Take = Callable[[bytes], bool]
"""Takes what has come, b"" at the end; True when the waiting may go on."""

log = logging.getLogger("gatewayd.client")


class Heard(Protocol):
    """What can be waited for: a socket, or what is decrypted from one."""

    async def wait(self, take: Take) -> None:
        """Have `take` called with all that comes, until it returns False."""


class Epoll:
    """The sockets of one node, `most` of them heard before other tasks run.

    Use as a context manager, and keep `run` running inside it.
    """

    def __init__(self, most: int = NetLimits().sockets_in_a_row) -> None:
        self._most = most
        self._epoll: select.epoll | None = None
        self._ears: dict[int, Ear] = {}
        self._all_heard: trio.Event | None = None

    def __enter__(self) -> Epoll:
        self._epoll = select.epoll()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._epoll is not None:
            self._epoll.close()
        self._epoll = None

    async def run(self) -> None:
        """Hear whoever has something to say, until cancelled."""
        assert self._epoll is not None
        most = self._most
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            found = self._epoll.poll(0, most)
            for number, _ in found:
                ear = self._ears.get(number)
                if ear is not None:  # else it was taken out in this very round
                    ear.hear()
            if self._all_heard is not None and len(found) < most:
                self._all_heard.set()
                self._all_heard = None

    async def caught_up(self) -> None:
        """Wait until what lies in the sockets now has been read."""
        if self._epoll is None or not self._epoll.poll(0, 1):
            await trio.lowlevel.checkpoint()
            return
        if self._all_heard is None:
            self._all_heard = trio.Event()
        await self._all_heard.wait()

    def add(self, number: int, ear: Ear) -> None:
        """Ask for a socket from now on."""
        if self._epoll is not None:
            self._epoll.register(number, select.EPOLLIN)
            self._ears[number] = ear

    def remove(self, number: int) -> None:
        """Ask for it no more."""
        if self._ears.pop(number, None) is not None and self._epoll is not None:
            self._epoll.unregister(number)


class Ear:
    """One socket's place in the epoll, for the one task that reads it."""

    __slots__ = ("_epoll", "_listed", "_number", "_recv", "_take", "_task")

    def __init__(self, epoll: Epoll, sock: socket.socket) -> None:
        self._epoll = epoll
        self._number = sock.fileno()
        self._recv = sock.recv
        self._listed = False
        self._task: trio.lowlevel.Task | None = None
        self._take: Take = bool

    async def wait(self, take: Take) -> None:
        """Have `take` called with all that comes, until it returns False. Raises what it raises, or
        `trio.BrokenResourceError` when the connection is lost."""
        self._take = take
        self._task = trio.lowlevel.current_task()
        if not self._listed:
            self._listed = True
            self._epoll.add(self._number, self)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task, self._take = None, bool
        return trio.lowlevel.Abort.SUCCEEDED

    def behind(self) -> bool:
        """Whether something lies in the socket, or is being acted on."""
        if self._task is None:
            return True
        try:
            self._recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the connection was lost, which is not heard yet either
        return True

    def hear(self) -> None:
        """The socket has something."""
        if self._task is None:  # its task is busy with what came earlier: until it waits again, the kernel keeps it
            self.close()
            return
        try:
            data = self._recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._wake(outcome.Error(trio.BrokenResourceError("the connection was lost")))
            return
        try:
            if self._take(data):
                return
        except Exception as exc:  # noqa: BLE001  # any: it is raised again where it belongs
            self._wake(outcome.Error(exc))
        else:
            self._wake(outcome.Value(None))

    def _wake(self, result: outcome.Outcome[None]) -> None:
        task, self._task, self._take = self._task, None, bool
        if task is not None:
            trio.lowlevel.reschedule(task, result)
        elif isinstance(result, outcome.Error):  # what it heard has ended it meanwhile
            log.debug("after its end: %r", result.error)

    def close(self) -> None:
        """Take the socket out. Safe to call twice."""
        if self._listed:
            self._listed = False
            self._epoll.remove(self._number)
