"""A fake daemon: HTTP on a Unix socket in a thread, canned answers out, requests written down."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple


class Request(NamedTuple):
    """One request as it arrived."""

    method: str
    target: str
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Daemon:
    """Answers by "METHOD target"; without one, 404 as the real daemon says it.

    A list of answers is used up in order, its last one for ever.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[Request] = []
        self.takes = 0.0
        """Seconds before each answer."""
        self._answers: dict[str, list[tuple[int, bytes]]] = {}

    def answers(self, request: str, *values: Any, status: int = 200) -> None:
        """Answer `request` with these JSON values; bytes and str go out as they are."""
        self._answers[request] = [(status, _bytes(value)) for value in values]

    def refuses(self, request: str, status: int, message: str) -> None:
        self.answers(request, {"error": {"code": "refused", "message": message}}, status=status)

    def answer_to(self, request: Request) -> tuple[int, bytes]:
        self.requests.append(request)
        canned = self._answers.get(f"{request.method} {request.target}")
        if not canned:
            return 404, b'{"error":{"code":"not_found","message":"no such thing"}}'
        return canned.pop(0) if len(canned) > 1 else canned[0]

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.target}" for request in self.requests]


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@contextmanager
def running(path: Path) -> Iterator[Daemon]:
    """A fake daemon that listens at `path`."""
    daemon = Daemon(path)

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(daemon.takes)
            status, said = daemon.answer_to(Request(self.command, self.path, body, dict(self.headers.items())))
            with suppress(BrokenPipeError):  # it has waited long enough
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests look at the requests."""

    with socketserver.ThreadingUnixStreamServer(str(path), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()
