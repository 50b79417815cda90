"""The same requests to both: those whose path is found without a search, and the same ones searched for by Starlette."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from gatewayd.admin.app import App
from gatewayd.admin.http import Bodies, Body
from gatewayd.admin.http_connection import Asgi
from gatewayd.admin.node import NodeView
from gatewayd.admin.server import Caller
from gatewayd.admin.slots import SlotPool
from gatewayd.config.limits import ApiLimits
from gatewayd.protocols import utilbot
from tests.playbook import Playbook

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get")
PATHS = (
    "/v1/publish", "/v1/publish/", "/v1/publish\n", "/V1/publish", "//v1/publish", "/v1", "/", "", "/v1/listeners", "/v1/sessions",
    "/v1/sessions/", "/v1/sessions/{id}", "/v1/sessions/x", "/v1/services", "/v1/channels", "/v1/channels/{name:path}", "/v1/notify",
    "/v1/documents/", "/v1/documents/{key:path}", "/v1/rooms", "/v1/rooms/a", "/healthz", "/readyz", "/healthz/",
)  # fmt: skip
BODIES = (b"", b"{", b"[]", b'{"channel": "user:x", "event": "E", "user": "a", "id": "a"}')


def node() -> NodeView:
    talk = Playbook(utilbot.PROTOCOL)
    return NodeView(hub=talk.hub, node="e", version="1", started_wall=0.0, listeners=[], clients=int, draining=bool)


async def said(app: Asgi, method: str, path: str, query: bytes = b"", body: bytes = b"", *, heard: list[Any]) -> None:
    """Hear what the application says to this request."""
    messages: list[dict[str, Any]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": body, "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop()

    async def send(message: dict[str, Any]) -> None:
        heard.append(message)

    caller = Caller(SlotPool(9, 9), party=0)
    with Body(Bodies(ApiLimits()), 0) as part:
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "query_string": query, "headers": []}
        await app({**scope, "state": {"caller": caller, "body": part}}, receive, send)


@pytest.mark.parametrize("query", [b"", b"wait=written&timeout=0s", b"nope", b"realm=x", b"limit=1&realm="])
async def test_what_is_found_answers_as_what_is_searched_for(query: bytes) -> None:
    quick, slow = node(), node()
    apps: tuple[Asgi, Asgi] = (App(quick), App(slow).searched)
    codes = set()
    for path, method, body in product(PATHS, METHODS, BODIES):
        answers: list[Any] = [[], []]
        for app, heard in zip(apps, answers, strict=True):
            await said(app, method, path, query, body, heard=heard)
        assert answers[0] == answers[1], (method, path, body)
        codes.add(answers[0][0]["status"])
    assert codes >= {200, 400, 404, 405}
    assert quick.refused == slow.refused


async def test_a_fault_is_told_and_raised() -> None:
    def fault() -> bool:
        raise ZeroDivisionError

    broken = node()
    broken.draining = fault
    app = App(broken)
    answers: list[Any] = []
    for asked in (app, app.searched):
        heard: list[Any] = []
        with pytest.raises(ZeroDivisionError):
            await said(asked, "GET", "/readyz", heard=heard)
        answers.append(heard)
    assert answers[0] == answers[1]
    assert answers[0][0]["status"] == 500


def test_an_error_takes_no_thread() -> None:
    """Starlette calls whatever is not async in one: an error cost five times a publish."""
    app = App(node())
    apps: tuple[Asgi, Asgi] = (app, app.searched)
    for asked, path in product(apps, ("/v1/publish", "/no")):
        heard: list[Any] = []
        with pytest.raises(StopIteration):  # it has ended, without any loop to wait in
            said(asked, "POST", path, heard=heard).send(None)
        assert heard[0]["status"] in (400, 404)
