"""Live application sessions of dmod: their heartbeats, their re-authentication, and how they end.

Source: seed 002_ce4a88f6de75e35b, section Commands. They belong to a session, and outlive its client by the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from attrs import asdict, define, field, frozen

from gatewayd.core import events as e
from gatewayd.core.behaviour import Behaviour, Claim, Timer
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.rate import Seconds

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session

MAX_APPLICATIONS = 16
"""Live application sessions of one client session."""
REAUTH_SECONDS = Seconds(30.0)
UNKNOWN = "Unknown data"
NOTHING_SHOWN = (0, 0)


@frozen(kw_only=True)
class Options:
    """`reauth_timeout`: seconds to answer APPLICATION_SESSION_REAUTH; `documents`: prefix of the documents served."""

    reauth_timeout: Seconds = REAUTH_SECONDS
    documents: str = ""


@define(eq=False)
class Application:
    """One live application session. `answered` is False while a heartbeat waits for its answer."""

    gid: str
    answered: bool = True
    beat: Timer | None = None
    reauth: Timer | None = None

    def stop(self) -> None:
        """Let nothing more fall due."""
        for timer in (self.beat, self.reauth):
            if timer is not None:
                timer.cancel()


@define
class Page:
    """What one session remembers: its guild, its application sessions, and which notifications it was shown."""

    guild: str | None = None
    applications: dict[str, Application] = field(factory=dict)
    shown: tuple[int, int] = NOTHING_SHOWN
    """Number of the newest notification that it was shown, and how many it was told to have lost."""


@frozen
class Kept:
    """What the journal knows of a page: of each application session, whether it has been asked who it is."""

    guild: str | None
    applications: dict[str, bool]


def texts(command: e.Command, *names: str) -> tuple[str, ...]:
    """Fields that must be strings."""
    values = tuple(command.data.get(name) for name in names)
    if any(type(value) is not str for value in values):
        raise Disconnect(Cause.NOT_ALLOWED, UNKNOWN)
    return values


def _lives(session: Session, application: Application) -> bool:
    """Whether it has not ended, with its session or before it."""
    return session.data.applications.get(application.gid) is application


class Applications(Behaviour[Options]):
    """The part of dmod that keeps application sessions; `session.data` is a `Page`."""

    async def prove(self, connection: Connection, claim: Claim) -> None:
        """Verify a claim. Raises `Disconnect`: AUTH_FAILED, or the verdict that the client has got meanwhile."""
        proven = await self.port.verify(claim)
        if connection.verdict is not None:  # its session may have ended: nothing more may be hung on that
            raise connection.verdict
        if not proven:
            raise Disconnect(Cause.AUTH_FAILED)

    async def start(self, connection: Connection, session: Session, command: e.Command) -> None:
        """Start one, for a member whose token is verified."""
        uid, gid, token, uhash = texts(command, "uid", "gid", "utokh", "uhash")
        if uid != session.key:
            raise Disconnect(Cause.AUTH_FAILED)
        await self.prove(connection, Claim("user", token, uid, {"uhash": uhash}))
        applications = session.data.applications
        if gid in applications:
            applications[gid].stop()
        elif len(applications) >= MAX_APPLICATIONS:
            raise Disconnect(Cause.NOT_ALLOWED, UNKNOWN)
        application = applications[gid] = Application(gid)
        self._schedule(session, application)
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
        """The client shows again who it is."""
        token, uhash, permissions = texts(command, "utokh", "uhash", "pm")
        if session.key is None:
            raise Disconnect(Cause.AUTH_FAILED)
        await self.prove(connection, Claim("user", token, session.key, {"uhash": uhash, "pm": permissions}))
        asked = [item for item in session.data.applications.values() if item.reauth is not None]
        for application in asked:
            application.reauth.cancel()
            application.reauth = None
        self.port.changed(session)
        self.reply(connection, command, {"success": bool(asked)})

    async def beaten(self, connection: Connection, session: Session, command: e.Command) -> None:
        """The answer to a heartbeat of one, or of all; it is not answered itself."""
        (gid,) = texts(command, "gid") if command.data.get("gid") is not None else (None,)
        for application in session.data.applications.values():
            if gid is None or application.gid == gid:
                application.answered = True

    def _schedule(self, session: Session, application: Application) -> None:
        application.beat = self.port.later(self.interval, lambda: self._beat(session, application))

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

    def keep(self, session: Session) -> Any:
        """Its guild and its application sessions: whether each of them has to show again who it is."""
        page: Page | None = session.data
        if page is None:
            return None
        return asdict(Kept(page.guild, {gid: item.reauth is not None for gid, item in page.applications.items()}))

    def restore(self, session: Session, kept: Any) -> None:
        """As they were, asked for a sign of life when the client is back."""
        known = msgspec.convert(kept, Kept | None)
        if known is None:
            return
        page = session.data = Page(known.guild)
        for gid, asked in known.applications.items():
            application = page.applications[gid] = Application(gid)
            self._schedule(session, application)
            if asked:
                self._await_reauth(session, application)

    def came_back(self, page: Page) -> None:
        """The client resumed: what it was asked before may never have reached it, so it is asked anew."""
        for application in page.applications.values():
            application.answered = True

    def _finish(self, session: Session, gid: str) -> None:
        session.data.applications.pop(gid).stop()
        self.port.changed(session)
        self.port.publish(f"guild:{gid}", "APPLICATION_SESSION_END", {"gid": gid, "uid": session.key})

    def published(self, channel: str, name: str, data: Any) -> None:
        """The member's permissions have changed: its application sessions in that guild must show who they are."""
        if name != "GUILD_PRIVILEGE_UPDATE" or not isinstance(data, dict) or type(data.get("id")) is not str:
            return
        kind, _, rest = channel.partition(":")
        for session in self.port.subscribers(f"user:{data['id']}"):
            page = session.data
            for application in tuple(page.applications.values()) if isinstance(page, Page) else ():
                concerned = kind != "guild" or application.gid == rest
                if concerned and application.reauth is None and _lives(session, application):
                    self._ask_reauth(session, application)

    def _ask_reauth(self, session: Session, application: Application) -> None:
        self._await_reauth(session, application)
        self.port.changed(session)
        self.port.tell(session, "APPLICATION_SESSION_REAUTH", {"gid": application.gid})

    def _await_reauth(self, session: Session, application: Application) -> None:
        application.reauth = self.port.later(
            self.options.reauth_timeout, lambda: self._finish(session, application.gid)
        )

    def ended(self, session: Session) -> None:
        """The connection is gone past the resume window: its application sessions end with it."""
        page = session.data
        for gid in tuple(page.applications) if isinstance(page, Page) else ():
            self._finish(session, gid)
