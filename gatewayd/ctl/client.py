"""One request to the daemon's admin socket: HTTP/1.1 over AF_UNIX, and every failure as one sentence.

A connection serves one request.  On a Unix socket a new one costs next to nothing, and none can go stale.
"""

import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from gatewayd.ctl.admin_socket import AdminSocket, Unreachable

NDJSON = "application/x-ndjson"
_TIMEVAL = "@ll"


class Answer(NamedTuple):
    """What the API said: the text as it came, and its value (None for an empty answer)."""

    text: str
    value: Any


class RequestRefused(Exception):
    """The daemon answered, and the answer is no.  `answer` is what it said, where it said JSON."""

    def __init__(self, message: str, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.answer = answer


class Client:
    """The admin API behind a socket; `timeout` in seconds is for each of connect, send and receive."""

    def __init__(self, admin_socket: AdminSocket, timeout: float) -> None:
        self.admin_socket = admin_socket
        self.timeout = timeout

    def ask(
        self,
        method: str,
        *segments: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        kind: str = "application/json",
    ) -> Answer:
        """Send one request to /v1/<segments> and return what was said; raise RequestRefused or Unreachable."""
        target = "/v1/" + "/".join(quote(segment, safe="") for segment in segments)
        if query:
            target += "?" + urlencode(query, quote_via=quote)
        headers = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = kind
        path, connected = self.admin_socket.connect(self._connect)
        with contextlib.closing(_OverUnix(connected)) as connection:
            try:
                # A daemon that refuses a body before all of it is sent closes early; its answer is there to be read.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, target, body=body, headers=headers)
                with connection.getresponse() as response:
                    return _judge(response.status, response.reason, response.read())
            except TimeoutError as error:
                raise Unreachable(
                    f"the daemon at {path} did not answer within {self.timeout:g} s; "
                    "is it stuck or stopped? (--timeout waits longer)"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(
                    f"what listens at {path} did not give an HTTP answer ({type(error).__name__}); "
                    "did the daemon just stop, or is this another program's socket?"
                ) from error

    def _connect(self, path: str) -> socket.socket:
        """A connected socket; OSError, BlockingIOError where the daemon does not accept in time."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # With a timeout of its own, Python's socket does not block, and Linux then refuses at once where the
            # backlog is full: it is the kernel that has to wait (unix(7), EAGAIN).
            seconds, rest = divmod(self.timeout, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack(_TIMEVAL, int(seconds), int(rest * 1e6)))
            sock.connect(path)
            sock.settimeout(self.timeout)
        except BaseException:  # whatever it is, the socket is not left open
            sock.close()
            raise
        return sock


class _OverUnix(http.client.HTTPConnection):
    """HTTP over a socket that is connected already."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__("gatewayd")  # the Host header: the name that the documentation uses
        self.sock = connected


def _judge(status: int, reason: str, body: bytes) -> Answer:
    try:
        text = body.decode()
        value = json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        if 200 <= status < 300:
            raise RequestRefused(f"the answer (HTTP {status}) is not JSON that can be read: {error}") from error
        raise RequestRefused(f"HTTP {status} {reason}") from error
    answer = Answer(text, value)
    if 200 <= status < 300:
        return answer
    match value:
        case {"error": {"message": str(message)}} if message:
            raise RequestRefused(message, answer)
        case _:
            raise RequestRefused(f"HTTP {status} {reason}", answer)
