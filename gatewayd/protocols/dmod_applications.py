"""Live application sessions of dmod: their heartbeats, their re-authentication, and how they end.

docs/protocols/dmod.md describes them. They belong to a session, and outlive its client by the resume window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from attrs import asdict, field, frozen, validators

from gatewayd.core import events as e
from gatewayd.core.behaviour import Behaviour, Claim
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.ports import NO_REPLY, NoBackend, Port
from gatewayd.core.rate import Seconds
from gatewayd.protocols.dmod_page import Application, Page, PageRecord

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session

MAX_APPLICATIONS = 16
"""Live application sessions of one client session."""
REAUTH_SECONDS = Seconds(30.0)
UNKNOWN = "Unknown data"


@frozen(kw_only=True)
class Options:
    """Options of a dmod listener."""

    reauth_timeout: Seconds = field(default=REAUTH_SECONDS, validator=validators.gt(Seconds(0)))
    """How long a client has to answer APPLICATION_SESSION_REAUTH."""
    documents: str = ""
    """Prefix of the documents that answer CONNECT_GUILD, and that patches change."""
    unknown_guild: Literal["null", "close"] = "null"
    """The answer to CONNECT_GUILD for a guild that nobody knows: a null in the reply, or a close."""
    application_bytes: int = field(default=65536, validator=validators.gt(0))
    """How large the document of an application may become by patches."""


def texts(command: e.Command, *names: str) -> tuple[str, ...]:
    """Fields that must be strings."""
    values = tuple(command.data.get(name) for name in names)
    if any(type(value) is not str for value in values):
        raise Disconnect(Cause.NOT_ALLOWED, UNKNOWN)
    return values


def merged(value: Any, patch: Any) -> Any:
    """A JSON value with a merge patch applied (RFC 7396): null takes a field away."""
    if type(patch) is not dict:
        return patch
    result = dict(value) if type(value) is dict else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result


class Applications(Behaviour[Options]):
    """The part of dmod that keeps application sessions; `session.data` is a `Page`.

    They live by the times of the listener that their session is at now, whichever listener's behaviour is called.
    """

    def __init__(self, listener: str, options: Options, port: Port, interval: float) -> None:
        super().__init__(listener, options, port, interval)
        self._members: dict[str | None, dict[Application, Session]] = port.shared("dmod.members", dict)
        """The application sessions of each user, at all listeners."""

    def _at(self, session: Session) -> Applications:
        behaviour = self.port.behaviour(session)
        assert isinstance(behaviour, Applications)
        return behaviour

    # --- commands -------------------------------------------------------------------------------------------

    async def proves(self, connection: Connection, claim: Claim) -> bool:
        """Whether a claim is granted. Raises the `Disconnect` that the client has got meanwhile."""
        proven = await self.port.verify(claim, connection.address)
        if connection.verdict is not None:  # its session may have ended: nothing more may be hung on that
            raise connection.verdict
        return bool(proven)

    async def prove(self, connection: Connection, claim: Claim) -> None:
        """Verify a claim. Raises `Disconnect`."""
        if not await self.proves(connection, claim):
            raise Disconnect(Cause.AUTH_FAILED)

    async def start(self, connection: Connection, session: Session, command: e.Command) -> None:
        """Start one, for a member whose token is verified; it need not be the user that the client has logged in."""
        uid, gid, token, uhash = texts(command, "uid", "gid", "utokh", "uhash")
        await self.prove(connection, Claim("user", token, uid, {"gid": gid, "uhash": uhash}))
        older = session.data.applications.get(gid)
        if older is not None and older.uid != uid:
            self._finish(session, gid)
            if connection.verdict is not None:  # it could not even be told of that
                raise connection.verdict
        elif older is not None:
            self._remove(session, gid)
        elif len(session.data.applications) >= MAX_APPLICATIONS:
            raise Disconnect(Cause.NOT_ALLOWED, UNKNOWN)
        self._add(session, Application(uid, gid))
        self.port.changed(session)
        self.reply(connection, command, {"success": True})

    async def end(self, connection: Connection, session: Session, command: e.Command) -> None:
        """The client ends one."""
        (gid,) = texts(command, "gid")
        ended = gid in session.data.applications
        if ended:
            self._finish(session, gid)
        self.reply(connection, command, {"success": ended})

    async def reauth(self, connection: Connection, session: Session, command: e.Command) -> None:
        """The client shows again who it is: as one of the members that were asked, else as its own user."""
        token, uhash, permissions = texts(command, "utokh", "uhash", "pm")
        applications = session.data.applications
        asked = dict.fromkeys(item.uid for item in applications.values() if item.reauth is not None)
        for uid in asked or filter(None, (session.key,)):
            if await self.proves(connection, Claim("user", token, uid, {"uhash": uhash, "pm": permissions})):
                break
        else:
            raise Disconnect(Cause.AUTH_FAILED)
        answered = [item for item in applications.values() if item.reauth is not None and item.uid == uid]
        for application in answered:
            application.reauth.cancel()
            application.reauth = None
        self.port.changed(session)
        self.reply(connection, command, {"success": bool(answered)})

    async def beaten(self, connection: Connection, session: Session, command: e.Command) -> None:
        """The answer to a heartbeat of one, or of all; it is not answered itself."""
        (gid,) = texts(command, "gid") if command.data.get("gid") is not None else (None,)
        for application in session.data.applications.values():
            if gid is None or application.gid == gid:
                application.answered = True

    async def patch(self, connection: Connection, session: Session, command: e.Command) -> None:
        """Change the application that a live session is about: the backend does, or the document is changed.

        Nothing is changed for a member who has still to show who it is.
        """
        (gid,) = texts(command, "gid")
        patch = command.data.get("patch")
        if type(patch) is not dict:
            raise Disconnect(Cause.NOT_ALLOWED, UNKNOWN)
        application = session.data.applications.get(gid)
        if application is None or application.reauth is not None:
            self.reply(connection, command, {"success": False})
            return

        def reply(data: Any) -> None:
            self.reply(connection, command, {"success": True} if data is NO_REPLY else data)

        asked = e.Command(command.op, command.name, {**command.data, "uid": application.uid})
        try:
            await self.port.ask(session, asked, reply)
        except NoBackend:
            reply({"success": self._change(gid, patch)})

    def _change(self, gid: str, patch: Any) -> bool:
        """Patch a document; whether there is room for what it becomes."""
        key = f"{self.options.documents}application:{gid}"
        value = merged(self.port.documents.get(key), patch)
        fits = len(msgspec.json.encode(value)) <= self.options.application_bytes
        return fits and self.port.documents.put(key, value)

    # --- their life -----------------------------------------------------------------------------------------

    def _add(self, session: Session, application: Application) -> None:
        session.data.applications[application.gid] = application
        self._members.setdefault(application.uid, {})[application] = session
        self._schedule(session, application)

    def _remove(self, session: Session, gid: str) -> Application:
        application: Application = session.data.applications.pop(gid)
        application.stop()
        known = self._members[application.uid]
        del known[application]
        if not known:
            del self._members[application.uid]
        return application

    def _finish(self, session: Session, gid: str) -> None:
        """It is over: its guild is told, and its owner; where that session is gone, its member's other pages."""
        channel, uid = f"guild:{gid}", self._remove(session, gid).uid
        said = {"gid": gid, "uid": uid}
        self.port.changed(session)
        pages = (session,) if session.ended is None else self.port.subscribers(f"user:{uid}")
        owners = [page for page in pages if isinstance(page.data, Page) and channel not in page.channels]
        self.port.publish(channel, "APPLICATION_SESSION_END", said)
        for owner in owners:
            self.port.tell(owner, "APPLICATION_SESSION_END", said)

    def _schedule(self, session: Session, application: Application) -> None:
        interval = self._at(session).interval
        application.beat = self.port.later(interval, lambda: self._beat(session, application))

    def _beat(self, session: Session, application: Application) -> None:
        """Ask for a sign of life, or find that the last one was not answered. A detached session is not asked."""
        if session.connection is not None:
            if not application.answered:
                self._finish(session, application.gid)
                return
            application.answered = False
            self.port.tell(session, "APPLICATION_SESSION_HB_P", {"gid": application.gid})
        if _lives(session, application):  # a client that could not take the event may have ended with all it had
            self._schedule(session, application)

    def published(self, channel: str, name: str, data: Any) -> None:
        """A member's permissions have changed: its application sessions in that guild must show who they are."""
        kind, _, rest = channel.partition(":")
        for application, session in tuple(self._members.get(_changed(name, data), {}).items()):
            concerned = kind != "guild" or application.gid == rest
            if concerned and application.reauth is None and _lives(session, application):
                self._ask_reauth(session, application)

    def concerns(self, channel: str, name: str, data: Any) -> bool:
        """The permissions of a member who has application sessions, in a guild that nobody looks at."""
        return _changed(name, data) in self._members

    def _ask_reauth(self, session: Session, application: Application) -> None:
        self._await_reauth(session, application)
        self.port.changed(session)
        self.port.tell(session, "APPLICATION_SESSION_REAUTH", {"gid": application.gid})

    def _await_reauth(self, session: Session, application: Application) -> None:
        timeout = self._at(session).options.reauth_timeout
        application.reauth = self.port.later(timeout, lambda: self._finish(session, application.gid))

    # --- coming and going -----------------------------------------------------------------------------------

    def keep(self, session: Session) -> Any:
        """Its guild and its application sessions: whose, and whether each has to show again who it is."""
        page: Page | None = session.data
        if page is None:
            return None
        asked = {gid: item.reauth is not None for gid, item in page.applications.items()}
        users = {gid: item.uid for gid, item in page.applications.items() if item.uid != session.key}
        return asdict(PageRecord(page.guild, asked, users))

    def restore(self, session: Session, kept: Any) -> None:
        """As they were, asked for a sign of life when the client is back."""
        known = msgspec.convert(kept, PageRecord | None)
        if known is None:
            return
        session.data = Page(known.guild)
        for gid, asked in known.applications.items():
            application = Application(known.users.get(gid, session.key or ""), gid)
            self._add(session, application)
            if asked:
                self._await_reauth(session, application)

    def came_back(self, page: Page) -> None:
        """The client resumed: what it was asked before may never have reached it, so it is asked anew."""
        for application in page.applications.values():
            application.answered = True

    def ended(self, session: Session) -> None:
        """The connection is gone past the resume window: its application sessions end with it."""
        page = session.data
        for gid in tuple(page.applications) if isinstance(page, Page) else ():
            self._finish(session, gid)


def _changed(name: str, data: Any) -> str | None:
    """The user whose permissions an event says have changed."""
    user = data.get("id") if name == "GUILD_PRIVILEGE_UPDATE" and isinstance(data, dict) else None
    return user if type(user) is str else None


def _lives(session: Session, application: Application) -> bool:
    """Whether it has not ended, with its session or before it."""
    return session.data.applications.get(application.gid) is application
