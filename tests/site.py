"""A daemon with a journal, as a process that can be killed and started again, and what people do with it."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.daemon.test_run import Running, finished, identify, running
from tests.server import free_port

HEAD = """
[gateway]
state_dir = "{state}"
journal_interval = "{interval}"
shutdown_grace = "1s"
[admin]
socket = "{admin}"
[auth.fleet]
kind = "static"
secrets = ["s3cret"]
users = {{ "7" = "seven" }}
"""
LISTENER = """
[[listeners]]
name = "{name}"
protocol = "{protocol}"
bind = "127.0.0.1:{port}"
auth = "fleet"
durability = "{durability}"
"""


def until(true: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait for what has no event between processes."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return value


class Site:
    """A directory with a configuration; `daemon` is the process that runs, if one does."""

    def __init__(self, directory: Path, *, durability: str = "always", interval: str = "20ms", more: str = "") -> None:
        self.directory = directory
        self.path = directory / "gatewayd.toml"
        self.state = directory / "state"
        self.interval = interval
        self.more = more
        self.ports = {"bots": free_port()}
        self.listeners = {"bots": {"protocol": "utilbot", "durability": durability}}
        self.extra: dict[str, str] = {}
        self.daemon: Running | None = None
        self.clients = ExitStack()

    def listen(self, name: str, protocol: str, durability: str = "always", extra: str = "") -> None:
        """One more listener, or another one under a name."""
        self.ports.setdefault(name, free_port())
        self.listeners[name] = {"protocol": protocol, "durability": durability}
        self.extra[name] = extra

    def write(self, change: Callable[[str], str] = lambda text: text) -> None:
        """Write the configuration."""
        text = HEAD.format(state=self.state, interval=self.interval, admin=self.directory / "admin.sock")
        for name, values in self.listeners.items():
            text += LISTENER.format(name=name, port=self.ports[name], **values) + self.extra.get(name, "")
        self.path.write_text(change(text + self.more))

    @contextmanager
    def run(self) -> Iterator[Running]:
        """For as long as the block runs, unless it is killed before."""
        if not self.path.exists():
            self.write()
        with ExitStack() as self.clients, running("--config", self.path, cwd=self.directory) as daemon:
            self.daemon = daemon
            try:
                yield daemon
            finally:
                self.daemon = None

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        assert self.daemon is not None
        self.daemon.process.send_signal(signal.SIGKILL)
        self.daemon.process.wait(10)

    def fails(self) -> str:
        """A start that has to fail: with exit code 1 and one clear line, which is returned."""
        self.write()
        code, out, err = finished("run", "--config", self.path, cwd=self.directory)
        lines = [line for line in err.splitlines() if line.startswith("gatewayd: ")]
        assert (code, out, len(lines)) == (1, "", 1), err
        assert "Traceback" not in err
        return lines[0]

    # --- what people do -------------------------------------------------------------------------------------

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """One request to the admin socket; its answer, with `status` where that is an object."""
        said = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: gatewayd\r\nConnection: close\r\nContent-Length: {len(said)}\r\n\r\n"
        )
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self.directory / "admin.sock"))
            sock.sendall(head.encode() + said)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def publish(self, channel: str, data: Any, **more: Any) -> Any:
        """The answer to one event."""
        return self.ask("POST", "/v1/publish", {"channel": channel, "event": "E", "data": data, **more})

    def journal(self) -> Any:
        """What the status says of the journal."""
        return self.ask("GET", "/v1/status")["journal"]

    def written(self) -> None:
        """Wait until everything is on disk."""
        until(lambda: not self.journal()["pending"]["operations"] and self.journal()["degraded"] is None)

    def sessions(self) -> dict[str, str]:
        """Identity -> state."""
        return {row["identity"]: row["state"] for row in self.ask("GET", "/v1/sessions")["sessions"]}

    def connect(self, listener: str = "bots", query: str = "", **options: Any) -> ClientConnection:
        """A client, closed when the run is over."""
        url = f"ws://127.0.0.1:{self.ports[listener]}/{query}"
        client: ClientConnection = self.clients.enter_context(connect(url, proxy=None, close_timeout=2, **options))
        return client

    def bot(self, name: str = "a", **options: Any) -> tuple[ClientConnection, dict[str, Any]]:
        """An identified client of `bots`, and what it was told."""
        client = self.connect(**options)
        return client, identify(client, name)

    def lose(self, client: ClientConnection) -> None:
        """The connection is lost, and the daemon has noticed."""
        before = sum(state == "detached" for state in self.sessions().values())
        client.socket.shutdown(socket.SHUT_RDWR)
        client.close()
        until(lambda: sum(state == "detached" for state in self.sessions().values()) > before)

    def rows(self, table: str) -> list[Any]:
        """What the file holds."""
        with closing(sqlite3.connect(self.state / "journal.db", timeout=10)) as connection:
            return [json.loads(row[-1]) for row in connection.execute(f"SELECT * FROM {table}")]

    def edit(self, statement: str, *values: Any) -> None:
        """By hand, while no daemon is there."""
        with closing(sqlite3.connect(self.state / "journal.db")) as connection, connection:
            connection.execute(statement, values)


def heard(client: ClientConnection, count: int) -> list[Any]:
    """The data of the next events."""
    return [json.loads(client.recv(10))["d"] for _ in range(count)]
