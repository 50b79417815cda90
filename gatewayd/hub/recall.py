"""What the journal remembers of the last run becomes sessions again: as if only the network had gone.

Law 1: a session that was connected has lost its client now; the time that the node was away counts against nobody.
Law 2: a session that cannot be resumed, or that nobody serves any more, ends here, and is said to have ended.
Law 3: what is of a realm stays in it, be it without a listener now. What a version without realms has kept is of its
listener's realm, or of the first that could use it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from gatewayd.core.close import Cause, Verdict
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.grant import Grant
from gatewayd.core.record import EventRecord, SessionRecord
from gatewayd.core.session import NOTHING, Missed, Session

if TYPE_CHECKING:
    from gatewayd.core.settings import Settings
    from gatewayd.hub.hub import Hub

log = logging.getLogger("gatewayd.journal")

WENT_DOWN = Verdict(Cause.NODE_DOWN, Cause.NODE_DOWN.words)
NOT_SERVED = Verdict(Cause.NODE_DOWN, "its listener is no more, keeps no sessions, or is of another protocol or realm")


def recall(
    hub: Hub,
    settings: Mapping[str, Settings],
    sessions: Iterable[tuple[str, SessionRecord]],
    events: Iterable[tuple[int, EventRecord]],
    lived: float,
) -> None:
    """Give the hub the sessions and events of the last run. `settings` by listener; `lived` is the node's own time when
    that run was last seen to be there, and goes on from here.
    """
    hub.keeper.before = lived - hub.clock()
    over: list[tuple[Session, Verdict]] = []
    for id_, record in sorted(sessions, key=lambda item: item[1].opened):
        session, verdict = _session(hub, settings, id_, record)
        if verdict is not None:
            over.append((session, verdict))
    moved: Counter[str] = Counter()
    wall = time.time()
    for number, kept in events:
        realm, protocol = kept.realm, kept.protocol
        if kept.one and not realm:
            realm, protocol = _without_realm(hub, kept)
            if kept.channel in kept.holders:
                moved[realm] += 1
        data, at = msgspec.json.decode(kept.data), hub.clock() - (wall - kept.at)
        event = Event(kept.channel, kept.name, data, at, kept.one, number, realm, protocol)
        hub.numbers = max(hub.numbers, number)
        for holder in kept.holders:
            known = hub.sessions.get(holder)
            if known is not None:
                if number > known.said or holder in kept.late:
                    known.lost += known.missed.keep(event)
                    hub.keeper.hold(known, event)
            elif holder == event.channel:
                hub.realm(realm).waiting.keep(event)
        if not event.waiting:
            hub.keeper.forget(number)
    for realm, count in moved.items():
        log.warning("%d events kept before there were realms wait for a receiver in realm %s from now on", count, realm)
    # Only now is it known what each of them has missed, which its end gives to others.
    for session, verdict in over:
        hub.end(session, verdict)


def lose(hub: Hub, number: int, kept: EventRecord) -> None:
    """An event of the last run cannot be said again: those that have not got it have lost it, and are told how many."""
    for holder in kept.holders:
        session = hub.sessions.get(holder)
        if session is not None and (number > session.said or holder in kept.late):
            session.lost += 1
            session.missed.lost += 1
            hub.keeper.touch(session)
    hub.totals.drop(Drop.TOO_DEEP)


def _session(
    hub: Hub, settings: Mapping[str, Settings], id_: str, record: SessionRecord
) -> tuple[Session, Verdict | None]:
    """Take one up, and tell why it has to end again, where it has."""
    known = settings.get(record.listener)
    behaviour = hub.behaviours.get(record.listener)
    realm = record.realm or (next(iter(hub.realms)) if behaviour is None else behaviour.port.realm)
    same = behaviour is not None and (behaviour.port.realm, behaviour.port.protocol) == (realm, record.protocol)
    served = known is not None and known.durable and same
    window = known.resume_window if known is not None else 0.0
    resumable = served and record.resumable and window > 0
    now = hub.clock()
    session = Session(
        id=id_,
        listener=record.listener,
        protocol=record.protocol,
        realm=realm,
        remote=record.remote,
        opened=now - (time.time() - record.opened),
        opened_wall=record.opened,
        # Of one that ends here, all goes to others where it can: nothing may be too much.
        missed=Missed(known.resume_events, known.resume_bytes)
        if known is not None and resumable
        else Missed(sys.maxsize, sys.maxsize),
        resume_window=window,
        connection=None,
        identity=record.identity,
        key=record.key,
        resumable=resumable,
        detached_at=now if record.left is None else min(now, record.left - hub.keeper.before),
        generation=record.generation,
        sequence=record.sequence,
        resumes=record.resumes,
        durable=True,
        unsaid=NOTHING,
        said=record.said,
        lost=record.lost,
        delivered=record.delivered,
        metadata=dict(record.metadata),
    )
    hub.realm(realm)  # it may have no listener any more
    session.missed.lost = record.untold
    session.granted.update(record.granted)
    if record.grant is not None:
        session.grant = Grant(granted=True, channels=tuple(record.grant[0]), metadata=record.grant[1])
    hub.numbers = max(hub.numbers, record.said)
    hub.adopt(session, record.channels, gone=None if record.detached is not None else WENT_DOWN)
    if not served or behaviour is None:
        return session, NOT_SERVED
    behaviour.restore(session, record.data)
    return session, None if resumable else WENT_DOWN


def _without_realm(hub: Hub, kept: EventRecord) -> tuple[str, str]:
    """Realm and protocol of an event for one receiver that a version without realms has kept."""
    for holder in kept.holders:
        if holder in hub.sessions:
            return hub.sessions[holder].realm, hub.sessions[holder].protocol
    for behaviour in hub.behaviours.values():
        if behaviour.delivers_one(kept.channel, kept.name):
            return behaviour.port.realm, behaviour.port.protocol
    return next(iter(hub.realms)), ""
