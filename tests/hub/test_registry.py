"""Sessions: taken over, beside each other, refused, detached, expired, bounded."""

from __future__ import annotations

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection, Pings
from gatewayd.hub.hub import Hub
from gatewayd.hub.timers import SWEPT
from gatewayd.protocols import discodo, utilbot
from tests.hub.test_hub import book, numbers, ready, ready_again
from tests.playbook import Person, Playbook


def audio(talk: Playbook) -> Person:
    person = talk.connect("/ws", headers={"authorization": "s3cret"})
    person.say({"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}})
    return person


def test_a_takeover_gives_the_newcomer_what_the_older_client_had_not_read() -> None:
    talk = Playbook(discodo.PROTOCOL)
    one = audio(talk)
    one.heard()
    one.reads = False
    talk.publish("user:a", "E", 1)
    two = audio(talk)
    talk.publish("user:a", "E", 2)
    assert [payload["op"] for payload in two.heard()] == ["HELLO", "RESUMED", "E", "E"]
    one.reads = True
    assert one.heard() == []
    assert one.closed == (4005, "replaced by a newer connection")
    assert (two.session.generation, two.session.resumes) == (2, 1)


def test_a_session_comes_back_within_its_window_and_not_after() -> None:
    talk = book()
    person = ready(talk)
    session = person.session
    person.leave()
    talk.advance(59.9)
    again = ready_again(talk)
    assert again.session is session
    assert session.state == "resumed"
    again.leave()
    talk.advance(59.9)  # the first window's end does not count any more
    assert session.state == "detached"
    talk.advance(0.1)
    assert session.state == "ended"
    assert ready_again(talk).session is not session
    assert talk.hub.totals.resumed == 1


def test_no_window_no_resume() -> None:
    talk = book(resume_window=0.0)
    ready(talk).leave()
    assert not talk.hub.sessions


def test_a_session_that_never_identified_just_ends() -> None:
    talk = book()
    person = talk.connect()
    assert [item.state for item in talk.hub.sessions.values()] == ["greeted"]
    person.leave()
    assert not talk.hub.sessions
    assert (talk.hub.totals.opened, talk.hub.totals.ended) == (0, 0)
    assert talk.hub.totals.closed == {"peer_gone": 1}


def test_the_longest_detached_session_gives_way_at_the_bound() -> None:
    hub = Hub(lambda: 1000.0, limit=3)
    talk = book(hub=hub)
    for name in "abc":
        person = ready(talk, name)
        if name != "c":
            person.leave()
    ready(talk, "d")
    assert {session.identity for session in hub.sessions.values()} == {"b", "c", "d"}
    ready(talk, "e")
    ready(talk, "f")  # nobody is detached any more: living clients are bounded at the door, not here
    assert {session.identity for session in hub.sessions.values()} == {"c", "d", "e", "f"}


def test_the_realm_with_the_most_detached_sessions_gives_way() -> None:
    prod = Playbook(utilbot.PROTOCOL, listener="prod", realm="prod")
    staging = Playbook(utilbot.PROTOCOL, beside=prod, listener="staging", realm="staging")
    ready(prod, "quiet").leave()
    prod.hub.registry.limit = 5
    for number in range(20):
        ready(staging, str(number)).leave()
    assert [s.identity for s in prod.hub.sessions.values()] == ["quiet", "16", "17", "18", "19"]


def test_a_kick_of_a_detached_session() -> None:
    talk = book()
    person = ready(talk)
    person.leave()
    talk.hub.end(person.session, Disconnect(Cause.KICKED, "x"))
    assert not talk.hub.sessions


def test_a_verdict_without_a_session() -> None:
    hub = Hub(lambda: 0.0)
    talk = book(hub=hub)
    hub.left(Connection(utilbot.PROTOCOL.wire, talk.settings, 0.0), Disconnect(Cause.KICKED))
    assert hub.totals.closed == {"kicked": 1}


def test_at_shutdown_what_is_queued_is_written_and_not_kept_as_well() -> None:
    talk = book()
    person = ready(talk)
    person.reads = False
    talk.publish("user:a", "E", 1)
    person.leave(Cause.SHUTDOWN)
    person.reads = True
    assert numbers(person) == [1]
    assert len(person.session.backlog) == 0


def test_two_newcomers_race_for_an_identity_whose_client_is_dead() -> None:
    talk = book()
    dead = ready(talk)
    dead.alive = False
    first = ready_again(talk)
    second = ready_again(talk)
    assert first.closed is None
    assert second.closed == (4002, "identity is in use")


def test_while_an_older_client_is_asked_somebody_else_may_come_in() -> None:
    talk = book()
    dead = ready(talk)
    raced: list[Person] = []

    class Raced(Pings):
        async def alive(self, within: float) -> bool:
            dead.connection.pings = Pings()
            raced.append(ready_again(talk))
            return False

    dead.connection.pings = Raced()
    late = ready_again(talk)
    assert raced[0].closed is None
    assert late.closed == (4002, "identity is in use")


def test_who_comes_and_goes_leaves_no_timers_behind() -> None:
    talk = book()
    person = ready(talk)
    for _ in range(10 * SWEPT):
        person.leave()
        person = ready_again(talk)
    assert len(talk.hub.timers) <= 2 * SWEPT


def test_a_session_that_moves_hears_its_new_listener_alone() -> None:
    talk = book()
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other")
    person = ready(talk)
    session = person.session
    talk.hub.subscribe(session, "guild:1")  # as a backend may
    person.leave()
    ready_again(other)
    assert session.channels == {"user:a", "service:bot", f"session:{session.id}", "listener:other", "guild:1"}
    assert talk.publish("listener:main", "E", 1) == (0, 0, 0)


def test_the_bounds_of_the_listener_used_last_hold() -> None:
    talk = book(resume_events=3)
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other", resume_events=1, resume_window=10.0)
    person = ready(talk)
    session = person.session
    person.leave()
    for number in range(3):
        talk.publish("user:a", "E", number)
    again = ready_again(other)
    assert numbers(again) == [0, 1, 2]
    again.leave()
    for number in range(3):
        talk.publish("user:a", "E", number)
    assert session.backlog.gaps == {"resume_buffer_full": 2}
    talk.advance(10)
    assert session.state == "ended"


def test_a_service_that_comes_back_as_another_type_leaves_the_first() -> None:
    talk = book()
    person = ready(talk)
    person.leave()
    again = talk.connect()
    again.say({"op": 1, "t": "identify", "d": {"type": "commands", "key": "s3cret", "id": "a"}})
    assert again.session is person.session
    assert "service:commands" in again.session.channels
    assert "service:bot" not in again.session.channels
