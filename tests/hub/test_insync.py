"""Those who keep up are written to in one go: the same bytes, sequences and backlogs as if each were given its own."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatewayd.config.limits import HubLimits
from gatewayd.core import events as e
from gatewayd.core.behaviour import Handshake
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.outbox import Outbox
from gatewayd.core.pace import Flushable, Pace
from gatewayd.core.protocol import Protocol
from gatewayd.core.session import Session
from gatewayd.hub import dispatch
from gatewayd.protocols import discord
from tests import ledger, sixth
from tests.playbook import ADDRESS, STATIC, Playbook, frames, run
from tests.protocols.test_discord import AUTH, TOKEN
from tests.weighted import weighted

CLIENTS = 5
CHANNELS = ("book:x", "book:y", "bot:all", f"guild:{1 << 22}", f"guild:{2 << 22}")
ALONE = 10**9  # so many subscribers never come together


class Tick(Pace):
    """The tick of a world, and its sockets by descriptor."""

    def __init__(self) -> None:
        self.held = False
        self.number = self.apart = 0
        self.fan = self
        self.sockets: dict[int, Wire] = {}
        self._dirty: list[Flushable] = []
        self._calls: list[Callable[[], object]] = []
        self.in_one_go = 0

    def add(self, item: Flushable) -> None:
        self._dirty.append(item)

    def soon(self, call: Callable[[], object]) -> None:
        self._calls.append(call)

    def end(self) -> None:
        """What Trio does before it waits, and after."""
        self.number += 1
        self.held = False
        for item in self._dirty:
            item.write_now()
        self._dirty.clear()
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def write(self, descriptors: array[int], data: bytes) -> list[int] | None:
        return self.write_each(descriptors, [data] * len(descriptors))

    def write_each(self, descriptors: array[int], frames: Sequence[bytes]) -> list[int] | None:
        assert len(set(descriptors)) == len(descriptors) == len(frames)
        self.in_one_go += len(frames)
        taken = [self.sockets[descriptor].take(data) for descriptor, data in zip(descriptors, frames, strict=True)]
        return None if taken == [len(data) for data in frames] else taken


class Wire:
    """A socket that takes `room` bytes more, and the writer of what waits for it."""

    def __init__(self, tick: Tick) -> None:
        self.tick = tick
        self.descriptor = next(number for number in range(3, 1000) if number not in tick.sockets)  # as the kernel does
        tick.sockets[self.descriptor] = self
        self.room = 10**9
        self.took = b""
        self.dirty = False
        self.outbox: Outbox | None = None

    def take(self, data: bytes) -> int:
        taken = data[: self.room]
        self.room -= len(taken)
        self.took += taken
        return len(taken)

    def send(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        return self.take(data)

    def wake(self) -> None:
        if not self.dirty:
            self.dirty = True
            self.tick.add(self)

    def write_now(self) -> bool:
        self.dirty = False
        assert self.outbox is not None
        while self.descriptor >= 0 and self.room and (data := self.outbox.batch()):
            self.outbox.advance(self.take(data))
        return True

    def write_later(self) -> None:
        raise AssertionError

    def close(self) -> None:
        assert self.outbox is not None
        self.outbox.close()
        self.tick.sockets.pop(self.descriptor, None)
        self.descriptor = -1


@define
class One:
    """One identity in one world: its client's socket, and all that its clients ever took, one string each."""

    name: str
    wire: Wire
    connection: Connection
    session: Session
    before: list[bytes] = field(factory=list)

    @property
    def took(self) -> bytes:
        """By this client; ids are other ones in another world."""
        return self.wire.took.replace(self.session.id.encode(), b"x" * len(self.session.id))


class World:
    """A node of one protocol, where channels have sets from so many subscribers on."""

    def __init__(self, protocol: Protocol, in_sync: int, people: int = CLIENTS, **settings: Any) -> None:
        auth = AUTH if protocol is discord.PROTOCOL else STATIC
        bounds = {"resume_events": 40, "resume_bytes": 4000, "rate_limit": None, **settings}
        self.book = Playbook(protocol, auth=auth, limits=HubLimits(in_sync=in_sync), **bounds)
        self.tick = Tick()
        self.people = [self.connect(str(number)) for number in range(people)]

    def stranger(self) -> tuple[Connection, Wire]:
        """A client that is greeted."""
        book, wire = self.book, Wire(self.tick)
        outbox = wire.outbox = Outbox(book.settings, send=wire.send, wake=wire.wake, pace=self.tick)
        outbox.descriptor = wire.descriptor
        connection = Connection(book.protocol.wire, book.settings, book.now, ADDRESS, outbox=outbox)
        book.hub.open(connection, book.listener, book.realm.name, ADDRESS)
        run(dispatch.greet(book.hub, book.behaviour, connection, Handshake("/", {}, {}, ADDRESS), None))
        return connection, wire

    def connect(self, name: str, seen: int | None = None, session: str = "") -> One:
        book = self.book
        connection, wire = self.stranger()
        for login in (self._login(name, seen, session), self._login(name, None, "")):
            if not connection.open:  # where it cannot be resumed, it begins anew
                later = dispatch.hear(book.hub, book.behaviour, connection, login)
                assert later is not None
                run(later)
        found = connection.session
        assert isinstance(found, Session)
        return One(name, wire, connection, found)

    def _login(self, name: str, seen: int | None, session: str) -> str:
        data: dict[str, Any]
        if self.book.protocol is not discord.PROTOCOL:
            number = {} if seen is None else {"seq": seen}
            return json.dumps({"type": "hi", "name": name, "token": "s3cret", **number})
        if session:
            data = {"token": TOKEN, "session_id": session, "seq": seen}
            return json.dumps({"op": 6, "d": data})
        shard = [int(name) % 2, 2]
        intents = 513 if int(name) < CLIENTS - 1 else 1
        return json.dumps({"op": 2, "d": {"token": TOKEN, "intents": intents, "properties": {}, "shard": shard}})

    # --- what happens ---------------------------------------------------------------------------------------

    def post(self, channel: str, besides: int | None, size: int) -> Any:
        session = None if besides is None else self.people[besides].session
        data = {"n": self.book.hub.delivery.numbers, "x": "x" * size}
        if besides is None:
            return self.book.hub.post(channel, "MESSAGE_CREATE", data)
        return self.book.hub.publish(self.book.realm, channel, "MESSAGE_CREATE", data, besides=session)

    def tell(self, who: int) -> None:
        self.book.hub.tell(self.people[who].session, "MESSAGE_CREATE", self.book.hub.delivery.numbers)

    def own(self, who: int) -> None:
        connection = self.people[who].connection
        if connection.open:
            connection.send(e.BeatAck(), self.book.now)

    def room(self, who: int, room: int) -> None:
        wire = self.people[who].wire
        wire.room = room
        if wire.outbox is not None and len(wire.outbox):
            wire.wake()  # the kernel says so, and its task writes

    def lose(self, who: int) -> None:
        one = self.people[who]
        if one.session.connection is one.connection:
            dispatch.part(self.book.hub, one.connection, Disconnect(Cause.PEER_GONE))
            self._gone(one)

    def _gone(self, one: One) -> None:
        one.wire.close()
        one.connection.release()
        one.before.append(one.took)
        one.wire.took = b""

    def comes(self, who: int, behind: int) -> None:
        one = self.people[who]
        taken_over = one.session.connection is one.connection
        cursor = max(one.session.backlog.acknowledged or 0, one.session.backlog.written - behind)
        protocol = self.book.protocol
        seen = None if protocol is sixth.PROTOCOL else cursor
        new = self.connect(one.name, seen, one.session.id if protocol is discord.PROTOCOL else "")
        if taken_over:
            if one.connection.verdict is None:
                one.connection.end(Disconnect(Cause.REPLACED))
            dispatch.part(self.book.hub, one.connection, Disconnect(Cause.REPLACED))
            self._gone(one)
        new.before = one.before
        self.people[who] = new

    def subscribe(self, who: int, channel: str) -> None:
        self.book.hub.subscribe(self.people[who].session, channel)

    def unsubscribe(self, who: int, channel: str) -> None:
        self.book.hub.unsubscribe(self.people[who].session, channel)

    def acknowledge(self, who: int, behind: int) -> None:
        backlog = self.people[who].session.backlog
        backlog.acknowledge(max(0, backlog.written - behind))

    def look(self, who: int) -> Any:
        backlog = self.people[who].session.backlog
        return backlog.given, backlog.kept, [item for item, _ in backlog.entries()], backlog.gaps

    def hold(self) -> None:
        self.tick.held = True

    def end(self) -> None:
        self.tick.end()

    # --- what comes of it -----------------------------------------------------------------------------------

    def books(self) -> list[Any]:
        found: list[Any] = []
        for number, one in enumerate(self.people):
            backlog = one.session.backlog
            found.append((self.look(number), backlog.written, backlog.acknowledged, backlog.lost, one.session.state))
        return found

    def streams(self) -> list[list[bytes]]:
        return [
            [took.replace(one.session.id.encode(), b"id") for took in (*one.before, one.wire.took)]
            for one in self.people
        ]


WHO = st.integers(0, CLIENTS - 1)
CHANNEL = st.sampled_from(CHANNELS)
WHAT = weighted(
    (20, st.tuples(st.just("post"), CHANNEL, weighted((5, st.none()), (1, WHO)), st.integers(0, 60))),
    (4, st.tuples(st.just("end"))),
    (2, st.tuples(st.just("tell"), WHO)),
    (2, st.tuples(st.just("own"), WHO)),
    (2, st.tuples(st.just("room"), WHO, st.integers(0, 300) | st.just(10**9))),
    (1, st.tuples(st.just("lose"), WHO)),
    (2, st.tuples(st.just("comes"), WHO, st.integers(0, 3))),
    (1, st.tuples(st.just("subscribe"), WHO, CHANNEL)),
    (1, st.tuples(st.just("unsubscribe"), WHO, CHANNEL)),
    (1, st.tuples(st.just("acknowledge"), WHO, st.integers(0, 3))),
    (1, st.tuples(st.just("look"), WHO)),
    (1, st.tuples(st.just("hold"))),
)


PROTOCOLS = {protocol.name: protocol for protocol in (sixth.PROTOCOL, ledger.PROTOCOL, discord.PROTOCOL)}


def whole(data: bytes) -> bytes:
    """All but a frame at the end of which only a part was taken."""
    at = 0
    while at + 2 <= len(data):
        size = data[at + 1]
        after = at + 2 + size if size < 126 else at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        if after > len(data):
            break
        at = after
    return data[:at]


AT_ITS_END = {"room", "lose", "comes", "acknowledge", "look"}
"""What shows whether an event left at once or at the end of its tick: that may differ, and is asked behind that end."""


def world(protocol: Protocol, in_sync: int, **settings: Any) -> World:
    """One whose clients hear two channels each."""
    made = World(protocol, in_sync, **settings)
    for who in range(CLIENTS):
        made.subscribe(who, CHANNELS[0])
        made.subscribe(who, CHANNELS[who % 2 + 1])
    return made


X, Y = (("post", channel, None, 0) for channel in CHANNELS[:2])
ANSWERED = [("end",), X, X, ("own", 0), X]
ACROSS = [("end",), X, Y, X, Y, X, ("tell", 0), Y, ("end",), X, X, Y, ("lose", 2), X]
LONG = [("end",), *[X, ("end",)] * 70, Y, ("look", 0), X, ("look", 1)]


@pytest.mark.parametrize("name", PROTOCOLS)
@example(steps=ANSWERED)
@example(steps=ACROSS)
@example(steps=LONG)
@given(steps=st.lists(WHAT, min_size=20, max_size=60))
@settings(deadline=None)
def test_in_one_go_or_alone_is_the_same(name: str, steps: list[tuple[Any, ...]]) -> None:
    together, alone = [world(PROTOCOLS[name], in_sync) for in_sync in (1, ALONE)]
    everything = [("room", who, 10**9) for who in range(CLIENTS)]
    for what, *details in [*steps, ("end",), *everything, ("end",)]:
        if what in AT_ITS_END:
            together.end()
            alone.end()
        assert getattr(together, what)(*details) == getattr(alone, what)(*details)
        if what in AT_ITS_END or what == "end":
            assert together.books() == alone.books()
    assert together.streams() == alone.streams()
    for one in together.people:
        frames(one.wire.took)  # whole ones
    assert not alone.tick.in_one_go


@given(steps=st.lists(WHAT, min_size=20, max_size=60))
@settings(deadline=None)
def test_in_the_midst_of_a_tick_nothing_is_lost_or_said_twice(steps: list[tuple[Any, ...]]) -> None:
    there = world(sixth.PROTOCOL, 1)
    for what, *details in [*steps, *[("room", who, 10**9) for who in range(CLIENTS)], ("end",)]:
        getattr(there, what)(*details)
    for one in there.people:
        said = [payload for took in (*one.before, one.wire.took) for _, payload in frames(whole(took))]
        events = [payload["d"] for payload in said if payload["type"] == "MESSAGE_CREATE"]
        numbers = [event["n"] if isinstance(event, dict) else event for event in events]
        assert numbers == sorted(set(numbers))
        backlog = one.session.backlog
        assert len(numbers) + len(backlog) + backlog.lost == backlog.given


def test_many_audiences_of_one_make_no_sets() -> None:
    """What clients say of themselves, like intents, tells them apart: that must not make as many sets."""
    made = World(discord.PROTOCOL, 16, people=0, options={"max_concurrency": 1000})
    book, crowd = made.book, []
    for number in range(200):
        connection, _ = made.stranger()
        intents = 1 << 9 | ((number + 1) << 26 if number < 160 else number % 2)
        login = {"op": 2, "d": {"token": TOKEN, "intents": intents, "properties": {}}}
        run(dispatch.hear(book.hub, book.behaviour, connection, json.dumps(login)))  # type: ignore[arg-type]
        crowd.append(connection)
    for number in range(3):
        made.tick.end()
        counts = book.hub.post(f"guild:{1 << 22}", "MESSAGE_CREATE", {"n": number})
        assert counts.delivered == 200
    within = {place.within for connection in crowd for place in connection.outbox.places}
    assert sorted(len(found.members) for found in within) == [20, 20]


@pytest.mark.parametrize("bounds", [{"outbox_events": 3}, {"outbox_bytes": 150}])
def test_a_burst_above_its_bounds_of_which_a_member_takes_nothing_is_its_verdict(bounds: dict[str, int]) -> None:
    there = world(PROTOCOLS["ticker"], 1, **bounds)
    there.end()
    there.room(0, 0)
    there.hold()
    for _ in range(5):
        there.post("book:x", None, 0)
    there.end()
    slow, *others = there.people
    assert slow.connection.verdict is not None
    assert slow.connection.verdict.cause is Cause.SLOW_CONSUMER
    assert all(one.connection.open and one.session.backlog.written == 5 for one in others)
    there.lose(0)
    assert len(slow.session.backlog) == 5
