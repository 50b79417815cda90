"""discord: bots with their real libraries: sessions of their own, numbered events, intents, shards.

The gateway of Discord, version 10 in JSON (docs.discord.com/developers/events/gateway). docs/protocols/discord.md says
what is served, and what was chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Answer, Behaviour, Claim, Grant, Handshake
from gatewayd.core.close import AnyCause, Cause, Disconnect, Ending, Refused
from gatewayd.core.codec import Codec, ZlibPayloads, ZlibStream, ZstdStream
from gatewayd.core.encode import TEXT
from gatewayd.core.ports import NoBackend, Port, Resource
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.rate import Rate
from gatewayd.core.retention import Policy, Retention
from gatewayd.core.session import Session, session_of
from gatewayd.core.wire import FIGURE, Opcode, Wire, need
from gatewayd.protocols import discord_forms as forms
from gatewayd.protocols import discord_intents as intents

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection

STREAMS: Mapping[str, Callable[[int, int], Codec]] = {"zlib-stream": ZlibStream, "zstd-stream": ZstdStream}
REPLIES = {"REQUEST_GUILD_MEMBERS": "GUILD_MEMBERS_CHUNK", "REQUEST_SOUNDBOARD_SOUNDS": "SOUNDBOARD_SOUNDS"}
"""The event that the backend's reply to a command is, where that is not the command's own name."""
ANEW = {"op": 9, "d": False}


class Own(AnyCause):
    """Causes that no other protocol has."""

    INVALID_SESSION = ("invalid_session", "no session can be resumed so")
    TOO_MANY_STARTS = ("too_many_starts", "too many identifies: wait before the next one")
    INVALID_SHARD = ("invalid_shard", "shard is [number, count], with number < count")
    INVALID_INTENTS = ("invalid_intents", "intents is a number")
    DISALLOWED_INTENTS = ("disallowed_intents", "these intents are not allowed here")


@frozen
class Resume(e.Identify):
    """An identify that goes on with an older session."""


def _data(payload: Mapping[str, Any]) -> Any:
    need(payload, {"d": (dict,)})
    return payload["d"]


def _heartbeat(payload: Mapping[str, Any]) -> e.ClientEvent:
    seen = payload.get("d")
    if seen is not None and type(seen) is not int:
        raise Disconnect(Cause.INVALID_PAYLOAD, "d is the last sequence, or null")
    return e.Heartbeat(seen=seen)


def _command(op: int, name: str) -> Opcode:
    return Opcode(op, name.replace("_", " ").lower(), "client", lambda payload: e.Command(op, name, _data(payload)))


def _resumed(resumed: e.Resumed) -> object:
    if any(resumed.gaps.values()):  # no library looks for them: it has to begin anew
        return ANEW
    return {"op": 0, "t": "RESUMED", "s": resumed.sequence, "d": {"gaps": resumed.gaps} if resumed.gaps else {}}


CODES = {
    4000: (Cause.KICKED, Cause.SLOW_CONSUMER, Cause.INTERNAL),
    4001: (Cause.UNKNOWN_OPCODE, Cause.NO_OPCODE),
    4002: (Cause.NOT_JSON, Cause.INVALID_PAYLOAD, Cause.TOO_BIG),
    4003: (Cause.NOT_IDENTIFIED,),
    4004: (Cause.AUTH_FAILED,),
    4005: (Cause.ALREADY_IDENTIFIED,),
    4007: (Cause.INVALID_SEQUENCE,),
    4008: (Cause.RATE_LIMITED,),
    4009: (Cause.HEARTBEAT_MISSED, Cause.IDENTIFY_TIMEOUT),
    4010: (Own.INVALID_SHARD,),
    4012: (Cause.WRONG_VERSION,),
    4013: (Own.INVALID_INTENTS,),
    4014: (Own.DISALLOWED_INTENTS,),
}
WIRE = Wire(
    name="discord",
    opcode_field="op",
    opcodes=(
        Opcode(0, "dispatch", "server"),
        Opcode(1, "heartbeat", "both", _heartbeat),
        Opcode(2, "identify", "client", lambda payload: e.Identify(_data(payload))),
        _command(3, "PRESENCE_UPDATE"),
        _command(4, "VOICE_STATE_UPDATE"),
        Opcode(6, "resume", "client", lambda payload: Resume(_data(payload))),
        Opcode(7, "reconnect", "server"),
        _command(8, "REQUEST_GUILD_MEMBERS"),
        Opcode(9, "invalid session", "server"),
        Opcode(10, "hello", "server"),
        Opcode(11, "heartbeat acknowledgement", "server"),
        _command(31, "REQUEST_SOUNDBOARD_SOUNDS"),
    ),
    encoders={
        e.Hello: lambda hello: {"op": 10, "d": {"heartbeat_interval": round(hello.interval * 1000)}},
        e.Resumed: _resumed,
        e.BeatRequest: {"op": 1, "d": None},
        e.BeatAck: {"op": 11},
    },
    shown=lambda event, variant: {"op": 0, "t": event.name, "d": intents.shown(event, variant)},
    number=b'{"s":%d,',
    endings={
        **{cause: Ending(code) for code, causes in CODES.items() for cause in causes},
        **dict.fromkeys((Own.INVALID_SESSION, Own.TOO_MANY_STARTS), Ending(None, payload=lambda _: ANEW)),
        Cause.NOT_JUDGED: Ending(None, payload=lambda verdict: {"op": 9, "d": (verdict.said or {}).get("op") == 6}),
        Cause.REPLACED: Ending(4000, payload=lambda _: ANEW),  # a resume would take it back, and so on for ever
        Cause.SHUTDOWN: Ending(1012, payload=lambda _: {"op": 7, "d": None}),
        Cause.BACKEND_FAILED: Ending(None),
    },
    probes=True,
    binary=True,
    goodbyes=frozenset({1000, 1001}),
)


class Discord(Behaviour[forms.Options]):
    """Bots by token; each identify opens a session, and only a resume goes on with one."""

    prefixes = ("bot", "guild", "user")
    hears_all: Mapping[str, str] = {"guild": "bot:all"}
    uses = (Resource.DOCUMENTS,)
    own = ("bot", "intents", "shard")
    policy = Policy(Retention.ACKNOWLEDGED)
    plain = True

    def __init__(self, listener: str, options: forms.Options, port: Port, interval: float) -> None:
        super().__init__(listener, options, port, interval)
        self._filter = intents.Filter({name: intents.bits(value) for name, value in options.intents.items()})
        self._forms = forms.Forms(port, options)

    async def admit(self, handshake: Handshake) -> e.Identify | None:
        """Version, encoding and compression."""
        query = handshake.query
        if query.get("encoding", "json") != "json":
            raise Refused(400, "this gateway speaks JSON: connect with encoding=json", Cause.INVALID_PAYLOAD)
        if query.get("compress", "") not in ("", *STREAMS):
            raise Refused(400, "compress is zlib-stream or zstd-stream", Cause.INVALID_PAYLOAD)
        if query.get("v", "10") != "10":
            raise Disconnect(Cause.WRONG_VERSION, "this gateway speaks version 10: connect with v=10")
        return None

    async def admit_plain(self, handshake: Handshake) -> Answer | None:
        """What libraries ask before they connect."""
        return await self._forms.answer(handshake)

    def greeting(self, connection: Connection, handshake: Handshake) -> None:
        """All that is said is compressed, hello included, where the query asks for it."""
        connection.note = self._forms.url(handshake.url)
        if stream := STREAMS.get(handshake.query.get("compress", "")):
            connection.speak(TEXT, stream(self.options.compress_level, self.options.window_bits))

    async def identify(self, connection: Connection, identify: e.Identify) -> Admission:
        """A session of its own, or with op 6 the one that is named."""
        claim = identify.claim
        need(claim, {"token": (str,)})
        token = claim["token"].removeprefix("Bot ")
        grant = await self.port.verify(Claim("secret", token, forms.bot_id(token)), connection.address)
        if not grant:  # 4004 stops a bot for good
            raise Disconnect(Cause.NOT_JUDGED if grant.failure else Cause.AUTH_FAILED)
        if isinstance(identify, Resume):
            return self._resume(claim, forms.owner_of(token, grant), grant)
        return self._open(connection, claim, token, grant)

    def _open(self, connection: Connection, claim: Mapping[str, Any], token: str, grant: Grant) -> Admission:
        wanted, shard, owner = claim.get("intents"), claim.get("shard"), forms.owner_of(token, grant)
        if type(wanted) is not int or not 0 <= wanted < FIGURE:
            raise Disconnect(Own.INVALID_INTENTS)
        if wanted & intents.bits(self.options.disallowed_intents):
            raise Disconnect(Own.DISALLOWED_INTENTS)
        if shard is not None and not intents.is_shard(shard):
            raise Disconnect(Own.INVALID_SHARD)
        if not self._forms.starts.allow(owner, self.port.now()):
            raise Disconnect(Own.TOO_MANY_STARTS)
        if claim.get("compress") is True and self.options.payload_compression and connection.codec is None:
            connection.speak(TEXT, ZlibPayloads(self.options.compress_level))
        session = session_of(connection)
        assert session is not None, "a client is given a session before it can identify"
        session.data = owner  # by a digest of the token where that names no bot, and so shown to nobody
        session.metadata.update(bot=self._forms.bot(token, grant), intents=wanted, shard=shard)
        return self._admission(session, grant)

    def _resume(self, claim: Mapping[str, Any], owner: str, grant: Grant) -> Admission:
        """Refused too where what the client has not got is not kept any more: it has to know."""
        need(claim, {"session_id": (str,), "seq": (int,)})
        session, cursor = self.port.find(claim["session_id"]), claim["seq"]
        if session is None or session.data != owner or not session.backlog.whole_from(cursor, self.port.now()):
            raise Disconnect(Own.INVALID_SESSION)
        return self._admission(session, grant, cursor)

    def _admission(self, session: Session, grant: Grant, cursor: int | None = None) -> Admission:
        bot, shard = session.metadata["bot"], session.metadata["shard"]
        return Admission(
            identity=session.id,
            label=bot if shard is None else f"{bot}/{shard[0]}",
            channels=("bot:all", f"user:{bot}"),
            variant=intents.variant(session.metadata, self.options.message_content),
            grant=grant,
            cursor=cursor,
        )

    def entered(self, session: Session, *, resumed: bool) -> None:
        """READY is the first event of a session, and is kept as all are."""
        if not resumed and session.connection is not None:
            self.port.tell(session, "READY", self._forms.ready(session, session.connection.note))

    async def command(self, connection: Connection, session: Session | None, command: e.Command) -> None:
        """The backend's. Without one nothing is answered, as Discord often does."""
        assert session is not None
        with suppress(NoBackend):
            await self.forward(connection, session, command)

    def reply(self, connection: Connection, command: e.Command, data: Any) -> None:
        """An event: of a name that the reply says itself, or of the command's."""
        name, session = REPLIES.get(command.name, command.name), session_of(connection)
        assert session is not None
        if isinstance(data, dict) and data.keys() == {"t", "d"} and type(data["t"]) is str:
            name, data = data["t"], data["d"]
        self.port.tell(session, name, data)

    def hears(self, channel: str, name: str, data: Any) -> Callable[[Session], bool] | None:
        """What its intents let pass, of the guilds of its shard."""
        return self._filter.of(channel, name, data)


PROTOCOL = Protocol(
    name="discord",
    wire=WIRE,
    timing=Timing(
        interval=41.25, patience=lambda i: i * 1.5, identify_timeout=20.0, resume_window=120.0,
        max_message_bytes=4096, rate_limit=Rate(120, 60.0),
    ),
    options=forms.Options,
    behaviour=Discord,
    summary="bots with Discord's own libraries: version 10 in JSON",
    login="token {secret}",
)  # fmt: skip
