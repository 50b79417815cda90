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
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

import msgspec

from gatewayd.core.backlog import Backlog
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.grant import Grant
from gatewayd.core.record import EventRecord, SessionRecord, Span
from gatewayd.core.session import Session
from gatewayd.hub.totals import Tally

if TYPE_CHECKING:
    from gatewayd.core.settings import Settings
    from gatewayd.hub.hub import Hub

log = logging.getLogger("gatewayd.journal")

NOT_SERVED = "its listener is no more, keeps no sessions, or is of another protocol or realm"


def restore(
    hub: Hub,
    settings: Mapping[str, Settings],
    sessions: Iterable[tuple[str, SessionRecord]],
    events: Iterable[tuple[int, EventRecord]],
    lived: float,
    dropped: Sequence[EventRecord] = (),
) -> None:
    """Give the hub the sessions and events of the last run. `settings` by listener; `lived` is the node's own time when
    that run was last seen to be there, and goes on from here. Events that were `dropped` cannot be said again.
    """
    hub.journaling.before = lived - hub.clock()
    kept: dict[str, list[tuple[int, Event]]] = defaultdict(list)
    logs: dict[str, dict[int, Event | None]] = defaultdict(dict)
    floors: dict[str, int] = defaultdict(int)
    moved: Counter[str] = Counter()
    records = dict(sessions)
    numbers: list[Event] = []
    wall = time.time()
    for number, record in events:
        realm, protocol = record.realm, record.protocol
        if record.one and not realm:
            realm, protocol = _without_realm(hub, record, records)
            moved[realm] += record.channel in record.holders
        data, at = msgspec.json.decode(record.data), hub.clock() - (wall - record.at)
        event = Event(record.channel, record.name, data, at, record.one, number, realm, protocol)
        hub.delivery.numbers = max(hub.delivery.numbers, number)
        numbers.append(event)
        for name, (position, floor) in record.logs.items():
            logs[name][position] = event
            floors[name] = max(floors[name], floor)
        for holder, sequence in record.holders.items():
            if holder in records:
                kept[holder].append((sequence, event))
            elif holder == event.channel:
                hub.realms.make(realm).waiting.keep(event)
    gaps = Counter(
        holder
        for record in dropped
        for holder, sequence in record.holders.items()
        if holder in records and sequence > records[holder].written
    )
    for record in dropped:
        for name, (position, floor) in record.logs.items():
            logs[name][position] = None
            floors[name] = max(floors[name], floor)
    hub.totals.drop(Drop.TOO_DEEP, len(dropped))
    over: list[tuple[Session, Disconnect]] = []
    for id_, found in sorted(records.items(), key=lambda item: item[1].opened):
        spans, shared, lost = _spans_of(found, logs, floors)
        deep = gaps[id_] + sum(event is None and sequence > found.written for sequence, event in shared)
        own = [*kept.pop(id_, ()), *((sequence, event) for sequence, event in shared if event is not None)]
        session, verdict = _session(hub, settings, id_, found, sorted(own, key=itemgetter(0)), spans, floors)
        for reason, count in ((Drop.RESUME_BUFFER_FULL, lost), (Drop.TOO_DEEP, deep)):
            if count:
                session.backlog.lose(reason, count)
                hub.observers.changed(session)
        if verdict is not None:
            over.append((session, verdict))
    for event in numbers:
        if event not in hub.journaling.holders:
            hub.journaling.drop(event.number)
    for realm, count in moved.items():
        if count:
            log.warning(
                "%d events kept before there were realms wait for a receiver in realm %s from now on", count, realm
            )
    # Only now is it known what each of them has missed, which its end gives to others.
    for session, verdict in over:
        hub.end(session, verdict)


def _spans_of(
    record: SessionRecord, logs: Mapping[str, Mapping[int, Event | None]], floors: Mapping[str, int]
) -> tuple[list[Span], list[tuple[int, Event | None]], int]:
    """A session's spans of away logs, all of which ended with the run; with their events, and how many gave way in the
    log that it was in.
    """
    spans: list[Span] = []
    found: list[tuple[int, Event | None]] = []
    lost = 0
    for span in record.spans:
        first = span.position
        known = logs.get(span.log, {})
        if span.count is None:
            lost = max(0, floors.get(span.log, 0) - first)
            first += lost
        sequence = span.sequence + first - span.position
        last = max(known, default=first) if span.count is None else first + span.count
        part = [position for position in sorted(known) if first < position <= last]
        found += [(sequence + position - first, known[position]) for position in part]
        if part:
            spans.append(Span(span.log, first, sequence, part[-1] - first))
    return spans, found, lost


def _session(
    hub: Hub, settings: Mapping[str, Settings], id_: str, record: SessionRecord, entries: list[tuple[int, Event]],
    spans: list[Span], floors: Mapping[str, int],
) -> tuple[Session, Disconnect | None]:  # fmt: skip
    """Take one up, and tell why it has to end again, where it has. Raises `ValueError`."""
    if [sequence for sequence, _ in entries] != sorted({sequence for sequence, _ in entries if sequence}):
        raise ValueError(f"session {id_} has events without a sequence of their own")
    known = settings.get(record.listener)
    behaviour = hub.behaviours.get(record.listener)
    realm = _realm(hub, record)
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
        backlog=Backlog(behaviour.policy, max_events=known.resume_events, max_bytes=known.resume_bytes, max_age=window)
        if known is not None and behaviour is not None and resumable
        else Backlog(max_events=sys.maxsize, max_bytes=sys.maxsize),
        connection=None,
        identity=record.identity,
        key=record.key,
        resumable=resumable,
        generation=record.generation,
        lifecycle_sequence=record.lifecycle_sequence,
        resumes=record.resumes,
        durable=True,
        metadata=dict(record.metadata),
        granted=frozenset(record.granted),
        grant=record.grant and Grant(granted=True, channels=tuple(record.grant[0]), metadata=record.grant[1]),
    )
    losses = session.backlog.restore(entries, record, exact=known is not None and known.always)
    Tally(hub.totals).add(losses)
    hub.journaling.adopt(session, spans, floors)
    since = now if record.left is None else min(now, record.left - hub.journaling.before)
    hub.adopt(
        session, record.channels, since, gone=None if record.detached is not None else Disconnect(Cause.NODE_DOWN)
    )
    if not served or behaviour is None:
        return session, Disconnect(Cause.NODE_DOWN, NOT_SERVED)
    behaviour.restore(session, record.data)
    return session, None if resumable else Disconnect(Cause.NODE_DOWN)


def _realm(hub: Hub, record: SessionRecord) -> str:
    """A session's realm: what a version without realms has kept is of its listener's, or of the first."""
    behaviour = hub.behaviours.get(record.listener)
    return record.realm or (next(iter(hub.realms.served)) if behaviour is None else behaviour.port.realm)


def _without_realm(hub: Hub, record: EventRecord, sessions: Mapping[str, SessionRecord]) -> tuple[str, str]:
    """Realm and protocol of an event for one receiver that a version without realms has kept."""
    for holder in record.holders:
        if holder in sessions:
            return _realm(hub, sessions[holder]), sessions[holder].protocol
    for behaviour in hub.behaviours.values():
        if behaviour.delivers_one(record.channel, record.name):
            return behaviour.port.realm, behaviour.port.protocol
    return next(iter(hub.realms.served)), ""
