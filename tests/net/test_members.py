"""Clients who come and go at random while events, kicks, resumes and closes fly, over real sockets and every way of
writing: each hears all that it should, once, in order.
"""

from __future__ import annotations

import json
import os
import socket
from collections import defaultdict
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewayd.config.limits import HubLimits
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.protocol import Protocol
from gatewayd.core.session import Session
from tests import ledger, sixth
from tests.net.test_fan import WAYS
from tests.server import Served, serving

BOTS = 6
BUFFER = 4096
"""Of the sockets on both sides: big events are taken in parts."""
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PROTOCOLS = {"ledger": (ledger.PROTOCOL, "book"), "ticker": (sixth.PROTOCOL, "symbol")}
"""One whose clients see sequences and resume from their own, and one whose clients all get the same bytes; the prefix
of their channels."""


def messages(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The text messages of whole frames, and what follows these."""
    found = []
    while len(data) >= 4:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        if len(data) < start + size:
            break
        if data[0] == 0x81:
            found.append(json.loads(data[start : start + size]))
        data = data[start + size :]
    return found, data


class Bot:
    """One identity, and what its session has heard."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.sock: trio.socket.SocketType | None = None
        self.session: Session
        self.heard: list[int] = []
        self.seen = 0
        """The sequence of the newest of these."""
        self.ready = trio.Event()
        self.reading = trio.Event()
        self.reading.set()

    async def come(self) -> None:
        """Connect and resume; an older connection is left as it is."""
        sock = self.sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        await sock.connect(("127.0.0.1", self.world.served.port))
        await sock.send(REQUEST)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await sock.recv(1)
        self.ready = trio.Event()
        self.go()
        self.world.nursery.start_soon(self._hear, sock, self.ready)
        cursor = {"seq": self.seen} if self.world.numbered and self.seen else {}
        self.say({"type": "hi", "name": self.name, "token": "s3cret", **cursor})
        await self.ready.wait()
        self.session = next(item for item in self.world.hub.sessions.values() if item.identity == self.name)
        assert self.session.connection is not None
        with socket.socket(fileno=os.dup(self.session.connection.outbox.descriptor)) as near:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)

    def say(self, payload: dict[str, Any]) -> None:
        """Send one message; nobody waits for it to arrive."""
        text = json.dumps(payload).encode()
        assert len(text) < 126
        if self.sock is not None and self.sock.fileno() != -1:
            try:
                os.write(self.sock.fileno(), bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
            except OSError:
                pass  # the node has closed

    async def _hear(self, sock: trio.socket.SocketType, ready: trio.Event) -> None:
        data = b""
        with sock:
            while True:
                await self.reading.wait()
                try:
                    more = await sock.recv(4096)
                except (OSError, trio.ClosedResourceError):
                    break  # reset, or closed by us
                if not more or sock is not self.sock:
                    break
                found, data = messages(data + more)
                for payload in found:
                    self._on_message(payload, ready)
        ready.set()

    def _on_message(self, payload: dict[str, Any], ready: trio.Event) -> None:
        if payload["type"] == "welcome":
            assert not payload.get("gap")
            if not payload["back"]:
                self.heard, self.seen = [], 0
            ready.set()
        elif payload["type"] == "entry":
            number = payload["d"]["n"]
            assert not self.heard or number > self.heard[-1], "out of order, or twice"
            if self.world.numbered:
                assert payload["seq"] == self.seen + 1
                self.seen += 1
            self.heard.append(number)

    def stop(self) -> None:
        """Read no more."""
        if self.reading.is_set():
            self.reading = trio.Event()

    def go(self) -> None:
        """Read again."""
        self.reading.set()

    def leave(self) -> None:
        """Close without a word; what was not read is a reset."""
        if self.sock is not None:
            self.sock.close()
        self.go()


class World:
    """A node, and bots who all hear two channels."""

    def __init__(self, served: Served, nursery: trio.Nursery, protocol: Protocol, prefix: str) -> None:
        self.served, self.nursery, self.prefix = served, nursery, prefix
        self.hub = served.hub
        self.numbered = protocol is ledger.PROTOCOL
        self.realm = self.hub.realms.make("main")
        self.bots = [Bot(f"bot-{number}", self) for number in range(BOTS)]
        self.said = 0
        self.due: dict[Session, list[int]] = defaultdict(list)
        """What a session is to hear."""
        self.cut: set[Session] = set()
        """Those who have lost a connection."""
        self.hears: dict[Session, set[str]] = defaultdict(set)

    async def come(self, who: int) -> None:
        """With a connection more, which takes over the session."""
        bot = self.bots[who]
        before = getattr(bot, "session", None)
        if before is not None:
            self.cut.add(before)
        await bot.come()
        if bot.session is not before:
            for channel in ("x", "y"):
                self.subscribe(who, channel)

    async def kick(self, who: int) -> None:
        """Its session ends, and it begins another."""
        bot = self.bots[who]
        self.hub.end(bot.session, Disconnect(Cause.KICKED))
        assert bot.heard == self.due[bot.session][: len(bot.heard)] or bot.session in self.cut
        bot.leave()
        bot.heard, bot.seen = [], 0
        await self.come(who)

    def post(self, channel: str, size: int, besides: int | None) -> None:
        """An event for all who hear the channel, but for one."""
        left_out = None if besides is None else self.bots[besides].session
        self.said += 1
        for session, channels in self.hears.items():
            if channel in channels and session is not left_out and session.ended is None:
                self.due[session].append(self.said)
        data = {"n": self.said, "x": "x" * size}
        self.hub.publish(self.realm, f"{self.prefix}:{channel}", "entry", data, besides=left_out)

    def tell(self, who: int) -> None:
        """An event for one alone."""
        session = self.bots[who].session
        if session.ended is None:
            self.said += 1
            self.due[session].append(self.said)
            self.hub.tell(session, "entry", {"n": self.said})

    def hold(self) -> None:
        """What follows leaves at the end of the tick."""
        for bot in self.bots:
            if bot.session.connection is not None:
                bot.session.connection.outbox.pace.held = True

    def subscribe(self, who: int, channel: str) -> None:
        """It hears the channel from now on."""
        session = self.bots[who].session
        self.hub.subscribe(session, f"{self.prefix}:{channel}")
        self.hears[session].add(channel)

    def unsubscribe(self, who: int, channel: str) -> None:
        """It hears the channel no more."""
        session = self.bots[who].session
        self.hub.unsubscribe(session, f"{self.prefix}:{channel}")
        self.hears[session].discard(channel)

    async def turn(self, count: int) -> None:
        """Time for what happens by itself."""
        for _ in range(count):
            await trio.lowlevel.checkpoint()

    def beat(self, who: int) -> None:
        """A heartbeat, which acknowledges and is answered."""
        bot = self.bots[who]
        bot.say({"type": "beat", "seq": bot.seen} if self.numbered and bot.seen else {"type": "beat"})

    def stop(self, who: int) -> None:
        """It reads no more."""
        self.bots[who].stop()

    def go(self, who: int) -> None:
        """It reads again."""
        self.bots[who].go()

    def leave(self, who: int) -> None:
        """It is gone; another may have its descriptor at once."""
        self.cut.add(self.bots[who].session)
        self.bots[who].leave()

    def end(self, who: int) -> None:
        """The node ends the connection, and keeps the session."""
        bot = self.bots[who]
        if bot.session.connection is not None:
            self.cut.add(bot.session)
            bot.session.connection.end(Disconnect(Cause.PEER_GONE))

    async def settle(self) -> None:
        """All come back and hear what is left."""
        for who, bot in enumerate(self.bots):
            bot.go()
            if bot.session in self.cut:
                bot.leave()
                await self.come(who)
        for bot in self.bots:
            due = self.due[bot.session]
            if self.numbered or bot.session not in self.cut:
                with trio.move_on_after(5):
                    while bot.heard != due:
                        await trio.sleep(0.002)
                assert bot.heard == due
            else:  # what its socket had taken when it was cut is gone; nothing else is
                assert set(bot.heard) <= set(due)


WHO = st.integers(0, BOTS - 1)
CHANNEL = st.sampled_from(["x", "y"])
SIZE = st.sampled_from([0, 50, 50, 50, 3000, 20000])
WHAT = st.one_of(
    *[st.tuples(st.just("post"), CHANNEL, SIZE, st.none() | WHO)] * 8,
    *[st.tuples(st.just("turn"), st.integers(1, 5))] * 3,
    *[st.tuples(st.just(name), WHO) for name in ("come", "leave", "end", "kick", "tell", "beat", "stop", "go")],
    *[st.tuples(st.just(name), WHO, CHANNEL) for name in ("subscribe", "unsubscribe")],
    st.tuples(st.just("hold")),
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(WHAT, min_size=10, max_size=60))
async def test_whoever_comes_and_goes_each_hears_all_of_it_once_in_order(
    name: str, way: str, steps: list[tuple[Any, ...]]
) -> None:
    protocol, prefix = PROTOCOLS[name]
    bounds: dict[str, Any] = {
        "resume_events": 10_000,
        "resume_bytes": 1 << 26,
        "outbox_bytes": 1 << 26,
        "rate_limit": None,
    }
    with trio.fail_after(60):
        async with (
            serving(protocol, hub_limits=HubLimits(in_sync=2), fan=WAYS[way](), **bounds) as served,
            trio.open_nursery() as nursery,
        ):
            world = World(served, nursery, protocol, prefix)
            for who in range(BOTS):
                await world.come(who)
            for what, *details in steps:
                if (waiting := getattr(world, what)(*details)) is not None:
                    await waiting
            await world.settle()
            nursery.cancel_scope.cancel()
