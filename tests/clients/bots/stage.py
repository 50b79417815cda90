"""Where one case runs, and what most cases wait for. A case sets its stage up, and fails by an assertion."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from tests.clients.bots.bot import Bot
from tests.clients.bots.daemon import Daemon
from tests.clients.bots.payloads import guild_of
from tests.clients.bots.proxy import Proxy

GUILDS, GUILD_MESSAGES = 1 << 0, 1 << 9
UNPRIVILEGED = sum(1 << bit for bit in (0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 20, 21, 24, 25))
"""What a bot gets without asking Discord for it: no members (1), presences (8) and contents of messages (15)."""
GUILD = guild_of(0)


@define
class Stage:
    """Where one case runs: its folder, the library's command, and what has to be ended when the case is over."""

    folder: Path
    command: Sequence[str]
    environment: dict[str, str]
    compression: str | None
    """What this library asks for, as it is installed here."""
    nursery: trio.Nursery
    ends: AsyncExitStack
    bots: list[Bot] = field(factory=list)

    async def daemon(self, *, backend: str = "", kept: bool = False, **settings: Any) -> Daemon:
        """A running one, of default settings but for these."""
        daemon = Daemon(self.folder / "daemon", settings, backend, kept)
        daemon.configure()
        self.ends.callback(self._end, daemon)
        await daemon.start()
        return daemon

    async def proxy(self, daemon: Daemon) -> Proxy:
        """One in front of it."""
        proxy = Proxy(daemon.port)
        await self.nursery.start(proxy.serve)
        return proxy

    async def bot(self, daemon: Daemon, by: Proxy | None = None, **options: Any) -> Bot:
        """A bot that has been started."""
        arguments = {"token": daemon.token, "intents": UNPRIVILEGED, **options}
        scheme = "https" if "tls_cert" in daemon.settings else "http"
        base = f"{scheme}://127.0.0.1:{by.port if by else daemon.port}"
        self.folder.mkdir(exist_ok=True)
        log = self.folder / f"bot{len(self.bots)}.log"
        bot = await Bot.start([*self.command, base, json.dumps(arguments)], self.environment, log)
        self.bots.append(bot)
        self.ends.callback(bot.process.kill)
        self.nursery.start_soon(bot.listen)
        return bot

    async def ready(self, daemon: Daemon, by: Proxy | None = None, **options: Any) -> Bot:
        """A bot that is ready, by its own word."""
        bot = await self.bot(daemon, by, **options)
        await bot.until("it is ready", lambda bot: bot.count("is", "ready"), 40)
        return bot

    def _end(self, daemon: Daemon) -> None:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.send(signal.SIGKILL)
        if daemon.socket is not None:
            daemon.socket.close()


async def detached(daemon: Daemon) -> None:
    """Its one session has lost its client."""
    with trio.fail_after(10):
        while [row["state"] for row in await daemon.sessions()] != ["detached"]:
            await trio.sleep(0.02)


async def heard(bot: Bot, last: int, *, resumed: int = 0, seconds: float = 20) -> None:
    """It has heard 1 … last, each once, in order, after so many RESUMED."""
    await bot.until(f"event {last}", lambda bot: last in bot.events, seconds)
    await bot.until(f"resumed {resumed} times", lambda bot: bot.count("is", "resumed") >= resumed, seconds)
    await trio.sleep(0.2)  # for what would come twice
    assert bot.count("is", "resumed") == resumed, f"resumed more than {resumed} times\n{bot}"
    bot.check(range(1, last + 1))
