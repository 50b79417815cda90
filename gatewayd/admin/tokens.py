"""Bearer tokens of the API, each with scopes: `read` to look, `publish` to publish, `admin` for everything."""

from __future__ import annotations

import hmac
import logging
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import trio

from gatewayd.admin.http import ApiError, answer
from gatewayd.admin.reach import whole_node
from gatewayd.admin.slots import NO_SLOT, NoSlot

if TYPE_CHECKING:
    from gatewayd.admin.http_connection import Asgi
    from gatewayd.config.limits import ApiLimits
    from gatewayd.config.model import ApiToken
    from gatewayd.core.sampled import Sampled

OPEN_PATHS = ("/healthz", "/readyz")
PUBLISHING = ("/v1/publish", "/v1/notify")

log = logging.getLogger("gatewayd.admin")


class Authorized:
    """An application behind tokens. `refused` counts, by code, what is not let through to it."""

    def __init__(
        self, app: Asgi, tokens: Iterable[ApiToken], refused: Counter[str], lines: Sampled, limits: ApiLimits
    ) -> None:  # fmt: skip
        self._app = app
        self._tokens = [(token.token.reveal().encode(), token) for token in tokens]
        self._refused = refused
        self._lines = lines
        self._pause = limits.unauthorized_seconds

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Judge one request."""
        caller = scope["state"]["caller"]
        if scope["path"] in OPEN_PATHS:
            if caller.served and not caller.known:  # a health check asks once; one that asks on and on is slowed down
                await trio.sleep(self._pause)
            caller.served = True
        else:
            error = self._judge(scope)
            if error is not None:
                self._refused[error.code] += 1
                if error.status == 401:
                    self._lines.log(log, logging.INFO, "refused a request of %s: no valid token", str(caller))
                    await trio.sleep(self._pause)
                await answer(error.body, error.status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _judge(self, scope: dict[str, Any]) -> ApiError | None:
        header = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, given = header.partition(b" ")
        valid = [token for secret, token in self._tokens if hmac.compare_digest(secret, given.strip())]
        if kind.lower() != b"bearer" or not valid:
            return ApiError(401, "unauthorized", "send a token of [api] as Authorization: Bearer")
        token = valid[0]
        try:
            scope["state"]["caller"].authenticate(token)
        except NoSlot as full:
            return ApiError(503, NO_SLOT, str(full))
        if token.realms is not None and whole_node(scope["path"]):
            names = ", ".join(token.realms)
            text = f"this concerns the whole node, and token {token.name} is limited to realm {names}"
            return ApiError(403, "forbidden", text, realms=token.realms)
        wanted = "publish" if scope["path"] in PUBLISHING else "read" if scope["method"] in ("GET", "HEAD") else "admin"
        if wanted not in token.scopes and "admin" not in token.scopes:
            return ApiError(403, "forbidden", f"token {token.name} has no scope {wanted}", scope=wanted)
        return None
