"""What an answer does: to the client that asked, to its session, to others; and what it does when they have gone."""

from __future__ import annotations

from typing import Any

import pytest

from gatewayd.backend.answer import Answer, Said
from gatewayd.backend.errors import BackendError
from gatewayd.core.close import Cause, Disconnect
from gatewayd.hub.effects import apply
from gatewayd.protocols import rooms, utilbot
from tests.hub.test_hub import book, numbers, ready
from tests.playbook import Playbook


def test_everything_in_its_order() -> None:
    talk = book()
    person, other = ready(talk), ready(talk, "b")
    talk.hub.subscribe(person.session, "room:old")
    session, heard = person.session, []

    def reply(data: Any) -> None:
        heard.append((data, sorted(session.channels), other.heard()))

    answer = Answer(
        reply="data",
        subscribe=("room:new",),
        unsubscribe=("room:old",),
        events=(Said(channel="room:new", event="E", data=1), Said(channel="user:b", event="E", data=2)),
        disconnect="enough\n",
    )
    assert apply(talk.hub, session, answer, reply) == 0
    assert heard == [("data", ["listener:main", "room:old", "service:bot", f"session:{session.id}", "user:a"], [])]
    assert numbers(person) == [1]
    assert numbers(other) == [2]
    assert person.closed == (4008, "enough\\n")
    assert session.ended is not None
    assert session.ended.cause is Cause.KICKED


def test_a_session_that_has_ended_gets_nothing_and_others_get_theirs() -> None:
    talk = book()
    person, other = ready(talk), ready(talk, "b")
    session = person.session
    person.leave(Cause.CLIENT_CLOSED)
    answer = Answer(reply=1, subscribe=("c",), events=(Said(channel="user:b", event="E", data=2),), disconnect="")
    assert apply(talk.hub, session, answer, pytest.fail) == 0
    assert numbers(other) == [2]
    assert "c" not in talk.realm.channels


def test_without_the_client_that_asked_there_is_no_reply() -> None:
    talk = book()
    person = ready(talk)
    assert apply(talk.hub, person.session, Answer(reply=1, disconnect=""), None) == 0
    assert person.closed == (4008, "kicked")


def test_a_client_that_cannot_take_the_reply_does_not_keep_the_rest_from_being_done() -> None:
    talk = book()
    person, other = ready(talk), ready(talk, "b")

    def reply(data: Any) -> None:
        raise Disconnect(Cause.SLOW_CONSUMER)

    answer = Answer(reply=1, subscribe=("c",), events=(Said(channel="user:b", event="E", data=2),))
    with pytest.raises(Disconnect, match="slow_consumer"):
        apply(talk.hub, person.session, answer, reply)
    assert numbers(other) == [2]
    assert talk.realm.subscribers("c") == [person.session]


def test_what_cannot_be_said_is_counted_and_the_rest_is_said(caplog: pytest.LogCaptureFixture) -> None:
    talk = book()
    Playbook(rooms.PROTOCOL, hub=talk.hub, listener="rooms")
    person = ready(talk)
    answer = Answer(events=(Said(channel="room:1", event="nonsense"), Said(channel="user:a", event="E", data=3)))
    assert apply(talk.hub, person.session, answer, lambda data: None) == 1
    assert numbers(person) == [3]
    assert "rooms has no event 'nonsense'" in caplog.text


def test_who_is_subscribed_gets_what_waited_for_the_first_receiver() -> None:
    talk = book()
    person = ready(talk)
    talk.hub.publish(talk.realm, "service:work", "E", 1, one=True)
    apply(talk.hub, person.session, Answer(subscribe=("service:work",)), None)
    assert numbers(person) == [1]


def test_an_answer_stays_in_the_realm_of_who_asked() -> None:
    talk = book()
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other", realm="other")
    one, two = ready(talk), ready(other)
    events = (Said(channel="user:a", event="E", data=1), Said(channel="user:a", event="E", data=2, realm="other"))
    assert apply(talk.hub, one.session, Answer(events=events), None) == 0
    assert (numbers(one), numbers(two)) == ([1], [2])


def test_a_realm_that_nobody_has_is_the_backends_error() -> None:
    talk = book()
    person = ready(talk)
    heard: list[Any] = []
    talk.hub.realms.make("gone").documents.put("k", 1)
    events = (Said(channel="user:a", event="E", data=1), Said(channel="user:a", event="E", realm="gone"))
    with pytest.raises(
        BackendError, match=r"events\[1\]\.realm: no listener is in realm 'gone'; there are main"
    ) as failed:
        apply(talk.hub, person.session, Answer(reply=1, events=events, disconnect="x"), heard.append)
    assert failed.value.slug == "invalid"
    assert (heard, numbers(person), person.closed) == ([], [], None)  # nothing of it is done
