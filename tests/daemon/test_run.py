"""The daemon as a process: what it prints, what it binds, how it stops, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

from tests.server import free_port

CONFIG = """
[admin]
socket = "{admin}"
[auth.fleet]
kind = "static"
secrets = ["s3cret"]
[[listeners]]
name = "bots"
protocol = "utilbot"
bind = "{bind}"
auth = "fleet"
"""


class Running:
    """A daemon in its own process; `table` is what it printed before it accepted anyone."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.table = ""
        assert process.stdout is not None
        for line in process.stdout:
            self.table += line
            if line.startswith("admin socket"):
                return
        raise AssertionError(f"it did not start: {process.communicate()[1]}")

    def stop(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what was logged."""
        self.process.send_signal(how)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


def command(*args: object, env: Mapping[str, str] | None = None, **options: object) -> subprocess.Popen[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWAYD", "LISTEN_", "NOTIFY"))}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "gatewayd", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**environ, **(env or {})}, **options,
    )  # fmt: skip


def finished(*args: object, env: Mapping[str, str] | None = None, **options: object) -> tuple[int, str, str]:
    """Run a command to its end: exit code, output, errors."""
    process = command(*args, env=env, **options)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@contextmanager
def running(*args: object, env: Mapping[str, str] | None = None, **options: object) -> Iterator[Running]:
    process = command("run", *args, env=env, **options)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gatewayd.toml"
    path.write_text(CONFIG.format(admin=tmp_path / "admin.sock", bind=f"127.0.0.1:{free_port()}"))
    return path


def bind_of(config: Path) -> str:
    return next(line for line in config.read_text().splitlines() if line.startswith("bind")).split('"')[1]


def identify(bot: ClientConnection, name: str = "a") -> dict[str, object]:
    assert json.loads(bot.recv(5))["op"] == 5
    bot.send(json.dumps({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}}))
    answer: dict[str, object] = json.loads(bot.recv(5))
    return answer


def test_it_serves_and_stops_with_0(config: Path, tmp_path: Path) -> None:
    with running("--config", config) as daemon:
        assert bind_of(config) in daemon.table
        assert "s3cret" not in daemon.table
        admin = tmp_path / "admin.sock"
        assert daemon.table.endswith(f"admin socket {admin}  (try: gatewayctl --socket {admin} status)\n")
        assert max(map(len, daemon.table.splitlines()[2:-2])) <= 80
        with connect(f"ws://{bind_of(config)}/?token=hidden", proxy=None) as bot:
            assert identify(bot)["t"] == "bot_connect_success"
            code, log = daemon.stop()
            with pytest.raises(ConnectionClosed) as closed:
                bot.recv(5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
    assert code == 0
    assert "Traceback" not in log
    assert "hidden" not in log
    assert not (tmp_path / "admin.sock").exists()


def test_sigint_stops_with_0_as_well(config: Path) -> None:
    with running("--config", config) as daemon:
        assert daemon.stop(signal.SIGINT)[0] == 0


def test_stuck_clients_do_not_hold_the_stop(config: Path) -> None:
    """They read nothing and answer nothing; and a second signal does not even wait for the grace."""
    with running("--config", config) as daemon:
        host, _, port = bind_of(config).partition(":")
        stuck = [socket.create_connection((host, int(port))) for _ in range(20)]
        for sock in stuck:
            sock.sendall(UPGRADE)
            assert sock.recv(10)
        second = threading.Timer(0.5, daemon.process.send_signal, (signal.SIGTERM,))
        second.start()
        start = time.monotonic()
        code, log = daemon.stop()
        second.cancel()
        for sock in stuck:
            sock.close()
        assert code == 0
        assert time.monotonic() - start < 9
        assert "Traceback" not in log


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@contextmanager
def stopping(
    daemon: Running, reach: Callable[[], socket.socket], beside: AbstractContextManager[object] | None = None
) -> Iterator[None]:
    """It was told to stop, and waits some seconds for a client that does not answer its close; `beside` was there
    before that.
    """
    with reach() as stuck, ExitStack() as others:
        stuck.sendall(UPGRADE)
        heard = b""
        while b"heartbeat" not in heard:
            heard += stuck.recv(1000)
        if beside is not None:
            others.enter_context(beside)
        daemon.process.send_signal(signal.SIGTERM)
        while b"\x03\xe9" not in heard:  # 1001
            heard += stuck.recv(1000)
        yield
        assert daemon.process.poll() is None
    assert daemon.process.wait(20) == 0


@pytest.mark.parametrize("unix", [False, True])
def test_who_comes_while_it_stops_is_told_to_come_again(config: Path, tmp_path: Path, unix: bool) -> None:
    path = tmp_path / "bots.sock"
    host, _, port = bind_of(config).partition(":")

    def reach() -> socket.socket:
        if not unix:
            return socket.create_connection((host, int(port)), 5)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            raise
        return sock

    if unix:
        config.write_text(config.read_text().replace(bind_of(config), f"unix:{path}"))
    with running("--config", config) as daemon, stopping(daemon, reach):
        for pause in (0.0, 0.1) * 5:  # it comes at once, or after a look at what is there
            with reach() as late:
                time.sleep(pause)
                late.sendall(UPGRADE)
                heard = b""
                while data := late.recv(1000):
                    heard += data
            assert heard.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 5\r\n" in heard
        with reach() as silent:
            silent.sendall(UPGRADE[:20])  # holds nothing up


def test_a_port_that_another_daemon_serves_is_left_to_it_while_it_stops(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("auth =", "reuse_port = true\nauth ="))
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace("admin.sock", "other.sock"))
    host, _, port = bind_of(config).partition(":")
    address = host, int(port)
    with running("--config", config) as daemon, stopping(daemon, lambda: socket.create_connection(address, 5)):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)
    with running("--config", config) as daemon:
        with stopping(daemon, lambda: socket.create_connection(address, 5), running("--config", other)):
            for _ in range(20):
                with connect(f"ws://{host}:{port}/", proxy=None) as bot:
                    assert identify(bot)["t"] == "bot_connect_success"


def test_the_embedded_default_needs_nothing(tmp_path: Path) -> None:
    """The six ports are fixed; where they are taken, one sentence says so. Either way nothing else is needed."""
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    busy = [port for port in range(7101, 7107) if not is_free(port)]
    if busy:
        code, _, err = finished("run", env=env, cwd=tmp_path)
        assert (code, "cannot listen on" in err) == (1, True)
        return
    with running(env=env, cwd=tmp_path) as daemon:
        names = ["oxyl", "rooms", "dmod", "discodo", "utilbot", "discord"]
        lines = [line for line in daemon.table.splitlines() if line.startswith(tuple(names))]
        assert [line.split()[0] for line in lines] == names
        for port, line in zip(range(7101, 7107), lines, strict=True):
            assert f"127.0.0.1:{port}" in line
        assert daemon.stop()[0] == 0


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_a_configuration_with_mistakes_starts_nothing(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("protocol =", "prot ="))
    for verb in ("run", "check"):
        code, out, err = finished(verb, "--config", config)
        assert code == 2
        assert out == ""
        assert "prot: unknown key" in err
        assert "Traceback" not in err
    assert not (tmp_path / "admin.sock").exists()


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    code, _, err = finished("run", "--config", tmp_path / "nowhere.toml")
    assert code == 2
    assert "nowhere.toml" in err
    assert "Traceback" not in err


def test_a_port_in_use_is_one_sentence_and_1(config: Path, tmp_path: Path) -> None:
    host, _, port = bind_of(config).partition(":")
    with socket.create_server((host, int(port))):
        code, _, err = finished("run", "--config", config)
    assert code == 1
    assert err.strip().splitlines()[-1].startswith(f"gatewayd: cannot listen on {bind_of(config)}")
    assert "Traceback" not in err
    assert not (tmp_path / "admin.sock").exists()


def test_an_admin_socket_that_answers_stops_the_start(config: Path) -> None:
    with running("--config", config):
        other = config.with_name("other.toml")
        other.write_text(config.read_text().replace(bind_of(config), f"127.0.0.1:{free_port()}"))
        code, _, err = finished("run", "--config", other)
        assert code == 1
        assert "another daemon answers there" in err


def test_a_dead_socket_file_is_unlinked_and_the_start_goes_on(config: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "admin.sock"))
    with running("--config", config) as daemon:
        assert daemon.stop()[0] == 0


def test_an_unusable_key_is_one_sentence_and_1(config: Path, tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("not a certificate")
        (tmp_path / name).chmod(0o600)
    config.write_text(
        config.read_text() + f'tls_cert = "{tmp_path / "cert.pem"}"\ntls_key = "{tmp_path / "key.pem"}"\n'
    )
    code, _, err = finished("run", "--config", config)
    assert code == 1
    assert "listener bots: cannot use tls_cert" in err
    assert "Traceback" not in err


def test_a_unix_listener(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "bots.sock"
    config.write_text(config.read_text().replace(bind_of(config), f"unix:{path}"))
    with running("--config", config) as daemon:
        with unix_connect(str(path), "ws://gatewayd/") as bot:
            assert identify(bot)["t"] == "bot_connect_success"
        assert daemon.stop()[0] == 0
    assert not path.exists()


ACTIVATE = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.executable, [sys.executable, "-m", "gatewayd", "run", "--config", sys.argv[3]])
"""


def activated(port: int, name: str, config: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(port), name, str(config)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})},
    )  # fmt: skip


def test_a_socket_from_systemd_and_readiness(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace(bind_of(config), "systemd:bots"))
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(10)
        daemon = Running(activated(port, "bots", config, {"NOTIFY_SOCKET": str(tmp_path / "notify")}))
        assert told.recv(1000) == b"READY=1\nSTATUS=Serving: 0 clients, 0 sessions, 1 listeners"
        with connect(f"ws://127.0.0.1:{port}/", proxy=None) as bot:
            assert identify(bot)["t"] == "bot_connect_success"
        assert daemon.stop()[0] == 0
        while (said := told.recv(1000)).startswith(b"WATCHDOG=1\n"):
            pass
        assert said.startswith(b"STOPPING=1\nSTATUS=Stopping: ")


def test_a_socket_that_systemd_did_not_hand_over(config: Path) -> None:
    config.write_text(config.read_text().replace(bind_of(config), "systemd:bots"))
    process = activated(free_port(), "others", config)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "handed over no socket named 'bots'" in err


def test_rest_calls_go_to_the_server_that_the_listener_names(tmp_path: Path) -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *args: object) -> None:
            pass

    path = tmp_path / "gatewayd.toml"
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever).start()
        bind = f"127.0.0.1:{free_port()}"
        text = CONFIG.format(admin=tmp_path / "admin.sock", bind=bind).replace("utilbot", "discodo")
        rest = f"http://127.0.0.1:{server.server_port}/v1"
        path.write_text(f'{text}[listeners.options]\nrest = "{rest}"\nrest_max_body = 10\n')
        headers = {"Authorization": "s3cret"}
        with (
            running("--config", path),
            httpx.Client(base_url=f"http://{bind}", headers=headers, trust_env=False) as bot,
        ):
            assert bot.get("/context?a=b").text == "/v1/context?a=b"
            assert bot.post("/context", content=b"x" * 11).status_code == 413
        server.shutdown()
