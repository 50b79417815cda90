"""The picture of a terminal in the README: `unshare -n python -m docs.terminal` writes docs/terminal.svg anew.

What it shows was said by a daemon and by gatewayctl a moment ago. Only the machine's name and the runtime directory are
replaced. It needs the default ports, and gatewayd on the PATH; `unshare -n` gives it a network of its own.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import shlex
import socket
import struct
import subprocess
import tempfile
import termios
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trio
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text
from trio_websocket import WebSocketConnection, open_websocket_url

COLUMNS = 96
PICTURE = Path(__file__).parent / "terminal.svg"
LINES = (
    "gatewayctl sessions --sort listener",
    'gatewayctl publish room:42 message_create \'{"authorId": "ann", "content": "hi", "sentAt": 1}\'',
    'gatewayctl publish user:my-bot GREETING \'{"hello": "bot"}\'',
)
"""What is typed, once the daemon runs, its clients are there, and the bot is away."""


@contextmanager
def daemon(environ: dict[str, str]) -> Iterator[str]:
    """A daemon with its defaults; what it has printed at its start."""
    process = subprocess.Popen(
        ["gatewayd", "run", "--log-level", "error"],
        stdout=subprocess.PIPE, text=True, env=environ, cwd=environ["XDG_RUNTIME_DIR"],
    )  # fmt: skip
    assert process.stdout is not None
    said = ""
    while "admin socket" not in said:
        line = process.stdout.readline()
        assert line, "the daemon did not start"
        said += line
    try:
        yield said
    finally:
        process.terminate()
        process.wait()


def typed(line: str, environ: dict[str, str]) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    process = subprocess.Popen(shlex.split(line), stdout=theirs, env={**environ, "TERM": "xterm-256color"})
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the terminal is gone with its last process
            break
    os.close(ours)
    assert process.wait() == 0, said
    return said.decode().replace("\r\n", "\n")


async def clients(table: str, nursery: trio.Nursery) -> None:
    """Two services, three participants of a room, a page, a player, and two bots, one of which leaves to come back."""
    secret = {row.split()[0]: row.split()[-1] for row in table.splitlines() if "ws://" in row}

    async def opened(url: str, headers: list[tuple[bytes, bytes]], task_status: trio.TaskStatus[object]) -> None:
        async with open_websocket_url(url, extra_headers=headers) as client:
            task_status.started(client)
            await trio.sleep_forever()

    async def join(url: str, *said: object, header: str = "") -> WebSocketConnection:
        headers = [(b"Authorization", header.encode())] if header else []
        client: WebSocketConnection = await nursery.start(opened, url, headers)
        for payload in said:
            await client.get_message()
            await client.send_message(json.dumps(payload))
        await client.get_message()
        return client

    for kind in ("commands", "sharder"):
        identify = {"type": kind, "compress": False, "secret": secret["oxyl"]}
        await join("ws://127.0.0.1:7101/", {"op": 0, "d": identify})
    for name in ("ann", "bob", "eve"):
        await join(f"ws://127.0.0.1:7102/gateway?roomId=42&participantId={name}&{secret['rooms'].lstrip('?')}")
    await join("ws://127.0.0.1:7103/", {"op": 1, "d": {"token": secret["dmod"], "uid": "1"}})
    who = {"user_id": "my-player", "shard_id": None}
    await join("ws://127.0.0.1:7104/ws", {"op": "IDENTIFY", "d": who}, header=secret["discodo"])
    token = {"token": secret["discord"], "intents": 513, "properties": {}}
    await join("ws://127.0.0.1:7106/", {"op": 2, "d": token})
    key = {"type": "bot", "key": secret["utilbot"], "id": "my-bot"}
    bot = await join("ws://127.0.0.1:7105/?v=1", {"op": 1, "t": "identify", "d": key})
    await bot.aclose(code=1001)


async def recorded() -> str:
    """What stands on the terminal, with its colours."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environ = {**os.environ, "XDG_RUNTIME_DIR": folder}
        environ.pop("GATEWAYD_CONFIG", None)
        table = stack.enter_context(daemon(environ))
        async with trio.open_nursery() as nursery:
            await clients(table, nursery)
            shown = [("gatewayd run &", table), *((line, typed(line, environ)) for line in LINES)]
            nursery.cancel_scope.cancel()
    text = "\n".join(f"\x1b[1;32m$\x1b[0m \x1b[1m{line}\x1b[0m\n{said.rstrip()}\n" for line, said in shown)
    return text.replace(folder, "/run/user/1000").replace(socket.gethostname(), "edge-1")


def drawn(text: str) -> str:
    """The picture. It asks nobody for a font."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title="gatewayd", theme=SVG_EXPORT_THEME, unique_id="terminal")
    head, _, rest = svg.partition("@font-face")
    return (head + rest[rest.rindex("}", 0, rest.index(".terminal-matrix")) + 1 :]).replace("Fira Code", "ui-monospace")


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    PICTURE.write_text(drawn(trio.run(recorded)))
