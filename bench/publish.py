"""Publishing through the admin Unix socket: one event a request, a list of 100, or 100 lines of NDJSON."""

from __future__ import annotations

import http.client
import json
import socket
import time
from pathlib import Path

from bench.measure import Figures, Work, generator
from bench.servers import Tools, serve

BATCH = 100
ONE_CLIENT = "single, room of 1"
ROWS = ("single", "list of 100", "NDJSON of 100", ONE_CLIENT)
TRIAL = 500
"""Events from which the rate is estimated."""


class Admin(http.client.HTTPConnection):
    """HTTP over a Unix socket, one connection for all requests."""

    def __init__(self, path: Path) -> None:
        super().__init__("gatewayd")
        self._path = path

    def connect(self) -> None:
        """To the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))

    def publish(self, body: bytes, kind: str) -> None:
        """One request, and its answer read to the end."""
        self.request("POST", "/v1/publish", body, {"Content-Type": kind})
        answer = self.getresponse()
        said = answer.read()
        if answer.status != 200 or b'"error"' in said:
            raise RuntimeError(f"publish was answered by {answer.status}: {said[:200]!r}")


def _event(number: int) -> dict[str, object]:
    data = {"authorId": "812345678901234567", "content": "x" * 110, "sentAt": 1700000000000 + number}
    return {"channel": "room:1", "event": "message_create", "data": data}


def _body(how: str) -> tuple[bytes, str, int]:
    """The request's body, its type, and how many events are in it."""
    if how.startswith("single"):
        return json.dumps(_event(0)).encode(), "application/json", 1
    items = [_event(number) for number in range(BATCH)]
    if how == "NDJSON of 100":
        return b"\n".join(json.dumps(item).encode() for item in items), "application/x-ndjson", BATCH
    return json.dumps(items).encode(), "application/json", BATCH


def measure(how: str, tools: Tools, work: Work, name: str = "gatewayd") -> Figures:
    """Publish for about the time asked for; it counts until every client has everything.

    rate: events a second; frames: to clients a second; cpu_us: per event; p50, p99, max: ms of one request.
    """
    body, kind, size = _body(how)
    clients = 1 if how == ONE_CLIENT else work.clients
    # The generator must know how many to wait for: what a second carries is estimated in a trial on the same server.
    with serve(name, work.protocol, tools) as server:
        admin = Admin(server.admin)
        with generator(tools, server, Work("drain", work.protocol, clients, 0, (f"events={TRIAL}",))) as trial:
            trial.go()
            began = time.perf_counter()
            for _ in range(TRIAL // size):
                admin.publish(body, kind)
            trial.result()
            second = TRIAL / (time.perf_counter() - began)
        time.sleep(0.2)
        requests = max(1, round(second * work.seconds / size))
        wanted = f"events={requests * size}"
        with generator(tools, server, Work("drain", work.protocol, clients, 0, (wanted,))) as load:
            used, began, times = server.cpu(), time.perf_counter(), []
            load.go()
            for _ in range(requests):
                asked = time.perf_counter()
                admin.publish(body, kind)
                times.append(time.perf_counter() - asked)
            told = load.result()
            seconds = time.perf_counter() - began
            used = server.cpu() - used
        admin.close()
    times.sort()
    count = requests * size
    return {
        "rate": count / seconds,
        "frames": count * clients / seconds,
        "cpu_us": used / count * 1e6,
        "p50": times[len(times) // 2] * 1e3,
        "p99": times[int(len(times) * 0.99)] * 1e3,
        "max": times[-1] * 1e3,
        "generator": told["load"] * 100,
    }
