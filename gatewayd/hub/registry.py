"""Who is here: sessions by id and by identity, and those that wait for a client.

Law: a session has at most one client, and an identity's sessions are in the order in which they came.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from attrs import define, field

from gatewayd.core.backlog import Backlog
from gatewayd.core.behaviour import Admission, Clash
from gatewayd.core.connection import Connection
from gatewayd.core.retention import Policy
from gatewayd.core.session import Session
from gatewayd.hub.realm import Realms
from gatewayd.hub.timers import Timers


@define(eq=False)
class Registry:
    """`limit` bounds living and detached sessions; `expire` ends one whose resume window has passed."""

    _clock: Callable[[], float]
    _realms: Realms
    _timers: Timers
    limit: int
    _journaled: bool
    _expire: Callable[[Session], None]
    sessions: dict[str, Session] = field(factory=dict, init=False)
    smallest_outbox: float = field(default=math.inf, init=False)  # bytes of the smallest that any client has had

    def surplus(self) -> Session | None:
        """The session to end where there is no room: the longest detached of the realm that has the most of them."""
        if len(self.sessions) < self.limit:
            return None
        fullest = max((realm.detached for realm in self._realms.by_name.values()), key=len)
        return next(iter(fullest), None)

    def open(self, connection: Connection, listener: str, realm: str, remote: str, policy: Policy) -> Session:
        """A session for a client that is about to be greeted; it can be seen and kicked, and hears nothing yet."""
        settings = connection.settings
        self.smallest_outbox = min(self.smallest_outbox, settings.outbox_bytes)
        session = Session(
            id=os.urandom(8).hex(),
            listener=listener,
            protocol=connection.wire.name,
            realm=realm,
            remote=remote,
            opened=self._clock(),
            opened_wall=time.time(),
            backlog=Backlog(
                policy, max_events=settings.resume_events, max_bytes=settings.resume_bytes,
                max_age=settings.resume_window,
            ),
            connection=connection,
            durable=self._journaled and settings.durable,
        )  # fmt: skip
        self.sessions[session.id] = session
        connection.session = session
        return session

    def find(self, realm: str, protocol: str, key: str) -> list[Session]:
        """The sessions of an identity, oldest first."""
        return list(self._realms.make(realm).identities.get((protocol, key), ()))

    def owed(self, fresh: Session, admission: Admission) -> Session | None:
        """The older session with which a newcomer goes on, if there is one."""
        if admission.identity is None:
            return None
        known = self.find(fresh.realm, fresh.protocol, admission.identity)
        for session in known:
            if session.connection is None or not session.connection.open:
                return session
        return known[-1] if known and admission.clash is not Clash.BESIDE else None

    def enrol(self, session: Session, admission: Admission) -> None:
        """A session has an identity from now on."""
        session.key = admission.identity
        session.identity = admission.label or admission.identity
        session.resumable = admission.identity is not None and session.backlog.max_age > 0
        self._list(session)

    def _list(self, session: Session) -> None:
        if session.key is not None:
            identities = self._realms.by_name[session.realm].identities
            identities.setdefault((session.protocol, session.key), []).append(session)

    def take_over(self, older: Session, fresh: Session, connection: Connection) -> None:
        """An older session goes on with a new client, by the bounds of the listener that this one has come to."""
        del self.sessions[fresh.id]
        fresh.connection = None
        self.wait_no_more(older)
        older.connection = connection
        older.detached_at = None
        older.generation += 1
        older.resumes += 1
        older.listener, older.remote = fresh.listener, fresh.remote
        older.backlog.bound_as(fresh.backlog)
        connection.session = older

    def wait(self, session: Session, since: float) -> None:
        """A session has no client; it ends when its resume window has passed."""
        session.connection = None
        session.detached_at = since
        due = self._timers.at(since + session.backlog.max_age, lambda: self._expire(session))
        self._realms.by_name[session.realm].detached[session] = due

    def wait_no_more(self, session: Session) -> None:
        """It has a client again, or has ended."""
        if (due := self._realms.by_name[session.realm].detached.pop(session, None)) is not None:
            due.cancel()  # else whoever comes and goes fills the timers for as long as its window
            session.backlog.source.let_go()

    def adopt(self, session: Session, since: float) -> None:
        """Take up a session of the last run, without a client since then."""
        self.sessions[session.id] = session
        self._realms.make(session.realm)  # it may have no listener any more
        self._list(session)
        self.wait(session, since)

    def remove(self, session: Session) -> None:
        """The session is over."""
        del self.sessions[session.id]
        self.wait_no_more(session)
        if session.key is not None:
            identities, identity = self._realms.by_name[session.realm].identities, (session.protocol, session.key)
            identities[identity].remove(session)
            if not identities[identity]:
                del identities[identity]
