"""Many bots that write down what they hear, and come back when they are told to."""

from __future__ import annotations

import json
import random
from typing import Any

import trio
from attrs import define, field
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.trio.client import ClientConnection, connect

CONNECTING = 64
"""So many bots connect at the same time."""


@define(eq=False)
class Bot:
    """One identity over several connections. `heard` has the numbers of its events, in the order of arrival."""

    name: str
    heard: list[int] = field(factory=list)
    lost: int = 0
    resumed: list[bool] = field(factory=list)
    away: bool = False
    """It has closed, and means to come back."""
    connection: ClientConnection | None = None

    async def live(self, port: int, limiter: trio.CapacityLimiter, ready: trio.Event) -> None:
        """Connect, identify, and listen until the connection ends."""
        await limiter.acquire_on_behalf_of(ready)
        url = f"ws://127.0.0.1:{port}/?v=1"
        async with connect(url, proxy=None, open_timeout=30, ping_interval=None, max_queue=None) as connection:
            self.connection = connection
            await connection.recv()
            claim = {"type": "bot", "key": "s", "id": self.name}
            await connection.send(json.dumps({"op": 1, "t": "identify", "d": claim}))
            answer = json.loads(await connection.recv())["d"]
            if "resumed" not in answer:  # its older connection was still there
                limiter.release_on_behalf_of(ready)
                raise ConnectionError(f"{self.name} was refused: {answer}")
            self.resumed.append(answer["resumed"])
            self.lost += answer.get("lost", 0)
            limiter.release_on_behalf_of(ready)
            ready.set()
            try:
                async for message in connection:
                    payload: dict[str, Any] = json.loads(message)
                    if payload.get("t") == "E":
                        self.heard.append(payload["d"]["n"])
            except ConnectionClosed:
                pass

    async def leave(self, code: int) -> None:
        """Close: 4000 to come back, 1000 for good."""
        if self.connection is not None:
            await self.connection.aclose(code)


async def all_in(bots: list[Bot], port: int, nursery: trio.Nursery) -> None:
    """Every bot connects; returns when the last one is identified."""
    limiter = trio.CapacityLimiter(CONNECTING)
    events = []
    for bot in bots:
        ready = trio.Event()
        events.append(ready)
        nursery.start_soon(bot.live, port, limiter, ready)
    for ready in events:
        await ready.wait()


async def _return(bot: Bot, port: int, limiter: trio.CapacityLimiter) -> None:
    try:
        await bot.live(port, limiter, trio.Event())
    except (OSError, WebSocketException):
        pass  # the daemon was killed meanwhile


async def wander(bots: list[Bot], port: int, nursery: trio.Nursery, chance: random.Random) -> None:
    """Now and then some bots close, and some of those come back; until cancelled."""
    limiter = trio.CapacityLimiter(CONNECTING)
    while True:
        await trio.sleep(0.05)
        for bot in chance.sample(bots, max(1, len(bots) // 100)):
            if bot.away:
                bot.away = False
                nursery.start_soon(_return, bot, port, limiter)
            elif bot.connection is not None:
                bot.away = True
                nursery.start_soon(bot.leave, 4000)
