"""What a crash may lose, and what it must not: noted at every batch that is written, and compared with what was kept."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from attrs import define, field

from gatewayd.core.events import Event
from gatewayd.core.record import Table
from gatewayd.core.session import Session
from gatewayd.hub.delivery import NOTIFICATION
from gatewayd.hub.hub import Hub
from tests.hub.disk import Disk, plain, snapshot
from tests.playbook import notes_for, waiting

LISTENERS: dict[str, dict[str, Any]] = {
    "kept": {"durable": True, "resume_window": 60.0},
    "loose": {"durable": False, "resume_window": 60.0},
    "brief": {"durable": True, "resume_window": 0.0},
}
Said = list[str]


def sign(event: Event) -> str:
    return json.dumps([event.name, event.data])


def not_got(session: Session) -> list[Event]:
    """What a session has not got: in its client's outbox, and behind that what it missed."""
    return [event for _, event in session.backlog.entries(session.backlog.written)]


def unsaid(session: Session) -> Said:
    return [sign(event) for event in not_got(session)]


def assert_between(must: Said, may: Said, got: Said) -> None:
    """All of `must`, nothing but `may`, and nothing twice."""
    assert set(must) <= set(got), "lost"
    assert set(got) <= set(may), "not known to be unsaid"
    assert len(got) == len(set(got)), "twice"


@define
class Known:
    """What a batch has to hold. `must` and `may` differ where it was written before the end of a turn."""

    must: dict[str, Said] = field(factory=dict)
    may: dict[str, Said] = field(factory=dict)
    facts: dict[str, Any] = field(factory=dict)
    ones: tuple[Said, Said] = ([], [])
    notes: tuple[Said, Said] = ([], [])
    rooms: Any = None
    loose: set[str] = field(factory=set)
    """Sessions that nobody promised to keep."""


class Watch:
    """A hub and its disk, as somebody sees them from outside."""

    hub: Hub
    disk: Disk
    known: Known
    lived: float

    def commit(self, early: bool) -> None:
        self.disk.write(self.hub)
        self.note(early)
        if not early:
            assert plain(snapshot(self.hub)) == plain(self.disk.rows)

    def note(self, early: bool) -> None:
        """What a crash from now on may lose, and what it must not."""
        before, known = self.known, Known()
        self.lived = self.hub.journaling.lived()
        for session in self.hub.sessions.values():
            if session.durable and session.lifecycle_sequence:
                said = unsaid(session)
                known.may[session.id] = said
                old = set(before.must.get(session.id, ()))
                sure = not early or session.connection is None
                known.must[session.id] = said if sure else [one for one in said if one in old]
                lives = session.resumable and LISTENERS[session.listener]["resume_window"] > 0
                known.facts[session.id] = {
                    "lives": lives, "lost": session.backlog.lost, "untold": sum(session.backlog.gaps.values()),
                    "channels": set(session.channels), "metadata": dict(session.metadata),
                    "data": deepcopy(session.data),
                    "counts": (session.generation, session.resumes),
                }  # fmt: skip
        for kind in ("ones", "notes"):
            sure_of, all_of = getattr(self, kind)()
            old = set(getattr(before, kind)[0])
            must = all_of if not early else [one for one in all_of if one in old or one in sure_of]
            setattr(known, kind, (must, all_of))
        known.rooms = self.room_states()
        known.loose = {session.id for session in self.hub.sessions.values() if not session.durable}
        self.known = known
        written = self.disk.keys(Table.EVENTS)
        wanted = self.wanted()
        if early:
            assert written <= wanted | {number for number in written if number in self.numbers_held()}
        else:
            assert written == wanted, "rows of events that nobody waits for, or none where somebody does"
        assert self.disk.keys(Table.SESSIONS) == set(known.may)

    def wanted(self) -> set[Any]:
        numbers: set[Any] = {event.number for event in waiting(self.hub)}
        for session in self.hub.sessions.values():
            if session.durable:
                numbers |= {event.number for event in not_got(session)}
        return numbers

    def numbers_held(self) -> set[Any]:
        return {event.number for event in self.hub.journaling.holders}

    def durable(self, *, sure: bool) -> list[str]:
        return [
            one
            for session in self.hub.sessions.values()
            if session.durable and not (sure and session.connection is not None)
            for one in unsaid(session)
        ]

    def ones(self) -> tuple[Said, Said]:
        """Events for one receiver: those that wait in a safe place, and all that the journal has to know."""
        parked = [sign(event) for event in waiting(self.hub)]
        singles = self.singles()
        return (
            parked + [one for one in self.durable(sure=True) if one in singles],
            parked + [one for one in self.durable(sure=False) if one in singles],
        )

    def singles(self) -> set[str]:
        return {sign(event) for s in self.hub.sessions.values() for event in not_got(s) if event.one}

    def notes(self) -> tuple[Said, Said]:
        kept = [json.dumps([NOTIFICATION, n]) for name in "abc" for n in notes_for(self.hub, name)]
        mark = json.dumps([NOTIFICATION, 0])[:-2]
        return (
            kept + [one for one in self.durable(sure=True) if one.startswith(mark)],
            kept + [one for one in self.durable(sure=False) if one.startswith(mark)],
        )

    def room_states(self) -> Any:
        rooms = self.hub.realms.make("main").rooms
        return {room: (dict(rooms.state(room) or {"no": 1}), rooms.bans(room), rooms.is_closed(room)) for room in "xyz"}

    def lifecycle(self) -> list[Any]:
        return [json.loads(value) for _, value in self.disk.values(Table.LIFECYCLE)]
