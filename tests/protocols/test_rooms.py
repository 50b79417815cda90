"""rooms as its document has it: the handshake, heartbeats both ways, and what the backend's events do."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from gatewayd.core.behaviour import Handshake, Unpublishable
from gatewayd.core.close import Cause, Disconnect, Refused
from gatewayd.core.events import Identify
from gatewayd.protocols import rooms
from tests.playbook import OPEN, Person, Playbook
from tests.protocols import bad

HELLO = {"e": 0, "d": {"heartbeatInterval": 30000}}


def book(*, ad_hoc: bool = True, **more: Any) -> Playbook:
    return Playbook(rooms.PROTOCOL, options={"ad_hoc": ad_hoc}, **more)


def enter(talk: Playbook, participant: str = "7", room: str = "42", *, lost: int = 0) -> Person:
    person = talk.connect("/gateway", {"roomId": room, "participantId": participant, "token": "s3cret"})
    heard = person.heard()
    assert heard[0] == (HELLO if not lost else {"e": 0, "d": {"heartbeatInterval": 30000, "lost": lost}})
    person._raw = [("text", payload) for payload in heard[1:]]
    return person


def refused(talk: Playbook, participant: str = "7", room: str = "42") -> int:
    with pytest.raises(Refused) as caught:
        enter(talk, participant, room)
    return caught.value.status


@pytest.mark.parametrize(
    ("path", "query", "headers", "status"),
    [
        ("/", {"roomId": "1", "participantId": "2", "token": "s3cret"}, {}, 404),
        ("/gateway", {"participantId": "2", "token": "s3cret"}, {}, 400),
        ("/gateway", {"roomId": "1", "participantId": "", "token": "s3cret"}, {}, 400),
        ("/gateway", {"roomId": "r" * 508, "participantId": "2", "token": "s3cret"}, {}, 400),
        ("/gateway", {"roomId": "1", "participantId": "p" * 513, "token": "s3cret"}, {}, 400),
        ("/gateway", {"roomId": "1", "participantId": "2"}, {}, 403),
        ("/gateway", {"roomId": "1", "participantId": "2", "token": "wrong"}, {}, 403),
        ("/gateway", {"roomId": "1", "participantId": "2"}, {"authorization": "Bearer wrong"}, 403),
        ("/gateway", {"roomId": "1", "participantId": "2"}, {"authorization": "Bearer s3cret"}, None),
    ],
)
def test_the_handshake(path: str, query: dict[str, str], headers: dict[str, str], status: int | None) -> None:
    talk = book()
    if status is None:
        assert talk.connect(path, query, headers).heard() == [HELLO]
        return
    with pytest.raises(Refused) as caught:
        talk.connect(path, query, headers)
    assert caught.value.status == status


def test_a_room_must_be_there_unless_rooms_are_ad_hoc() -> None:
    talk = book(ad_hoc=False, auth=OPEN)
    assert refused(talk) == 404
    talk.realm.rooms.create("42", {})
    enter(talk)


def test_the_server_beats_before_every_interval_is_over_and_probes_at_one_of_silence() -> None:
    talk = book()
    person = enter(talk)
    talk.advance(28.9)
    assert person.heard() == []
    talk.advance(0.1)
    assert person.heard() == [{"e": 1, "d": {}}]
    person.say({"e": 1, "d": {}})
    talk.advance(29)
    assert person.heard() == [{"e": 1, "d": {}}]
    talk.advance(1)
    assert person.heard() == [{"e": 2, "d": {}}]
    talk.advance(4.9)
    assert person.closed is None
    talk.advance(0.1)
    assert person.closed == (4001, "no heartbeat in 35 s")


def test_a_client_that_waits_for_one_interval_hears_each_heartbeat_in_time_and_is_not_asked() -> None:
    """The page that came with the document closes when two heartbeats are an interval apart."""
    for interval, early in ((30.0, 1.0), (10.0, 0.5)):
        talk = book(interval=interval)
        person = talk.connect("/gateway", {"roomId": "42", "participantId": "7", "token": "s3cret"})
        assert person.heard() == [{"e": 0, "d": {"heartbeatInterval": interval * 1000}}]
        for _ in range(20):
            talk.advance(interval - early)
            assert person.heard() == [{"e": 1, "d": {}}]
            person.say({"e": 1, "d": {}})


def test_the_client_may_ask_too() -> None:
    person = enter(book())
    person.say({"e": 2, "d": {}})
    assert person.heard() == [{"e": 1, "d": {}}]


def test_answers_are_bounded_to_one_a_second_and_asking_is_a_sign_of_life() -> None:
    talk = book()
    person = enter(talk)
    beat = {"e": 1, "d": {}}
    for _ in range(10):  # it answers whatever it hears by asking
        talk.advance(30)
        for _ in range(10):
            for _ in person.heard():
                person.say({"e": 2, "d": {}})
    assert person.closed is None
    assert person.connection.received == 3 * 10  # to each heartbeat, to the question beside it, and to one answer
    talk.advance(1.5)
    for _ in range(3):
        person.say({"e": 2, "d": {}})
    assert person.heard() == [beat]
    talk.advance(0.9)
    person.say({"e": 2, "d": {}})
    assert person.heard() == []
    talk.advance(0.1)
    person.say({"e": 2, "d": {}})
    assert person.heard() == [beat]


def test_a_scheduled_heartbeat_is_no_answer() -> None:
    talk = book()
    person = enter(talk)
    talk.advance(29.9)
    person.say({"e": 2, "d": {}})
    talk.advance(0.1)
    person.say({"e": 2, "d": {}})
    assert person.heard() == [{"e": 1, "d": {}}] * 2
    talk.advance(0.9)
    person.say({"e": 2, "d": {}})
    assert person.heard() == [{"e": 1, "d": {}}]


MESSAGES = [
    ("message_create", 3, {"authorId": "7", "content": "hi", "sentAt": 1}),
    ("room_update", 4, {"chatLocked": True, "discordWebhookLink": "https://x"}),
    ("participant_update", 6, {"userId": "7", "color": True, "admin": True}),
]


@pytest.mark.parametrize(("name", "code", "data"), MESSAGES)
def test_events_reach_everyone_in_the_room(name: str, code: int, data: Any) -> None:
    talk = book()
    one, two, elsewhere = enter(talk, "7"), enter(talk, "8"), enter(talk, "9", "43")
    assert talk.publish("room:42", name, data) == (2, 0, 0)
    assert one.heard() == two.heard() == [{"e": code, "d": data}]
    assert elsewhere.heard() == []


def test_a_kick_is_heard_by_all_and_then_closes_that_participant() -> None:
    talk = book()
    one, two = enter(talk, "7"), enter(talk, "8")
    assert talk.publish("room:42", "participant_kick", {"userId": "7"}) == (2, 0, 0)
    assert one.heard() == two.heard() == [{"e": 5, "d": {"userId": "7"}}]
    assert one.closed == (4003, "kicked from the room")
    assert two.closed is None
    enter(talk, "7")


def test_a_ban_keeps_out_until_it_is_lifted() -> None:
    talk = book()
    one, two = enter(talk, "7"), enter(talk, "8")
    one.leave()
    talk.publish("room:42", "participant_update", {"userId": "7", "banned": True})
    assert two.heard() == [{"e": 6, "d": {"userId": "7", "banned": True}}]
    assert refused(talk, "7") == 403
    talk.publish("room:42", "participant_update", {"userId": "7", "banned": False})
    enter(talk, "7")


def test_lock_and_cap_let_back_in_who_was_in() -> None:
    talk = book()
    one = enter(talk, "7")
    talk.publish("room:42", "room_update", {"roomLocked": True, "maxParticipants": 2})
    assert talk.realm.rooms.state("42") == {"roomLocked": True, "maxParticipants": 2}
    assert refused(talk, "8") == 403
    one.leave()
    again = enter(talk, "7")
    newer = enter(talk, "7")
    assert again.closed == (4005, "replaced by a newer connection")
    talk.publish("room:42", "room_update", {"roomLocked": False})
    newer.leave()
    enter(talk, "8")
    assert refused(talk, "9") == 403  # the detached one counts
    talk.advance(60)
    enter(talk, "9")


def test_a_close_ends_everyone_and_the_name_stays_closed() -> None:
    talk = book()
    one, two = enter(talk, "7"), enter(talk, "8")
    talk.publish("room:42", "room_close", {})
    for person in (one, two):
        assert person.heard() == [{"e": 7, "d": {}}]
        assert person.closed == (4004, "room closed")
    assert refused(talk) == 410
    talk.publish("room:42", "room_update", {"chatLocked": True})
    assert refused(talk) == 410
    talk.realm.rooms.create("42", {})
    enter(talk)


def test_missed_events_come_right_after_hello() -> None:
    talk = book(resume_events=2)
    one = enter(talk)
    one.leave()
    message = {"authorId": "8", "content": "hi", "sentAt": 1}
    for n in range(3):
        talk.publish("room:42", "message_create", {**message, "sentAt": n})
    again = enter(talk, lost=1)
    talk.publish("room:42", "message_create", {**message, "sentAt": 3})
    assert [payload["d"]["sentAt"] for payload in again.heard()] == [1, 2, 3]
    assert again.session.backlog.lost == 1
    again.leave()
    enter(talk)  # what was said once is not said again


def test_what_is_lost_when_a_connection_is_replaced_is_said_by_the_same_hello() -> None:
    talk = book(resume_events=1)
    one = enter(talk)
    one.reads = False
    for n in range(3):
        talk.publish("room:42", "message_create", {"authorId": "8", "content": "hi", "sentAt": n})
    two = enter(talk, lost=2)
    assert [payload["d"]["sentAt"] for payload in two.heard()] == [2]
    assert one.closed == (4005, "replaced by a newer connection")


def test_an_ad_hoc_room_is_forgotten_with_its_last_participant_unless_it_has_a_state() -> None:
    talk = book()
    enter(talk).leave(Cause.CLIENT_CLOSED)
    assert talk.realm.rooms.state("42") is None
    one, two = enter(talk), enter(talk, "8")
    one.leave(Cause.CLIENT_CLOSED)
    assert talk.realm.rooms.state("42") == {}
    talk.publish("room:42", "room_update", {"chatLocked": True})
    two.leave(Cause.CLIENT_CLOSED)
    assert talk.realm.rooms.state("42") == {"chatLocked": True}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("ANYTHING", {}),
        ("hello", {}),
        ("message_create", []),
        ("message_create", {"authorId": "7", "content": "hi"}),
        ("message_create", {"authorId": 7, "content": "hi", "sentAt": 1}),
        ("room_update", {"maxParticipants": True}),
        ("room_update", {"maxParticipants": -1}),
        ("room_update", {"maxParticipants": 2**63}),
        ("room_update", {"discordWebhookLink": "h" * 2049}),
        ("participant_update", {"userId": "u" * 513, "banned": True}),
        ("participant_kick", {}),
    ],
)
def test_what_cannot_be_said_is_refused(name: str, data: Any) -> None:
    talk = book()
    person = enter(talk)
    for channel in ("room:42", f"session:{person.session.id}", "listener:main", "room:nobody"):
        with pytest.raises(Unpublishable):
            talk.publish(channel, name, data)
    assert person.heard() == []


def test_effects_belong_to_the_rooms_channel_alone() -> None:
    talk = book()
    person = enter(talk)
    talk.publish(f"session:{person.session.id}", "participant_kick", {"userId": "7"})
    assert person.closed is None


@pytest.mark.parametrize(("message", "cause"), bad.cases("e"), ids=bad.name)
def test_bad_input(message: Any, cause: Cause) -> None:
    person = enter(book())
    person.say(message)
    assert person.closed is not None
    assert person.closed[0] == 4002


def test_causes_from_outside() -> None:
    codes = {Cause.RATE_LIMITED: 4006, Cause.SLOW_CONSUMER: 4007, Cause.SHUTDOWN: 1001, Cause.TOO_BIG: 1009}
    for cause, code in codes.items():
        person = enter(book())
        person.connection.end(Disconnect(cause))
        assert person.closed == (code, cause.words)
    person = enter(book())
    person.book.hub.end(person.session, Disconnect(Cause.KICKED, "bye"))
    assert person.closed == (4003, "bye")


def test_the_same_names_in_odd_characters_are_different_people() -> None:
    talk = book()
    enter(talk, "b/c", "a")
    enter(talk, "c", "a/b")
    assert len(talk.hub.sessions) == 2


def test_too_many_rooms_is_a_refusal_not_a_crash() -> None:
    talk = book()
    talk.realm.rooms.create("other", {})
    person = enter(talk)
    person.say({"e": 7, "d": {}})
    assert person.closed == (4002, "unknown or wrong opcode")


@pytest.mark.parametrize(
    ("event", "data", "code"),
    [("room_close", {}, 4004), ("participant_update", {"userId": "late", "banned": True}, 4003)],
)
def test_what_happens_to_the_room_during_the_handshake_counts(event: str, data: dict[str, Any], code: int) -> None:
    """A participant whose 101 is on its way must not open a closed room again, nor escape a ban."""

    class Slow(rooms.RoomsBehaviour):
        async def admit(self, handshake: Handshake) -> Identify | None:
            claim = await super().admit(handshake)
            if handshake.query["participantId"] == "late":
                talk.hub.post("room:42", event, data)
            return claim

    talk = Playbook(evolve(rooms.PROTOCOL, behaviour=Slow), options={"ad_hoc": True})
    enter(talk, "ann")
    late = talk.connect("/gateway", {"roomId": "42", "participantId": "late", "token": "s3cret"})
    assert late.closed is not None
    assert late.closed[0] == code
