"""Many bots that write down what they hear, and come back when they are told to."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
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

    query = "/?v=1"

    async def live(self, port: int, limiter: trio.CapacityLimiter, ready: trio.Event) -> None:
        """Connect, identify, and listen until the connection ends."""
        await limiter.acquire_on_behalf_of(ready)
        url = f"ws://127.0.0.1:{port}{self.query}"
        async with connect(url, proxy=None, open_timeout=30, ping_interval=None, max_queue=None) as connection:
            self.connection = connection
            await connection.recv()
            try:
                await self.identify(connection)
            finally:
                limiter.release_on_behalf_of(ready)
            ready.set()
            try:
                async for message in connection:
                    await self.hear(json.loads(message), connection)
            except ConnectionClosed:
                pass

    async def identify(self, connection: ClientConnection) -> None:
        """Say who it is. Raises `ConnectionError` where it is refused: its older connection was still there."""
        claim = {"type": "bot", "key": "s", "id": self.name}
        await connection.send(json.dumps({"op": 1, "t": "identify", "d": claim}))
        answer = json.loads(await connection.recv())["d"]
        if "resumed" not in answer:
            raise ConnectionError(f"{self.name} was refused: {answer}")
        self.resumed.append(answer["resumed"])
        self.lost += answer.get("lost", 0)

    async def hear(self, payload: dict[str, Any], connection: ClientConnection) -> None:
        """Note one payload."""
        if payload.get("t") == "E":
            self.heard.append(payload["d"]["n"])

    async def leave(self, code: int) -> None:
        """Close: 4000 to come back, 1000 for good."""
        if self.connection is not None:
            await self.connection.aclose(code)


@define(eq=False)
class Counting(Bot):
    """One of Discord's: it counts its events, and goes on behind its own count, with the session of before."""

    session: str | None = None
    seq: int = 0
    repeated: int = 0
    """Events that came with a number that it had."""

    query = "/?v=10&encoding=json"

    @property
    def token(self) -> str:
        """Names its bot, whose id is its name."""
        return base64.urlsafe_b64encode(self.name.encode()).decode().rstrip("=") + ".a.b"

    async def identify(self, connection: ClientConnection) -> None:
        """Resume, where there is something to go on with."""
        said: dict[str, Any] = {"op": 2, "d": {"token": self.token, "intents": 0}}
        if self.session is not None:
            said = {"op": 6, "d": {"token": self.token, "session_id": self.session, "seq": self.seq}}
        await connection.send(json.dumps(said))
        while True:
            payload = json.loads(await connection.recv())
            if payload["op"] == 9:
                raise ConnectionError(f"{self.name} was refused at {self.seq}")
            await self.hear(payload, connection)
            if payload.get("t") in ("READY", "RESUMED"):
                break
        self.resumed.append(payload["t"] == "RESUMED")

    async def hear(self, payload: dict[str, Any], connection: ClientConnection) -> None:
        """Note one event by its number, and acknowledge now and then. What is still in an older connection counts no
        more: the newer one goes on from what was read when it came.
        """
        if payload["op"] != 0 or connection is not self.connection:
            return
        if payload["t"] == "READY":
            self.session = payload["d"]["session_id"]
        if payload["t"] == "RESUMED":
            self.lost += sum(payload["d"].get("gaps", {}).values())
        else:
            self.repeated += payload["s"] <= self.seq
            await Bot.hear(self, payload, connection)
        self.seq = payload["s"]
        if self.seq % 16 == 0:
            await connection.send(json.dumps({"op": 1, "d": self.seq}))


async def all_in(bots: Sequence[Bot], port: int, nursery: trio.Nursery) -> None:
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


async def wander(bots: Sequence[Bot], port: int, nursery: trio.Nursery, chance: random.Random) -> None:
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
