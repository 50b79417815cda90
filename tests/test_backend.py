"""The daemon with a backend, each in its own process: over HTTP and with handlers of its own."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.backend.conftest import SECRET, Backend
from tests.daemon.test_run import CONFIG, finished, identify, running
from tests.server import free_port

HANDLERS = """
from gatewayd.backend import App
import trio

app = App()

@app.command("utilbot", "slow")
async def slow(session, data):
    await trio.sleep(data["seconds"])
    return {"slept": data["seconds"]}

@app.command("utilbot", "bad")
async def bad(session, data):
    raise ValueError("oops")

@app.on_ended
async def ended(entry):
    with open("ended", "a") as file:
        file.write(f"{entry.identity} {entry.cause}\\n")
"""
PRESENCE = 'heartbeat_interval = "400ms"\nheartbeat_tolerance = "200ms"\n'


def write(tmp_path: Path, more: str, listener: str = "") -> tuple[Path, str]:
    bind = f"127.0.0.1:{free_port()}"
    path = tmp_path / "gatewayd.toml"
    path.write_text(CONFIG.format(admin=tmp_path / "admin.sock", bind=bind) + listener + more)
    return path, bind


def status_of(path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost: gatewayd\r\nConnection: close\r\n\r\n")
        body = b"".join(iter(lambda: sock.recv(65536), b""))
    return json.loads(body.partition(b"\r\n\r\n")[2])


def command(bot: ClientConnection, name: str, data: Any) -> Any:
    bot.send(json.dumps({"op": 1, "t": name, "d": data}))
    return json.loads(bot.recv(5))


@pytest.fixture(name="backend")
def _backend(tmp_path: Path) -> Any:
    made = Backend(tmp_path / "journal")
    made.start()
    yield made
    made.stop()


def test_over_http(tmp_path: Path, backend: Backend) -> None:
    more = f'[backend]\nurl = "{backend.url}"\nsecret = "{SECRET}"\nretry_min = "50ms"\nretry_max = "100ms"\n'
    path, bind = write(tmp_path, more)
    with running("--config", path) as daemon:
        with connect(f"ws://{bind}", proxy=None) as bot:
            identify(bot)
            answer = command(bot, "echo", {"x": 1})
            assert (answer["op"], answer["t"]) == (0, "echo")
            assert answer["d"]["session"]["identity"] == "a"
            backend.stop()
            assert command(bot, "echo", {})["e"] == 1000
        with connect(f"ws://{bind}", proxy=None) as bot:
            assert identify(bot)["d"] == {"id": "a", "resumed": True}
            status = status_of(tmp_path / "admin.sock")["backend"]
            assert status["asked"] == 2
            assert status["answered"] == 1
            assert sum(status["failed"].values()) == 1
            assert status["lifecycle"]["waiting"] == 2
            backend.start()
            code, log = daemon.stop()
    assert code == 0
    assert "Traceback" not in log
    assert SECRET not in log
    assert "HTTP Request" not in log
    heard = {event["n"]: (event["kind"], event["cause"]) for event in backend.heard()}  # at least once
    assert list(heard.values()) == [
        ("opened", ""), ("detached", "backend_failed"), ("resumed", ""), ("detached", "shutdown"), ("ended", "shutdown"),
    ]  # fmt: skip


@pytest.fixture(name="silent")
def _silent() -> Iterator[str]:
    """The address of a backend that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def stuck_client(bind: str) -> socket.socket:
    """Upgraded; reads nothing and answers nothing."""
    host, _, port = bind.partition(":")
    sock = socket.create_connection((host, int(port)))
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert sock.recv(10)
    return sock


@pytest.mark.parametrize("kept", [False, True])
def test_a_stop_with_a_backend_that_does_not_answer_takes_its_grace_and_no_more(
    tmp_path: Path, silent: str, kept: bool
) -> None:
    state = f'state_dir = "{tmp_path / "state"}"\n' if kept else ""
    more = f'[backend]\nurl = "{silent}"\nsecret = "{SECRET}"\n[gateway]\nshutdown_grace = "2s"\n{state}'
    path, bind = write(tmp_path, more)
    with running("--config", path) as daemon:
        with connect(f"ws://{bind}", proxy=None) as bot, stuck_client(bind):
            identify(bot)
            begun = time.monotonic()
            code, log = daemon.stop()
            took = time.monotonic() - begun
    assert (code, "Traceback" in log) == (0, False)
    assert 1.9 < took < 2.9
    assert ("could not be delivered before the end" in log) is not kept


@pytest.mark.parametrize("clients", [False, True])
def test_a_second_signal_ends_a_stop_at_once(tmp_path: Path, silent: str, clients: bool) -> None:
    """Whether it waits for clients that do not leave, or for a backend that does not answer."""
    more = f'[backend]\nurl = "{silent}"\nsecret = "{SECRET}"\n[gateway]\nshutdown_grace = "60s"\n'
    path, bind = write(tmp_path, more)
    with ExitStack() as open_, running("--config", path) as daemon:
        bot = open_.enter_context(connect(f"ws://{bind}", proxy=None))
        identify(bot)
        if clients:
            open_.enter_context(stuck_client(bind))
        daemon.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            bot.recv(5)
        time.sleep(0.5)
        assert daemon.process.poll() is None
        begun = time.monotonic()
        code, log = daemon.stop()
        assert time.monotonic() - begun < 2
    assert (code, "Traceback" in log) == (0, False)
    assert log.count("told twice: stopping now") == 1


def test_in_process_a_client_that_waits_for_us_is_not_found_dead(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(HANDLERS)
    path, bind = write(tmp_path, '[backend]\nhandlers = "shop:app"\n', PRESENCE)
    with running("--config", path, cwd=tmp_path) as daemon:
        with connect(f"ws://{bind}", proxy=None) as bot, connect(f"ws://{bind}", proxy=None) as other:
            identify(bot)
            identify(other, "b")
            bot.send(json.dumps({"op": 1, "t": "slow", "d": {"seconds": 1.0}}))
            start = time.monotonic()
            while time.monotonic() - start < 0.9:  # both beat, as they should; only one of them can be heard
                for each in (bot, other):
                    each.send('{"op": 10}')
                assert json.loads(other.recv(5)) == {"op": 11}
                time.sleep(0.1)
            assert json.loads(bot.recv(5)) == {"op": 0, "t": "slow", "d": {"slept": 1.0}}
            assert json.loads(bot.recv(5)) == {"op": 11}
            assert command(other, "bad", {})["e"] == 1000
        code, log = daemon.stop()
    assert code == 0
    assert log.count("ValueError: oops") == 1
    assert sorted((tmp_path / "ended").read_text().splitlines()) == ["a client_closed", "b shutdown"]


def test_handlers_that_cannot_be_imported_stop_the_start(tmp_path: Path) -> None:
    path, _ = write(tmp_path, '[backend]\nhandlers = "no_such:app"\n')
    path.chmod(0o600)
    code, _, err = finished("run", "--config", path)
    assert (code, err) == (
        1, "gatewayd: backend.handlers: cannot import no_such: ModuleNotFoundError: No module named 'no_such'\n",
    )  # fmt: skip


def test_a_wrong_form_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    path, _ = write(tmp_path, '[backend]\nhandlers = "no_such"\n')
    code, _, err = finished("run", "--config", path)
    assert code == 2
    assert err.endswith("backend.handlers: expected \"package.module:app\", got 'no_such'\n")


def test_an_unsigned_backend_is_warned_of(tmp_path: Path) -> None:
    path, _ = write(tmp_path, '[backend]\nurl = "http://127.0.0.1:1"\n')
    code, _, err = finished("check", "--config", path)
    assert code == 0
    assert "warning: backend.url: asked without a signature" in err
