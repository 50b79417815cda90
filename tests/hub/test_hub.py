"""Channels and publish: who gets what, in which order, and what becomes of what cannot be said now."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.config.limits import FirstReceiverLimits, HubLimits
from gatewayd.core.behaviour import Counts, Unpublishable
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.events import Event
from gatewayd.hub.hub import Hub
from gatewayd.protocols import discodo, oxyl, rooms, utilbot
from tests import ledger
from tests.playbook import Person, Playbook, notes_for


def book(**more: Any) -> Playbook:
    return Playbook(utilbot.PROTOCOL, **more)


def ready(talk: Playbook, name: str = "a") -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
    person.heard()
    return person


def numbers(person: Person) -> list[Any]:
    return [payload["d"] for payload in person.heard() if payload.get("t") == "E"]


def test_the_channels_a_session_hears_by_itself() -> None:
    talk = book()
    person = ready(talk)
    for channel in (f"session:{person.session.id}", "listener:main", "user:a", "service:bot"):
        assert talk.publish(channel, "E", channel) == (1, 0, 0)
        assert numbers(person) == [channel]
    assert talk.publish("user:b", "E", 1) == (0, 0, 0)
    assert talk.hub.totals.published == 5


def test_one_session_can_be_left_out() -> None:
    talk = book()
    one, two = ready(talk, "a"), ready(talk, "b")
    assert talk.hub.post("service:bot", "E", 1, besides=one.session).delivered == 1
    assert (numbers(one), numbers(two)) == ([], [1])


def test_a_client_that_has_not_identified_hears_nothing() -> None:
    talk = book()
    person = talk.connect()
    assert talk.publish("listener:main", "E", 1) == (0, 0, 0)
    assert person.session.state == "greeted"


def test_a_full_outbox_detaches_and_keeps_everything() -> None:
    talk = book(outbox_events=3)
    person = ready(talk)
    person.reads = False
    assert [talk.publish("user:a", "E", n) for n in range(5)] == [(1, 0, 0)] * 3 + [(0, 1, 0)] * 2
    assert person.closed is not None
    assert person.closed[0] == 4010
    assert numbers(ready_again(talk)) == [0, 1, 2, 3, 4]


def ready_again(talk: Playbook, name: str = "a") -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
    return person


def test_an_event_for_a_client_that_already_has_its_verdict() -> None:
    """Between the verdict and the end of the client's tasks, its session is settled by whoever publishes first."""
    talk = book()
    left, kicked = ready(talk, "a"), ready(talk, "b")
    for person, cause in ((left, Cause.HEARTBEAT_MISSED), (kicked, Cause.INVALID_PAYLOAD)):
        person.stay()  # its tasks have not run yet
        person.connection.end(Disconnect(cause))
    assert talk.publish("user:a", "E", 1) == (0, 1, 0)
    assert talk.publish("user:b", "E", 1) == (0, 0, 1)
    assert left.session.state == "detached"
    assert kicked.session.state == "ended"
    assert talk.publish("user:b", "E", 1) == (0, 0, 0)


def test_a_client_that_is_gone_without_a_verdict_loses_what_cannot_be_kept() -> None:
    talk = Playbook(oxyl.PROTOCOL)
    person = talk.connect()
    person.say({"op": 0, "d": {"type": "feeds", "compress": False, "secret": "s3cret"}})
    person.stay()
    person.connection.end(Disconnect(Cause.SLOW_CONSUMER))
    assert talk.publish("service:feeds", "E", 1) == (0, 0, 1)
    assert talk.hub.tell(person.session, "E", 1).dropped == 1


def test_tell_is_for_one_session_and_is_kept() -> None:
    talk = book()
    person = ready(talk)
    assert talk.hub.tell(person.session, "E", 1).delivered == 1
    person.leave()
    assert talk.hub.tell(person.session, "E", 2).buffered == 1
    assert numbers(ready_again(talk)) == [2]


def test_notify_waits_for_a_user_and_gives_way_at_its_bound() -> None:
    talk = book()
    assert talk.hub.notify("a", 1).buffered == 1
    assert notes_for(talk.hub, "a") == [1]


def test_a_notification_of_an_expired_session_waits_again() -> None:
    talk = book()
    person = ready(talk)
    person.leave()
    talk.hub.notify("a", 1)
    talk.publish("user:a", "E", 2)
    talk.advance(60)
    assert notes_for(talk.hub, "a") == [1]


def test_one_event_for_one_receiver_and_its_bounds() -> None:
    talk = book(limits=HubLimits(first_receiver=FirstReceiverLimits(channels=1, events=2)))

    def give(channel: str, n: int) -> Counts:
        return talk.hub.publish(talk.realm, channel, "E", n, one=True)

    assert [give("service:bot", n).dropped for n in range(3)] == [0, 0, 1]
    assert give("service:other", 1).dropped == 1
    assert numbers(ready_again(talk)) == [1, 2]
    assert give("service:bot", 3).delivered == 1


def test_a_receiver_that_cannot_take_it_passes_it_on() -> None:
    talk = Playbook(oxyl.PROTOCOL, outbox_events=1)
    people = []
    for _ in range(2):
        person = talk.connect()
        person.say({"op": 0, "d": {"type": "feeds", "compress": False, "secret": "s3cret"}})
        person.heard()
        people.append(person)
    full, other = people
    full.reads = other.reads = False
    talk.publish("service:feeds", "A", 1)
    assert talk.hub.publish(talk.realm, "service:feeds", "B", 2, one=True).buffered == 1  # neither had room: it waits
    assert full.closed is not None
    assert other.closed is not None


def test_events_are_encoded_once_a_variant() -> None:
    talk = book()
    for name in "abc":
        ready(talk, name)
    event = Event("user:a", "E", {"x": 1}, 0.0)
    frames = {id(person.connection.wire.frame(event, "text")) for person in talk.people}
    assert len(frames) == 1
    assert set(event.frames) == {("utilbot", "text")}


def test_a_prefix_may_be_spoken_by_several_protocols() -> None:
    one = book()
    two = Playbook(discodo.PROTOCOL, hub=one.hub, listener="audio")
    two.now = one.now
    ready(one)
    assert one.hub.post("user:a", "E", 1).delivered == 1
    assert one.hub.post("session:nobody", "E", 1).delivered == 0


def test_data_that_cannot_be_encoded_is_the_publishers_error() -> None:
    talk = book()
    ready(talk)
    with pytest.raises(TypeError):
        talk.publish("user:a", "E", object())


def test_unpublishable_is_an_error_of_its_own() -> None:
    assert issubclass(Unpublishable, Exception)


MOVES = st.lists(st.sampled_from(["publish", "leave", "return", "wait", "deaf", "hears"]), max_size=40)


@settings(max_examples=200)
@given(MOVES, st.integers(1, 6))
def test_nothing_is_lost_doubled_or_out_of_order(moves: list[str], room: int) -> None:
    """Whatever a client does, it hears what was published in order, once; what it did not hear was counted as lost."""
    talk = book(resume_events=room, resume_window=100.0, patience=10_000.0, outbox_events=5)
    person = ready(talk)
    session = person.session
    heard: list[int] = []
    published = 0
    for move in moves:
        if move == "publish":
            talk.publish("user:a", "E", published)
            published += 1
        elif move == "leave" and person.closed is None:
            heard += numbers(person) if person.reads else []
            person.leave()
        elif move == "return" and person.closed is not None:
            person = ready_again(talk)
        elif move == "wait":
            talk.advance(1)
        elif move in ("deaf", "hears"):
            person.reads = move == "hears"
        if person.reads:
            heard += numbers(person)
    if person.closed is not None:
        person = ready_again(talk)
    person.reads = True
    heard += numbers(person)
    assert person.session is session
    assert heard == sorted(set(heard))
    assert len(heard) + session.backlog.lost == published


def test_the_hub_stands_alone() -> None:
    hub = Hub(lambda: 0.0)
    realm = hub.realms.make("main")
    assert hub.find("main", "x", "nobody") == []
    assert realm.shared("x", list) is realm.shared("x", list)
    assert hub.publish(realm, "c", "E", 1).delivered == 0
    assert hub.post("c", "E", 1) == Counts()


@pytest.mark.parametrize("cursor", [3, 10**9])
def test_a_cursor_where_no_client_can_be_is_refused_and_nothing_is_done(cursor: int) -> None:
    talk = Playbook(ledger.PROTOCOL)

    def come(**more: Any) -> Person:
        person = talk.connect()
        person.say({"type": "hi", "name": "a", "token": "s3cret", **more})
        return person

    person = come()
    for number in range(2):
        talk.publish("book:a", "entry", number)
    session = person.session
    person.leave()
    thief = come(seq=cursor)
    assert thief.closed is not None
    assert thief.closed[0] == 4407
    assert (session.state, session.resumes, session.backlog.acknowledged) == ("detached", 0, 0)
    assert come(seq=2).session is session
    assert come(name="b", seq=1).closed is not None  # a newcomer has been given nothing


def test_ending_twice_is_harmless() -> None:
    talk = book()
    person = ready(talk)
    session = person.session
    for _ in range(2):
        talk.hub.end(session, Disconnect(Cause.KICKED, "x"))
    talk.hub.detach(session)
    assert talk.hub.totals.ended == 1
    talk.hub.unsubscribe(session, "nothing")


def test_a_protocol_without_words_for_an_event_does_not_hear_it() -> None:
    """Whatever channel a grant or a backend has put its sessions on; those behind it hear it all the same."""
    talk = Playbook(rooms.PROTOCOL, options={"ad_hoc": True})
    ann = talk.connect("/gateway", {"roomId": "r", "participantId": "ann", "token": "s3cret"})
    talk.hub.subscribe(ann.session, "news")
    assert talk.publish("news", "NO_SUCH_EVENT", {})[0] == 0
    assert talk.publish("news", "message_create", {"authorId": "a", "content": "x", "sentAt": 1})[0] == 1
    assert book().behaviour.says("ANYTHING")


def test_at_the_end_only_what_no_journal_keeps_is_over() -> None:
    talk = book()
    sessions = [ready(talk).session, ready(talk, "b").session]
    sessions[0].durable = True
    talk.hub.end_all(Cause.SHUTDOWN)
    assert [session.ended is None for session in sessions] == [True, False]
