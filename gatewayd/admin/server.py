"""The doors of the admin API: a Unix socket for whoever its file lets in, TCP for whoever holds a token.

Law 1: a fault ends its own connection and nothing else; a client that still waits for an answer is told why it ends.
Law 2: connections that have not shown a valid token share a few slots for a short time, and take none from the others.
"""

from __future__ import annotations

import hmac
import logging
import math
import socket
import struct
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

import trio
from attrs import define, field, frozen

from gatewayd.admin.http import ApiError, Bodies, Body, answer
from gatewayd.admin.http_connection import Asgi, HttpConnection, turn_away
from gatewayd.admin.reach import whole_node
from gatewayd.admin.slots import NoSlot, SlotPool
from gatewayd.config.limits import ApiLimits
from gatewayd.core.sampled import Sampled
from gatewayd.core.text import printable
from gatewayd.net.accept import Acceptor
from gatewayd.net.origin import address_of
from gatewayd.net.request_head import response
from gatewayd.net.transport import SocketTransport

OPEN_PATHS = ("/healthz", "/readyz")
PUBLISHING = ("/v1/publish", "/v1/notify")
CHANGING = ("POST", "PUT", "DELETE", "PATCH")
NO_ROOM = "no_room"
"""Counts connections that found no slot, or were evicted before their request was answered."""
QUIET = "this connection was quiet for too long, or gave way to newer ones"

log = logging.getLogger("gatewayd.admin")


@frozen
class Peer:
    """Who is at the other end of a Unix socket (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


async def serve_unix(
    app: Asgi, sock: socket.socket, refused: Counter[str] | None = None, lines: Sampled | None = None,
    limits: ApiLimits = ApiLimits(),
) -> None:  # fmt: skip
    """Serve on a bound Unix socket, until cancelled; `refused` counts, by code, who found no room."""
    door = _Door(_logged(_bounded(app)), refused, lines, limits)
    await trio.serve_listeners(door.greet_peer, [Acceptor("the admin socket", sock, door.lines, door.refused)])


async def serve_tcp(
    app: Asgi, sock: socket.socket, tokens: Iterable[Any], refused: Counter[str] | None = None,
    lines: Sampled | None = None, limits: ApiLimits = ApiLimits(),
) -> None:  # fmt: skip
    """Serve on a bound TCP socket, to whoever holds one of the tokens, until cancelled; `refused` counts the others."""
    door = _Door(_logged(_bounded(app)), refused, lines, limits)
    door.app = _Guarded(door, tokens)
    await trio.serve_listeners(door.greet_stranger, [Acceptor("[api]", sock, door.lines, door.refused)])


class _Door:
    """One listening socket, and the connections that came through it."""

    def __init__(
        self, app: Asgi, refused: Counter[str] | None, lines: Sampled | None, limits: ApiLimits
    ) -> None:  # fmt: skip
        self.app = app
        self.refused: Counter[str] = Counter() if refused is None else refused
        self.lines = lines or Sampled(trio.current_time)
        self.limits = limits
        self.bodies = Bodies(limits)
        self.known = SlotPool(limits.known_each, limits.known)
        self.strangers = SlotPool(limits.strangers_each, limits.strangers, evict_busy=True)
        self._leaving = SlotPool(limits.refused, limits.refused)

    async def greet_peer(self, stream: SocketTransport) -> None:
        """Whoever may open the Unix socket is known."""
        peer = _peer(stream.sock)
        await self._contain(stream, self.known, Visitor(self, party=peer.uid, peer=peer))

    async def greet_stranger(self, stream: SocketTransport) -> None:
        """Whoever connects over TCP is a stranger until it shows a token."""
        await self._contain(stream, self.strangers, Visitor(self, party=address_of(stream.remote)))

    async def _contain(self, stream: SocketTransport, pool: SlotPool, visitor: Visitor) -> None:
        try:
            await self._serve(stream, pool, visitor)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the other end went away
        except* Exception:  # a bug of ours must end this connection alone, and be seen
            log.exception("fault on an admin connection")
        finally:
            stream.abort()

    async def _serve(self, stream: SocketTransport, pool: SlotPool, visitor: Visitor) -> None:
        with visitor.life:
            try:
                slot = pool.acquire(visitor.party, visitor.life.cancel)
            except NoSlot as full:
                await self._turn_away(stream, visitor, str(full))
                return
            if pool is self.strangers:
                visitor.life.deadline = trio.current_time() + self.limits.stranger_seconds
            connection = HttpConnection(self.app, stream, slot, self.limits, {"visitor": visitor})
            visitor.connection = connection
            try:
                await connection.run()
            finally:
                connection.slot.release()
        if visitor.life.cancelled_caught and connection.unanswered:
            self._count(visitor, QUIET)
            stream.dismiss(response(503, QUIET), self.limits.head_bytes)

    def _count(self, visitor: Visitor, reason: str) -> None:
        self.refused[NO_ROOM] += 1
        self.lines.log(log, logging.INFO, "refused a connection of %s: %s", str(visitor), reason)

    async def _turn_away(self, stream: SocketTransport, visitor: Visitor, reason: str) -> None:
        self._count(visitor, reason)
        with trio.CancelScope() as hurry:
            slot = self._leaving.acquire(None, hurry.cancel)
            try:
                await turn_away(stream, 503, reason, self.limits)
            finally:
                slot.release()


@define(eq=False)
class Visitor:
    """Who is at the other end of a connection, and what it has shown."""

    door: _Door = field(repr=False)
    party: Hashable
    """The uid, or the address."""
    peer: Peer | None = None
    """Over the Unix socket alone."""
    token: Any = None
    """The token of [api] that its last request had."""
    known: bool = False
    """Whether it has shown one on this connection."""
    served: bool = False
    """Whether it has had an answer for which no token is needed."""
    connection: HttpConnection | None = None
    life: trio.CancelScope = field(factory=trio.CancelScope)

    def show(self, token: Any) -> None:
        """A valid token: the connection leaves the strangers' slots. Raises `NoSlot`."""
        self.token = token
        if not self.known and self.connection is not None:
            self.connection.move(self.door.known.acquire((self.party, token.name), self.life.cancel))
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
            log.info("%s %s %s", scope["state"]["visitor"], scope["method"], printable(scope["path"]))
        await app(scope, receive, send)

    return logging_app


def _bounded(app: Asgi) -> Asgi:
    """The bodies of all requests of one uid or token have a bound together."""

    async def bounding_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        visitor: Visitor = scope["state"]["visitor"]
        whose = visitor.party if visitor.token is None else visitor.token.name
        with Body(visitor.door.bodies, whose) as scope["state"]["body"]:
            await app(scope, receive, send)

    return bounding_app


class _Guarded:
    """Bearer tokens with scopes: `read` to look, `publish` to say, `admin` for everything."""

    def __init__(self, door: _Door, tokens: Iterable[Any]) -> None:
        self._door = door
        self._app = door.app
        self._tokens = [(token.token.reveal().encode(), token) for token in tokens]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Judge one request."""
        visitor = scope["state"]["visitor"]
        if scope["path"] in OPEN_PATHS:
            if visitor.served and not visitor.known:  # a check asks once; who asks on and on would have all of the loop
                await trio.sleep(self._door.limits.unauthorized_seconds)
            visitor.served = True
        else:
            error = self._judge(scope)
            if error is not None:
                self._door.refused[error.code] += 1
                if error.status == 401:
                    self._door.lines.log(log, logging.INFO, "refused a request of %s: no valid token", str(visitor))
                    await trio.sleep(self._door.limits.unauthorized_seconds)
                await answer(error.body, error.status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _judge(self, scope: dict[str, Any]) -> ApiError | None:
        header = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, given = header.partition(b" ")
        held = [token for secret, token in self._tokens if hmac.compare_digest(secret, given.strip())]
        if kind.lower() != b"bearer" or not held:
            return ApiError(401, "unauthorized", "send a token of [api] as Authorization: Bearer")
        token = held[0]
        try:
            scope["state"]["visitor"].show(token)
        except NoSlot as full:
            return ApiError(503, NO_ROOM, str(full))
        if token.realms is not None and whole_node(scope["path"]):
            names = ", ".join(token.realms)
            text = f"this concerns the whole node, and token {token.name} reaches nothing but realm {names}"
            return ApiError(403, "forbidden", text, realms=token.realms)
        wanted = "publish" if scope["path"] in PUBLISHING else "read" if scope["method"] in ("GET", "HEAD") else "admin"
        if wanted not in token.scopes and "admin" not in token.scopes:
            return ApiError(403, "forbidden", f"token {token.name} has no scope {wanted}", scope=wanted)
        return None
