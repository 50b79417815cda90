"""Who is told of what: all in one order, and the backend of every path of a session's life, with exactly one end."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.counts import Drop
from gatewayd.core.observer import Observer, Observers
from gatewayd.core.session import Session
from gatewayd.hub.hub import Hub
from gatewayd.protocols import discodo, dmod, oxyl, utilbot
from tests.hub.test_hub import book, ready, ready_again
from tests.playbook import Person, Playbook

Told = list[tuple[str, str | None]]


class Ear(Observer):
    """Listens to a hub: per session (kind, cause), with generation and sequence checked."""

    def __init__(self) -> None:
        self.sessions: dict[str, Told] = {}

    def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
        told = self.sessions.setdefault(session.id, [])
        told.append((kind, verdict.cause.value if verdict is not None else None))
        assert session.lifecycle_sequence == len(told)
        assert session.generation == 1 + sum(one == "resumed" for one, _ in told)

    def of(self, session: Session) -> Told:
        return self.sessions[session.id]


def test_opened_detached_resumed_and_ended_by_expiry() -> None:
    ear = Ear()
    talk = book(observers=[ear])
    person = ready(talk)
    person.leave()
    again = ready_again(talk)
    again.connection.end(Disconnect(Cause.SLOW_CONSUMER))
    talk.advance(60.0)
    assert ear.of(person.session) == [
        ("opened", None),
        ("detached", "peer_gone"),
        ("resumed", None),
        ("detached", "slow_consumer"),
        ("ended", "expired"),
    ]


def test_the_paths_to_the_end() -> None:
    ear = Ear()
    talk = book(observers=[ear])
    paths: dict[str, Any] = {
        "kicked": lambda person: talk.hub.end(person.session, Disconnect(Cause.KICKED)),
        "client_closed": lambda person: person.leave(Cause.CLIENT_CLOSED),
        "invalid_payload": lambda person: person.say({"op": 1, "t": 5}),
        "internal": lambda person: person.leave(Cause.INTERNAL),
    }
    for cause, act in paths.items():
        person = ready(talk, cause)
        act(person)
        person.leave()  # whatever comes after is no second end
        talk.hub.end(person.session, Disconnect(Cause.KICKED))
        talk.advance(100.0)
        assert ear.of(person.session) == [("opened", None), ("ended", cause)]


def test_a_client_that_is_replaced_hands_its_session_on() -> None:
    ear = Ear()
    talk = Playbook(discodo.PROTOCOL, observers=[ear])

    def audio() -> Person:
        person = talk.connect("/ws", headers={"authorization": "s3cret"})
        person.say({"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}})
        return person

    one = audio()
    two = audio()
    one.leave()
    assert two.session is one.session
    assert ear.of(two.session) == [("opened", None), ("resumed", "replaced")]
    assert len(ear.sessions) == 1
    two.stay()  # it has its verdict, and is still leaving
    two.connection.end(Disconnect(Cause.HEARTBEAT_MISSED))
    audio()
    assert ear.of(two.session)[2:] == [("resumed", "heartbeat_missed")]


def test_a_clash_of_identities_detaches_the_one_that_gives_no_sign_of_life() -> None:
    ear = Ear()
    talk = book(observers=[ear])
    one = ready(talk)
    one.alive = False
    two = ready_again(talk)
    assert ear.of(two.session) == [("opened", None), ("detached", "heartbeat_missed"), ("resumed", None)]


def test_the_limit_of_sessions_ends_the_one_that_waits_longest() -> None:
    ear = Ear()
    hub = Hub(lambda: talk.now, limit=1, observers=[ear])
    talk = book(hub=hub)
    person = ready(talk)
    person.leave()
    talk.connect()
    assert ear.of(person.session) == [("opened", None), ("detached", "peer_gone"), ("ended", "expired")]


def test_a_publish_that_cuts_a_client_off_is_told_once() -> None:
    ear = Ear()
    talk = book(outbox_events=1, observers=[ear])
    person = ready(talk)
    person.reads = False
    person.stay()
    for _ in range(3):
        talk.publish("user:a", "E", 1)
    assert ear.of(person.session) == [("opened", None), ("detached", "slow_consumer")]
    person.leave()
    assert len(ear.of(person.session)) == 2


def test_the_nodes_own_end_ends_all_that_is_left() -> None:
    ear = Ear()
    talk = book(observers=[ear])
    there, away, stranger = ready(talk, "a"), ready(talk, "b"), talk.connect()
    away.leave(Cause.SHUTDOWN)
    talk.hub.end_all(Cause.SHUTDOWN)
    talk.hub.end_all(Cause.SHUTDOWN)
    assert ear.of(there.session) == [("opened", None), ("ended", "shutdown")]
    assert ear.of(away.session) == [("opened", None), ("detached", "shutdown"), ("ended", "shutdown")]
    assert stranger.session.id not in ear.sessions
    assert not talk.hub.sessions


def test_of_who_never_identified_nothing_is_told() -> None:
    ear = Ear()
    talk = book(observers=[ear])
    talk.connect().leave()
    talk.connect().say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "wrong"}})
    late = talk.connect()
    talk.advance(100.0)
    assert late.closed is not None
    assert ear.sessions == {}
    assert talk.hub.totals.opened == 0


def test_who_cannot_resume_is_told_of_all_the_same() -> None:
    ear = Ear()
    pages = Playbook(dmod.PROTOCOL, observers=[ear])
    page = pages.connect()
    page.say({"op": 1, "d": {"token": None, "uid": None}})
    page.leave()
    assert ear.of(page.session) == [("opened", None), ("ended", "peer_gone")]
    services = Playbook(oxyl.PROTOCOL, observers=[ear])
    service = services.connect()
    service.say({"op": 0, "d": {"type": "commands", "compress": False, "secret": "s3cret"}})
    service.leave()
    assert ear.of(service.session) == [("opened", None), ("ended", "peer_gone")]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["connect", "leave", "close", "kick", "wait", "publish", "stop_reading"]), st.integers(0, 2)
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_happens_each_session_has_one_beginning_and_one_end(steps: list[tuple[str, int]]) -> None:
    ear = Ear()
    hub = Hub(lambda: talk.now, limit=3, observers=[ear])
    talk = Playbook(utilbot.PROTOCOL, hub=hub, outbox_events=1)
    people: dict[int, Person] = {}
    for step, who in steps:
        person = people.get(who)
        if step == "connect":
            people[who] = ready_again(talk, str(who))
        elif step == "wait":
            talk.advance(20.0 * (1 + who))
        elif step == "publish":
            talk.publish("service:bot", "E", 1)
        elif person is None:
            continue
        elif step == "kick":
            talk.hub.end(person.session, Disconnect(Cause.KICKED))
        elif step == "stop_reading":
            person.reads = False
        else:
            person.leave(Cause.PEER_GONE if step == "leave" else Cause.CLIENT_CLOSED)
    talk.hub.end_all(Cause.SHUTDOWN)
    for told in ear.sessions.values():
        kinds = [kind for kind, _ in told]
        assert kinds[0] == "opened"
        assert kinds[-1] == "ended"
        assert kinds.count("opened") == kinds.count("ended") == 1
        for before, after in itertools.pairwise(kinds):
            assert (before, after) in {
                ("opened", "detached"), ("opened", "resumed"), ("opened", "ended"), ("detached", "resumed"),
                ("detached", "ended"), ("resumed", "detached"), ("resumed", "resumed"), ("resumed", "ended"),
            }  # fmt: skip
    assert talk.hub.totals.opened == len(ear.sessions)


# --- all of them --------------------------------------------------------------------------------------------


class Hearing(Observer):
    """Notes what it is told of."""

    def __init__(self, name: str, told: list[tuple[str, str]]) -> None:
        self.name = name
        self.told = told

    def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
        self.told.append((self.name, kind))

    def changed(self, session: Session) -> None:
        self.told.append((self.name, "changed"))

    def behind(self, session: Session) -> None:
        self.told.append((self.name, "behind"))

    def advanced(self, session: Session) -> None:
        self.told.append((self.name, "advanced"))

    def lost(self, session: Session, losses: Mapping[Drop, int]) -> None:
        self.told.append((self.name, f"lost {dict(losses)}"))

    def over(self, session: Session) -> None:
        self.told.append((self.name, "over"))


class Idle(Observer):
    """Wants to know nothing."""


class OnlyTheEnd(Hearing):
    changed = Observer.changed
    behind = Observer.behind
    advanced = Observer.advanced
    happened = Observer.happened
    lost = Observer.lost


def test_all_are_told_in_the_order_of_the_list_and_of_what_they_want_alone() -> None:
    told: list[tuple[str, str]] = []
    observers = Observers((Hearing("a", told), Idle(), OnlyTheEnd("b", told), Hearing("c", told)))
    session = ready(book()).session
    observers.happened(session, "opened", None, {})
    observers.changed(session)
    observers.behind(session)
    observers.advanced(session)
    observers.lost(session, {})
    observers.over(session)
    assert told == [
        *((name, what) for what in ("opened", "changed", "behind", "advanced", "lost {}") for name in "ac"),
        ("a", "over"), ("b", "over"), ("c", "over"),
    ]  # fmt: skip


def test_one_that_wants_nothing_can_be_told_everything() -> None:
    session, idle = ready(book()).session, Idle()
    idle.happened(session, "opened", None, {})
    idle.changed(session)
    idle.behind(session)
    idle.advanced(session)
    idle.lost(session, {})
    idle.over(session)


def test_without_a_backend_nobody_is_told() -> None:
    talk = Playbook(utilbot.PROTOCOL)
    session = ready(talk).session
    talk.hub.end(session, Disconnect(Cause.KICKED))
    assert session.lifecycle_sequence == 2
