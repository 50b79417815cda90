"""Serving the admin API: on a Unix socket to whoever its file lets in, on TCP to whoever holds a token.

hypercorn's connection class is driven directly rather than through its server, because three things are needed that
the latter hides: who is at the other end of a Unix socket, a bound on connections, and containment of each one.
"""

from __future__ import annotations

import hmac
import logging
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import trio
from attrs import frozen
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from gatewayd.admin.http import ApiError, answer
from gatewayd.admin.waiting import LONGEST_WAIT
from gatewayd.core.text import printable

MAX_CONNECTIONS = 64
IDLE_SECONDS = 15.0
"""A connection that has sent no whole request in this time is closed."""
OPEN_PATHS = ("/healthz", "/readyz")
PUBLISHING = ("/v1/publish", "/v1/notify")
CHANGING = ("POST", "PUT", "DELETE", "PATCH")

log = logging.getLogger("gatewayd.admin")
Asgi = Callable[..., Awaitable[None]]


@frozen
class Peer:
    """Who is at the other end of a Unix socket (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


def _config() -> Config:
    config = Config()
    config.keep_alive_timeout = IDLE_SECONDS
    config.read_timeout = int(IDLE_SECONDS + LONGEST_WAIT)  # a client that waits for its answer says nothing
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = log
    return config


async def serve_unix(app: Asgi, sock: socket.socket) -> None:
    """Serve on a bound Unix socket, until cancelled."""
    await _serve(_logged(app), sock, _peer)


async def serve_tcp(app: Asgi, sock: socket.socket, tokens: Iterable[Any], refused: Counter[str] | None = None) -> None:
    """Serve on a bound TCP socket, to whoever holds one of the tokens, until cancelled; `refused` counts the others."""
    await _serve(_Guarded(_logged(app), tokens, Counter() if refused is None else refused), sock, lambda stream: None)


async def _serve(app: Asgi, sock: socket.socket, identify: Callable[[trio.SocketStream], Peer | None]) -> None:
    config, context = _config(), WorkerContext(None)
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    room = trio.CapacityLimiter(MAX_CONNECTIONS)
    bound = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await trio.serve_listeners(partial(_contain, wrapped, config, context, identify, room), [bound])


async def _contain(
    app: Any, config: Config, context: WorkerContext, identify: Callable[[trio.SocketStream], Peer | None],
    room: trio.CapacityLimiter, stream: trio.SocketStream,
) -> None:  # fmt: skip
    """Whatever an admin connection does, it ends with it; too many of them are turned away."""
    try:
        room.acquire_nowait()
    except trio.WouldBlock:
        await trio.aclose_forcefully(stream)
        return
    try:
        state = ConnectionState({"peer": identify(stream)})
        await TCPServer(app, config, context, state, stream).run()  # type: ignore[arg-type]  # plain ones too
    except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the other end went away
    except* Exception:
        log.exception("fault on an admin connection")
    finally:
        room.release()
        await trio.aclose_forcefully(stream)


def _peer(stream: trio.SocketStream) -> Peer:
    packed = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", packed))


def _logged(app: Asgi) -> Asgi:
    """Every changing request leaves a line that says who made it."""

    async def logging_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] in CHANGING:
            state = scope.get("state", {})
            peer, token = state.get("peer"), state.get("token")
            who = f"pid={peer.pid} uid={peer.uid}" if peer is not None else f"token={token}"
            log.info("%s %s %s", who, scope["method"], printable(scope["path"]))
        await app(scope, receive, send)

    return logging_app


class _Guarded:
    """Bearer tokens with scopes: `read` to look, `publish` to say, `admin` for everything."""

    def __init__(self, app: Asgi, tokens: Iterable[Any], refused: Counter[str]) -> None:
        self._app = app
        self._refused = refused
        self._tokens = [(token.token.reveal().encode(), token.name, frozenset(token.scopes)) for token in tokens]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Judge one request."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            error = self._judge(scope)
            if error is not None:
                self._refused[error.code] += 1
                await answer(error.body, error.status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _judge(self, scope: dict[str, Any]) -> ApiError | None:
        header = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, given = header.partition(b" ")
        held = [(name, scopes) for token, name, scopes in self._tokens if hmac.compare_digest(token, given.strip())]
        if kind.lower() != b"bearer" or not held:
            return ApiError(401, "unauthorized", "send a token of [api] as Authorization: Bearer")
        name, scopes = held[0]
        wanted = "publish" if scope["path"] in PUBLISHING else "read" if scope["method"] in ("GET", "HEAD") else "admin"
        if wanted not in scopes and "admin" not in scopes:
            return ApiError(403, "forbidden", f"token {name} has no scope {wanted}", scope=wanted)
        scope.setdefault("state", {})["token"] = name
        return None
