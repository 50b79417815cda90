"""What is written of events that overtake each other, and of sessions and events that change hands."""

from __future__ import annotations

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.record import Table, decode_event, decode_session
from gatewayd.core.session import Session
from gatewayd.hub.totals import Tally
from gatewayd.protocols import discodo, oxyl, utilbot
from tests.hub.disk import Disk, deaf, kept, take_up
from tests.hub.test_hub import numbers, ready, ready_again
from tests.playbook import Person, Playbook


def written(disk: Disk, session: Session) -> int:
    return decode_session(disk.rows[Table.SESSIONS, session.id]).written


def test_an_event_that_was_overtaken_is_not_taken_for_written() -> None:
    """While one is on its way to many, another may be published: who got that first still has to get the older one."""
    talk, disk = kept()
    hub = talk.hub
    first, second = ready(talk, "a"), ready(talk, "b")
    for person in (first, second):
        person.leave()
    old, new = (hub.delivery.event("service:bot", "E", number) for number in range(2))
    for session, order in ((first.session, (new, old)), (second.session, (old, new))):
        for event in order:
            hub.delivery.give((session,), event, Tally(hub.totals))
    disk.write(hub)
    assert [decode_event(disk.rows[Table.EVENTS, event.number]).holders for event in (old, new)] == [
        {first.session.id: 2, second.session.id: 1}, {first.session.id: 1, second.session.id: 2},
    ]  # fmt: skip
    again = talk.connect()
    again.reads = False
    again.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
    outbox = again.connection.outbox
    while again.session.backlog.written < 1:
        outbox.advance(1)
    disk.write(hub)
    assert (written(disk, first.session), written(disk, second.session)) == (1, 0)
    next_run = Playbook(utilbot.PROTOCOL)
    take_up(disk, next_run.hub, {"main": next_run.settings}, 0.0)
    assert [numbers(ready_again(next_run, name)) for name in "ab"] == [[0], [0, 1]]


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
    assert disk.keys(Table.EVENTS) == {talk.hub.delivery.numbers - 1, talk.hub.delivery.numbers}
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
    assert disk.keys(Table.SESSIONS) == {late.session.id}
    assert decode_event(disk.rows[Table.EVENTS, talk.hub.delivery.numbers]).holders == {late.session.id: 1}
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
    assert row.holders == {other.session.id: 1}
    other.stay()
    other.connection.end(Disconnect(Cause.SLOW_CONSUMER))
    talk.hub.publish(talk.realm, "service:feeds", "E", 2, one=True)
    disk.write(talk.hub)
    other.leave()
    disk.write(talk.hub)
    rows = [decode_event(value) for _, value in disk.values(Table.EVENTS)]
    assert [row.holders for row in rows] == [{"service:feeds": 0}] * 2
