"""The two sockets of the admin API: a Unix socket, whose file mode decides who may use it, and TCP with bearer tokens.

Law 1: a fault ends its own connection and nothing else; a caller that still waits for an answer is told why it ends.
Law 2: connections that have not shown a valid token share a few slots for a short time, and take none from the others.
"""

from __future__ import annotations

import logging
import math
import socket
import struct
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

import trio
from attrs import define, field, frozen

from gatewayd.admin.http import Bodies, Body
from gatewayd.admin.http_connection import Asgi, HttpConnection, refuse
from gatewayd.admin.slots import NO_SLOT, NoSlot, Slot, SlotPool
from gatewayd.admin.tokens import Authorized
from gatewayd.config.limits import ApiLimits
from gatewayd.config.model import ApiToken
from gatewayd.core.sampled import Sampled
from gatewayd.core.text import printable
from gatewayd.net.accept import Acceptor
from gatewayd.net.origin import address_of
from gatewayd.net.request_head import response
from gatewayd.net.transport import SocketTransport

CHANGING = ("POST", "PUT", "DELETE", "PATCH")
EVICTED = "this connection was quiet for too long, or gave way to newer ones"

log = logging.getLogger("gatewayd.admin")


@frozen
class Peer:
    """The process at the other end of a Unix socket (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


async def serve_unix(
    app: Asgi, sock: socket.socket, refused: Counter[str] | None = None, lines: Sampled | None = None,
    limits: ApiLimits = ApiLimits(),
) -> None:  # fmt: skip
    """Serve on a bound Unix socket until cancelled; `refused` counts, by code, the connections without a slot."""
    server = _Server(app, refused, lines, limits)
    await trio.serve_listeners(server.serve_peer, [Acceptor("the admin socket", sock, server.lines, server.refused)])


async def serve_tcp(
    app: Asgi, sock: socket.socket, tokens: Iterable[ApiToken], refused: Counter[str] | None = None,
    lines: Sampled | None = None, limits: ApiLimits = ApiLimits(),
) -> None:  # fmt: skip
    """Serve on a bound TCP socket, to callers with one of the tokens, until cancelled; `refused` counts the others."""
    server = _Server(app, refused, lines, limits, tokens)
    await trio.serve_listeners(server.serve_stranger, [Acceptor("[api]", sock, server.lines, server.refused)])


class _Server:
    """One listening socket, and the connections that it accepted; `tokens` is None where no token is asked for."""

    def __init__(
        self, app: Asgi, refused: Counter[str] | None, lines: Sampled | None, limits: ApiLimits,
        tokens: Iterable[ApiToken] | None = None,
    ) -> None:  # fmt: skip
        self.refused: Counter[str] = Counter() if refused is None else refused
        self.lines = lines or Sampled(trio.current_time)
        self._limits = limits
        self._known = SlotPool(limits.known_each, limits.known)
        self._strangers = SlotPool(limits.strangers_each, limits.strangers, evict_busy=True)
        self._refusing = SlotPool(limits.refused, limits.refused)
        app = _logged(_bounded(app, Bodies(limits)))
        self._app = app if tokens is None else Authorized(app, tokens, self.refused, self.lines, limits)

    async def serve_peer(self, stream: SocketTransport) -> None:
        """A process that may open the Unix socket is known."""
        peer = _peer(stream.sock)
        await self._contain(stream, self._known, Caller(self._known, party=peer.uid, peer=peer))

    async def serve_stranger(self, stream: SocketTransport) -> None:
        """A caller over TCP is a stranger until it shows a token."""
        await self._contain(stream, self._strangers, Caller(self._known, party=address_of(stream.remote)))

    async def _contain(self, stream: SocketTransport, pool: SlotPool, caller: Caller) -> None:
        try:
            await self._serve(stream, pool, caller)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the other end went away
        except* Exception:  # a bug of ours must end this connection alone, and be seen
            log.exception("fault on an admin connection")
        finally:
            stream.abort()

    async def _serve(self, stream: SocketTransport, pool: SlotPool, caller: Caller) -> None:
        with caller.life:
            try:
                slot = caller.enter(pool)
            except NoSlot as full:
                await self._refuse(stream, caller, str(full))
                return
            if pool is self._strangers:
                caller.life.deadline = trio.current_time() + self._limits.stranger_seconds
            connection = HttpConnection(self._app, stream, slot, self._limits, {"caller": caller})
            try:
                await connection.run()
            finally:
                slot.release()
        if caller.life.cancelled_caught and connection.unanswered:
            self._count(caller, EVICTED)
            stream.reject(response(503, EVICTED), self._limits.head_bytes)

    def _count(self, caller: Caller, reason: str) -> None:
        self.refused[NO_SLOT] += 1
        self.lines.log(log, logging.INFO, "refused a connection of %s: %s", str(caller), reason)

    async def _refuse(self, stream: SocketTransport, caller: Caller, reason: str) -> None:
        self._count(caller, reason)
        with trio.CancelScope() as evicted:
            slot = self._refusing.acquire(None, evicted.cancel)
            try:
                await refuse(stream, 503, reason, self._limits)
            finally:
                slot.release()


@define(eq=False)
class Caller:
    """The other end of a connection, and what it has shown; with a token it moves to the slots of known callers."""

    _known_pool: SlotPool = field(repr=False)
    party: Hashable
    """The uid, or the address."""
    peer: Peer | None = None
    """On the Unix socket alone."""
    token: ApiToken | None = None
    """The token of [api] that its last request had."""
    known: bool = False
    """Whether it has shown one on this connection."""
    served: bool = False
    """Whether it has had an answer for which no token is needed."""
    life: trio.CancelScope = field(factory=trio.CancelScope)
    _slot: Slot | None = field(default=None, init=False)

    def enter(self, pool: SlotPool) -> Slot:
        """Take a slot, which ends the connection when it is evicted. Raises `NoSlot`."""
        self._slot = pool.acquire(self.party, self.life.cancel)
        return self._slot

    def authenticate(self, token: ApiToken) -> None:
        """A valid token: the connection leaves the slots of strangers. Raises `NoSlot`."""
        self.token = token
        if not self.known and self._slot is not None:
            self._slot.move(self._known_pool, (self.party, token.name))
            self.life.deadline = math.inf
            self.known = True

    def __str__(self) -> str:
        if self.peer is not None:
            return f"pid={self.peer.pid} uid={self.peer.uid}"
        return f"address={self.party}" + (f" token={self.token.name}" if self.token is not None else "")


def _peer(sock: socket.socket) -> Peer:
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", packed))


def _logged(app: Asgi) -> Asgi:
    """Every changing request leaves a line that says who made it."""

    async def logging_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["method"] in CHANGING:
            log.info("%s %s %s", scope["state"]["caller"], scope["method"], printable(scope["path"]))
        await app(scope, receive, send)

    return logging_app


def _bounded(app: Asgi, bodies: Bodies) -> Asgi:
    """The bodies of all requests of one uid or token have a bound together."""

    async def bounding_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        caller: Caller = scope["state"]["caller"]
        with Body(bodies, caller.party if caller.token is None else caller.token.name) as scope["state"]["body"]:
            await app(scope, receive, send)

    return bounding_app
