"""Members who join and leave at random, over real sockets: each identity gets all that it is owed, in order, once."""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
import termios
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from gatewayd.config.limits import HubLimits
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.protocol import Protocol
from gatewayd.core.session import Session
from gatewayd.hub.progress import Goal, Watch
from gatewayd.net.fan import Fan
from gatewayd.protocols import discord
from tests import ledger, sixth
from tests.net.test_fan import WAYS
from tests.net.test_listener import KEY
from tests.playbook import STATIC
from tests.protocols.test_discord import AUTH, TOKEN
from tests.server import Served, serving
from tests.weighted import weighted

PEOPLE = 5
BUFFER = 8192
"""Bytes that the kernel buffers on each side of some sockets."""
SIZES = (0, 40, 3000, 20_000)
"""Bytes of an event: the last one is more than a socket takes that nobody reads."""
CHANNELS = ("book:x", "book:y", "bot:all", f"guild:{1 << 22}", f"guild:{2 << 22}")
INTENTS = (1 << 9 | 1 << 12 | 1, 1 << 9 | 1 << 12, 1)
OUTBOX = 40
"""Events that may wait for a socket."""


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole frames: opcode and payload."""
    at = 0
    while at + 2 <= len(data):
        opcode, size, start = data[at] & 15, data[at + 1], at + 2
        if size > 125:
            wide = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + wide], "big"), start + wide
        if start + size > len(data):
            return
        assert data[at] & 0x70 == 0, "bytes of one frame in another"
        yield opcode, data[start : start + size]
        at = start + size


def unsent(descriptor: int) -> int:
    """Bytes that the other end of a connection has not received (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Peer:
    """A client's end of one connection: it reads when it is told to."""

    def __init__(self, served: Served, path: str, *, small: bool) -> None:
        self.sock = socket.socket()
        if small:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.sock.connect(("127.0.0.1", served.port))
        self.sock.setblocking(False)
        self.reading = True
        self.open = True
        self._got = b""
        self.sock.send(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def read(self) -> bool:
        """Read what is here; whether that was anything."""
        before = len(self._got)
        while self.open:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            if not data:
                self.close()
            self._got += data
        return len(self._got) > before

    def say(self, payload: Any) -> None:
        """Say one thing, if there is still somebody who hears it."""
        self.frame(json.dumps(payload).encode(), 1)

    def frame(self, data: bytes, opcode: int) -> None:
        """Send one frame."""
        length = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        try:
            self.sock.send(bytes((0x80 | opcode,)) + length + b"\0\0\0\0" + data)
        except OSError:
            pass

    def reset(self) -> None:
        """Be gone without a word."""
        if self.open:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def close(self) -> None:
        """Read no more."""
        self.sock.close()
        self.open = False

    @property
    def said(self) -> list[Any]:
        """What the daemon has said whole."""
        head, _, data = self._got.partition(b"\r\n\r\n")
        assert not head or head.startswith(b"HTTP/1.1 101")
        inflate, found = zlib.decompressobj(), []
        for opcode, payload in messages(data):
            if opcode in (1, 2):
                found.append(json.loads(payload if opcode == 1 else inflate.decompress(payload)))
        return found


@define(eq=False)
class Life:
    """One session, from its first client to its last."""

    name: str
    session: Session
    channels: set[str]
    owed: list[int] = field(factory=list)
    """Numbers of the events that it should be given."""
    peers: list[Peer] = field(factory=list)
    lossy: set[int] = field(factory=set)
    """Of these it may have lost the newest that a socket took: its client cannot say what it has."""

    @property
    def peer(self) -> Peer:
        """Its newest client."""
        return self.peers[-1]


@define(eq=False)
class World:
    """A listener of one protocol, and those who come to it."""

    protocol: Protocol
    served: Served
    lives: list[Life] = field(factory=list)
    """All that there ever were."""
    now: dict[str, Life] = field(factory=dict)
    strangers: list[Peer] = field(factory=list)
    watches: list[Watch] = field(factory=list)
    number: int = 0

    # --- what its clients say and hear ----------------------------------------------------------------------

    async def turn(self) -> None:
        """Let the daemon, and all who read, do all that they can."""
        again = True
        while again:
            await wait_all_tasks_blocked()
            self.check()
            peers = [*self.strangers, *(peer for life in self.lives for peer in life.peers)]
            again = sum(peer.read() for peer in peers if peer.open and peer.reading) > 0 or self.under_way()

    def under_way(self) -> bool:
        """Whether the kernel still has something for one that reads, or of its: a busy machine delivers it later."""
        for life in self.lives:
            connection = life.session.connection
            if connection is not None and life.peer.open and life.peer.reading:
                descriptor = connection.outbox.descriptor
                if (
                    len(connection.outbox)
                    or unsent(life.peer.sock.fileno())
                    or (descriptor >= 0 and unsent(descriptor))
                ):
                    return True
        return False

    def check(self) -> None:
        """Whoever is in a set has its place there, and one socket, and nothing waits for it."""
        for session in self.served.hub.sessions.values():
            connection = session.connection
            if connection is None:
                continue
            outbox = connection.outbox
            for place in outbox.places:
                within = place.within
                assert within.members[place.index] is place
                assert within.descriptors[place.index] == outbox.descriptor >= 0
                assert len(set(within.descriptors)) == len(within.descriptors) == len(within.members)
                assert connection.verdict is None
                assert not len(outbox)
                assert not within.pending

    def login(self, name: str, life: Life | None) -> Any:
        """The identify, or the resume."""
        who, cursor = int(name), None if life is None else self.cursor(life)
        if self.protocol is sixth.PROTOCOL:
            return {"type": "hi", "name": name, "token": "s3cret"}
        if self.protocol is ledger.PROTOCOL:
            return {"type": "hi", "name": name, "token": "s3cret", **({} if cursor is None else {"seq": cursor})}
        if life is not None:
            return {"op": 6, "d": {"token": TOKEN, "session_id": life.session.id, "seq": cursor}}
        shard, intents = [who % 2, 2], INTENTS[who % len(INTENTS)]
        return {"op": 2, "d": {"token": TOKEN, "intents": intents, "properties": {}, "shard": shard}}

    def sequences(self, life: Life) -> list[int]:
        """Those that its clients have seen, in order."""
        name = "seq" if self.protocol is ledger.PROTOCOL else "s"
        events = [said for peer in life.peers for said in peer.said if said.get("t") != "RESUMED"]
        return [said[name] for said in events if type(said.get(name)) is int]

    def cursor(self, life: Life) -> int:
        """The newest that it has."""
        return max(self.sequences(life), default=0)

    def got(self, life: Life) -> list[int]:
        """Numbers of the events that its clients have, in order."""
        bodies = [said.get("d") for peer in life.peers for said in peer.said]
        return [body["n"] for body in bodies if type(body) is dict and "n" in body]

    # --- what happens ---------------------------------------------------------------------------------------

    async def come(self, who: int, *, small: bool = False, seen: bool = True) -> None:
        """A client comes; it goes on with the session of its identity, if that is still there."""
        name = str(who)
        life = self.now.get(name)
        if life is not None and life.session.ended is not None:
            life = None
        if life is not None:
            if self.protocol is sixth.PROTOCOL:
                life.peer.reading = True  # what its socket took counts
            else:
                life.peer.read()
                life.peer.reading = False  # from here on it is this one's
        path = "/?v=10&encoding=json&compress=zlib-stream" if self.protocol is discord.PROTOCOL and who == 3 else "/"
        peer = Peer(self.served, path, small=small)
        self.strangers.append(peer)
        await self.turn()
        if life is not None and life.session.ended is not None:
            life = None
        before = set(self.served.hub.sessions)
        peer.say(self.login(name, life))
        await self.turn()
        self.strangers.remove(peer)
        if life is None:
            ours = [session for session in self.served.hub.sessions.values() if session.connection is not None]
            session = next(session for session in reversed(ours) if session.id in before and self._is(session, name))
            life = self.now[name] = Life(name, session, set(session.channels))
            self.lives.append(life)
            for channel in (CHANNELS[0], CHANNELS[who % 2 + 1]):
                self.subscribe(who, channel)
        else:
            life.channels = set(life.session.channels)
        life.peers.append(peer)
        if small and life.session.connection is not None:
            server = socket.socket(fileno=life.session.connection.outbox.descriptor)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            server.detach()

    def _is(self, session: Session, name: str) -> bool:
        known = {life.session for life in self.lives}
        return session not in known and (self.protocol is discord.PROTOCOL or session.key == name)

    def hears(self, life: Life, channel: str) -> bool:
        """Whether an event of a message there is for it."""
        if life.session.ended is not None:
            return False
        if self.protocol is not discord.PROTOCOL:
            return channel in life.channels
        who = int(life.name)
        guild = channel.startswith("guild:")
        if not INTENTS[who % len(INTENTS)] & (1 << 9 if guild else 1 << 12):
            return False
        if guild:
            return bool({channel, "bot:all"} & life.channels) and (int(channel[6:]) >> 22) % 2 == who % 2
        return channel in life.channels and who % 2 == 0

    def post(self, channel: str, size: int, besides: int | None, *, watched: bool) -> None:
        """Publish one event."""
        if self.protocol is discord.PROTOCOL and channel.startswith("book:"):
            channel = "bot:all"
        hub, self.number = self.served.hub, self.number + 1
        life = None if besides is None else self.now.get(str(besides))
        owed = [item for item in self.lives if self.hears(item, channel) and item is not life]
        for item in owed:
            item.owed.append(self.number)
        data = {"n": self.number, "x": "x" * size}
        watch = hub.progress.start(Goal.WRITTEN) if watched else None
        if watch is not None:
            self.watches.append(watch)
        counts = hub.post(channel, "MESSAGE_CREATE", data, besides=None if life is None else life.session, watch=watch)
        reached = counts.delivered + counts.buffered
        assert reached + counts.reasons.get("session_ended", 0) == len(owed), counts  # whose client has closed

    def tell(self, who: int) -> None:
        """Publish an event for one alone."""
        life = self.now.get(str(who))
        if life is not None and life.session.ended is None:
            self.number += 1
            life.owed.append(self.number)
            self.served.hub.tell(life.session, "MESSAGE_CREATE", {"n": self.number})

    def beat(self, who: int) -> None:
        """A heartbeat, which is answered and may acknowledge."""
        life = self.now.get(str(who))
        if life is not None and life.peer.open:
            cursor = self.cursor(life)
            if self.protocol is discord.PROTOCOL:
                life.peer.say({"op": 1, "d": cursor})
            else:
                life.peer.say({"type": "beat", **({"seq": cursor} if self.protocol is ledger.PROTOCOL else {})})

    def watch(self, who: int) -> None:
        """A command that subscribes."""
        life = self.now.get(str(who))
        if life is not None and self.protocol is sixth.PROTOCOL:
            life.peer.say({"type": "watch", "symbol": "x"})

    def subscribe(self, who: int, channel: str) -> None:
        """Hear a channel."""
        life = self.now.get(str(who))
        if life is not None and life.session.ended is None:
            self.served.hub.subscribe(life.session, channel)
            life.channels.add(channel)

    def unsubscribe(self, who: int, channel: str) -> None:
        """Hear it no more."""
        life = self.now.get(str(who))
        if life is not None and life.session.ended is None:
            self.served.hub.unsubscribe(life.session, channel)
            life.channels.discard(channel)

    def kick(self, who: int) -> None:
        """Its session is over: it reads what was said, and goes."""
        life = self.now.get(str(who))
        if life is not None and life.session.ended is None:
            if life.session.connection is None or not life.peer.reading or len(life.session.connection.outbox):
                life.lossy.update(life.owed)
            self.served.hub.end(life.session, Disconnect(Cause.KICKED))
            life.peer.reading = True

    def stop(self, who: int) -> None:
        """Read nothing for a while."""
        if str(who) in self.now:
            self.now[str(who)].peer.reading = False

    def read(self, who: int) -> None:
        """Read on."""
        if str(who) in self.now:
            self.now[str(who)].peer.reading = True

    def leave(self, who: int, how: str) -> None:
        """The client goes, with a close frame, or the end of its stream, or a reset."""
        life = self.now.get(str(who))
        if life is None or not life.peer.open:
            return
        peer = life.peer
        if how == "reset":
            if self.protocol is sixth.PROTOCOL or life.session.ended is not None:
                life.lossy.update(life.owed)  # what its socket took
            peer.reset()
        elif how == "close":
            life.lossy.update(life.owed)
            life.lossy.update(range(self.number, self.number + 1000))  # its session ends with it
            peer.frame((1000).to_bytes(2, "big"), 8)
        else:
            peer.reading = True
            try:
                peer.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the daemon has closed it

    # --- what comes of it -----------------------------------------------------------------------------------

    async def finish(self) -> None:
        """All come who are not here, and read what they have missed."""
        for peer in [peer for life in self.lives for peer in life.peers]:
            if self.protocol is sixth.PROTOCOL or peer is self._of(peer).peer:
                peer.reading = True
        await self.turn()
        for who in range(PEOPLE):
            life = self.now.get(str(who))
            if life is not None and life.session.ended is None and life.session.connection is None:
                await self.come(who)
        await self.turn()
        for life in self.lives:
            self.judge(life)

    def _of(self, peer: Peer) -> Life:
        return next(life for life in self.lives if peer in life.peers)

    def judge(self, life: Life) -> None:
        """It has all that it was owed, in order, and once."""
        got = self.got(life)
        assert got == sorted(set(got)), "in order, once"
        assert set(got) <= set(life.owed)
        missing = set(life.owed).difference(got)
        assert missing <= life.lossy, (life.name, sorted(missing - life.lossy), got, life.session.ended)
        if self.protocol is not sixth.PROTOCOL:
            numbers = self.sequences(life)
            assert numbers == list(range(1, len(numbers) + 1)), [
                [str(said)[:70] for said in peer.said] for peer in life.peers
            ]


WHO = st.integers(0, PEOPLE - 1)
CHANNEL = st.sampled_from(CHANNELS)
BESIDES = weighted((5, st.none()), (1, WHO))
SOMETIMES = st.sampled_from((False, False, False, True))
STEPS = st.lists(
    weighted(
        (12, st.tuples(st.just("post"), CHANNEL, st.sampled_from(SIZES), BESIDES, SOMETIMES)),
        (3, st.tuples(st.just("burst"), st.lists(CHANNEL, min_size=1, max_size=3), st.integers(1, 8))),
        (4, st.tuples(st.just("turn"))),
        (2, st.tuples(st.just("step"))),
        (6, st.tuples(st.sampled_from(("tell", "beat", "watch", "kick", "stop", "read", "come", "small")), WHO)),
        (2, st.tuples(st.sampled_from(("subscribe", "unsubscribe")), WHO, CHANNEL)),
        (2, st.tuples(st.just("leave"), WHO, st.sampled_from(("close", "fin", "reset")))),
    ),
    min_size=15,
    max_size=50,
)
PROTOCOLS = {protocol.name: protocol for protocol in (sixth.PROTOCOL, ledger.PROTOCOL, discord.PROTOCOL)}


def fan_of(way: str) -> Fan:
    """One that writes in this way; skips where the machine has no such way."""
    if way == "io_uring":
        with WAYS[way]() as fan:
            if fan.way != way:
                pytest.skip(fan.way)
    return WAYS[way]()


async def play(name: str, way: str, in_sync: int, steps: Sequence[tuple[Any, ...]]) -> None:
    """One world from its first client to its last."""
    protocol = PROTOCOLS[name]
    async with serving(
        protocol, auth=AUTH if protocol is discord.PROTOCOL else STATIC, fan=fan_of(way),
        hub_limits=HubLimits(in_sync=in_sync), rate_limit=None, interval=1000.0, patience=3000.0,
        identify_timeout=None, outbox_events=OUTBOX, resume_events=10_000, resume_bytes=10**9,
    ) as served:  # fmt: skip
        world = World(protocol, served)
        try:
            for who in range(PEOPLE):
                await world.come(who, small=who == 1)
            for what, *details in steps:
                if what == "post":
                    channel, size, besides, watched = details
                    world.post(channel, size, besides, watched=watched)
                elif what == "burst":
                    channels, times = details
                    for at in range(times):
                        for channel in channels:
                            world.post(channel, SIZES[at % 2], None, watched=False)
                elif what == "turn":
                    await world.turn()
                elif what == "step":
                    await trio.lowlevel.checkpoint()
                elif what == "come":
                    await world.come(*details)
                elif what == "small":
                    await world.come(*details, small=True)
                else:
                    getattr(world, what)(*details)
            await world.finish()
        finally:
            for peer in [*world.strangers, *(peer for life in world.lives for peer in life.peers)]:
                peer.reset()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_whoever_comes_and_goes_gets_all_in_order_and_once(name: str, way: str) -> None:
    @given(in_sync=st.sampled_from((1, 2)), steps=STEPS)
    @settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
    def once(in_sync: int, steps: list[tuple[Any, ...]]) -> None:
        trio.run(play, name, way, in_sync, steps)

    once()
