"""What goes wrong with a member's socket costs that member alone: real sockets, the real tick, and a fan that lies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import socket
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
from attrs import define
from trio.testing import wait_all_tasks_blocked

from gatewayd.config.limits import HubLimits
from gatewayd.core.behaviour import Handshake
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import NO_PINGS, Connection
from gatewayd.core.observer import Observer
from gatewayd.core.outbox import Outbox
from gatewayd.core.protocol import Protocol
from gatewayd.core.session import Session
from gatewayd.hub import dispatch
from gatewayd.net.fan import Fan
from gatewayd.net.ring_fan import RingFan
from gatewayd.net.tick import Tick
from gatewayd.net.transport import SocketTransport
from gatewayd.net.writer import Writer
from tests import ledger, sixth
from tests.net.test_fan import WAYS
from tests.net.test_insync import fan_of, messages
from tests.playbook import ADDRESS, Playbook, run

ROOM = "book:room"


class Short(Fan):
    """Of some descriptors it writes only so many bytes, as the kernel does where a buffer is full."""

    def __init__(self) -> None:
        self.takes: dict[int, int] = {}
        self.writes = 0

    def write(self, descriptors: array[int], data: bytes) -> list[int] | None:
        """See `Fan.write`."""
        return self.write_each(descriptors, [data] * len(descriptors))

    def write_each(self, descriptors: array[int], frames: Sequence[bytes]) -> list[int] | None:
        """See `Fan.write_each`."""
        self.writes += 1
        some = [frame[: self.takes.get(to, len(frame))] for to, frame in zip(descriptors, frames, strict=True)]
        taken = super().write_each(descriptors, some) or list(map(len, some))
        return None if taken == list(map(len, frames)) else taken


@define(eq=False)
class One:
    """One client: the daemon's end, and its own."""

    session: Session
    connection: Connection
    writer: Writer
    far: socket.socket
    got: bytes = b""

    @property
    def outbox(self) -> Outbox:
        """Its own."""
        return self.connection.outbox

    def read(self) -> None:
        """Read what is there."""
        try:
            while data := self.far.recv(65536):
                self.got += data
        except (BlockingIOError, ConnectionResetError):
            pass

    def heard(self) -> list[Any]:
        """All events that have come so far."""
        self.read()
        said = [json.loads(payload) for opcode, payload in messages(self.got) if opcode == 1]
        return [payload["d"] for payload in said if payload["type"] == "E"]


class World:
    """A hub, a tick, and clients on pairs of sockets; `room` is heard by all."""

    def __init__(
        self, tick: Tick, nursery: trio.Nursery, protocol: Protocol, observers: Sequence[Observer] = (), **bounds: Any
    ) -> None:
        self.tick, self.nursery = tick, nursery
        self.book = Playbook(protocol, limits=HubLimits(in_sync=2), observers=observers, rate_limit=None, **bounds)
        self.hub = self.book.hub
        self.failing: dict[str, int] = {}
        """The errno with which the sockets of some fail."""
        self.number = 0
        self.all: list[One] = []

    def come(self, name: str, descriptor: Callable[[int], int] | None = None, *, small: bool = False) -> One:
        """One client more, whose socket's number is chosen so."""
        near, far = socket.socketpair()
        if descriptor is not None:
            near = socket.socket(fileno=descriptor(near.detach()))
        near.setblocking(False)
        far.setblocking(False)
        if small:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport = SocketTransport(near, "test")

        def send(data: bytes) -> int:
            if name in self.failing:
                raise OSError(self.failing[name], os.strerror(self.failing[name]))
            return near.send(data)

        transport.send = send
        book = self.book

        def connect(outbox: Outbox) -> Connection:
            return Connection(book.protocol.wire, book.settings, book.now, ADDRESS, outbox=outbox)

        writer = Writer(transport, book.settings, self.tick, 10.0, connect, self.hub.observers)
        writer.use(self.nursery)
        connection = writer.connection
        connection.serve(lambda: None, NO_PINGS)
        self.hub.open(connection, book.listener, book.realm.name, ADDRESS)
        run(dispatch.greet(self.hub, book.behaviour, connection, Handshake("/", {}, {}, ADDRESS), None))
        claim = {"type": "hi", "name": name, "token": "s3cret"}
        run(dispatch.hear(self.hub, book.behaviour, connection, json.dumps(claim)))  # type: ignore[arg-type]
        session = connection.session
        assert isinstance(session, Session)
        self.hub.subscribe(session, ROOM)
        self.all.append(One(session, connection, writer, far))
        return self.all[-1]

    def post(self, size: int = 0, channel: str = ROOM) -> int:
        """Say an event to all; its number."""
        self.number += 1
        self.hub.post(channel, "E", {"n": self.number, "x": "x" * size})
        return self.number

    def numbers(self, one: One) -> list[int]:
        """What has come to a client."""
        return [data["n"] for data in one.heard()]

    def members(self) -> list[One]:
        """Who is in a set."""
        return [one for one in self.all if one.outbox.places]

    def close(self) -> None:
        """All go."""
        for one in self.all:
            one.writer.use(None)
            one.writer.socket.abort()
            one.far.close()


@asynccontextmanager
async def world(
    protocol: Protocol = sixth.PROTOCOL, people: str = "abc", fan: Fan | None = None, **more: Any
) -> AsyncIterator[World]:
    """These have come, and are members."""
    with fan or Fan() as ways, Tick(fan=ways) as tick:
        async with trio.open_nursery() as nursery:
            made = World(tick, nursery, protocol, **more)
            try:
                for name in people:
                    made.come(name)
                await trio.lowlevel.checkpoint()  # the tick of their greeting is over
                made.post()
                await wait_all_tasks_blocked()
                assert made.members() == made.all
                yield made
            finally:
                made.close()
                nursery.cancel_scope.cancel()


@pytest.mark.parametrize("way", WAYS)
async def test_a_number_that_is_used_again_in_the_same_tick_gets_nothing_of_the_older_one(way: str) -> None:
    async with world(fan=fan_of(way)) as there:
        first, second, third = there.all
        there.post()
        there.post()  # waits for the end of the tick
        assert second.outbox.waiting == 1
        number = second.outbox.descriptor
        second.writer.socket.abort()
        fresh = there.come("d", lambda found: number if found == number else os.dup2(found, number))
        assert fresh.outbox.descriptor == number
        assert second.outbox.descriptor == -1
        there.post()
        await wait_all_tasks_blocked()
        assert there.numbers(first) == there.numbers(third) == [1, 2, 3, 4]
        assert there.numbers(second) == [1, 2]
        assert there.numbers(fresh) == [4]
        dispatch.part(there.hub, second.connection, Disconnect(Cause.PEER_GONE))
        assert [event.data["n"] for _, event in second.session.backlog.entries()] == [3, 4]


@pytest.mark.parametrize("burst", [1, 3])
@pytest.mark.parametrize("protocol", [sixth.PROTOCOL, ledger.PROTOCOL], ids=["plain", "numbered"])
async def test_a_member_that_takes_a_part_gets_the_rest_and_comes_back(protocol: Protocol, burst: int) -> None:
    fan = Short()
    async with world(protocol, fan=fan) as there:
        for takes in range(200):
            slow = there.all[takes % 3]
            fan.takes = {slow.outbox.descriptor: takes}
            for _ in range(burst):
                there.post()
            await wait_all_tasks_blocked()
            for one in there.all:
                assert not len(one.outbox)
                one.read()
        expected = list(range(1, there.number + 1))
        assert [there.numbers(one) for one in there.all] == [expected] * 3
        fan.takes = {}
        there.post()
        assert there.members() == there.all
        await wait_all_tasks_blocked()
        for one in there.all:
            assert one.session.backlog.given == one.session.backlog.written == there.number


FULL = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS, errno.EALREADY}
"""Errors of a socket that takes nothing now; Python has one exception for all of these."""


@pytest.mark.parametrize("number", sorted(errno.errorcode.keys() - FULL))
async def test_whatever_error_a_write_meets_ends_that_client_alone(number: int) -> None:
    fan = Short()
    async with world(fan=fan) as there:
        first, broken, third = there.all
        fan.takes = {broken.outbox.descriptor: 0}
        there.failing["b"] = number
        there.post()
        there.post()
        await wait_all_tasks_blocked()
        there.post()
        await wait_all_tasks_blocked()
        assert there.numbers(first) == there.numbers(third) == [1, 2, 3, 4]
        assert broken.connection.verdict is not None
        assert broken.connection.verdict.cause is Cause.PEER_GONE
        dispatch.part(there.hub, broken.connection, Disconnect(Cause.PEER_GONE))
        assert [event.data["n"] for _, event in broken.session.backlog.entries(1)] == [2, 3, 4]


async def test_a_filter_in_the_middle_of_a_burst() -> None:
    allowed: set[str] = set()

    class Picky(sixth.Ticker):
        def hears(self, channel: str, name: str, data: Any) -> Callable[[Session], bool] | None:
            return (lambda session: session.key in allowed) if allowed else None

    protocol = Protocol(
        name="ticker", wire=sixth.WIRE, timing=sixth.PROTOCOL.timing, options=sixth.Options, behaviour=Picky
    )
    async with world(protocol) as there:
        there.post()
        there.post()
        allowed.add("b")
        there.post()
        allowed.clear()
        there.post()
        await wait_all_tasks_blocked()
        first, second, third = there.all
        assert there.numbers(first) == there.numbers(third) == [1, 2, 3, 5]
        assert there.numbers(second) == [1, 2, 3, 4, 5]


@contextmanager
def soft_limit(count: int) -> Iterator[None]:
    """So many descriptors may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"only {hard} descriptors may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("protocol", [sixth.PROTOCOL, ledger.PROTOCOL], ids=["plain", "numbered"])
async def test_descriptors_above_what_select_can_and_above_the_soft_limit(protocol: Protocol, way: str) -> None:
    def moved(to: int) -> Callable[[int], int]:
        def move(found: int) -> int:
            high = fcntl.fcntl(found, fcntl.F_DUPFD_CLOEXEC, to)
            os.close(found)
            return high

        return move

    with soft_limit(4096):
        async with world(protocol, fan=fan_of(way)) as there:
            high, higher = there.come("d", moved(1500)), there.come("e", moved(3000))
            assert (high.outbox.descriptor, higher.outbox.descriptor) == (1500, 3000)
            with soft_limit(2000):
                await trio.lowlevel.checkpoint()
                for _ in range(3):
                    there.post()
                await wait_all_tasks_blocked()
                assert there.members() == there.all
            assert there.numbers(high) == there.numbers(higher) == [2, 3, 4]


@pytest.mark.parametrize("protocol", [sixth.PROTOCOL, ledger.PROTOCOL], ids=["plain", "numbered"])
async def test_who_is_judged_in_the_middle_of_a_burst_is_kept_what_was_not_written(protocol: Protocol) -> None:
    async with world(protocol) as there:
        first, judged, third = there.all
        there.post()
        there.post()
        judged.connection.end(Disconnect(Cause.HEARTBEAT_MISSED))
        there.post()
        dispatch.part(there.hub, judged.connection, Disconnect(Cause.HEARTBEAT_MISSED))
        there.post()
        await wait_all_tasks_blocked()
        assert there.numbers(first) == there.numbers(third) == [1, 2, 3, 4, 5]
        assert there.numbers(judged) == [1, 2]
        assert judged.session.state == "detached"
        assert [event.data["n"] for _, event in judged.session.backlog.entries(2)] == [3, 4, 5]


BURSTS = {"events": {"outbox_events": 10}, "bytes": {"outbox_bytes": 2000}}


@pytest.mark.parametrize("bounds", BURSTS.values(), ids=BURSTS)
async def test_a_burst_above_the_bounds_ends_who_does_not_read_then_and_there(bounds: Mapping[str, Any]) -> None:
    async with world(resume_events=1000, **bounds) as there:
        first, slow, third = there.all
        slow.writer.socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        while slow.connection.verdict is None:
            assert there.number < 1000
            for _ in range(30):
                there.post(20)
            await wait_all_tasks_blocked()
            box = slow.outbox
            assert slow.connection.verdict or (box.events <= box.max_events and box.charged <= box.max_bytes)
            first.read()
            third.read()
        assert slow.connection.verdict.cause is Cause.SLOW_CONSUMER
        assert not slow.outbox.places
        dispatch.part(there.hub, slow.connection, slow.connection.verdict)
        there.post()
        await wait_all_tasks_blocked()
        assert there.numbers(first) == there.numbers(third) == list(range(1, there.number + 1))
        kept = [event.data["n"] for _, event in slow.session.backlog.entries()]
        got = there.numbers(slow)
        assert got + kept[kept.index(got[-1]) + 1 if got[-1] in kept else 0 :] == list(range(1, there.number + 1))
        assert there.members() == [first, third]


@pytest.mark.parametrize("bounds", BURSTS.values(), ids=BURSTS)
async def test_who_takes_nearly_all_of_a_great_burst_is_not_slow(bounds: Mapping[str, Any]) -> None:
    """The bounds are for what waits, not for what was said."""
    fan = Short()
    async with world(fan=fan, **bounds) as there:
        nearly = there.all[1]
        there.post()
        for _ in range(100):
            there.post(20)
        sizes = sum(len(said[1]) for said in nearly.outbox.places[0].within.pending)
        assert sizes > 2000
        fan.takes = {nearly.outbox.descriptor: sizes - 10}
        await wait_all_tasks_blocked()
        assert [one.connection.verdict for one in there.all] == [None] * 3
        assert there.numbers(nearly) == list(range(1, there.number + 1))


async def test_who_falls_behind_at_the_end_of_a_tick_wakes_a_loop_that_goes_to_sleep() -> None:
    fan = Short()
    async with world(fan=fan) as there:
        slow = there.all[1]
        there.post()
        there.post()
        fan.takes = {slow.outbox.descriptor: 3}
        with trio.fail_after(2):
            await trio.lowlevel.wait_readable(slow.far)
            while there.numbers(slow) != [1, 2, 3]:
                await trio.lowlevel.wait_readable(slow.far)


async def test_a_channel_that_loses_all_subscribers_with_events_pending() -> None:
    async with world() as there:
        there.post()
        there.post()
        for one in there.all:
            there.hub.unsubscribe(one.session, ROOM)
        assert not there.members()
        there.post()
        there.hub.subscribe(there.all[0].session, ROOM)
        there.hub.subscribe(there.all[2].session, ROOM)
        there.post()
        await wait_all_tasks_blocked()
        assert [there.numbers(one) for one in there.all] == [[1, 2, 3, 5], [1, 2, 3], [1, 2, 3, 5]]


async def test_an_observer_that_ends_members_in_the_midst_of_a_publish() -> None:
    class Ender(Observer):
        def __init__(self) -> None:
            self.victims: list[Session] = []

        def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
            while kind == "detached" and self.victims:
                there.hub.end(self.victims.pop(), Disconnect(Cause.KICKED))

    ender = Ender()
    async with world(people="abcd", observers=[ender], outbox_events=2) as there:
        first, second, third, slow = there.all
        there.tick.hold()
        for _ in range(2):
            there.hub.tell(slow.session, "E", {"n": 0})  # from here on it is given everything alone
        ender.victims = [first.session, third.session]
        there.post()
        assert slow.session.state == "detached"
        assert [one.session.ended is None for one in there.all] == [False, True, False, True]
        there.post()
        await wait_all_tasks_blocked()
        assert there.numbers(second) == [1, 2, 3]
        assert there.numbers(first) == there.numbers(third) == [1, 2]
        assert [event.data["n"] for _, event in slow.session.backlog.entries()] == [0, 0, 2, 3]


async def test_who_subscribes_in_the_middle_of_a_burst_hears_what_is_said_from_then_on() -> None:
    async with world() as there:
        late = there.all[2]
        there.hub.unsubscribe(late.session, ROOM)
        there.post()
        there.post()
        there.hub.subscribe(late.session, ROOM)
        there.post()
        await wait_all_tasks_blocked()
        assert [there.numbers(one) for one in there.all] == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 4]]


async def test_members_hear_nothing_that_is_for_another_protocol() -> None:
    async with world() as there:
        counts = there.hub.publish(there.book.realm, ROOM, "E", {"n": 2}, protocol="other")
        assert counts.delivered == counts.buffered == 0
        there.post()
        await wait_all_tasks_blocked()
        assert [there.numbers(one) for one in there.all] == [[1, 2]] * 3


async def test_what_is_more_than_a_write_joins_does_not_wait_for_the_end_of_the_tick() -> None:
    fan = Short()
    async with world(fan=fan) as there:
        there.post()
        there.post()
        before = fan.writes
        there.post(70_000)
        assert fan.writes == before + 1
        assert [there.numbers(one) for one in there.all] == [[1, 2, 3, 4]] * 3
        await wait_all_tasks_blocked()
        assert fan.writes == before + 1


async def test_a_ring_that_is_taken_away_in_the_middle_of_it_all() -> None:
    way = fan_of("io_uring")
    assert isinstance(way, RingFan)
    async with world(fan=way) as there:
        for taken in (False, True):
            if taken:
                with way:  # another one is made, and given back
                    pass
            for _ in range(3):
                there.post()
            await wait_all_tasks_blocked()
        assert way.way != "io_uring"
        assert [there.numbers(one) for one in there.all] == [list(range(1, 8))] * 3
