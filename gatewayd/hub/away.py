"""Which sessions without a client share an away log, since they are given the same, and which events go there.

Law 1: a log is of one channel, one listener and one audience. An event goes to it where all its sessions are to be
given that; else each of them is given it alone, and leaves by that.
Law 2: who has left comes back when the newest few events that it keeps are of one channel: two channels in turn do not
have their sessions come and go with each event.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import partial
from itertools import filterfalse

from attrs import define, field

from gatewayd.core.away import Absent, AwayLog
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.observer import Observer
from gatewayd.core.session import Session
from gatewayd.core.source import NO_CLIENT
from gatewayd.hub.journaling import Journaling
from gatewayd.hub.realm import Realm
from gatewayd.hub.totals import Tally

FEW = 4
"""How many events in a row have to be of one channel before a session with events of its own joins."""
Kind = tuple[str, Hashable]
"""A listener, and an audience there."""


@define(eq=False)
class Away:
    """The logs of a node; `followed` are sessions of which somebody waits to hear how far they get."""

    _realms: Mapping[str, Realm]
    _journaling: Journaling
    _observers: Observer
    _followed: Collection[Session]
    logs: dict[str, dict[Kind, AwayLog]] = field(factory=dict, init=False)
    """By channel."""

    def split(
        self, receivers: Collection[Session], event: Event, logs: Sequence[AwayLog]
    ) -> tuple[list[AwayLog], Collection[Session]]:
        """The logs that an event goes to, and the receivers that are in none of these. Everybody in `logs` hears it,
        and is not among `receivers`.
        """
        if event.one:
            return [], receivers
        whole = [log for log in logs if event.size <= log.max_bytes]
        if len(whole) < len(logs):
            receivers = [*receivers, *(session for log in logs if log not in whole for session in log.members)]
        for log in self.logs.get(event.channel, {}).values():
            if log in logs:
                continue
            rest = list(filterfalse(log.members.__contains__, receivers))
            if len(receivers) - len(rest) == len(log.members) and event.size <= log.max_bytes:
                whole.append(log)
                receivers = rest
        return whole, receivers

    def join(self, sessions: Collection[Session], event: Event, whole: list[AwayLog]) -> Collection[Session]:
        """Have sessions that cannot be given an event now join the logs that it goes to, or new ones; who is left."""
        if event.one or len(sessions) + len(whole) < 2:
            return sessions
        rest: list[Session] = []
        for session in sessions:
            log = self._log(session, event, whole)
            if log is None:
                rest.append(session)
                continue
            log.join(session)
            self._realms[session.realm].hearing.joined_log(session, event.channel)
            self._journaling.changed(session)
        return rest

    def _log(self, session: Session, event: Event, whole: list[AwayLog]) -> AwayLog | None:
        """The log that a session may join for an event."""
        backlog, channel = session.backlog, event.channel
        if (
            session.connection is not None
            or session.ended is not None
            or backlog.source is not NO_CLIENT
            or channel not in session.channels
            or session in self._followed
            or backlog.refuses(event) is not None
            or not backlog.all_by(channel, FEW)
        ):
            return None
        kind = session.listener, session.audience
        log = self.logs.get(channel, {}).get(kind)
        if log is None:
            log = AwayLog(
                secrets.token_hex(8), max_events=backlog.max_events, max_bytes=backlog.max_bytes,
                durable=session.durable, left=partial(self._left, channel, kind), audience=session.audience,
            )  # fmt: skip
            self.logs.setdefault(channel, {})[kind] = log
            self._realms[session.realm].hearing.logs.setdefault(channel, []).append(log)
            whole.append(log)
        fits = (log.max_events, log.max_bytes, log.durable) == (backlog.max_events, backlog.max_bytes, session.durable)
        return log if fits and log in whole else None

    def give(self, log: AwayLog, event: Event, tally: Tally) -> None:
        """All sessions in a log are given an event."""
        lost, own = log.append(event)
        tally.drop(Drop.RESUME_BUFFER_FULL, lost)
        for session, losses in own:
            tally.add(losses)
            self._observers.lost(session, losses)
        tally.buffered += len(log.members)
        self._journaling.grew(log)

    def _left(self, channel: str, kind: Kind, absent: Absent) -> None:
        """A session leaves its log, which ends with the last one."""
        self._journaling.left(absent)
        hearing = self._realms[absent.session.realm].hearing
        hearing.left_log(absent.session, channel)
        if len(absent.log.members) == 1:
            logs, there = self.logs[channel], hearing.logs[channel]
            del logs[kind]
            if not logs:
                del self.logs[channel]
            there.remove(absent.log)
            if not there:
                del hearing.logs[channel]
