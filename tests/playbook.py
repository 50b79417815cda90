"""A conversation without sockets: what a client says and hears, on a clock that only moves when told.

A transcript reads like the protocol's document:

    book = Playbook(utilbot.PROTOCOL)
    bot = book.connect()
    assert bot.heard() == [{"op": 5, "d": {"heartbeat": 60000}}]
    bot.say({"op": 10})
    assert bot.heard() == [{"op": 11}]
    book.advance(65)
    assert bot.closed == (4006, ...)
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from gatewayd.auth.static import OpenAuth, StaticAuth
from gatewayd.config.limits import HubLimits
from gatewayd.core.behaviour import Claim, Grant, Handshake
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection, Pings
from gatewayd.core.events import Command, Event
from gatewayd.core.observer import Observer
from gatewayd.core.outbox import Outbox
from gatewayd.core.pace import Pace
from gatewayd.core.ports import NoBackend
from gatewayd.core.protocol import Protocol
from gatewayd.core.session import Session, session_of
from gatewayd.core.settings import Settings
from gatewayd.hub import dispatch
from gatewayd.hub.hub import Hub
from gatewayd.hub.port import Ask, ListenerPort

OPEN = OpenAuth()
STATIC = StaticAuth(secrets=("s3cret",), users={"000": "user-token", "7": "seven"}, guilds={"123467": "guild-token"})
ADDRESS = "127.0.0.1"


async def no_backend(session: Session, command: Command, reply: Callable[[Any], None]) -> None:
    """The backend of a node that has none."""
    raise NoBackend


def notes_for(hub: Hub, user: str, realm: str = "main") -> list[Any]:
    """The notifications that wait for a user."""
    return [json.loads(bytes(note)) for note in hub.realms.make(realm).notifications.waiting(user).notes]


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Drive a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the coroutine waited for something")


def waiting(hub: Hub) -> list[Event]:
    """The events of all realms that wait for their first receiver."""
    return [event for realm in hub.realms.by_name.values() for event in realm.waiting]


def make_calls(hub: Hub, now: float) -> None:
    """What the daemon does with the calls that are due, and with what they return."""
    while (call := hub.timers.pop_due(now)) is not None:
        later = call()
        if later is not None:
            run(later)


class Playbook:
    """One listener of one protocol, and a clock. Several listeners: pass `hub` of the first to the next, or have it
    stand `beside` that one, with a clock in common.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        options: Mapping[str, Any] | None = None,
        auth: Any = STATIC,
        answers: Mapping[str, Any] | None = None,
        hub: Hub | None = None,
        limits: HubLimits | None = None,
        observers: Sequence[Observer] = (),
        beside: Playbook | None = None,
        listener: str = "main",
        realm: str = "main",
        **settings: Any,
    ) -> None:
        self.now: float = 1000.0 if beside is None else beside.now
        timing = protocol.timing
        interval = settings.get("interval", timing.interval)
        values = {
            "interval": interval,
            "patience": timing.patience(interval),
            "identify_timeout": timing.identify_timeout,
            "resume_window": timing.resume_window,
            "heartbeat": timing.heartbeat,
            "rate_limit": timing.rate_limit,
            **settings,
        }
        self.settings = Settings(**values)
        self.protocol = protocol
        self.listener = listener
        self.answers = answers
        self.ask: Ask | None = None  # a backend to ask, in place of `answers`
        self.group: list[Playbook] = [] if beside is None else beside.group  # all with this clock
        self.group.append(self)
        if hub is None:
            hub = Hub(lambda: self.now, limits=limits, observers=observers) if beside is None else beside.hub
        self.hub: Hub = hub
        self.realm = self.hub.realms.make(realm)
        self.verified: list[Claim] = []
        self._auth = auth
        self.held_back: list[str] = []
        """The addresses of wrong keys."""
        self.pauses = 0
        """How often long work has let others have a turn."""
        port = ListenerPort(
            self.hub, self.realm, protocol.name, self._verify, self._ask, hold_back=self._hold_back, pause=self._pause
        )
        self.behaviour = protocol.behaviour(listener, protocol.options(**(options or {})), port, interval)
        self.hub.serve(self.behaviour)
        self.people: list[Person] = []

    async def _verify(self, claim: Claim) -> Grant:
        self.verified.append(claim)
        grant: Grant = await self._auth.verify(claim)
        return grant

    async def _hold_back(self, address: str) -> None:
        self.held_back.append(address)

    async def _pause(self) -> None:
        self.pauses += 1

    async def _ask(self, session: Session, command: Command, reply: Callable[[Any], None]) -> None:
        if self.ask is not None:
            await self.ask(session, command, reply)
            return
        if self.answers is None or command.name not in self.answers:
            raise NoBackend
        answer = self.answers[command.name]
        if isinstance(answer, Exception):
            raise answer
        reply(answer)

    def connect(
        self, path: str = "/", query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, *,
        at_once: bool = False,
    ) -> Person:  # fmt: skip
        """A client connects. Raises `Refused` where the request is answered with an HTTP status.

        With `at_once` its socket takes each frame as it is said, and its outbox stays empty.
        """
        person = Person(self, at_once=at_once)
        person._open(Handshake(path, dict(query or {}), dict(headers or {}), ADDRESS))
        return person

    def advance(self, seconds: float) -> None:
        """Let time pass, doing what falls due in its order."""
        end = self.now + seconds
        while True:
            people = [p for book in self.group for p in book.people if p.closed is None]
            due = min([self.hub.timers.next, *(p.connection.due for p in people)], default=math.inf)
            if due > end:
                break
            for book in self.group:
                book.now = max(book.now, due)
            make_calls(self.hub, self.now)
            for person in people:
                person._tick()
        for book in self.group:
            book.now = end

    def publish(self, channel: str, name: str, data: Any) -> tuple[int, int, int]:
        """What a backend publishes; (delivered, buffered, dropped)."""
        counts = self.hub.post(channel, name, data)
        return counts.delivered, counts.buffered, counts.dropped


class PersonsPings(Pings):
    """The WebSocket pings that a client was sent; it answers those that `pong` says."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._told: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._told)

    def ping(self, told: Callable[[], None]) -> None:
        self._told.append(told)

    def pong(self) -> None:
        """Answer all of them."""
        told, self._told = self._told, []
        for call in told:
            call()

    async def alive(self, within: float) -> bool:
        return self._person.alive


class EveryFrame(Pace):
    """The pace of a socket that takes every frame at once."""

    held = False


class Person:
    """One client: `say` a payload, see what was `heard` since the last look, and how it was `closed`."""

    def __init__(self, book: Playbook, *, at_once: bool = False) -> None:
        self.book = book
        self._pace = EveryFrame()
        outbox = Outbox(book.settings, wake=self._read)
        if at_once:
            outbox = Outbox(book.settings, send=self._take, wake=self._read, pace=self._pace)
        self.connection = Connection(book.protocol.wire, book.settings, book.now, ADDRESS, outbox=outbox)
        self._closed: tuple[int, str] | None = None
        self._stopped = False
        self.pings = PersonsPings(self)
        self.alive = True  # whether it answers a WebSocket ping that asks for a sign of life
        self.reads = True  # False: what is said to it stays in its outbox
        self._raw: list[tuple[str, Any]] = []

        self.connection.serve(self._stop, self.pings)

    def _stop(self) -> None:
        self._stopped = True

    @property
    def closed(self) -> tuple[int, str] | None:
        """How it was closed. As with its tasks, a verdict from outside ends it later: when somebody looks."""
        self._leave()
        return self._closed

    def _leave(self) -> None:
        if self._stopped:
            self._end(Disconnect(Cause.INTERNAL))

    @property
    def session(self) -> Session:
        """The session behind this client."""
        session = session_of(self.connection)
        assert session is not None
        return session

    def _open(self, handshake: Handshake) -> None:
        book = self.book
        try:
            claim = run(book.behaviour.admit(handshake))
        except Disconnect as verdict:
            self._end(verdict)
            return
        book.people.append(self)
        try:
            book.hub.open(self.connection, book.listener, book.realm.name, "127.0.0.1:5")
            run(dispatch.greet(book.hub, book.behaviour, self.connection, handshake, claim))
        except Disconnect as verdict:
            self._end(verdict)
        book.advance(0)

    def say(self, payload: Any) -> None:
        """Send one message: text and bytes as they are, anything else as JSON."""
        message = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        try:
            later = dispatch.hear(self.book.hub, self.book.behaviour, self.connection, message)
            if later is not None:
                run(later)
        except Disconnect as verdict:
            self._end(verdict)
        self.book.advance(0)

    def stay(self) -> None:
        """Its tasks do not run for now: a verdict is passed on it, and it does not go."""
        self.connection.serve(lambda: None, self.connection.pings)

    def leave(self, cause: Cause = Cause.PEER_GONE) -> None:
        """The client goes: its connection is lost, or it closes (CLIENT_CLOSED is a 1000, CLIENT_LEFT a 1001)."""
        self._end(Disconnect(cause))

    def _tick(self) -> None:
        if self.closed is None:
            try:
                self.connection.tick(self.book.now)
            except Disconnect as verdict:
                self._end(verdict)

    def _end(self, verdict: Disconnect) -> None:
        if self._closed is None:
            self._closed = (0, "")
            closed = dispatch.part(self.book.hub, self.connection, verdict)
            self._read()
            self._closed = closed
            if not len(self.connection.outbox):  # else a frame is half out, or nobody reads
                self.connection.release()

    def _read(self) -> None:
        while self.reads and (data := self.connection.outbox.batch()):
            if self.connection.outbox.advance(len(data)):
                self.book.hub.observers.advanced(self.session)
            self._raw += frames(data)

    def _take(self, data: bytes) -> int:
        self._pace.number += 1
        self._raw += frames(data)
        return len(data)

    def heard_raw(self) -> list[tuple[str, Any]]:
        """What was said since the last look, each as (variant, payload)."""
        self._leave()
        self._read()
        said, self._raw = self._raw, []
        return said

    def heard(self) -> list[Any]:
        """The payloads that were said since the last look."""
        return [payload for _, payload in self.heard_raw()]


def frames(data: bytes) -> list[tuple[str, Any]]:
    """Server frames as (variant, payload): "text", or "zlib" for a binary one."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        body, binary = data[start : start + size], data[0] == 0x82
        found.append(("zlib", json.loads(zlib.decompress(body))) if binary else ("text", json.loads(body)))
        data = data[start + size :]
    return found
