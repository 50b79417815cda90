"""One request to the daemon's admin socket: HTTP/1.1 over AF_UNIX, and every failure as one sentence.

A connection serves one request.  On a Unix socket a new one costs next to nothing, and none can go stale.
"""

import contextlib
import http.client
import json
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from gatewayd.config.find import runtime_socket, socket_candidates

TIMEOUT = 45.0  # seconds for each of connect, send and receive; the daemon may be asked to wait for 30
NDJSON = "application/x-ndjson"


class Answer(NamedTuple):
    """What the API said: the text as it came, and its value (None for an empty answer)."""

    text: str
    value: Any


class Unreachable(Exception):
    """Nobody at the socket answers as the daemon would."""


class Refused(Exception):
    """The daemon answered, and the answer is no.  `answer` is what it said, where it said JSON."""

    def __init__(self, message: str, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.answer = answer


class Client:
    """The admin API behind one socket path."""

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        self.path = path
        self.timeout = timeout

    def ask(
        self,
        method: str,
        *segments: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        kind: str = "application/json",
    ) -> Answer:
        """Send one request to /v1/<segments> and return what was said; raise Refused or Unreachable."""
        target = "/v1/" + "/".join(quote(segment, safe="") for segment in segments)
        if query:
            target += "?" + urlencode(query, quote_via=quote)
        headers = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = kind
        with contextlib.closing(_UnixConnection(self.path, self.timeout)) as connection:
            try:
                connection.connect()
            except OSError as error:
                raise Unreachable(_why_no_connection(self.path, error)) from error
            try:
                # A daemon that refuses a body before all of it is sent closes early; its answer is there to be read.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, target, body=body, headers=headers)
                with connection.getresponse() as response:
                    return _judge(response.status, response.reason, response.read())
            except TimeoutError as error:
                raise Unreachable(
                    f"the daemon at {self.path} did not answer within {self.timeout:g} s; is it stuck or stopped?"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(
                    f"what listens at {self.path} did not give an HTTP answer ({type(error).__name__}); "
                    "did the daemon just stop, or is this another program's socket?"
                ) from error


def find_socket(given: str | None, environ: Mapping[str, str], places: Iterable[Path] | None = None) -> str:
    """The admin socket's path: `--socket`, $GATEWAYD_SOCKET, the first place where there is one, the daemon's default.

    A place that we may not look into counts after those we may, and before the default: "permission denied" is the
    better answer than "no such file".
    """
    if named := given or environ.get("GATEWAYD_SOCKET"):
        return named
    denied = None
    for place in socket_candidates(environ) if places is None else places:
        try:
            place.stat()
            if _planted(place, os.getuid()):
                continue
        except PermissionError:
            denied = denied or place
        except OSError:
            continue
        else:
            return str(place)
    return str(denied or runtime_socket(environ))


def _planted(place: Path, uid: int) -> bool:
    """True for a socket in a directory that somebody else made where anyone may: it could be anybody's."""
    anyone_may = place.parent.parent.stat().st_mode & stat.S_IWOTH
    return bool(anyone_may) and place.parent.lstat().st_uid != uid


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("gatewayd", timeout=timeout)  # the Host header: the name that the documentation uses
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # closed with the connection, connected or not
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _why_no_connection(path: str, error: OSError) -> str:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return f"no admin socket at {path}; is the daemon running? (gatewayd run starts it; --socket names another)"
        case PermissionError():
            return f"permission denied on {path}; run as the daemon's user or as a member of the socket's group"
        case ConnectionRefusedError():
            return f"nobody listens at {path}; is the daemon running? (one that has ended left this file)"
        case TimeoutError() | BlockingIOError():
            return f"the daemon at {path} does not accept connections; is it stuck or stopped?"
        case _:
            return f"cannot connect to {path}: {error.strerror or error}; is this the daemon's admin socket?"


def _judge(status: int, reason: str, body: bytes) -> Answer:
    try:
        text = body.decode()
        value = json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        if 200 <= status < 300:
            raise Refused(f"the answer (HTTP {status}) is not JSON that can be read: {error}") from error
        raise Refused(f"HTTP {status} {reason}") from error
    answer = Answer(text, value)
    if 200 <= status < 300:
        return answer
    match value:
        case {"error": {"message": str(message)}} if message:
            raise Refused(message, answer)
        case _:
            raise Refused(f"HTTP {status} {reason}", answer)
