"""utilbot: bots that identify by a key, report their guilds, and hear the sum of all reports.

The gateway of UtilBot (github.com/utilbot/documentation, docs/topics/opcodes.md). docs/protocols/utilbot.md says what
was chosen here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Behaviour, Claim, Clash, Handshake
from gatewayd.core.close import Cause, Disconnect, Ending
from gatewayd.core.encode import ZLIB
from gatewayd.core.ports import NoBackend
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.wire import Opcode, Wire, need

if TYPE_CHECKING:
    from gatewayd.core.session import Session

BOT = "service:bot"
SUMS = ("guilds", "guildMembers", "cachedGuildMembers")
REPORT = dict.fromkeys(SUMS, (int,))
COUNT = "GLOBAL_GUILD_COUNT"
SUM_SECONDS = 1.0
"""`GLOBAL_GUILD_COUNT` is sent at most once in this time."""


def _event(payload: Mapping[str, Any]) -> e.ClientEvent:
    name, data = payload.get("t"), payload.get("d", {})
    if name == "identify":
        return e.Identify(data)
    # Before identify a client event is ignored, malformed or not: its shape is judged when it is acted on.
    return e.Command(1, name if type(name) is str else "", data)


def _ready(ready: e.Ready) -> object:
    lost = {"lost": ready.lost} if ready.lost else {}
    return {"op": 0, "d": {"id": ready.data, "resumed": ready.resumed, **lost}, "t": "bot_connect_success"}


def _error(code: int, words: str = "") -> Ending:
    def payload(verdict: Disconnect) -> object:
        detail = {"errors": verdict.errors, "data": verdict.data}
        return {"op": -1, "e": code, "d": detail, "m": words or f"{verdict.reason[:1].upper()}{verdict.reason[1:]}."}

    return Ending(code, payload=payload)


MALFORMED = _error(4005, "Malformed data.")

WIRE = Wire(
    name="utilbot",
    opcode_field="op",
    opcodes=(
        Opcode(-1, "error", "server"),
        Opcode(0, "event", "server"),
        Opcode(1, "event", "client", _event),
        Opcode(5, "hello", "server"),
        Opcode(10, "heartbeat", "client", lambda payload: e.Heartbeat()),
        Opcode(11, "heartbeat_ack", "server"),
    ),
    encoders={
        e.Hello: lambda hello: {"op": 5, "d": {"heartbeat": round(hello.interval * 1000)}},
        e.Ready: _ready,
        e.BeatAck: {"op": 11},
        e.Event: lambda event: {"op": 0, "d": event.body, "t": event.name},
        e.Reply: lambda reply: {"op": 0, "d": reply.data, "t": reply.to.name},
    },
    endings={
        Cause.NOT_IDENTIFIED: Ending(None),
        Cause.AUTH_FAILED: _error(4001),
        Cause.ALREADY_IDENTIFIED: MALFORMED,
        Cause.NO_OPCODE: _error(4003),
        Cause.UNKNOWN_OPCODE: _error(4004),
        Cause.NOT_JSON: MALFORMED,
        Cause.INVALID_PAYLOAD: MALFORMED,
        Cause.NOT_ALLOWED: _error(4004),
        Cause.HEARTBEAT_MISSED: _error(4006),
        Cause.IDENTIFY_TIMEOUT: _error(4001),
        Cause.WRONG_VERSION: _error(4000),
        Cause.IDENTITY_IN_USE: _error(4002),
        Cause.KICKED: Ending(4008),
        Cause.RATE_LIMITED: Ending(4009),
        Cause.SLOW_CONSUMER: Ending(4010),
        Cause.INTERNAL: _error(1000, "Unknown error."),
        Cause.BACKEND_FAILED: _error(1000),
    },
)


@frozen(kw_only=True)
class Options:
    """Options of a utilbot listener."""

    require_version: bool = False
    """Whether a client whose query has no `v` is refused."""
    documents: str = ""
    """Prefix of its documents; utilbot uses none so far."""


@define
class _Sum:
    """The guild counts: whether anybody has reported, what was sent last and when, and whether a sending is due."""

    reported: bool = False
    sent: tuple[int, ...] | None = None
    at: float = field(default=float("-inf"))
    due: bool = False


class Utilbot(Behaviour[Options]):
    """Keys, bot IDs and the guild-count sum; other client events go to the backend."""

    prefixes = ("user", "service")
    own = ("type", "servers")

    async def admit(self, handshake: Handshake) -> e.Identify | None:
        """`v` must be 1 where it is given, and given where it is required."""
        version = handshake.query.get("v")
        if version != "1" and (version is not None or self.options.require_version):
            raise Disconnect(Cause.WRONG_VERSION, "this gateway speaks version 1: connect with ?v=1")
        return None

    def greeting(self, connection: Any, handshake: Handshake) -> None:
        """Everything after hello is compressed where the query asks for it."""
        if "zlib" in (handshake.query.get("compression"), handshake.query.get("encoding")):
            connection.speak(ZLIB)

    async def identify(self, connection: Any, identify: e.Identify) -> Admission:
        """`{type, key, id?}`: the key is verified, an id is made where none is given."""
        claim = identify.claim if type(identify.claim) is dict else {}
        optional = {"id": (str,)} if "id" in claim else {}
        need(claim, {"type": (str,), "key": (str,), **optional})
        who = Claim("secret", claim["key"], claim.get("id"), {"type": claim["type"]})
        grant = await self.port.verify(who, connection.address)
        if not grant:
            raise Disconnect(Cause.AUTH_FAILED, "the key is wrong or expired")
        bot, kind = claim.get("id") or secrets.token_hex(8), claim["type"]
        return Admission(
            identity=bot,
            clash=Clash.REFUSE,
            channels=(f"user:{bot}", f"service:{kind}"),
            metadata={"type": kind},
            variant=connection.variant,
            grant=grant,
        )

    def ready(self, session: Session, *, resumed: bool) -> Any:
        """The bot's id."""
        return session.key

    async def command(self, connection: Any, session: Any, command: e.Command) -> None:
        """`send_servers` is summed here; what else a client says goes to the backend, or nowhere."""
        need({"t": command.name or None, "d": command.data}, {"t": (str,), "d": (dict,)})
        if command.name == "send_servers":
            need(command.data, REPORT, figures=True)
            session.metadata["servers"] = {name: command.data[name] for name in SUMS}
            self.port.changed(session)
            self._sum.reported = True
            self._sum_changed()
            return
        try:
            await self.forward(connection, session, command)
        except NoBackend:
            raise Disconnect(Cause.INVALID_PAYLOAD, f"no such event: {command.name[:40]}") from None

    def entered(self, session: Session, *, resumed: bool) -> None:
        """A bot that joins is told the present sum; one that resumes has heard all of them."""
        state = self._sum
        if resumed or session.metadata["type"] != "bot" or not state.reported:
            return
        if state.sent is None:  # the reports are of the last run
            self._sum_changed()
        else:
            self.port.tell(session, COUNT, dict(zip(SUMS, state.sent, strict=True)))

    def restore(self, session: Session, kept: Any) -> None:
        """Its report counts; one that an older version took and that is no figure is forgotten."""
        servers = session.metadata.get("servers")
        if servers is None:
            return
        try:
            need(servers, REPORT, figures=True)
        except Disconnect:
            del session.metadata["servers"]
            self.port.changed(session)
        else:
            self._sum.reported = True

    def service(self, session: Session) -> Mapping[str, Any] | None:
        """Its type and its latest report."""
        kind = session.metadata.get("type")
        return None if kind is None else {"type": kind, **session.metadata.get("servers", {})}

    def ended(self, session: Any) -> None:
        """A bot's report leaves the sum with its session."""
        if session.metadata.pop("servers", None) is not None:
            self._sum_changed()

    @property
    def _sum(self) -> _Sum:
        state: _Sum = self.port.shared("utilbot.sum", _Sum)
        return state

    def _sum_changed(self) -> None:
        """Send the sums now, or when the second since the last sending is over; one sending is due at a time."""
        state = self._sum
        if not state.due:
            state.due = True
            self.port.later(max(0.0, state.at + SUM_SECONDS - self.port.now()), lambda: self._send_sum(state))

    def _send_sum(self, state: _Sum) -> None:
        state.due, state.at = False, self.port.now()
        reports = [report for s in self.port.subscribers(BOT) if (report := s.metadata.get("servers"))]
        sums = tuple(sum(report[name] for report in reports) for name in SUMS)
        if sums != state.sent:
            state.sent = sums
            self.port.publish(BOT, COUNT, dict(zip(SUMS, sums, strict=True)))


PROTOCOL = Protocol(
    name="utilbot",
    wire=WIRE,
    timing=Timing(interval=60.0, patience=lambda i: i + 5.0, identify_timeout=20.0, resume_window=60.0),
    options=Options,
    behaviour=Utilbot,
    summary="bots with IDs, error payloads, and the guild-count sum",
    path="/?v=1",
    login="key {secret}",
)
