"""The daemon that is killed, the backend that it tells, and the application that publishes."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trio

from tests.kill.clients import Bot
from tests.server import free_port

CONFIG = """
[gateway]
state_dir = "{folder}/state"
journal_interval = {interval}
io_uring = "{io_uring}"
[admin]
socket = "{folder}/admin.sock"
[limits]
max_clients_per_ip = 5000
[backend]
url = "{url}"
[auth.bots]
kind = "open"
[[listeners]]
name = "bots"
protocol = "{protocol}"
bind = "127.0.0.1:{port}"
auth = "bots"
durability = "{durability}"
resume_window = {window}
"""


class Node:
    """One daemon after the other on the same port and the same journal."""

    def __init__(
        self, folder: Path, protocol: str, durability: str, interval: float, window: float, url: str,
        io_uring: str = "auto",
    ) -> None:  # fmt: skip
        self.port = free_port()
        self.admin = folder / "admin.sock"
        self._config = folder / "gatewayd.toml"
        self._errors = folder / "errors"
        self._config.write_text(
            CONFIG.format(
                folder=folder,
                interval=interval,
                url=url,
                io_uring=io_uring,
                port=self.port,
                durability=durability,
                window=window,
                protocol=protocol,
            )
        )
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with self._errors.open("a") as errors:
            command = [sys.executable, "-m", "gatewayd", "run", "--config", str(self._config)]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self._process.stdout is not None
        if not any(line.startswith("admin socket") for line in self._process.stdout):
            raise RuntimeError(f"gatewayd did not start: {self._errors.read_text()[-1000:]}")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gatewayd")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class Publisher:
    """Publishes numbered events to single bots and to all. `answered` has the time of each answer."""

    def __init__(self, node: Node, everybody: str, bots: Sequence[Bot], chance: random.Random) -> None:
        self._node = node
        self._everybody = everybody
        self._bots = bots
        self._chance = chance
        self.answered: dict[int, float] = {}
        self._over = False
        self._by_bot: dict[str, list[int]] = {bot.name: [] for bot in bots}

    async def run(self) -> None:
        """Publish until the daemon is gone."""
        try:
            await trio.to_thread.run_sync(self._publish, abandon_on_cancel=True)
        finally:
            self._over = True

    def _publish(self) -> None:
        connection = _Unix(self._node.admin)
        for number in range(1_000_000):
            if self._over:
                return
            bot = None if self._chance.random() < 0.2 else self._chance.choice(self._bots).name
            body = {"channel": self._everybody if bot is None else f"user:{bot}", "event": "E", "data": {"n": number}}
            try:
                connection.request("POST", "/v1/publish", json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                return
            if answer.status != 200 or said["dropped"] or "durable" in said:
                raise RuntimeError(f"publish was answered with {answer.status} {said}")
            self.answered[number] = time.monotonic()
            for name in self._by_bot if bot is None else [bot]:
                self._by_bot[name].append(number)
            time.sleep(0.002)

    def missing(self, bot: Bot) -> set[int]:
        """Events for it that were answered, and that it has not heard."""
        return set(self._by_bot[bot.name]).difference(bot.heard)

    def in_order(self, bot: Bot) -> bool:
        """Whether what it heard, each event at its first arrival, is in the order of publishing."""
        first = list(dict.fromkeys(bot.heard))
        return first == sorted(first)

    @staticmethod
    def twice(bots: Sequence[Bot]) -> int:
        """How many came more than once."""
        return sum(len(bot.heard) - len(set(bot.heard)) for bot in bots)


class Told:
    """A backend that writes down what becomes of sessions; what it is told twice counts once."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[int, str]] = {}
        told = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for event in asked["events"]:
                    told.sessions.setdefault(event["session"], {})[event["sequence"]] = event["kind"]
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is logged."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """Who asked was killed in the middle of it: that is the test."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    async def all_ended(self, seconds: float) -> None:
        """Wait until every session has ended, for so long at most."""
        with trio.move_on_after(seconds):
            while not all("ended" in kinds.values() for kinds in tuple(self.sessions.values())):
                await trio.sleep(0.1)

    def faults(self) -> list[str]:
        """Sessions that did not end once, or whose story has a gap."""
        wrong = []
        for name, kinds in self.sessions.items():
            counts = Counter(kinds.values())
            if counts["opened"] != 1 or counts["ended"] != 1 or sorted(kinds) != list(range(1, len(kinds) + 1)):
                wrong.append(f"session {name} was told as {dict(sorted(kinds.items()))}")
            elif kinds[len(kinds)] != "ended":
                wrong.append(f"session {name} went on after its end: {dict(sorted(kinds.items()))}")
        return wrong

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
