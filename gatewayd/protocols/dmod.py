"""dmod: dashboard pages of a guild application: one guild at a time, missed notifications, live application sessions.

The socket of dmod (github.com/TeamDmod/beta-socket, README.md). docs/protocols/dmod.md says what was chosen here. The
misspellings are the protocol's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Claim, Clash
from gatewayd.core.close import Cause, Disconnect, Ending
from gatewayd.core.ports import NO_REPLY, BackendFailed, NoBackend, Resource
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.rate import Rate
from gatewayd.core.record import MissedNotifications
from gatewayd.core.retention import Policy, Retention
from gatewayd.core.wire import Opcode, Wire
from gatewayd.protocols.dmod_applications import UNKNOWN, Applications, Options, texts
from gatewayd.protocols.dmod_page import NOTHING_SHOWN, Page

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session

MISSING = "Missing authentication data"
MALFORMED = "Invalid formating of authentication"
NO_GUILD = "Guild not found"


def _authenticate(payload: Mapping[str, Any]) -> e.ClientEvent:
    data = payload.get("d")
    if type(data) is not dict or "token" not in data or "uid" not in data:
        raise Disconnect(Cause.INVALID_PAYLOAD, MISSING)
    token, uid = data["token"], data["uid"]
    if (
        type(token) not in (str, type(None))
        or type(uid) not in (str, type(None))
        or (uid is not None and token is None)
    ):
        raise Disconnect(Cause.INVALID_PAYLOAD, MALFORMED)
    return e.Identify(data)


def _command(payload: Mapping[str, Any]) -> e.ClientEvent:
    name, data = payload.get("cmd"), payload.get("d")
    if data is None:  # the document writes null where there is nothing to say
        data = {}
    if type(name) is not str or type(data) is not dict:
        raise Disconnect(Cause.NOT_ALLOWED, UNKNOWN)
    return e.Command(6, name, data)


def _ready(ready: e.Ready) -> object:
    missed: MissedNotifications = ready.data
    count = ready.lost + missed.lost
    lost = {"lost": count} if count else {}
    return {"op": 2, "t": None, "d": {"missed_notifications": missed.notes, **lost}}


def _failed(verdict: Disconnect) -> object:
    """A command that the backend did not answer is answered all the same, and the client stays."""
    name = (verdict.said or {}).get("cmd")
    return {"op": 7, "t": None, "d": {"for": name, "data": {"success": False, "error": verdict.reason}}}


UNKNOWN_DATA = Ending(1000, UNKNOWN, words=(NO_GUILD,))

WIRE = Wire(
    name="dmod",
    opcode_field="op",
    opcodes=(
        Opcode(0, "request authentication", "server"),
        Opcode(1, "authenticate", "client", _authenticate),
        Opcode(2, "authentication passed", "server"),
        Opcode(3, "heartbeat", "server"),
        Opcode(4, "heartbeat response", "client", lambda payload: e.Heartbeat(acked=False)),
        Opcode(5, "event", "server"),
        Opcode(6, "command", "client", _command),
        Opcode(7, "command response; a command too", "both", _command),
    ),
    encoders={
        e.Hello: {"op": 0, "t": None, "d": None},
        e.Ready: _ready,
        e.Beat: {"op": 3, "t": None, "d": None},
        e.Event: lambda event: {"op": 5, "ev": event.name, "t": event.name, "d": event.body},
        e.Reply: lambda reply: {"op": 7, "t": None, "d": {"for": reply.to.name, "data": reply.data}},
    },
    endings={
        Cause.NOT_IDENTIFIED: UNKNOWN_DATA,
        Cause.AUTH_FAILED: Ending(1000, "Invalid token"),
        Cause.ALREADY_IDENTIFIED: UNKNOWN_DATA,
        Cause.NO_OPCODE: UNKNOWN_DATA,
        Cause.UNKNOWN_OPCODE: UNKNOWN_DATA,
        Cause.NOT_JSON: UNKNOWN_DATA,
        Cause.INVALID_PAYLOAD: Ending(1000, MISSING, words=(MALFORMED,)),
        Cause.NOT_ALLOWED: UNKNOWN_DATA,
        Cause.HEARTBEAT_MISSED: Ending(1000, "No heartbeat"),
        Cause.IDENTIFY_TIMEOUT: Ending(1000, "Authentication timeout"),
        Cause.KICKED: Ending(1000, "Kicked"),
        Cause.RATE_LIMITED: Ending(1000, "Rate Limited"),
        Cause.SLOW_CONSUMER: Ending(1000, "Slow consumer"),
        Cause.ORIGIN_REFUSED: Ending(1000, "CORS"),
        Cause.BACKEND_FAILED: Ending(None, payload=_failed),
    },
    beats=True,
    answers_beats=True,
)


class Dmod(Applications):
    """Users, guilds, notifications and live application sessions."""

    prefixes = ("user", "guild")
    uses = (Resource.DOCUMENTS, Resource.NOTIFICATIONS)
    own = ("uid",)
    policy = Policy(Retention.ACKNOWLEDGED, frozenset({"NOTIFICATION"}), acknowledges=True)

    async def identify(self, connection: Connection, identify: e.Identify) -> Admission:
        """`{token, uid}`; without a uid it is basic access, which never resumes."""
        token, uid = identify.claim["token"], identify.claim["uid"]
        if uid is None and token is None:
            return Admission(identity=None)
        claim = Claim("secret", token) if uid is None else Claim("user", token, uid)
        grant = await self.port.verify(claim, connection.address)
        if not grant:
            raise Disconnect(Cause.AUTH_FAILED)
        if uid is None:
            return Admission(identity=None, grant=grant)
        return Admission(
            identity=uid, clash=Clash.BESIDE, channels=(f"user:{uid}",), metadata={"uid": uid}, grant=grant
        )

    def ready(self, session: Session, *, resumed: bool) -> Any:
        """The notifications that came while no session of the user was there."""
        page = session.data = session.data or Page()
        self.came_back(page)
        missed = MissedNotifications() if session.key is None else self.port.notifications.waiting(session.key)
        page.shown = (missed.last, missed.lost)
        return missed

    def entered(self, session: Session, *, resumed: bool) -> None:
        """Ask the client's WebSocket whether it has read what it was shown: its program may never say so."""
        connection = session.connection
        if connection is not None and session.data.shown != NOTHING_SHOWN:
            connection.pings.ping(lambda: self._has_read(session, connection))

    def _has_read(self, session: Session, connection: Connection) -> None:
        """This client has what it was shown, so that may be dropped."""
        page: Page | None = session.data
        if session.connection is connection and page is not None and page.shown != NOTHING_SHOWN:
            assert session.key is not None
            self.port.notifications.drop(session.key, *page.shown)
            page.shown = NOTHING_SHOWN

    def heartbeat(self, connection: Connection, session: Session, beat: e.Heartbeat) -> None:
        """The client lives, and has read what came before."""
        self._has_read(session, connection)

    async def command(self, connection: Connection, session: Session | None, command: e.Command) -> None:
        """Every command is answered, except the answer to a session's heartbeat."""
        assert session is not None
        self._has_read(session, connection)
        act = _COMMANDS.get(command.name)
        if act is not None:
            await act(self, connection, session, command)
            return
        try:
            await self.port.ask(session, command, lambda data: self._answer(connection, command, data))
        except NoBackend:
            raise Disconnect(Cause.NOT_ALLOWED, UNKNOWN) from None

    def _answer(self, connection: Connection, command: e.Command, data: Any) -> None:
        self.reply(connection, command, None if data is NO_REPLY else data)

    # --- guilds ---------------------------------------------------------------------------------------------

    async def _connect(self, connection: Connection, session: Session, command: e.Command) -> None:
        token, gid = texts(command, "token", "gid")
        await self.prove(connection, Claim("guild", token, gid))
        self._leave(session)
        session.data.guild = gid
        self.port.subscribe(session, f"guild:{gid}")

        def reply(data: Any) -> None:
            answer = self._documents(session, gid) if data is NO_REPLY else data
            if self.options.unknown_guild == "close" and not _known(answer):
                self._leave(session)
                raise Disconnect(Cause.NOT_ALLOWED, NO_GUILD)
            self.reply(connection, command, answer)

        try:
            await self.port.ask(session, command, reply)
        except NoBackend:
            reply(NO_REPLY)
        except BackendFailed:
            self._leave(session)
            raise

    def _documents(self, session: Session, gid: str) -> Any:
        """What is known of a guild and this member of it where the backend does not say."""
        documents, prefix = self.port.documents, self.options.documents
        user = None if session.key is None else documents.get(f"{prefix}member:{gid}:{session.key}")
        return {"guild": documents.get(f"{prefix}guild:{gid}"), "user": user}

    def _leave(self, session: Session) -> None:
        page: Page = session.data
        if page.guild is not None:
            self.port.unsubscribe(session, f"guild:{page.guild}")
            page.guild = None

    async def _disconnect(self, connection: Connection, session: Session, command: e.Command) -> None:
        (gid,) = texts(command, "gid")
        connected = session.data.guild == gid
        if connected:
            self._leave(session)
        self.reply(connection, command, {"success": connected})

    def hears(self, channel: str, name: str, data: Any) -> Callable[[Session], bool] | None:
        """A change of privileges is for the user whose they are."""
        if name != "GUILD_PRIVILEGE_UPDATE":
            return None
        user = data.get("id") if isinstance(data, dict) else None
        # Basic access has no key, which must not equal an id that is missing.
        return lambda session: session.key is not None and session.key == user


def _known(answer: Any) -> bool:
    """Whether the answer to CONNECT_GUILD is of a guild that somebody knows."""
    return answer is not None and (type(answer) is not dict or answer.get("guild") is not None)


_COMMANDS = {
    "CONNECT_GUILD": Dmod._connect,
    "DESCONNECT_GUILD": Dmod._disconnect,
    "APPLICATION_SESSION": Dmod.start,
    "APPLICATION_SESSION_END": Dmod.end,
    "APPLICATION_SESSION_PATCH": Dmod.patch,
    "APPLICATION_SESSION_REAUTH": Dmod.reauth,
    "APPLICATION_SESSION_HB_M": Dmod.beaten,
}

PROTOCOL = Protocol(
    name="dmod",
    wire=WIRE,
    timing=Timing(
        interval=30.0,
        patience=lambda i: i + 5.0,
        identify_timeout=20.0,
        resume_window=60.0,
        heartbeat="lenient",  # the original's own page never answers a heartbeat
        max_message_bytes=1000,
        rate_limit=Rate(50, 5.0),
    ),
    options=Options,
    behaviour=Dmod,
    summary="dashboard pages: guild data, missed notifications, live application sessions",
    login="uid 1: {secret}",
    guests=True,
)
