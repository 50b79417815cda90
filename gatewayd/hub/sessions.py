"""The sessions of the node: opened, claimed, detached, resumed, ended. Plain synchronous Python.

Law 1: a session has at most one client; whoever takes it over gets all that the older client did not.
Law 2: a session that was never claimed just ends; a claimed one waits for its resume window where it can be resumed.
Law 3: of a claimed session, `lifecycle` is told: opened once, then detached and resumed in turn, and ended once.
"""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gatewayd.core.behaviour import Admission, Clash
from gatewayd.core.close import Cause, Disconnect, Verdict
from gatewayd.core.counts import Drop
from gatewayd.core.session import Missed, Session
from gatewayd.hub.realm import Realm
from gatewayd.hub.timers import Timers
from gatewayd.hub.totals import Totals

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.events import Event
    from gatewayd.core.grant import Grant
    from gatewayd.hub.keeper import Keeper


Lifecycle = Callable[[Session, str, Verdict | None], None]
"""Told of a session, of what has happened to it (opened, detached, resumed, ended), and why; never waits."""


def _nobody_is_told(session: Session, kind: str, verdict: Verdict | None) -> None:
    pass


class Sessions:
    """All sessions by id, and by the identity that they have in their realm.

    `clock` gives monotonic seconds; `limit` bounds living and detached ones.
    """

    def __init__(self, clock: Callable[[], float], *, limit: int) -> None:
        self.clock = clock
        self.limit = limit
        self.timers = Timers()
        self.totals = Totals()
        self.lifecycle: Lifecycle = _nobody_is_told
        self.keeper: Keeper
        self.sessions: dict[str, Session] = {}
        self.realms: dict[str, Realm] = {}
        """Those that have a listener, in the order of the listeners."""
        self._realms: dict[str, Realm] = {}
        """Those without a listener as well: the journal kept something for them."""
        self.smallest_outbox = math.inf
        """Bytes of the smallest that any client has had."""

    # What the hub does about a session's channels and events, at the moments that only this class knows.
    def _claimed(self, session: Session, admission: Admission, grant: Grant | None) -> None:
        raise NotImplementedError

    def _hears(self, session: Session, channel: str) -> None:
        raise NotImplementedError

    def _has_detached(self, session: Session) -> None:
        raise NotImplementedError

    def _has_ended(self, session: Session, unsaid: list[Event]) -> None:
        raise NotImplementedError

    def _tell(self, session: Session, kind: str, verdict: Disconnect | Verdict | None = None) -> None:
        session.sequence += 1
        if isinstance(verdict, Disconnect):
            verdict = Verdict(verdict.cause, verdict.reason)
        self.lifecycle(session, kind, verdict)

    def open(self, connection: Connection, listener: str, realm: str, remote: str) -> Session:
        """A session for a client that is about to be greeted; it can be seen and kicked, and hears nothing yet."""
        if len(self.sessions) >= self.limit:
            fullest = max((known.detached for known in self._realms.values()), key=len)  # no other tenant gives way
            if fullest:
                self.end(next(iter(fullest)), Verdict(Cause.EXPIRED, "too many sessions wait to be resumed"))
        settings = connection.settings
        self.smallest_outbox = min(self.smallest_outbox, settings.outbox_bytes)
        session = Session(
            id=secrets.token_hex(8),
            listener=listener,
            protocol=connection.wire.name,
            realm=realm,
            remote=remote,
            opened=self.clock(),
            opened_wall=time.time(),
            missed=Missed(settings.resume_events, settings.resume_bytes),
            resume_window=settings.resume_window,
            connection=connection,
            durable=self.keeper.on and settings.durable,
            acknowledged=0 if connection.wire.acknowledges else None,
        )
        if session.durable:
            connection.lags = self.keeper.lags
        self.sessions[session.id] = session
        connection.session = session
        return session

    def find(self, realm: str, protocol: str, key: str) -> list[Session]:
        """The sessions of an identity, oldest first."""
        return list(self._realms[realm].identities.get((protocol, key), ()))

    def claim(self, connection: Connection, admission: Admission) -> bool:
        """Give a client the session that its identity is owed; True when it is an older one that goes on."""
        fresh = connection.session
        assert fresh is not None, "a client is given a session before it can identify"
        older = self._owed(fresh, admission)
        replaced: Disconnect | None = None
        if older is None:
            self._enrol(fresh, admission)
        else:
            replaced = self._take_over(older, fresh, connection)
        session = older or fresh
        connection.variant = admission.variant
        self._claimed(session, admission, admission.grant or fresh.grant)
        session.metadata.update(admission.metadata)
        if older is None:
            self._tell(session, "opened")
        else:
            self._tell(session, "resumed", replaced)
        self.keeper.touch(session)
        return older is not None

    def _owed(self, fresh: Session, admission: Admission) -> Session | None:
        if admission.identity is None:
            return None
        known = self.find(fresh.realm, fresh.protocol, admission.identity)
        for session in known:
            if session.connection is None or not session.connection.open:
                return session
        return known[-1] if known and admission.clash is not Clash.BESIDE else None

    def _enrol(self, session: Session, admission: Admission) -> None:
        self.totals.opened += 1
        session.key = admission.identity
        session.identity = admission.label or admission.identity
        session.resumable = admission.identity is not None and session.resume_window > 0
        if session.key is not None:
            self._list(session, session.key)

    def _list(self, session: Session, key: str) -> None:
        self._realms[session.realm].identities.setdefault((session.protocol, key), []).append(session)

    def _take_over(self, older: Session, fresh: Session, connection: Connection) -> Disconnect | None:
        """The verdict on the client that it is taken from, where there is still one."""
        self.totals.resumed += 1
        del self.sessions[fresh.id]
        fresh.connection = None
        replaced = older.connection
        if replaced is not None:
            self._take_back(older, replaced)
        self._wait_no_more(older)
        older.connection = connection
        older.detached_at = None
        older.generation += 1
        older.resumes += 1
        older.acknowledged = fresh.acknowledged if older.acknowledged is None else older.acknowledged
        older.listener, older.remote, older.resume_window = fresh.listener, fresh.remote, fresh.resume_window
        older.missed.max_events, older.missed.max_bytes = fresh.missed.max_events, fresh.missed.max_bytes
        connection.session = older
        self.keeper.turn(older, durable=fresh.durable)
        if replaced is None:
            return None
        replaced.end(Disconnect(Cause.REPLACED))
        return replaced.verdict

    def _take_back(self, session: Session, connection: Connection) -> None:
        """What the client's socket did not take is missed, and older than whatever is missed later."""
        taken = connection.outbox.cut()
        if taken:
            session.given = min(session.given, taken[0].number - 1)
        for event in taken:
            self._miss(session, event, Drop.RESUME_BUFFER_FULL)

    def _miss(self, session: Session, event: Event, refused: Drop | None = None) -> bool:
        """The session has not got an event; whether it will when it is resumed. `refused` names why not, if not."""
        reason = session.missed.refuses(event)
        lost = session.missed.keep(event)
        session.lost += lost
        if reason is not None:
            self.totals.drop(refused or reason, lost)
            self.keeper.touch(session)
            return False
        self.totals.drop(Drop.RESUME_BUFFER_FULL, lost)
        self.keeper.hold(session, event)
        return True

    def left(self, connection: Connection, verdict: Disconnect) -> None:
        """A client is ending, with that verdict: its session waits for the next one, or ends."""
        self.totals.closed[verdict.cause.value] += 1
        session = connection.session
        if session is None or session.connection is not connection or session.ended is not None:
            return
        if verdict.cause.detaches and session.resumable:
            connection.verdict = connection.verdict or verdict
            # With a journal nothing is lost by waiting; without one, this is the last chance to say it.
            self.detach(session, flush=verdict.cause is Cause.SHUTDOWN and not session.durable)
        else:
            self.end(session, Verdict(verdict.cause, verdict.reason))

    def detach(self, session: Session, *, flush: bool = False) -> None:
        """The session has lost its client. With `flush`, what is in the outbox is still written, and not kept."""
        connection = session.connection
        if connection is None:
            return
        if not flush:
            self._take_back(session, connection)
        session.connection = None
        session.detached_at = self.clock()
        self._wait_for_client(session, session.detached_at)
        self._tell(session, "detached", connection.verdict)
        self.keeper.touch(session)
        self._has_detached(session)

    def _wait_for_client(self, session: Session, since: float) -> None:
        due = self.timers.at(since + session.resume_window, lambda: self._expire(session))
        self._realms[session.realm].detached[session] = due

    def _wait_no_more(self, session: Session) -> None:
        if (due := self._realms[session.realm].detached.pop(session, None)) is not None:
            due.cancel()  # else whoever comes and goes fills the timers for as long as its window

    def adopt(self, session: Session, channels: Iterable[str], gone: Verdict | None) -> None:
        """Take up a session of the last run, without a client; `gone` is what it lost that to, if it had one."""
        self.sessions[session.id] = session
        if session.key is not None:
            self._list(session, session.key)
        assert session.detached_at is not None
        self._wait_for_client(session, session.detached_at)
        for channel in channels:
            self._hears(session, channel)
        if gone is not None:
            self._tell(session, "detached", gone)
        self.keeper.touch(session)

    def _expire(self, session: Session) -> None:
        self.end(session, Verdict(Cause.EXPIRED, Cause.EXPIRED.words))

    def end(self, session: Session, verdict: Verdict) -> None:
        """The session is over; a client that it still has is told so and has to go."""
        if session.ended is not None:
            return
        connection = session.connection
        unsaid = [] if connection is None or _is_flushed(verdict.cause) else connection.outbox.cut()
        unsaid += session.missed.take()[0]
        session.connection = None
        session.ended = verdict
        self.keeper.end(session)
        del self.sessions[session.id]
        self._wait_no_more(session)
        if session.key is not None:
            self.totals.ended += 1
            identities, identity = self._realms[session.realm].identities, (session.protocol, session.key)
            identities[identity].remove(session)
            if not identities[identity]:
                del identities[identity]
        if connection is not None:
            connection.end(Disconnect(verdict.cause, verdict.reason))
        if session.sequence:
            self._tell(session, "ended", verdict)
        self._has_ended(session, unsaid)

    def end_all(self, verdict: Verdict) -> None:
        """The node stops: what no journal keeps ends with it."""
        for session in tuple(self.sessions.values()):
            if not session.durable:
                self.end(session, verdict)

    def by_state(self) -> Counter[str]:
        """How many sessions are in each state."""
        return Counter(session.state for session in self.sessions.values())


def _is_flushed(cause: Cause) -> bool:
    """Whether the client is still there to read what waits for it before the close frame."""
    return not cause.detaches and cause not in (Cause.CLIENT_CLOSED, Cause.PROTOCOL_ERROR)
