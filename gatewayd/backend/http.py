"""A backend over HTTP: signed POSTs of JSON, and answers read within bounds.

Law 1: nothing that a backend answers, or fails to answer, leaves here as anything but a `BackendError`.
Law 2: a command is sent once. What may have been received is not sent again; only lifecycle events are.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Sequence

import attrs
import httpx
import msgspec
import trio

from gatewayd.backend import errors, signature
from gatewayd.backend.answer import Answer, parse
from gatewayd.backend.errors import BackendError
from gatewayd.backend.request import Asked, Entry

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
        self.url = url
        self._secret = secret
        self._timeout = timeout
        self._max_answer_bytes = max_answer_bytes
        self._wall = wall
        # The environment's proxies are not asked: a backend is named in one place, and mostly on this machine.
        self._client = httpx.AsyncClient(
            trust_env=False,
            verify=ssl.create_default_context() if url.startswith("https:") else False,
            timeout=None,  # noqa: S113, RUF100 - one deadline over all of it, below
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={
                "content-type": "application/json",
                "accept": "application/json",
                "accept-encoding": "identity",  # what is not compressed cannot grow in our hands
                "user-agent": "gatewayd",
            },
        )

    async def aclose(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()

    async def ask(self, asked: Asked) -> Answer:
        """The answer to a command. Raises `BackendError`."""
        body = await self._post({"type": "command", **attrs.asdict(asked)})
        return parse(body) if body else Answer()

    async def tell(self, entries: Sequence[Entry]) -> None:
        """Deliver lifecycle events: any 2xx says that all of them are taken. Raises `BackendError`."""
        await self._post({"type": "lifecycle", "events": entries})

    async def _post(self, payload: dict[str, object]) -> bytes:
        """The body of a 2xx answer."""
        # The id stands in the signed body: an intruder cannot give a request a new one and send it again.
        key = secrets.token_hex(16)
        body = msgspec.json.encode({**payload, "id": key})
        headers = signature.headers(self._secret, body, now=self._wall()) | {signature.ID: key}
        with trio.move_on_after(self._timeout):
            try:
                async with self._client.stream("POST", self.url, content=body, headers=headers) as response:
                    _judge(response.status_code)
                    return await self._read(response)
            except (httpx.ConnectError, httpx.UnsupportedProtocol) as exc:
                raise BackendError(errors.UNREACHABLE, _words(exc)) from exc
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as exc:
                raise BackendError(errors.BROKEN, _words(exc)) from exc
        raise BackendError(errors.TIMEOUT, f"no whole answer in {self._timeout:g} s")

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        with trio.CancelScope() as enough:
            async for part in response.aiter_raw():
                body += part
                if len(body) > self._max_answer_bytes:
                    enough.cancel()  # not `raise`: nobody would close the generators below this loop
        if len(body) > self._max_answer_bytes:
            raise BackendError(errors.TOO_BIG, f"the answer has more than {self._max_answer_bytes} bytes")
        return bytes(body)


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    slug = errors.REJECTED if 400 <= status < 500 and status not in LATER else errors.STATUS
    raise BackendError(slug, f"the backend answered with HTTP status {status}")


def _words(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
