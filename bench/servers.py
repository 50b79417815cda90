"""The servers under test as processes: how each is started, and what it has used of CPU and memory."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / "peers"
SECRET = "bench-secret"
MANY = 1_000_000

CONFIG = """
[admin]
socket = "{admin}"
[limits]
max_clients = 19000
max_clients_per_ip = 19000
max_unidentified = 19000
bytes_per_second = 1000000000
burst_bytes = 1000000000
[auth.bench]
kind = "static"
secrets = ["{secret}"]
[[listeners]]
name = "bench"
protocol = "{protocol}"
bind = "127.0.0.1:{port}"
auth = "bench"
heartbeat_interval = "10m"
heartbeat_tolerance = "10m"
"""
OPTIONS = {
    # The document's own event, to every commands service instead of one: the only event that a client gives to many.
    "oxyl": """
[listeners.options.routes.EXECUTE_COMMAND]
senders = ["sharder"]
receivers = ["commands"]
deliver = "all"
""",
    "rooms": "[listeners.options]\nad_hoc = true\n",
    # Nobody may identify as often as a thousand clients with one token do here.
    "discord": f"[listeners.options]\nmax_concurrency = {MANY}\nsession_starts = {MANY}\n",
}
LEVEL = 6
"""Of compression, on both sides."""


class Unavailable(Exception):
    """Something that a server or the generator needs is not on this machine."""


@dataclass(frozen=True)
class Tools:
    """What was built for this run."""

    folder: Path
    """A temporary directory of this run."""

    @classmethod
    def build(cls, folder: Path) -> Tools:
        """Compile the generator and the limit server."""
        tools = cls(folder)
        tools.program("load")
        tools.program("limit")
        return tools

    def program(self, name: str, *options: str) -> str:
        """A compiled program; `options` are the compiler's, and make it another one."""
        path = self.folder / "-".join((name, *(option.lstrip("-") for option in options)))
        if not path.exists():
            if shutil.which("cc") is None:
                raise Unavailable("cc is needed to build the load generator")
            command = ["cc", "-O2", "-o", str(path), str(HERE / f"{name}.c"), *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"{name}.c does not compile: {done.stderr.strip()[:300]}")
        return str(path)

    def load(self, *, tls: bool) -> str:
        """The load generator."""
        return self.program("load", "-DTLS", "-lssl", "-lcrypto") if tls else self.program("load")

    def certificate(self) -> tuple[str, str]:
        """A certificate of its own for this run, and its key."""
        cert, key = str(self.folder / "cert.pem"), str(self.folder / "key.pem")
        if not Path(cert).exists():
            if shutil.which("openssl") is None:
                raise Unavailable("openssl is needed to make a certificate")
            curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            names = ["-subj", "/CN=localhost", "-keyout", key, "-out", cert]
            subprocess.run(["openssl", "req", "-x509", *curve, *names], capture_output=True, check=True)
        return cert, key


@dataclass(frozen=True)
class Server:
    """A running server under test: one process, or several that share a port."""

    pids: tuple[int, ...]
    port: int
    admin: Path

    def cpu(self) -> float:
        """Seconds of CPU that it and its children have used."""
        return sum(cpu_seconds(pid) for pid in self.pids)

    def rss(self) -> int:
        """Resident memory in KB, its children included."""
        return self._memory("VmRSS")

    def watch_memory(self) -> int:
        """Forget the peak so far; returns the resident memory in KB."""
        for pid in self._tree():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.rss()

    def peak(self) -> int:
        """The most resident memory, in KB, since it was last watched."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> int:
        total = 0
        for pid in self._tree():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
        return total

    def _tree(self) -> list[int]:
        return [each for pid in self.pids for each in _tree(pid)]


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process and its children have used."""
    total = 0
    for each in _tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(") ")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def raise_files() -> None:
    """As many open files as this process and those that it starts may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


Command = Callable[[Tools, int, str, tuple[str, ...]], list[str]]
"""The command line of a server, for a port, a protocol (behind a dash the window bits of its compressed streams) and,
with TLS, certificate and key."""


def _admin(tools: Tools, instance: int = 0) -> Path:
    return tools.folder / f"admin-{instance}.sock"


def _gatewayd(
    tools: Tools, port: int, protocol: str, tls: tuple[str, ...], instance: int = 0, *,
    shared: bool = False, durability: str | None = None,
) -> list[str]:  # fmt: skip
    protocol, _, bits = protocol.partition("-")
    text = "" if durability is None else f'[gateway]\nstate_dir = "{tempfile.mkdtemp(dir=tools.folder)}"\n'
    text += CONFIG.format(admin=_admin(tools, instance), secret=SECRET, protocol=protocol, port=port)
    if shared:
        text += "reuse_port = true\n"
    if durability is not None:
        text += f'durability = "{durability}"\n'
    if tls:
        text += f'tls_cert = "{tls[0]}"\ntls_key = "{tls[1]}"\n'
    text += OPTIONS.get(protocol, "")
    if bits:
        text += f"window_bits = {bits}\ncompress_level = {LEVEL}\n"
    config = tools.folder / f"gatewayd-{instance}.toml"
    config.write_text(text)
    return [sys.executable, "-m", "gatewayd", "run", "--config", str(config), "--log-level", "error"]


def _node(tools: Tools, port: int, protocol: str, tls: tuple[str, ...], *options: str) -> list[str]:
    home = tools.folder / "node"
    if not home.exists():
        if shutil.which("npm") is None:
            raise Unavailable("npm is not installed")
        home.mkdir()
        for name in ("package.json", "node_ws.js", "node_zlib.js"):
            shutil.copy(PEERS / name, home)
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund"], cwd=home, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unavailable(f"npm install failed: {done.stderr.strip()[-200:]}")
    return ["node", str(home / "node_ws.js"), str(port), protocol, *tls, *options]


def _node_zlib(how: str, tools: Tools, port: int, protocol: str, tls: tuple[str, ...]) -> list[str]:
    node, *_ = _node(tools, port, protocol, tls)
    bits = protocol.partition("-")[2]
    return [node, str(tools.folder / "node/node_zlib.js"), str(port), str(_admin(tools)), how, str(LEVEL), bits]


def _python(peer: str, *needs: str, extra: tuple[str, ...] = ()) -> Command:
    def command(tools: Tools, port: int, protocol: str, tls: tuple[str, ...]) -> list[str]:
        for module in needs:
            if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode:
                raise Unavailable(f"{module} is not installed")
        return [sys.executable, "-m", f"bench.peers.{peer}", str(port), protocol, *extra, *tls]

    return command


COMMANDS: dict[str, Command] = {
    "gatewayd": _gatewayd,
    **{f"gatewayd, {kept}": functools.partial(_gatewayd, durability=kept) for kept in ("none", "batched", "always")},
    "Node.js ws": _node,
    "Node.js ws, unbound": lambda tools, port, protocol, tls: _node(tools, port, protocol, tls, "unbound"),
    "Node.js ws, zlib": functools.partial(_node_zlib, "sync"),
    "Node.js ws, async zlib": functools.partial(_node_zlib, "async"),
    "picows (uvloop)": _python("picows_server", "picows", "uvloop"),
    "websockets (uvloop)": _python("ws_asyncio", "websockets", "uvloop", extra=("uvloop",)),
    "websockets (asyncio)": _python("ws_asyncio", "websockets"),
    "trio-websocket": _python("plain_trio", "trio_websocket"),
    "C, the limit": lambda tools, port, protocol, tls: [tools.program("limit"), str(port)],
}


BEFORE = "gatewayd before"
NEWER = ("bytes_per_second", "burst_bytes")
"""Keys of `CONFIG` that an older gatewayd may not know, and has no bound to lift for."""


def before(checkout: Path) -> Command:
    """gatewayd from another checkout, with the interpreter of its `.venv` where it has one."""
    python = checkout / ".venv/bin/python"
    start = f"import sys; sys.path[0] = {str(checkout)!r}; from gatewayd.__main__ import run; run()"

    def command(tools: Tools, port: int, protocol: str, tls: tuple[str, ...]) -> list[str]:
        _, *_, run, config, path, level, silent = _gatewayd(tools, port, protocol, tls)
        known = (checkout / "gatewayd/config/model.py").read_text()
        lines = Path(path).read_text().splitlines()
        kept = [line for line in lines if not line.startswith(NEWER) or line.partition(" =")[0] in known]
        Path(path).write_text("\n".join(kept))
        return [str(python) if python.exists() else sys.executable, "-c", start, run, config, path, level, silent]

    return command


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _running(name: str, command: list[str]) -> Iterator[int]:
    """A process, from when it listens; it is killed at the end."""
    ready = "admin socket" if name.startswith("gatewayd") else "ready"
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE.parent
        )
        assert process.stdout is not None
        try:
            if not any(line.startswith(ready) for line in process.stdout):
                errors.seek(0)
                raise RuntimeError(f"{name} did not start: {errors.read().strip()[-500:]}")
            yield process.pid
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@contextlib.contextmanager
def serve(name: str, protocol: str, tools: Tools, *, tls: bool = False) -> Iterator[Server]:
    """Start a server, wait until it listens, and stop it at the end."""
    port, admin = _free_port(), _admin(tools)
    command = COMMANDS[name](tools, port, protocol, tools.certificate() if tls else ())
    try:
        with _running(name, command) as pid:
            yield Server((pid,), port, admin)
    finally:
        admin.unlink(missing_ok=True)


@contextlib.contextmanager
def share(instances: int, protocol: str, tools: Tools) -> Iterator[Server]:
    """As many daemons on one port, as one server."""
    port = _free_port()
    with contextlib.ExitStack() as stack:
        pids = []
        for instance in range(instances):
            command = _gatewayd(tools, port, protocol, (), instance, shared=True)
            stack.callback(_admin(tools, instance).unlink, missing_ok=True)
            pids.append(stack.enter_context(_running("gatewayd", command)))
        yield Server(tuple(pids), port, _admin(tools))
