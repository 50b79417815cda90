"""oxyl: services of a bot fleet; sharders run blocks of shards, events are routed by service type.

The gateway of oxylbot (github.com/oxylbot/gateway, doc/ws/payloads.md). docs/protocols/oxyl.md says what was chosen
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Behaviour, Claim, Clash, EventTooBig
from gatewayd.core.close import Cause, Disconnect, Ending
from gatewayd.core.encode import TEXT, ZLIB
from gatewayd.core.ports import Resource
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.wire import Opcode, Wire, need

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session

SHARDER = "sharder"
NUMBER = (int, float)
FIGURES = {"heapUsed": NUMBER}
SHARDERS_FIGURES = {"heapUsed": NUMBER, "guilds": NUMBER}
"""What a heartbeat may tell of its service."""
SERVICE_FIELDS = ("type", "heapUsed", "guilds", "shards")
CACHED: Mapping[str, tuple[str, ...]] = {
    "member": ("guildID", "id"),
    "role": ("id",),
    "user": ("id",),
    "guild": ("id",),
    "channel": ("id",),
    "voiceState": ("guildID", "userID"),
}
"""Kinds of cached object, and the fields that make its document's key."""
NESTED: Mapping[str, Mapping[str, str]] = {
    "guild": {"roles": "role", "channels": "channel", "members": "member", "voiceStates": "voiceState"},
    "member": {"user": "user"},
}
"""Fields of a cached object that hold others, or one other, and their kind; the original stores each of them too."""
OBJECTS_A_TURN = 200
"""Cached objects between two turns of everybody else, some 2 ms: one message can hold 100,000."""


def _data(payload: Mapping[str, Any]) -> Any:
    if type(payload.get("d")) not in (dict, list):
        raise Disconnect(Cause.INVALID_PAYLOAD, "d must be an object or an array")
    return payload["d"]


def _object(payload: Mapping[str, Any]) -> dict[str, Any]:
    data = _data(payload)
    if type(data) is not dict:
        raise Disconnect(Cause.INVALID_PAYLOAD, "d must be an object")
    return data


def _event(payload: Mapping[str, Any]) -> e.ClientEvent:
    if type(payload.get("t")) is not str:
        raise Disconnect(Cause.INVALID_PAYLOAD, "t, the event's name, must be a string")
    return e.Command(2, payload["t"], _data(payload))


def _beat(payload: Mapping[str, Any]) -> e.ClientEvent:
    """Data is optional; an empty array counts as none."""
    data = payload.get("d")
    if data is not None and type(data) not in (dict, list):
        raise Disconnect(Cause.INVALID_PAYLOAD, "d must be an object or an array")
    return e.Heartbeat(data or {})


def _ready(ready: e.Ready) -> object:
    lost = {"lost": ready.lost} if ready.lost else {}
    return {"op": 2, "t": "IDENTIFIED", "d": {**ready.data, **lost}}


WIRE = Wire(
    name="oxyl",
    opcode_field="op",
    opcodes=(
        Opcode(0, "identify", "client", lambda payload: e.Identify(_object(payload))),
        Opcode(1, "heartbeat", "both", _beat),
        Opcode(2, "event", "both", _event),
        Opcode(3, "hello", "server"),
        Opcode(4, "heartbeat acknowledgement", "server"),
        Opcode(5, "cache", "client", lambda payload: e.Command(5, "cache", _object(payload))),
    ),
    encoders={
        e.Hello: lambda hello: {"op": 3, "d": {"heartbeatInterval": round(hello.interval * 1000)}},
        e.Ready: _ready,
        e.BeatAck: {"op": 4, "d": {}},
        e.BeatRequest: {"op": 1, "d": {}},
        e.Event: lambda event: {"op": 2, "t": event.name, "d": event.body},
    },
    endings={
        Cause.NOT_IDENTIFIED: Ending(4000),
        Cause.AUTH_FAILED: Ending(4001),
        Cause.ALREADY_IDENTIFIED: Ending(4002),
        Cause.NO_OPCODE: Ending(4005),
        Cause.UNKNOWN_OPCODE: Ending(4003),
        Cause.NOT_JSON: Ending(4004),
        Cause.INVALID_PAYLOAD: Ending(4005),
        Cause.NOT_ALLOWED: Ending(4006),
        Cause.HEARTBEAT_MISSED: Ending(4007),
        Cause.IDENTIFY_TIMEOUT: Ending(4000),
        Cause.KICKED: Ending(4008),
        Cause.RATE_LIMITED: Ending(4009),
        Cause.SLOW_CONSUMER: Ending(4010),
    },
    probes=True,
    before_identify=frozenset({0, 1}),
)


@frozen(kw_only=True)
class Route:
    """Which service types may send an event, which hear it, and whether one of them or all."""

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    deliver: Literal["one", "all"] = "one"


EXECUTE_COMMAND = Route(senders=(SHARDER,), receivers=("commands",))


@frozen(kw_only=True)
class Options:
    """Options of an oxyl listener."""

    service_types: tuple[str, ...] = ("feeds", "dashboard", "panel", SHARDER, "commands")
    """The types of service that may identify."""
    shards_total: int = 1
    """How many shards there are in all."""
    shards_per_sharder: int = 1
    """How many shards one sharder is given."""
    routes: Mapping[str, Route] = field(factory=dict)
    """More events that services may send, by name. A route has `senders` and `receivers`, both lists of service types,
    and `deliver`: "one" of the receivers or "all" of them."""
    documents: str = ""
    """Prefix of the documents that the cache writes."""

    def __attrs_post_init__(self) -> None:
        if self.shards_total < 0 or self.shards_per_sharder < 1:
            raise ValueError("shards_total must not be negative, and shards_per_sharder at least 1")


class Oxyl(Behaviour[Options]):
    """Service types, shard blocks, routed events, the cache."""

    prefixes = ("service",)
    uses = (Resource.DOCUMENTS,)
    own = ("type", "compress", "shards", "heapUsed", "guilds")

    def _route(self, name: str) -> Route | None:
        return self.options.routes.get(name) or (EXECUTE_COMMAND if name == "EXECUTE_COMMAND" else None)

    async def identify(self, connection: Connection, identify: e.Identify) -> Admission:
        """`{type, compress, secret}`."""
        claim = identify.claim
        need(claim, {"type": (str,), "compress": (bool,), "secret": (str,)})
        kind = claim["type"]
        if kind not in self.options.service_types:
            raise Disconnect(Cause.INVALID_PAYLOAD, "type is not a service type")
        grant = await self.port.verify(Claim("secret", claim["secret"], extra={"type": kind}), connection.address)
        if not grant:
            raise Disconnect(Cause.AUTH_FAILED, "the secret is wrong")
        return Admission(
            identity=SHARDER if kind == SHARDER else None,
            clash=Clash.BESIDE,
            label=kind,
            channels=(f"service:{kind}",),
            metadata={"type": kind, "compress": claim["compress"]},
            variant=ZLIB if claim["compress"] else TEXT,
            grant=grant,
        )

    def ready(self, session: Session, *, resumed: bool) -> Any:
        """A sharder's block of shards; it keeps the one it has when it resumes, and else is given one if it can be."""
        if session.metadata["type"] != SHARDER:
            return {}
        if not session.metadata.get("shards"):
            session.metadata["shards"] = self._free_block()
        return {"shards": session.metadata["shards"]}

    def _free_block(self) -> list[int]:
        """The lowest block that no sharder holds, detached ones included; none: []."""
        taken = {n for s in self.port.subscribers(f"service:{SHARDER}") for n in s.metadata.get("shards", ())}
        total, size = self.options.shards_total, self.options.shards_per_sharder
        for start in range(0, total, size):
            block = list(range(start, min(start + size, total)))
            if not taken.intersection(block):
                return block
        return []

    def heartbeat(self, connection: Connection, session: Session, beat: e.Heartbeat) -> None:
        """What comes with a heartbeat is kept as metadata: `heapUsed`, and a sharder's `guilds`."""
        data = beat.data
        if not data or type(data) is not dict:
            return
        known = SHARDERS_FIGURES if session.metadata.get("type") == SHARDER else FIGURES
        told = {name: data[name] for name in known if name in data}
        if told:
            need(told, known if len(told) == len(known) else dict.fromkeys(told, NUMBER), figures=True)
            session.metadata.update(told)
            self.port.changed(session)

    async def command(self, connection: Connection, session: Session | None, command: e.Command) -> None:
        """An event for other services, or an object for the cache."""
        assert session is not None
        if command.op == 5:
            await self._cache(command.data)
            return
        route = self._route(command.name)
        if route is None:
            raise Disconnect(Cause.INVALID_PAYLOAD, "no route for this event")
        if session.metadata["type"] not in route.senders:
            raise Disconnect(Cause.NOT_ALLOWED, f"a {session.metadata['type']} may not send this event")
        if command.name == "EXECUTE_COMMAND":
            _check_command(command.data)
        try:
            for receiver in route.receivers:
                self.port.relay(f"service:{receiver}", command.name, command.data, one=route.deliver == "one")
        except EventTooBig as exc:  # it would end its receivers, one after the other
            raise Disconnect(Cause.TOO_BIG, str(exc)) from None

    async def _cache(self, data: dict[str, Any]) -> None:
        """Store an object as a document; a full store drops it, as a cache may. All of it is judged first."""
        kind = data.get("type")
        if type(kind) is not str or kind not in CACHED:
            raise Disconnect(Cause.INVALID_PAYLOAD, f"type must be one of {' '.join(CACHED)}")
        found: list[tuple[str, Any]] = []
        for item in _cached(kind, {name: value for name, value in data.items() if name != "type"}):
            found.append(item)
            if not len(found) % OBJECTS_A_TURN:
                await self.port.pause()
        for number, (key, value) in enumerate(found, 1):
            self.port.documents.put(self.options.documents + key, value)
            if not number % OBJECTS_A_TURN:
                await self.port.pause()

    def service_types(self) -> tuple[str, ...]:
        """Those that the options name."""
        return self.options.service_types

    def service(self, session: Session) -> Mapping[str, Any] | None:
        """Its type, its heap, and a sharder's guilds and shards."""
        told = {name: session.metadata[name] for name in SERVICE_FIELDS if name in session.metadata}
        return told if "type" in told else None

    def delivers_one(self, channel: str, name: str) -> bool:
        """An event whose route says so runs once, whoever publishes it."""
        route = self._route(name)
        return channel.startswith("service:") and route is not None and route.deliver == "one"


def _cached(kind: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A cached object under its document's key, and what is nested in it; that of a guild is given its `guildID`."""
    if type(value) is not dict:
        raise Disconnect(Cause.INVALID_PAYLOAD, f"a {kind} must be an object")
    key, names = kind, CACHED[kind]
    for name in names:
        part = value.get(name)
        if type(part) is not str and type(part) is not int:
            need(value, dict.fromkeys(names, (str, int)))
        key = f"{key}:{part}"
    yield key, value
    for name, inner in NESTED.get(kind, {}).items():
        nested = value.get(name)
        for item in nested if type(nested) is list else () if nested is None else (nested,):
            stray = kind == "guild" and type(item) is dict and item.get("guildID") != value["id"]
            yield from _cached(inner, {**item, "guildID": value["id"]} if stray else item)


def _check_command(data: Any) -> None:
    """The document's fields; `shard` is a string in its table and a number in its example."""
    if type(data) is not dict:
        raise Disconnect(Cause.INVALID_PAYLOAD, "d must be an object")
    need(data, {"command": (str,), "raw": (str,), "ids": (dict,)})
    need(data["ids"], {**dict.fromkeys(("message", "author", "channel", "guild"), (str,)), "shard": (str, int)})


PROTOCOL = Protocol(
    name="oxyl",
    wire=WIRE,
    timing=Timing(
        interval=30.0,
        patience=lambda i: 2 * i,
        identify_timeout=20.0,
        resume_window=60.0,
        # A sharder that starts caches all its guilds, each with its channels, members and voice states in one message.
        max_message_bytes=1024 * 1024,
        bytes_per_second=4 * 1024 * 1024,
        burst_bytes=16 * 1024 * 1024,
    ),
    options=Options,
    behaviour=Oxyl,
    summary="services of a bot fleet: shard blocks, routed events, a cache",
    login="secret {secret}",
)
