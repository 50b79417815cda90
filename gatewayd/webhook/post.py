"""A signed POST of JSON, and its answer read within bounds: whatever asks an application over HTTP does it here."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Mapping

import httpx
import msgspec
import trio

from gatewayd.webhook import signature

HEADERS = {
    "content-type": "application/json",
    "accept": "application/json",
    "accept-encoding": "identity",  # what is not compressed cannot grow in our hands
    "user-agent": "gatewayd",
}


class Unreachable(Exception):
    """There is no connection."""


class Broken(Exception):
    """The connection was lost before the answer was whole, or what came is no HTTP."""


def client_for(url: str, connections: int) -> httpx.AsyncClient:
    """The HTTP client for one address: so many connections, certificates checked against the system's."""
    return httpx.AsyncClient(
        trust_env=False,  # no proxy of the environment's: an application is named in one place, mostly on this machine
        verify=ssl.create_default_context() if url.startswith("https:") else False,
        timeout=None,  # noqa: S113, RUF100 - whoever asks holds one deadline over all of it
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
    )


class Post:
    """To one address; signed where there is a secret. `most` bounds an answer in bytes, `wall` is the wall clock."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        secret: str | None,
        *,
        most: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._url = url
        self._secret = secret
        self._most = most
        self._wall = wall

    async def send(self, payload: Mapping[str, object]) -> tuple[int, bytes]:
        """Status and body; of a body larger than `most`, as much as shows it. Raises `Unreachable`, `Broken`."""
        # The id stands in the signed body: an intruder cannot give a request a new one and send it again, and two
        # requests that say the same in one second do not look like one that is replayed.
        key = secrets.token_hex(16)
        body = msgspec.json.encode({**payload, "id": key})
        headers = HEADERS | signature.headers(self._secret, body, now=self._wall()) | {signature.ID: key}
        try:
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                return response.status_code, await self._read(response)
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as exc:
            raise Unreachable(_words(exc)) from exc
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as exc:
            raise Broken(_words(exc)) from exc

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        with trio.CancelScope() as enough:
            async for part in response.aiter_raw():
                body += part
                if len(body) > self._most:
                    enough.cancel()  # not `break`: nobody would close the generators below this loop
        return bytes(body)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()


def _words(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
