"""A backend over HTTP: signed POSTs of JSON, and answers read within bounds.

Law 1: nothing that a backend answers, or fails to answer, leaves here as anything but a `BackendError`.
Law 2: a command is sent once. What may have been received is not sent again; only lifecycle events are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs
import trio

from gatewayd.backend import errors
from gatewayd.backend.answer import Answer, parse
from gatewayd.backend.errors import BackendError
from gatewayd.backend.request import CommandRequest, Entry
from gatewayd.webhook.post import Broken, Post, Unreachable, client_for

LATER = frozenset({408, 429})
"""Statuses among 4xx that say "not now"."""


class HttpBackend:
    """`timeout` in seconds is for one whole exchange."""

    kind = "http"

    def __init__(
        self,
        url: str,
        secret: str | None,
        *,
        timeout: float,
        connections: int,
        max_answer_bytes: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._timeout = timeout
        self._most = max_answer_bytes
        self._post = Post(client_for(url, connections), url, secret, most=max_answer_bytes, wall=wall)

    async def aclose(self) -> None:
        """Let go of its connections."""
        await self._post.aclose()

    async def ask(self, asked: CommandRequest) -> Answer:
        """The answer to a command. Raises `BackendError`."""
        body = await self._exchange({"type": "command", **attrs.asdict(asked)})
        return parse(body) if body else Answer()

    async def tell(self, entries: Sequence[Entry]) -> None:
        """Deliver lifecycle events: any 2xx says that all of them are taken. Raises `BackendError`."""
        await self._exchange({"type": "lifecycle", "events": entries})

    async def _exchange(self, payload: dict[str, object]) -> bytes:
        """The body of a 2xx answer."""
        with trio.move_on_after(self._timeout):
            try:
                status, body = await self._post.send(payload)
            except Unreachable as exc:
                raise BackendError(errors.UNREACHABLE, str(exc)) from exc
            except Broken as exc:
                raise BackendError(errors.BROKEN, str(exc)) from exc
            _judge(status)
            if len(body) > self._most:
                raise BackendError(errors.TOO_BIG, f"the answer has more than {self._most} bytes")
            return body
        raise BackendError(errors.TIMEOUT, f"no complete answer within {self._timeout:g} s")


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    slug = errors.REJECTED if 400 <= status < 500 and status not in LATER else errors.STATUS
    raise BackendError(slug, f"the backend answered with HTTP status {status}")
