"""The servers under test, and the command line that starts each of them."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.process import Server, running
from bench.tools import Tools, Unavailable

SECRET = "bench-secret"
MANY = 1_000_000

CONFIG = """
[gateway]
{gateway}
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
NEWER = ("bytes_per_second", "burst_bytes", "io_uring")
"""Keys that an older gatewayd may not know."""
LEVEL = 6
"""Of compression, on both sides."""
DURABILITIES = ("none", "batched", "always")

Command = Callable[[Tools, int, str, tuple[str, ...]], list[str]]
"""The command line of a server, for a port, a protocol (behind a dash the window bits of its compressed streams) and,
with TLS, certificate and key."""


def _admin(tools: Tools, instance: int = 0) -> Path:
    return tools.folder / f"admin-{instance}.sock"


def _gatewayd(
    tools: Tools, port: int, protocol: str, tls: tuple[str, ...], instance: int = 0, *,
    shared: bool = False, durability: str | None = None, io_uring: str | None = None,
) -> list[str]:  # fmt: skip
    protocol, _, bits = protocol.partition("-")
    gateway = "" if durability is None else f'state_dir = "{tempfile.mkdtemp(dir=tools.folder)}"\n'
    if io_uring is not None:
        gateway += f'io_uring = "{io_uring}"\n'
    text = CONFIG.format(admin=_admin(tools, instance), secret=SECRET, protocol=protocol, port=port, gateway=gateway)
    if shared:
        text += "reuse_port = true\n"
    if durability is not None:
        text += f'durability = "{durability}"\n'
    if tls:
        text += f'tls_cert = "{tls[0]}"\ntls_key = "{tls[1]}"\n'
    text += OPTIONS.get(protocol, "")
    if bits:
        text += f"window_bits = {bits}\ncompress_level = {LEVEL}\n"
    unknown = tuple(key for key in NEWER if not tools.version.knows(key))
    config = tools.folder / f"gatewayd-{instance}.toml"
    config.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith(unknown)))
    return tools.version.command("gatewayd.__main__", "run", "--config", str(config), "--log-level", "error")


def _node(tools: Tools, port: int, protocol: str, tls: tuple[str, ...], *options: str) -> list[str]:
    return [*tools.node("node_ws.js"), str(port), protocol, *tls, *options]


def _node_zlib(how: str, tools: Tools, port: int, protocol: str, tls: tuple[str, ...]) -> list[str]:
    bits = protocol.partition("-")[2]
    return [*tools.node("node_zlib.js"), str(port), str(_admin(tools)), how, str(LEVEL), bits]


def _node_http(tools: Tools, port: int, protocol: str, tls: tuple[str, ...]) -> list[str]:
    return [*tools.node("node_http.js"), str(_admin(tools))]


def _python(peer: str, *needs: str, extra: tuple[str, ...] = ()) -> Command:
    def command(tools: Tools, port: int, protocol: str, tls: tuple[str, ...]) -> list[str]:
        for module in needs:
            if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode:
                raise Unavailable(f"{module} is not installed")
        return [sys.executable, "-m", f"bench.peers.{peer}", str(port), protocol, *extra, *tls]

    return command


COMMANDS: dict[str, Command] = {
    "gatewayd": _gatewayd,
    "gatewayd, io_uring off": functools.partial(_gatewayd, io_uring="off"),
    **{f"gatewayd, {kept}": functools.partial(_gatewayd, durability=kept) for kept in DURABILITIES},
    "Node.js ws": _node,
    "Node.js ws, prepared": lambda tools, port, protocol, tls: _node(tools, port, protocol, tls, "prepared"),
    "Node.js ws, unbound": lambda tools, port, protocol, tls: _node(tools, port, protocol, tls, "unbound"),
    "Node.js ws, zlib": functools.partial(_node_zlib, "sync"),
    "Node.js ws, async zlib": functools.partial(_node_zlib, "async"),
    "Node.js http": _node_http,
    "picows (uvloop)": _python("picows_server", "picows", "uvloop"),
    "websockets (uvloop)": _python("ws_asyncio", "websockets", "uvloop", extra=("uvloop",)),
    "websockets (asyncio)": _python("ws_asyncio", "websockets"),
    "trio-websocket": _python("plain_trio", "trio_websocket"),
    "C, the limit": lambda tools, port, protocol, tls: [tools.program("limit"), str(port)],
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _ready(name: str) -> str:
    """How the line begins that says that a server listens."""
    return "admin socket" if name.startswith("gatewayd") else "ready"


@contextlib.contextmanager
def serve(name: str, protocol: str, tools: Tools, *, tls: bool = False) -> Iterator[Server]:
    """Start a server, wait until it listens, and stop it at the end."""
    port, admin = _free_port(), _admin(tools)
    command = COMMANDS[name](tools, port, protocol, tools.certificate() if tls else ())
    try:
        with running(name, command, _ready(name)) as pid:
            yield Server((pid,), port, (admin,))
    finally:
        admin.unlink(missing_ok=True)


@contextlib.contextmanager
def share(instances: int, protocol: str, tools: Tools) -> Iterator[Server]:
    """As many daemons on one port, as one server."""
    port = _free_port()
    with contextlib.ExitStack() as stack:
        pids, admins = [], []
        for instance in range(instances):
            command = _gatewayd(tools, port, protocol, (), instance, shared=True)
            admins.append(_admin(tools, instance))
            stack.callback(admins[-1].unlink, missing_ok=True)
            pids.append(stack.enter_context(running("gatewayd", command, _ready("gatewayd"))))
        yield Server(tuple(pids), port, tuple(admins))
