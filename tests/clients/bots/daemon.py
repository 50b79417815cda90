"""The daemon that the bots connect to: it can be stopped, frozen, killed and started again, with its socket kept."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import tomli_w
import trio
from attrs import define, field

from tests.server import free_port

PROTOCOL = "discord"
RUN = "from gatewayd.__main__ import run; run()"
ACTIVATED = f"import os; os.dup2(int(os.environ['FD']), 3); os.environ['LISTEN_PID'] = str(os.getpid()); {RUN}"
"""What systemd does for a service with a socket unit."""


@functools.cache
def _default() -> str:
    return subprocess.run(
        [sys.executable, "-c", RUN, "config", "default"], check=True, capture_output=True, text=True
    ).stdout


def default() -> tuple[dict[str, Any], str]:
    """`config default` with one listener, the bots', and the token that it asks for."""
    config = tomllib.loads(_default())
    (listener,) = config["listeners"] = [one for one in config["listeners"] if one["protocol"] == PROTOCOL]
    auth = config["auth"] = {listener["auth"]: config["auth"][listener["auth"]]}
    token: str = auth[listener["auth"]]["secrets"][0]
    return config, token


@define
class Daemon:
    """One process after the other, on the same port, journal and admin socket."""

    folder: Path
    settings: dict[str, Any] = field(factory=dict)
    """Of the listener."""
    backend: str = ""
    kept: bool = False
    """Its socket is ours, as it is systemd's: it outlives the process."""
    token: str = ""
    documents: str = ""
    """The prefix of its documents."""
    port: int = 0
    process: trio.Process | None = None
    socket: socket.socket | None = None

    def configure(self) -> None:
        """Write its file: the default, and what this case is about."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config, self.token = default()
        self.documents = config["listeners"][0].get("options", {}).get("documents", "")
        if self.kept:
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
        else:
            self.port = free_port()
        bind = f"systemd:{PROTOCOL}" if self.kept else f"127.0.0.1:{self.port}"
        options = config["listeners"][0].get("options", {}) | self.settings.pop("options", {})
        config["listeners"][0] |= {"bind": bind, "options": options, **self.settings}
        config["gateway"]["fast_lane"] = os.environ.get("GATEWAYD_TEST_FAST_LANE", "on") == "on"
        config["admin"]["socket"] = str(self.folder / "admin.sock")
        config["gateway"]["state_dir"] = str(self.folder / "state")
        if self.backend:
            config["backend"] = {"url": self.backend}
        path = self.folder / "gatewayd.toml"
        path.write_text(tomli_w.dumps(config))
        path.chmod(0o600)

    def change(self, old: str, new: str) -> None:
        """Its file, for the next start."""
        path = self.folder / "gatewayd.toml"
        path.write_text(path.read_text().replace(old, new))

    async def start(self) -> None:
        """Run it, and wait until it is ready."""
        environment = dict(os.environ)
        descriptors: tuple[int, ...] = ()
        if self.socket is not None:
            descriptors = (self.socket.fileno(),)
            environment |= {"FD": str(descriptors[0]), "LISTEN_FDS": "1", "LISTEN_FDNAMES": PROTOCOL}
        code = ACTIVATED if self.kept else RUN
        with (self.folder / "log").open("a") as log:
            self.process = await trio.lowlevel.open_process(
                [sys.executable, "-c", code, "run", "--config", str(self.folder / "gatewayd.toml")],
                env=environment, pass_fds=descriptors, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        with trio.fail_after(20):
            while not await self._is_ready():
                if self.process.poll() is not None:
                    raise AssertionError(f"the daemon did not start:\n{(self.folder / 'log').read_text()}")
                await trio.sleep(0.05)

    async def _is_ready(self) -> bool:
        try:
            return bool(await self.ask("GET", "/readyz"))
        except httpx.TransportError:
            return False

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def gone(self, seconds: float = 20) -> int:
        """Its exit code."""
        assert self.process is not None
        with trio.fail_after(seconds):
            return await self.process.wait()

    async def ask(self, method: str, target: str, body: Any = None) -> Any:
        """One request to the admin socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.folder / "admin.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://gatewayd", timeout=20) as client:
            answer = await client.request(method, target, json=body)
            answer.raise_for_status()
            return answer.json()

    async def publish(self, events: Sequence[dict[str, Any]]) -> None:
        """All of them, in one request, which is answered when they are kept."""
        answers = await self.ask("POST", "/v1/publish", list(events))
        wrong = [answer for answer in answers if "error" in answer or answer["dropped"]]
        assert not wrong, wrong

    async def sessions(self) -> list[dict[str, Any]]:
        """Those that there are."""
        rows: list[dict[str, Any]] = (await self.ask("GET", "/v1/sessions"))["sessions"]
        return rows
