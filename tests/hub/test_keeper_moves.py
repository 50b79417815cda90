"""What is written of events that overtake each other, and of sessions and events that change hands."""

from __future__ import annotations

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.record import Table, decode_event, decode_session
from gatewayd.core.session import NOTHING, Session
from gatewayd.protocols import discodo, oxyl
from tests.hub.disk import Disk, deaf, kept
from tests.hub.test_hub import ready, ready_again
from tests.playbook import Person, Playbook


def said(disk: Disk, session: Session) -> int:
    return decode_session(disk.rows[Table.SESSIONS, session.id]).said


def test_an_event_that_was_overtaken_is_not_taken_for_said() -> None:
    """While one is on its way to many, another may be published: who got that first still has to get the older one."""
    talk, disk = kept()
    person = ready(talk)
    session = person.session
    person.leave()
    hub = talk.hub
    old, new, newest = (hub._event("user:a", "E", number) for number in range(3))
    for event in (new, old, newest):
        session.missed.keep(event)
        hub.keeper.hold(session, event)
        hub.keeper.hold(session, event)
    disk.write(hub)
    assert decode_event(disk.rows[Table.EVENTS, old.number]).late == [session.id]
    assert [event.waiting for event in (old, new, newest)] == [1, 1, 1]
    session.missed.forget(new)
    hub.keeper.touch(session)
    disk.write(hub)
    assert said(disk, session) == new.number
    assert disk.keys(Table.EVENTS) == {old.number, newest.number}
    session.missed.forget(old)
    hub.keeper.touch(session)
    disk.write(hub)
    assert said(disk, session) == new.number
    assert disk.keys(Table.EVENTS) == {newest.number}


def test_an_overtaken_event_that_others_wait_for_forgets_who_has_it() -> None:
    talk, disk = kept()
    people = [ready(talk, name) for name in "ab"]
    hub = talk.hub
    old, new = hub._event("service:bot", "E", 1), hub._event("service:bot", "E", 2)
    for person in people:
        person.leave()
        for event in (new, old):
            person.session.missed.keep(event)
            hub.keeper.hold(person.session, event)
    disk.write(hub)
    ready_again(talk, "a")
    disk.write(hub)
    row = decode_event(disk.rows[Table.EVENTS, old.number])
    assert row.holders == row.late == [people[1].session.id]


def test_a_session_that_moves_to_a_listener_with_another_promise() -> None:
    talk, disk = kept(discodo.PROTOCOL)
    loose = Playbook(discodo.PROTOCOL, hub=talk.hub, listener="loose", durable=False)
    loose.now = talk.now

    def audio(book: Playbook, *, reads: bool = True) -> Person:
        person = book.connect("/ws", headers={"authorization": "s3cret"})
        person.reads = reads
        person.say({"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}})
        return person

    first = audio(loose)
    deaf(first)
    disk.write(talk.hub)
    assert disk.rows == {}
    second = audio(talk)
    assert second.session is first.session
    deaf(second)
    talk.publish("user:a", "E", 1)
    disk.write(talk.hub)
    assert (len(disk.keys(Table.SESSIONS)), len(disk.keys(Table.EVENTS))) == (1, 1)
    audio(loose, reads=False)
    talk.publish("user:a", "E", 2)
    disk.write(talk.hub)
    assert disk.rows == {}
    assert not disk.stirred
    deaf(audio(talk, reads=False))
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == {talk.hub.numbers - 1, talk.hub.numbers}
    assert len(disk.keys(Table.SESSIONS)) == 1


def test_who_lags_before_it_takes_its_session_up_leaves_nothing_behind() -> None:
    talk, disk = kept()
    ready(talk).leave()
    talk.publish("user:a", "E", 1)
    late = talk.connect()
    deaf(late)
    fresh = late.session
    late.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
    assert late.session is not fresh
    disk.write(talk.hub)
    assert fresh.unsaid is NOTHING
    late.reads = True
    late.heard()
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()


def test_one_receiver_that_was_given_an_event_of_another_is_looked_at() -> None:
    """Its row went with the first holder's; what the second one's socket does not take must be in the same batch."""
    talk, disk = kept(oxyl.PROTOCOL)

    def service() -> Person:
        person = talk.connect()
        person.say({"op": 0, "d": {"type": "feeds", "compress": False, "secret": "s3cret"}})
        return person

    one = service()
    deaf(one)
    talk.hub.publish(talk.realm, "service:feeds", "E", 1, one=True)
    other = service()
    disk.write(talk.hub)
    other.reads = False
    one.leave()
    disk.write(talk.hub)
    (row,) = (decode_event(value) for _, value in disk.values(Table.EVENTS))
    assert row.holders == [other.session.id]
    other.connection.stop = lambda: None
    other.connection.end(Disconnect(Cause.SLOW_CONSUMER))
    talk.hub.publish(talk.realm, "service:feeds", "E", 2, one=True)
    disk.write(talk.hub)
    other.leave()
    disk.write(talk.hub)
    rows = [decode_event(value) for _, value in disk.values(Table.EVENTS)]
    assert [row.holders for row in rows] == [["service:feeds"]] * 2
