"""The admin API as an ASGI application: paths, methods, and errors in one shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatewayd.admin.http import ApiError, answer
from gatewayd.admin.node import NodeView
from gatewayd.admin.publishing import Publishing
from gatewayd.admin.routes import Routes


class App:
    """The application for one node. What stands at a path without parameters is found without a search.

    Starlette's search through its routes costs a publish as much as all that is done for it.
    """

    def __init__(self, node: NodeView, publishing: Publishing | None = None) -> None:
        self._node = node
        endpoints, publishing = Routes(node), publishing or Publishing(node)
        routes = [
            Route("/v1/status", endpoints.status),
            Route("/v1/listeners", endpoints.listeners),
            Route("/v1/sessions", endpoints.sessions),
            Route("/v1/sessions/{id}", endpoints.session, methods=["GET", "DELETE"]),
            Route("/v1/services", endpoints.services),
            Route("/v1/channels", endpoints.channels),
            Route("/v1/channels/{name:path}", endpoints.channel),
            Route("/v1/publish", publishing.publish, methods=["POST"]),
            Route("/v1/notify", publishing.notify, methods=["POST"]),
            Route("/v1/documents/{key:path}", endpoints.document, methods=["GET", "PUT", "DELETE"]),
            Route("/v1/rooms", endpoints.rooms, methods=["POST"]),
            Route("/v1/rooms/{id:path}", endpoints.room, methods=["GET", "PUT", "DELETE"]),
            Route("/healthz", endpoints.healthz),
            Route("/readyz", endpoints.readyz),
        ]
        self.searched = Starlette(
            routes=routes, exception_handlers={ApiError: self._refused, HTTPException: _http_error, Exception: _fault}
        )
        """All paths."""
        self.searched.router.redirect_slashes = False  # its redirects go to the host that the request itself names
        self._found: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            (method, route.path): route.endpoint
            for route in routes
            if not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        endpoint = self._found.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self.searched(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except ApiError as exc:
            response = await self._refused(request, exc)
        except Exception as exc:  # a bug of ours: it is answered as such, and raised for the log
            response = await _fault(request, exc)
            await response(scope, receive, send)
            raise
        await response(scope, receive, send)

    # These are async, though they never wait: Starlette would call others in a thread.

    async def _refused(self, request: Request, exc: Exception) -> Response:
        assert isinstance(exc, ApiError)
        self._node.refused[exc.code] += 1
        return answer(exc.body, exc.status)


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        error = ApiError(405, "method_not_allowed", f"{request.method} is not possible here")
    else:
        error = ApiError(exc.status_code, "not_found", "there is no such path; GET /v1/status is one")
    return answer(error.body, error.status)


async def _fault(request: Request, exc: Exception) -> Response:
    return answer(ApiError(500, "internal", "a fault of the daemon; its log says more").body, 500)
