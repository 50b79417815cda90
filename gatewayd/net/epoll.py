"""All clients' sockets in one epoll: data is handled as it is read, while the client's own task sleeps.

Waking a task for each message, and registering its socket with Trio each time, costs more than most messages do.

Law 1: the code here never waits and never raises: an error is raised in the client's own task.
Law 2: a socket is removed before it is closed, since the kernel may give its number to another one at once.
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
"""The buffer of one read."""

OnData = Callable[[bytes], bool]
"""Called with what was read, b"" at the end of the stream; returns whether to go on reading."""

log = logging.getLogger("gatewayd.client")


class Reader(Protocol):
    """A socket, or what is decrypted from one."""

    async def read(self, on_data: OnData, most: int = RECEIVE_BYTES) -> None:
        """Call `on_data` with all that is read, at most so many bytes at a time, until it returns False."""


class Epoll:
    """The sockets of one node; `most` of them are read before other tasks run.

    Use as a context manager, and keep `run` running inside it.
    """

    def __init__(self, most: int = NetLimits().sockets_in_a_row) -> None:
        self._most = most
        self._epoll: select.epoll | None = None
        self._readers: dict[int, SocketReader] = {}
        self._all_read: trio.Event | None = None

    def __enter__(self) -> Epoll:
        self._epoll = select.epoll()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._epoll is not None:
            self._epoll.close()
        self._epoll = None

    async def run(self) -> None:
        """Read every socket that has data, until cancelled."""
        assert self._epoll is not None
        most = self._most
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            found = self._epoll.poll(0, most)
            for number, _ in found:
                reader = self._readers.get(number)
                if reader is not None:  # else it was removed in this very round
                    reader.on_readable()
            if self._all_read is not None and len(found) < most:
                self._all_read.set()
                self._all_read = None

    async def caught_up(self) -> None:
        """Wait until everything that is in the sockets now has been read."""
        if self._epoll is None or not self._epoll.poll(0, 1):
            await trio.lowlevel.checkpoint()
            return
        if self._all_read is None:
            self._all_read = trio.Event()
        await self._all_read.wait()

    def add(self, number: int, reader: SocketReader) -> None:
        """Watch a socket from now on."""
        if self._epoll is not None:
            self._epoll.register(number, select.EPOLLIN)
            self._readers[number] = reader

    def remove(self, number: int) -> None:
        """Watch it no longer."""
        if self._readers.pop(number, None) is not None and self._epoll is not None:
            self._epoll.unregister(number)


class SocketReader:
    """One socket in the epoll, for the one task that reads it."""

    __slots__ = ("_added", "_epoll", "_most", "_number", "_on_data", "_recv", "_task")

    def __init__(self, epoll: Epoll, sock: socket.socket) -> None:
        self._epoll = epoll
        self._number = sock.fileno()
        self._recv = sock.recv
        self._most = RECEIVE_BYTES
        self._added = False
        self._task: trio.lowlevel.Task | None = None
        self._on_data: OnData = bool

    async def read(self, on_data: OnData, most: int = RECEIVE_BYTES) -> None:
        """Call `on_data` with all that is read, at most so many bytes at a time, until it returns False. Raises what it
        raises, or `trio.BrokenResourceError` when the connection is lost."""
        self._on_data = on_data
        self._most = most
        self._task = trio.lowlevel.current_task()
        if not self._added:
            self._added = True
            self._epoll.add(self._number, self)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task, self._on_data = None, bool
        return trio.lowlevel.Abort.SUCCEEDED

    def has_unread(self) -> bool:
        """Whether there is data in the socket, or some is being acted on."""
        if self._task is None:
            return True
        try:
            self._recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the connection was lost, which its task does not know yet
        return True

    def on_readable(self) -> None:
        """The socket has data."""
        if self._task is None:  # its task is busy with earlier data: until it reads again, the kernel keeps the rest
            self.close()
            return
        try:
            data = self._recv(self._most)
        except BlockingIOError:
            return
        except OSError:
            self._wake(outcome.Error(trio.BrokenResourceError("the connection was lost")))
            return
        try:
            if self._on_data(data):
                return
        except Exception as exc:  # noqa: BLE001  # any: it is raised again where it belongs
            self._wake(outcome.Error(exc))
        else:
            self._wake(outcome.Value(None))

    def _wake(self, result: outcome.Outcome[None]) -> None:
        task, self._task, self._on_data = self._task, None, bool
        if task is not None:
            trio.lowlevel.reschedule(task, result)
        elif isinstance(result, outcome.Error):  # the data ended the task meanwhile
            log.debug("after its end: %r", result.error)

    def close(self) -> None:
        """Remove the socket from the epoll. Safe to call twice."""
        if self._added:
            self._added = False
            self._epoll.remove(self._number)
