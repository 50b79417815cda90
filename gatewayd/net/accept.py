"""Accepts connections: no error of `accept` ends a listener, and a full descriptor table is answered with a 503.

Trio's own listener backs off on four errors and ends at the others; this one backs off at all of them.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import trio
from trio.lowlevel import checkpoint, notify_closing, wait_readable

from gatewayd.config.limits import SocketLimits
from gatewayd.core.sampled import Sampled
from gatewayd.net.request_head import response
from gatewayd.net.transport import SocketTransport

TRANSIENT = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EPERM})
"""The one connection failed, not the listener (accept(2))."""
NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
BUSY = response(503, "no room for another client now: try again later", headers=(("Retry-After", "5"),))

log = logging.getLogger("gatewayd.listener")


class Acceptor(trio.abc.Listener[SocketTransport]):
    """A listening socket, also for `trio.serve_listeners`; it holds one descriptor in reserve.

    `refused` counts the connections that are refused because no descriptor is left.
    """

    def __init__(
        self, name: str, sock: socket.socket, lines: Sampled | None = None, refused: Counter[str] | None = None,
        limits: SocketLimits = SocketLimits(),
    ) -> None:  # fmt: skip
        self.name = name
        self._sock = sock
        self._lines = Sampled(trio.current_time) if lines is None else lines
        self.refused: Counter[str] = Counter() if refused is None else refused
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._limits = limits
        self._pause = limits.accept_pause
        self._remote = _REMOTES.get(sock.family, _unix)
        self._empty = True  # nobody was waiting when it was last asked

    async def accept(self) -> SocketTransport:
        """The next connection."""
        return (await self.accept_some(1))[0]

    async def accept_some(self, most: int) -> list[SocketTransport]:
        """The connections that wait, at least one and at most so many."""
        found: list[SocketTransport] = []
        while not found:
            if self._empty:
                await wait_readable(self._sock)
            else:
                await checkpoint()  # a burst of connections must not starve other tasks
            self._empty = False
            try:
                while len(found) < most:
                    sock, address = self._sock.accept()
                    sock.setblocking(False)
                    found.append(SocketTransport(sock, self._remote(address)))
            except BlockingIOError:
                self._empty = True
            except OSError as exc:
                if self._sock.fileno() == -1:
                    raise trio.ClosedResourceError from None
                if not found:  # else it is met again, if it lasts
                    await self._on_error(exc)
        self._pause = self._limits.accept_pause
        return found

    async def _on_error(self, exc: OSError) -> None:
        if exc.errno in TRANSIENT:
            await checkpoint()
            return
        why = exc.strerror or exc
        self._lines.log(log, logging.ERROR, "cannot accept on %s: %s; trying again", self.name, why, first=1)
        if exc.errno in NO_DESCRIPTORS and self._take_reserve():
            if self._refuse_one():
                await checkpoint()
            else:
                await wait_readable(self._sock)  # accept(2) fails like this even if nobody is waiting
            return
        await trio.sleep(self._pause)
        self._pause = min(self._pause * 2, self._limits.longest_accept_pause)

    def _take_reserve(self) -> bool:
        """Open the reserve if it is lost; whether there is one."""
        if self._reserve is None:
            try:
                self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return False
        return True

    def _refuse_one(self) -> bool:
        """Use the reserve to tell one client that there is no room for it; False if none is waiting."""
        assert self._reserve is not None
        os.close(self._reserve)
        self._reserve = None
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return False  # nobody is waiting any more, or the descriptor is taken again
        else:
            self.refused["no_descriptors"] += 1
            sock.setblocking(False)
            SocketTransport(sock, "").reject(BUSY, self._limits.dismissed_bytes)
            return True
        finally:
            self._take_reserve()

    async def aclose(self) -> None:
        """Stop listening."""
        if self._sock.fileno() != -1:
            notify_closing(self._sock)
            self._sock.close()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        await checkpoint()


def _unix(_address: object) -> str:
    return "unix"


def _ipv4(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _ipv6(address: tuple[str, int, int, int]) -> str:
    return f"[{address[0]}]:{address[1]}"


_REMOTES: Mapping[int, Callable[[Any], str]] = {socket.AF_INET: _ipv4, socket.AF_INET6: _ipv6}
"""The peer as text, by the family of its address."""
