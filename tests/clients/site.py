"""A daemon for the clients to talk to: with its defaults, and with a configuration of its own for every listener."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import tomli_w

from tests.server import free_port

SECRET = "s3cret"
KINDS = ("default", "configured")
VERSION = "3.0.5"
"""The one line that the clients of discodo want, on the default listener too."""
CONFIGURED: dict[str, dict[str, Any]] = {
    "oxyl": {"heartbeat_interval": "5s", "options": {"shards_total": 8, "shards_per_sharder": 2}},
    "rooms": {"heartbeat_interval": "1s", "heartbeat_tolerance": "1s", "resume_window": "5s"},
    "dmod": {"heartbeat_interval": "1s", "heartbeat_tolerance": "500ms", "origins": ["https://dmod.example"]},
    "discodo": {"heartbeat_interval": "2s", "rate_limit": "100/1s", "durability": "always"},
    "utilbot": {"heartbeat_interval": "5s", "options": {"require_version": True}},
    "discord": {"heartbeat_interval": "2s", "durability": "always"},
    "page": {"heartbeat_interval": "1s", "heartbeat_tolerance": "1s"},
}
PYTHON = [sys.executable, "-c"]
DAEMON = [*PYTHON, "from gatewayd.__main__ import run; run()", "run", "--config"]
CTL = [*PYTHON, "from gatewayd.ctl.main import run; run()", "--socket"]


class Rest(BaseHTTPRequestHandler):
    """The server behind a discodo listener: it has every song, and every password of its clients is right."""

    def do_GET(self) -> None:
        """/getSource?query=…"""
        self._answer({"source": {"_type": "AudioData", "tag": "t", "title": "a song"}})

    def do_POST(self) -> None:
        """/loadSource, /options."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        source = {"_type": "AudioData", "tag": "t", "title": body.get("query")}
        self._answer({"source": source} if self.path == "/loadSource" else body)

    def _answer(self, payload: object) -> None:
        known = self.headers["Authorization"] == SECRET and self.headers["Guild-ID"] and self.headers["VoiceClient-ID"]
        body = json.dumps(payload if known else {"message": "who is this?"}).encode()
        self.send_response(200 if known else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


def _defaults() -> dict[str, Any]:
    """What `gatewayd config default` prints, on ports of our own, with one more listener: a page's, without auth."""
    told = subprocess.run([*DAEMON[:-2], "config", "default"], check=True, capture_output=True, text=True).stdout
    config = tomllib.loads(told.replace("change-me", SECRET))
    (rooms,) = (listener for listener in config["listeners"] if listener["name"] == "rooms")
    config["listeners"].append({key: value for key, value in rooms.items() if key != "auth"} | {"name": "page"})
    for listener in config["listeners"]:
        listener["bind"] = f"127.0.0.1:{free_port()}"
        if listener["name"] == "discodo":
            listener.setdefault("options", {})["version"] = VERSION
    return config


def _configured(config: dict[str, Any], folder: Path, rest: str) -> None:
    config["gateway"] |= {"state_dir": str(folder / "state"), "fast_lane": False}
    for listener in config["listeners"]:
        own = CONFIGURED[listener["name"]]
        options = listener.get("options", {}) | own.get("options", {})
        listener |= own | {"options": options}
        if listener["name"] == "discodo":
            options["rest"] = rest


@contextmanager
def site(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """A running daemon, as the environment variables that its clients go by."""
    folder.mkdir()
    config = _defaults()
    config["admin"]["socket"] = str(folder / "admin.sock")
    with ThreadingHTTPServer(("127.0.0.1", 0), Rest) as server:
        threading.Thread(target=server.serve_forever).start()
        if kind == "configured":
            _configured(config, folder, f"http://127.0.0.1:{server.server_port}")
        path = folder / "gatewayd.toml"
        path.write_text(tomli_w.dumps(config))
        path.chmod(0o600)
        with (folder / "log").open("w") as log:
            daemon = subprocess.Popen([*DAEMON, str(path)], stdout=subprocess.DEVNULL, stderr=log)
        try:
            _until_it_answers(daemon, [*CTL, config["admin"]["socket"], "status"], folder / "log")
            yield _environment(config, kind)
        finally:
            daemon.terminate()
            daemon.wait(20)
            server.shutdown()


def _environment(config: dict[str, Any], kind: str) -> dict[str, str]:
    ctl = [*CTL, config["admin"]["socket"]]
    return {
        "KIND": kind,
        "SECRET": SECRET,
        "PORTS": json.dumps({one["name"]: int(one["bind"].rpartition(":")[2]) for one in config["listeners"]}),
        "ORIGIN": "https://dmod.example" if kind == "configured" else "",
        "REST": "yes" if kind == "configured" else "",
        "PUBLISH": json.dumps([*ctl, "publish"]),
        "NOTIFY": json.dumps([*ctl, "notify"]),
    }


def _until_it_answers(daemon: subprocess.Popen[bytes], status: list[str], log: Path) -> None:
    deadline = time.monotonic() + 20
    while subprocess.run(status, capture_output=True, check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the daemon did not start:\n{log.read_text()}")
        time.sleep(0.1)
