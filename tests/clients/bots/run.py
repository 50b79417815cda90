"""The libraries, and how the cases are run: a few at the same time, since most of a case is waiting."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from attrs import frozen

from tests.clients import install
from tests.clients.bots import losing, sessions
from tests.clients.bots.stage import Stage

PEERS = Path(__file__).parent.parent / "peers"
SECONDS = 150.0
"""The longest case: discord.py takes a minute to find out that nobody answers."""
AT_ONCE = 3

Case = Callable[[Stage], Awaitable[None]]
QUICK: tuple[Case, ...] = (sessions.events, losing.unread)
ALL: tuple[Case, ...] = (
    *QUICK, losing.cut, losing.reset, losing.tls, losing.zombie, losing.frozen, losing.asleep, losing.slow, losing.drained,
    losing.killed, losing.flood, losing.storm, sessions.talk, sessions.shards, sessions.sharded, sessions.intents, sessions.starts, sessions.expired,
    sessions.kicked, sessions.token, sessions.revoked, sessions.disallowed,
)  # fmt: skip
PORT_CLOSED = (*ALL, losing.killed_port_closed)


@frozen
class Installed:
    """How one is started, and with which environment."""

    command: Sequence[str]
    environment: Mapping[str, str]


@frozen
class Library:
    """`compression` is what it asks for by itself, as it is installed."""

    install: Callable[[Path], Installed]
    compression: str | None
    cases: tuple[Case, ...] = (*QUICK, losing.flood, losing.slow)
    quick: bool = False


def _python(peer: str, *, zstd: bool = False) -> Callable[[Path], Installed]:
    def made(into: Path) -> Installed:
        environment = {"PYTHONPATH": str(install.zstd(into))} if zstd else {}
        return Installed((str(install.bots(into)), str(PEERS / peer)), environment)

    return made


def _node(packages: str) -> Callable[[Path], Installed]:
    return lambda into: Installed(
        ("node", str(PEERS / "bot_discordjs.cjs")), {"NODE_PATH": str(install.modules(into, packages))}
    )


LIBRARIES = {
    "discord.py": Library(_python("bot_discordpy.py"), "zlib-stream", PORT_CLOSED, quick=True),
    "discord.py+zstandard": Library(_python("bot_discordpy.py", zstd=True), "zstd-stream"),
    "hikari": Library(_python("bot_hikari.py"), "zlib-stream", PORT_CLOSED, quick=True),
    "hikari+zstd": Library(_python("bot_hikari.py", zstd=True), "zstd-stream"),
    "discord.js": Library(_node("discord.js"), None, ALL, quick=True),
    "discord.js+zlib-sync": Library(_node("discord.js+zlib-sync"), "zlib-stream"),
}


async def _one(name: str, installed: Installed, case: Case, folder: Path) -> bool:
    """Run one case to its end, and say how it went."""
    start = time.monotonic()
    fault = None
    async with AsyncExitStack() as ends, trio.open_nursery() as nursery:
        stage = Stage(
            folder, installed.command, dict(installed.environment), LIBRARIES[name].compression, nursery, ends
        )
        try:
            with trio.fail_after(SECONDS):
                await case(stage)
        except Exception as wrong:  # noqa: BLE001  # whatever a case fails by, the others are run
            fault = "".join(traceback.format_exception(wrong))
        nursery.cancel_scope.cancel()
    version = stage.bots[0].library if stage.bots else ""
    word = "FAILED" if fault else "ok"
    print(f"{name:<20} {case.__name__:<18} {word:<7} {time.monotonic() - start:5.1f} s   {version}", flush=True)
    if fault:
        log = folder / "daemon" / "log"
        print(fault, log.read_text()[-4000:] if log.exists() else "", flush=True)
    return fault is None


async def _all(installed: Mapping[str, Installed], quick: bool, only: Sequence[str]) -> bool:
    limiter = trio.CapacityLimiter(AT_ONCE)
    went: list[bool] = []

    async def run(name: str, case: Case, folder: Path) -> None:
        async with limiter:
            went.append(await _one(name, installed[name], case, folder))

    with tempfile.TemporaryDirectory(prefix="gatewayd-bots-") as above:
        async with trio.open_nursery() as nursery:
            for name in installed:
                for case in QUICK if quick else LIBRARIES[name].cases:
                    if not only or case.__name__ in only:
                        nursery.start_soon(run, name, case, Path(above) / f"{name}-{case.__name__}")
    return all(went)


def run(installed: Mapping[str, Installed], *, quick: bool = False, only: Sequence[str] = ()) -> bool:
    """Every case of these libraries; whether all of them passed."""
    return trio.run(_all, installed, quick, only)
