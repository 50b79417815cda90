"""The admin API as an ASGI application: paths, methods, and errors in one shape."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatewayd.admin.http import ApiError, answer
from gatewayd.admin.node import NodeView
from gatewayd.admin.publishing import Publishing
from gatewayd.admin.routes import Routes

log = logging.getLogger("gatewayd.admin")


def make_app(node: NodeView, publishing: Publishing | None = None) -> Starlette:
    """The application for one node."""
    routes, publishing = Routes(node), publishing or Publishing(node)

    def refused(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, ApiError)
        node.refused[exc.code] += 1
        return answer(exc.body, exc.status)

    app = Starlette(
        routes=[
            Route("/v1/publish", publishing.publish, methods=["POST"]),  # first: routes are tried one after the other
            Route("/v1/status", routes.status),
            Route("/v1/listeners", routes.listeners),
            Route("/v1/sessions", routes.sessions),
            Route("/v1/sessions/{id}", routes.session, methods=["GET", "DELETE"]),
            Route("/v1/services", routes.services),
            Route("/v1/channels", routes.channels),
            Route("/v1/channels/{name:path}", routes.channel),
            Route("/v1/notify", publishing.notify, methods=["POST"]),
            Route("/v1/documents/{key:path}", routes.document, methods=["GET", "PUT", "DELETE"]),
            Route("/v1/rooms", routes.rooms, methods=["POST"]),
            Route("/v1/rooms/{id:path}", routes.room, methods=["GET", "PUT", "DELETE"]),
            Route("/healthz", routes.healthz),
            Route("/readyz", routes.readyz),
        ],
        exception_handlers={
            ApiError: refused,
            HTTPException: _http_error,
            Exception: _fault,
        },
    )
    app.router.redirect_slashes = False  # its redirects go to the host that the request itself names
    return app


def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        error = ApiError(405, "method_not_allowed", f"{request.method} is not possible here")
    else:
        error = ApiError(exc.status_code, "not_found", "there is no such path; GET /v1/status is one")
    return answer(error.body, error.status)


def _fault(request: Request, exc: Exception) -> Response:
    return answer(ApiError(500, "internal", "a fault of the daemon; its log says more").body, 500)
