"""A node with its admin API over a real Unix socket, or over TCP with tokens, and whoever asks it."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from gatewayd.admin import server
from gatewayd.admin.app import App
from gatewayd.admin.node import ListenerView, NodeView
from gatewayd.admin.publishing import Publishing
from gatewayd.config.limits import ApiLimits
from gatewayd.net.bind import bind_tcp, bind_unix
from gatewayd.protocols import rooms, utilbot
from tests.playbook import Person, Playbook


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("gatewayd", timeout=5)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


class Api:
    """The API as a client sees it."""

    def __init__(
        self, connect: Callable[[], http.client.HTTPConnection], node: NodeView, talk: Playbook, publishing: Publishing
    ) -> None:
        self.slices = publishing.slices
        self._connect = connect
        self.place: Any = None
        """The socket's path, or host and port."""
        self.node = node
        self.talk = talk
        self.draining = False

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()

        def do() -> tuple[int, Any]:
            connection = self._connect()
            try:
                connection.request(method, path, data, {k.replace("_", "-"): v for k, v in headers.items()})
                response = connection.getresponse()
                text = response.read()
                return response.status, json.loads(text) if text else None
            finally:
                connection.close()

        with trio.fail_after(10):
            return await trio.to_thread.run_sync(do)

    async def get(self, path: str) -> Any:
        status, value = await self.ask("GET", path)
        assert status == 200, value
        return value


def bot(talk: Playbook, name: str) -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
    person.heard()
    return person


@asynccontextmanager
async def api(
    tmp_path: Path,
    *,
    tokens: Any = None,
    bots: int = 0,
    talk: Playbook | None = None,
    limits: ApiLimits = ApiLimits(slice_seconds=0.005),
    loop: Callable[[], dict[str, Any]] = dict,
) -> AsyncIterator[Api]:
    talk = talk or Playbook(utilbot.PROTOCOL)
    Playbook(rooms.PROTOCOL, hub=talk.hub, listener="rooms", realm=talk.realm.name, options={"ad_hoc": True})
    for number in range(bots):
        bot(talk, f"b{number}")
    holder: list[Api] = []
    node = NodeView(
        hub=talk.hub,
        node="edge",
        version="1",
        started_wall=0.0,
        clients=lambda: len(talk.people),
        draining=lambda: holder[0].draining,
        limits=limits,
        loop=loop,
        listeners=[
            ListenerView(
                name="main",
                protocol="utilbot",
                address="a:1",
                url="ws://a:1",
                tls=False,
                realm=talk.realm.name,
                settings={"x": 1},
                clients=lambda: 7,
            )
        ],
    )
    publishing = Publishing(node)
    app = App(node, publishing)
    sock = bind_unix(tmp_path / "admin.sock") if tokens is None else bind_tcp("127.0.0.1", 0)
    place = sock.getsockname()
    connect = (
        (lambda: UnixConnection(place))
        if tokens is None
        else lambda: http.client.HTTPConnection(place[0], place[1], timeout=5)
    )
    holder.append(Api(connect, node, talk, publishing))
    holder[0].place = place
    async with trio.open_nursery() as nursery:
        if tokens is None:
            nursery.start_soon(server.serve_unix, app, sock, node.refused, None, limits)
        else:
            nursery.start_soon(server.serve_tcp, app, sock, tokens, node.refused, None, limits)
        yield holder[0]
        nursery.cancel_scope.cancel()
    sock.close()
