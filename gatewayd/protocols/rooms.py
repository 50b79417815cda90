"""rooms: participants of rooms, who hear what the backend says to their room.

The gateway of anonroom (github.com/GoogleFeud/anonroom, src/backend/websocket/readme.md). docs/protocols/rooms.md says
what was chosen here. The claim is the request's query; nothing but heartbeats comes from a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import frozen

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Behaviour, Claim, Clash, Handshake, Unpublishable
from gatewayd.core.close import Cause, Disconnect, Ending, Refused
from gatewayd.core.ports import Resource
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.text import due
from gatewayd.core.wire import FIGURE, LONGEST_LINK, Opcode, Wire

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session

Shape = Mapping[str, tuple[tuple[type, ...], bool]]
"""Field -> (JSON types, required)."""

EVENTS: Mapping[str, tuple[int, Shape]] = {
    "message_create": (
        3,
        {"authorId": ((str,), True), "content": ((str,), True), "sentAt": ((int, float), True)},
    ),
    "room_update": (
        4,
        {
            "chatLocked": ((bool,), False),
            "roomLocked": ((bool,), False),
            "maxParticipants": ((int,), False),
            "discordWebhookLink": ((str, type(None)), False),
        },
    ),
    "participant_kick": (5, {"userId": ((str,), True)}),
    "participant_update": (
        6,
        # The document's table says boolean for all three; a colour is a string elsewhere, and both are relayed.
        {
            "userId": ((str,), True),
            "banned": ((bool,), False),
            "color": ((bool, str), False),
            "admin": ((bool,), False),
        },
    ),
    "room_close": (7, {}),
}

LONGEST = {"userId": e.LONGEST_NAME, "discordWebhookLink": LONGEST_LINK}
"""Characters of what is kept, as a ban or in the room's state."""

INVALID = Ending(4002)


def _hello(ready: e.Ready) -> object:
    """Said when it is known whose session it is: the request itself has identified the client."""
    lost = {"lost": ready.lost} if ready.lost else {}
    return {"e": 0, "d": {"heartbeatInterval": ready.data, **lost}}


WIRE = Wire(
    name="rooms",
    opcode_field="e",
    opcodes=(
        Opcode(0, "hello", "server"),
        Opcode(1, "heartbeat", "both", lambda payload: e.Heartbeat(acked=False)),
        Opcode(2, "heartbeat_ack", "both", lambda payload: e.Ping()),
        *(Opcode(code, name, "server") for name, (code, _) in EVENTS.items()),
    ),
    encoders={
        e.Ready: _hello,
        e.Beat: {"e": 1, "d": {}},
        e.BeatRequest: {"e": 2, "d": {}},
        e.Event: lambda event: {"e": EVENTS[event.name][0], "d": event.body},
    },
    endings={
        Cause.NO_OPCODE: INVALID,
        Cause.UNKNOWN_OPCODE: INVALID,
        Cause.NOT_JSON: INVALID,
        Cause.INVALID_PAYLOAD: INVALID,
        Cause.NOT_ALLOWED: INVALID,
        Cause.HEARTBEAT_MISSED: Ending(4001),
        Cause.REPLACED: Ending(4005),
        Cause.KICKED: Ending(4003),
        Cause.ROOM_CLOSED: Ending(4004),
        Cause.RATE_LIMITED: Ending(4006),
        Cause.SLOW_CONSUMER: Ending(4007),
    },
    beats=True,
    beats_early=1.0,  # the original's own page closes when it has heard none for exactly one interval
    probes=True,
)


@frozen(kw_only=True)
class Options:
    """Options of a rooms listener."""

    path: str = "/gateway"
    """The endpoint; any other path is refused with 404."""
    ad_hoc: bool = False
    """Whether any roomId is a room. If not, a room has to be created over the admin API first."""
    documents: str = ""
    """Prefix of its documents; rooms uses none so far."""


class RoomsBehaviour(Behaviour[Options]):
    """Rooms with their state; kick, ban, lock, cap and close."""

    prefixes = ("room",)
    uses = (Resource.ROOMS,)
    own = ("room", "participant")

    async def admit(self, handshake: Handshake) -> e.Identify | None:
        """Judge the request: path, parameters, token, and whether the room takes this participant."""
        if handshake.path != self.options.path:
            raise Refused(404, f"the endpoint is {self.options.path}", Cause.NOT_ALLOWED)
        room, participant = handshake.query.get("roomId"), handshake.query.get("participantId")
        if not room or not participant:
            raise Refused(400, "roomId and participantId are both required in the query", Cause.INVALID_PAYLOAD)
        if max(len(f"room:{room}"), len(participant)) > e.LONGEST_NAME:
            most = f"roomId and participantId have at most {e.LONGEST_NAME} characters, room: included"
            raise Refused(400, most, Cause.INVALID_PAYLOAD)
        claim = Claim("secret", _token(handshake), participant, {"roomId": room})
        grant = await self.port.verify(claim, handshake.address)
        if not grant:
            raise Refused(403, "the token is wrong: send it as Authorization: Bearer, or as token", Cause.AUTH_FAILED)
        self._may_enter(room, participant)
        return e.Identify((room, participant), grant)

    def says(self, name: str) -> bool:
        """Only what stands in its table has a number."""
        return name in EVENTS

    def _may_enter(self, room: str, participant: str) -> None:
        rooms = self.port.rooms
        if rooms.is_closed(room):
            raise Refused(410, "the room is closed", Cause.ROOM_CLOSED)
        if rooms.is_banned(room, participant):
            raise Refused(403, "the participant is banned from this room", Cause.NOT_ALLOWED)
        state = rooms.state(room)
        if state is None:
            if not self.options.ad_hoc:
                raise Refused(404, "there is no such room", Cause.NOT_ALLOWED)
            state = {}
        if self.port.find(_identity(room, participant)) is not None:
            return  # whoever is in, detached or connected, may always come back
        if state.get("roomLocked"):
            raise Refused(403, "the room is locked", Cause.NOT_ALLOWED)
        cap = state.get("maxParticipants")
        if cap is not None and len(self.port.subscribers(f"room:{room}")) >= cap:
            raise Refused(403, "the room is full", Cause.NOT_ALLOWED)

    async def identify(self, connection: Connection, identify: e.Identify) -> Admission:
        """The request's own claim, already judged; but the room may be another by the time it is upgraded."""
        room, participant = identify.claim
        try:
            self._may_enter(room, participant)
        except Refused as refused:
            cause = Cause.ROOM_CLOSED if refused.cause is Cause.ROOM_CLOSED else Cause.KICKED
            raise Disconnect(cause, refused.reason) from None
        if self.port.rooms.state(room) is None:
            self.port.rooms.create(room, {})
        return Admission(
            identity=_identity(room, participant),
            label=f"{room}/{participant}",
            clash=Clash.REPLACE,
            channels=(f"room:{room}",),
            metadata={"room": room, "participant": participant},
        )

    def ready(self, session: Session, *, resumed: bool) -> Any:
        """The heartbeat interval in milliseconds."""
        return round(self.interval * 1000)

    def check(self, channel: str, name: str, data: Any) -> None:
        """Only the table's events can be said, with the table's fields."""
        if name not in EVENTS:
            raise Unpublishable(f"rooms has no event {name!r}; it has {', '.join(EVENTS)}")
        if not isinstance(data, dict):
            raise Unpublishable(f"{name} needs an object as data")
        for field, (kinds, required) in EVENTS[name][1].items():
            if field not in data:
                if required:
                    raise Unpublishable(f"{name} needs {field}")
            elif type(data[field]) not in kinds:
                raise Unpublishable(f"{name}: {field} {due(kinds)}")
            elif type(data[field]) is str and field in LONGEST and len(data[field]) > LONGEST[field]:
                raise Unpublishable(f"{name}: {field} has more than {LONGEST[field]} characters")
            elif field == "maxParticipants" and not 0 <= data[field] < FIGURE:
                raise Unpublishable(f"{name}: {field} is out of range")

    def published(self, channel: str, name: str, data: Any) -> None:
        """What the backend's event does to the room, once everybody has been told."""
        kind, _, room = channel.partition(":")
        if kind != "room":
            return
        match name:
            case "room_update":
                self.port.rooms.update(room, {key: data[key] for key in EVENTS[name][1] if key in data})
            case "participant_kick":
                self._expel(room, data["userId"], "kicked from the room")
            case "participant_update" if "banned" in data:
                self.port.rooms.ban(room, data["userId"], data["banned"])
                if data["banned"]:
                    self._expel(room, data["userId"], "banned from the room")
            case "room_close":
                self.port.rooms.close(room)
                for session in self.port.subscribers(channel):
                    self.port.end(session, Cause.ROOM_CLOSED)

    def concerns(self, channel: str, name: str, data: Any) -> bool:
        """Where the room is, be nobody in it."""
        kind, _, room = channel.partition(":")
        return kind == "room" and self.port.rooms.state(room) is not None

    def lasts(self, channel: str, name: str, data: Any) -> bool:
        """What would create the room, ban somebody from it, or close its name."""
        changes = name in ("room_update", "room_close") or (
            name == "participant_update" and isinstance(data, dict) and "banned" in data
        )
        return channel.startswith("room:") and changes

    def _expel(self, room: str, participant: str, reason: str) -> None:
        for session in self.port.subscribers(f"room:{room}"):
            if session.metadata.get("participant") == participant:
                self.port.end(session, Cause.KICKED, reason)

    def ended(self, session: Session) -> None:
        """An ad hoc room is forgotten with its last participant."""
        room = session.metadata.get("room")
        if room is not None and not self.port.subscribers(f"room:{room}"):
            self.port.rooms.discard(room)


def _identity(room: str, participant: str) -> str:
    return f"{quote(room, safe='')}/{quote(participant, safe='')}"


def _token(handshake: Handshake) -> str | None:
    scheme, _, token = handshake.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else handshake.query.get("token")


PROTOCOL = Protocol(
    name="rooms",
    wire=WIRE,
    timing=Timing(interval=30.0, patience=lambda i: i + 5.0, identify_timeout=None, resume_window=60.0),
    options=Options,
    behaviour=RoomsBehaviour,
    summary="participants of rooms: messages, kick, ban, lock, cap, close",
    path="/gateway",
    login="?token={secret}",
)
