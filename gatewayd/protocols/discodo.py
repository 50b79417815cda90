"""discodo: audio nodes' clients, each with the voice clients of its bot.

The node of discodo (github.com/kijk2869/discodo, docs/node/connection.rst). docs/protocols/discodo.md says what was
chosen here. Operations are names; most faults are answered, and the client stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import msgspec
from attrs import Factory, field, frozen, validators

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Answer, Behaviour, Claim, Clash, Grant, Handshake
from gatewayd.core.close import Cause, Disconnect, Ending, Refused
from gatewayd.core.ports import NoBackend
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.wire import Opcode, Wire
from gatewayd.protocols.discodo_voice import IDLE, NO_VOICE_CLIENT, Id, Voice, VoiceClient, id_of, object_of
from gatewayd.protocols.rest import check_rest

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session

SILENCE = 60.0
"""Seconds of silence after which a client is dead, as in the original."""
INITIALIZED = "ClientManager initialized."
"""The data of IDENTIFIED, as in the original. discodo.js reads a property of it: `null` ends its process."""

MISSING, WRONG = "Authorization header is missing", "Authorization header is wrong"
NO_REST = (
    "REST calls are not forwarded here: set options.rest of this listener to the URL of the server that answers them"
)


def _error(verdict: Disconnect) -> object:
    said = verdict.said or {}
    data = said.get("d")
    guild = {"guild_id": data["guild_id"]} if isinstance(data, dict) and "guild_id" in data else {}
    return {"op": said.get("op"), "d": {"traceback": {verdict.cause.value.upper(): verdict.reason}, **guild}}


def _forbidden(verdict: Disconnect) -> object:
    return {"op": "FORBIDDEN", "d": verdict.reason}


def _command(payload: Mapping[str, Any]) -> e.ClientEvent:
    return e.Command(payload["op"], payload["op"], payload.get("d"))


def _ready(ready: e.Ready) -> object:
    if not ready.resumed:
        return {"op": "IDENTIFIED", "d": INITIALIZED}
    lost = {"lost": ready.lost} if ready.lost else {}
    return {"op": "RESUMED", "d": {"voice_clients": ready.data, **lost}}


STAYS = Ending(None, payload=_error)

WIRE = Wire(
    name="discodo",
    opcode_field="op",
    opcodes=(
        Opcode("HELLO", "hello", "server"),
        Opcode("FORBIDDEN", "forbidden", "server"),
        Opcode("HEARTBEAT", "heartbeat", "client", lambda payload: e.Heartbeat(payload.get("d"))),
        Opcode("HEARTBEAT_ACK", "heartbeat acknowledgement", "server"),
        Opcode("IDENTIFY", "identify", "client", lambda payload: e.Identify(payload.get("d"))),
        Opcode("IDENTIFIED", "identified", "server"),
        Opcode("RESUMED", "resumed", "server"),
        Opcode("DISCORD_EVENT", "event of the bot's own session", "client", _command),
        Opcode("VC_DESTROY", "destroy a voice client", "client", _command),
        Opcode("VC_CREATED", "voice client created", "server"),
        Opcode("VC_CHANNEL_EDITED", "voice client's channel", "server"),
        Opcode("VC_DESTROYED", "voice client destroyed", "server"),
        Opcode("GET_STATUS", "ask for the status", "client", lambda payload: e.Query("GET_STATUS", "GET_STATUS")),
        Opcode("STATUS", "status of the machine", "server"),
    ),
    encoders={
        e.Hello: lambda hello: {"op": "HELLO", "d": {"heartbeat_interval": float(hello.interval), **hello.extra}},
        e.Ready: _ready,
        e.BeatAck: lambda ack: {"op": "HEARTBEAT_ACK", "d": ack.data},
        e.Event: lambda event: {"op": event.name, "d": event.body},
        e.Reply: lambda reply: {"op": "STATUS" if reply.to.name == "GET_STATUS" else reply.to.name, "d": reply.data},
    },
    endings={
        Cause.NOT_IDENTIFIED: STAYS,
        Cause.AUTH_FAILED: Ending(1008, payload=_forbidden),
        Cause.ALREADY_IDENTIFIED: STAYS,
        Cause.NO_OPCODE: STAYS,
        Cause.UNKNOWN_OPCODE: STAYS,
        Cause.NOT_JSON: Ending(1007),
        Cause.INVALID_PAYLOAD: STAYS,
        Cause.NOT_ALLOWED: STAYS,
        Cause.HEARTBEAT_MISSED: Ending(4000),
        Cause.IDENTIFY_TIMEOUT: Ending(4001),
        Cause.REPLACED: Ending(4005),
        Cause.KICKED: Ending(4006),
        Cause.RATE_LIMITED: Ending(4009),
        Cause.SLOW_CONSUMER: Ending(4010),
        Cause.BACKEND_FAILED: STAYS,
    },
    other=_command,
    any_message_is_life=True,
    goodbyes=frozenset(),
)


@frozen(kw_only=True)
class Options:
    """Options of a discodo listener."""

    path: str = "/ws"
    """The endpoint; any other path is refused with 404."""
    version: str = ""
    """The version that HELLO tells; the 3.x clients need one."""
    resumed_format: Literal["pairs", "map"] = field(
        default=Factory(lambda self: "map" if self.version else "pairs", takes_self=True)
    )
    """The form of the voice clients in RESUMED. The 3.x clients read a map, so it is the default with a version."""
    documents: str = ""
    """Prefix of its documents; discodo uses none so far."""
    rest: str = field(default="", validator=check_rest)
    """URL of the server that answers REST calls to this port. Without it they are refused with 426."""
    rest_max_body: int = field(default=10 * 1024 * 1024, validator=validators.gt(0))
    """Bytes of the largest body of a REST call."""


class Discodo(Behaviour[Options]):
    """A password, sessions by (user, shard), and the bookkeeping of voice clients."""

    prefixes = ("user",)
    own = ("user_id", "shard_id")
    plain = True
    voice_clients = 10_000
    """Of one session, which are written to the journal with it: more guilds than one bot's node serves."""

    def restore(self, session: Session, kept: Any) -> None:
        """Its voice clients, as they were."""
        session.data = msgspec.convert(kept, Voice | None)
        for guild, client in () if session.data is None else session.data.clients.items():
            if client.guild is None:  # a row of a version that kept ids as text
                client.guild = guild

    async def admit(self, handshake: Handshake) -> e.Identify | None:
        """Path and password; a wrong password is told in band."""
        if handshake.path != self.options.path:
            raise Refused(404, f"the endpoint is {self.options.path}", Cause.NOT_ALLOWED)
        grant, why = await self._verify(handshake)
        if not grant:
            raise Disconnect(Cause.AUTH_FAILED, why)
        return e.Identify(None, grant, only_proof=True)

    async def _verify(self, handshake: Handshake) -> tuple[Grant, str]:
        """The grant for the request's password, and what is wrong with that where it has none."""
        password = handshake.headers.get("authorization")
        grant = await self.port.verify(Claim("secret", password), handshake.address)
        return grant, MISSING if password is None else WRONG

    async def admit_plain(self, handshake: Handshake) -> Answer | None:
        """The password, where there is a server to forward to."""
        if not self.options.rest:
            raise Refused(426, NO_REST, Cause.NOT_ALLOWED)
        grant, why = await self._verify(handshake)
        if not grant:
            raise Refused(401 if why is MISSING else 403, why, Cause.AUTH_FAILED)
        return None

    async def identify(self, connection: Connection, identify: e.Identify) -> Admission:
        """`{user_id, shard_id}`: the pair is the identity."""
        claim = identify.claim if isinstance(identify.claim, dict) else {}
        user, shard = id_of(claim, "user_id"), id_of(claim, "shard_id", null=True)
        key = quote(str(user), safe="") + ("" if shard is None else "/" + quote(str(shard), safe=""))
        return Admission(
            identity=key,
            label=f"{user}/{'-' if shard is None else shard}",
            clash=Clash.REPLACE,
            channels=(f"user:{user}",),
            metadata={"user_id": user, "shard_id": shard},
        )

    def hello(self) -> Mapping[str, Any]:
        """The version, where one is set: clients of the original warn without it."""
        return {"version": self.options.version} if self.options.version else {}

    def ready(self, session: Session, *, resumed: bool) -> Any:
        """The voice clients to reconnect, as pairs or as a map."""
        if session.data is None:
            session.data = Voice(str(session.metadata["user_id"]))
        clients: dict[str, VoiceClient] = session.data.clients
        if self.options.resumed_format == "map":
            return {guild: {"id": client.id, "channel": client.channel} for guild, client in clients.items()}
        return [[client.guild, client.channel] for client in clients.values()]

    async def command(self, connection: Connection, session: Session | None, command: e.Command) -> None:
        """Voice clients and the status are kept here; every other operation is the backend's."""
        if command.name == "GET_STATUS":
            self.reply(connection, command, self.port.machine())
            return
        assert session is not None
        if command.name == "DISCORD_EVENT":
            self._discord_event(session, command.data)
        elif command.name == "VC_DESTROY":
            self._destroy(session, id_of(object_of(command.data), "guild_id"))
        else:
            try:
                await self.forward(connection, session, command)
            except NoBackend:
                self._answer_idle(connection, session, command)

    def _answer_idle(self, connection: Connection, session: Session, command: e.Command) -> None:
        """Without a backend a voice client plays nothing, and says so; no other operation is known."""
        if command.name not in IDLE:
            raise Disconnect(Cause.UNKNOWN_OPCODE, "no backend is configured that knows this operation")
        guild = id_of(object_of(command.data), "guild_id")
        client = session.data.clients.get(str(guild))
        if client is None:
            raise Disconnect(Cause.INVALID_PAYLOAD, NO_VOICE_CLIENT)
        self.reply(connection, command, {"guild_id": guild, **IDLE[command.name](client)})

    def _discord_event(self, session: Session, said: Any) -> None:
        """An event of the bot's own session: the voice ones say where it is."""
        data = object_of(said)
        if type(data.get("t")) is not str:
            raise Disconnect(Cause.INVALID_PAYLOAD, "DISCORD_EVENT needs t, the event's name")
        detail = data.get("d")
        match data["t"]:
            case "READY" if isinstance(detail, dict) and isinstance(detail.get("user"), dict):
                session.data.user = str(id_of(detail["user"], "id"))
                self.port.changed(session)
            case "VOICE_SERVER_UPDATE":
                guild = id_of(object_of(detail), "guild_id")
                if str(guild) not in session.data.clients:
                    self._create(session, guild, None)
            case "VOICE_STATE_UPDATE":
                self._voice_state(session, object_of(detail))

    def _voice_state(self, session: Session, detail: Mapping[str, Any]) -> None:
        voice: Voice = session.data
        if str(id_of(detail, "user_id")) != voice.user:
            return  # somebody else moved
        guild, channel = id_of(detail, "guild_id"), id_of(detail, "channel_id", null=True)
        client = voice.clients.get(str(guild))
        if client is not None:
            client.channel = channel
            self.port.changed(session)
            self.port.tell(session, "VC_CHANNEL_EDITED", {"guild_id": guild, "channel_id": channel})
        elif channel is not None:
            self._create(session, guild, channel)

    def _create(self, session: Session, guild: Id | None, channel: Id | None) -> None:
        voice: Voice = session.data
        if len(voice.clients) >= self.voice_clients:
            raise Disconnect(Cause.NOT_ALLOWED, f"more than {self.voice_clients} voice clients")
        voice.last += 1
        voice.clients[str(guild)] = VoiceClient(voice.last, channel, guild)
        self.port.changed(session)
        self.port.tell(session, "VC_CREATED", {"id": voice.last, "guild_id": guild})

    def _destroy(self, session: Session, guild: Id | None) -> None:
        if session.data.clients.pop(str(guild), None) is None:
            raise Disconnect(Cause.INVALID_PAYLOAD, NO_VOICE_CLIENT)
        self.port.changed(session)
        self.port.tell(session, "VC_DESTROYED", {"guild_id": guild})


PROTOCOL = Protocol(
    name="discodo",
    wire=WIRE,
    timing=Timing(interval=15.0, patience=lambda i: max(SILENCE, i + 5.0), identify_timeout=20.0, resume_window=300.0),
    options=Options,
    behaviour=Discodo,
    summary="audio nodes: voice clients that survive a reconnect",
    path="/ws",
    login="password {secret}",
)
