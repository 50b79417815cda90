"""What is written, and when: one row per event, session rows where they changed, and nothing where nothing waits."""

from __future__ import annotations

import pytest

from gatewayd.core.close import Cause, Verdict
from gatewayd.core.events import Event
from gatewayd.core.grant import Grant
from gatewayd.core.record import Table, decode_event, decode_session
from gatewayd.core.session import NOTHING, Session
from gatewayd.hub.grants import settle
from gatewayd.hub.keeper import SLACK
from gatewayd.protocols import utilbot
from tests.hub.disk import Disk, deaf, kept, plain, snapshot
from tests.hub.test_hub import ready, ready_again
from tests.playbook import Playbook


def said(disk: Disk, session: Session) -> int:
    return decode_session(disk.rows[Table.SESSIONS, session.id]).said


def test_what_every_socket_took_costs_nothing() -> None:
    talk, disk = kept()
    person = ready(talk)
    assert disk.write(talk.hub) == {(Table.SESSIONS, person.session.id)}
    for number in range(10):
        talk.publish("user:a", "E", number)
    assert not disk.stirred
    assert person.session.unsaid is NOTHING


def test_an_event_is_one_row_however_many_wait_for_it() -> None:
    talk, disk = kept()
    people = [ready(talk, name) for name in "abc"]
    for person in people:
        person.leave()
    disk.write(talk.hub)
    talk.publish("service:bot", "E", {"x": 1})
    ((table, number),) = disk.write(talk.hub)  # no session has changed: their rows say already up to where they are
    row = decode_event(disk.rows[table, number])
    assert table is Table.EVENTS
    assert (row.channel, row.name, bytes(row.data), row.one) == ("service:bot", "E", b'{"x":1}', False)
    assert (row.holders, row.late) == ([person.session.id for person in people], [])
    again = ready_again(talk, "a")
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == {number}
    assert said(disk, again.session) == number
    for person in people[1:]:
        ready_again(talk, str(person.session.key))
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()


def test_a_client_that_has_not_identified_is_not_kept() -> None:
    talk, disk = kept()
    person = talk.connect()
    deaf(person)
    talk.hub.subscribe(person.session, "news")  # an operator may
    disk.write(talk.hub)
    assert disk.rows == {}
    person.leave()
    disk.write(talk.hub)
    assert disk.rows == {}
    assert talk.hub.totals.opened == 0


def test_a_session_that_nobody_wants_kept_is_not() -> None:
    talk, disk = kept(durable=False)
    person = ready(talk)
    deaf(person)
    talk.publish("user:a", "E", 1)
    person.leave()
    talk.publish("user:a", "E", 2)
    disk.write(talk.hub)
    assert disk.rows == {}
    assert person.session.unsaid is NOTHING


def test_a_slow_reader_is_looked_at_until_it_has_everything() -> None:
    talk, disk = kept()
    person = ready(talk)
    disk.write(talk.hub)
    deaf(person)
    for number in (1, 2):
        talk.publish("user:a", "E", number)
    assert {table for table, _ in disk.write(talk.hub)} == {Table.EVENTS}
    assert disk.stirred, "else what comes next would wait for somebody else's batch"
    talk.publish("user:a", "E", 3)  # the writer has its task already and says no more
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == 3
    assert disk.write(talk.hub) == set(), "nothing has changed, and nothing is written"
    person.connection.outbox.advance(len(person.connection.outbox.batch()))
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()
    assert not disk.stirred


def test_what_waits_behind_a_reply_is_seen_as_well() -> None:
    talk, disk = kept()
    person = ready(talk)
    deaf(person)
    person.say({"op": 10})  # its acknowledgement is no event, and the socket takes not even that
    disk.write(talk.hub)
    talk.publish("user:a", "E", 1)
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == 1


def test_a_batch_in_the_middle_of_a_replay_does_not_keep_it_for_ever() -> None:
    talk, disk = kept()
    ready(talk).leave()
    talk.publish("user:a", "E", 1)
    disk.write(talk.hub)
    again = talk.connect()
    again.reads = False
    again.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
    disk.write(talk.hub)  # before the turn is over: nobody has found that the socket takes everything
    assert len(disk.keys(Table.EVENTS)) == 1
    again.reads = True
    again.heard()
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()


def test_what_was_lost_for_want_of_room_is_not_kept() -> None:
    talk, disk = kept(resume_bytes=100, resume_events=2)
    person = ready(talk)
    person.leave()
    disk.write(talk.hub)
    talk.publish("user:a", "E", "x" * 200)
    disk.write(talk.hub)
    record = decode_session(disk.rows[Table.SESSIONS, person.session.id])
    assert (record.lost, record.untold) == (1, 1)
    assert disk.keys(Table.EVENTS) == set()
    for number in range(5):
        talk.publish("user:a", "E", number)
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == 2
    record = decode_session(disk.rows[Table.SESSIONS, person.session.id])
    assert (record.lost, record.untold) == (4, 4)


def test_what_does_not_fit_is_not_kept_behind_what_does() -> None:
    talk, disk = kept(resume_bytes=100)
    person = ready(talk)
    person.leave()
    talk.publish("user:a", "E", 1)
    for _ in range(5):
        talk.publish("user:a", "E", "x" * 200)
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == len(person.session.unsaid) == 1
    assert decode_session(disk.rows[Table.SESSIONS, person.session.id]).untold == 5


def test_what_gave_way_between_two_writes_is_said_to_be_over() -> None:
    talk, disk = kept(resume_events=10)
    person = ready(talk)
    person.leave()
    session = person.session
    disk.write(talk.hub)
    longest = 0
    while len(session.unsaid) >= longest:
        longest = len(session.unsaid)
        talk.publish("user:a", "E", 1)
    assert longest > len(session.unsaid)
    disk.write(talk.hub)
    assert said(disk, session) == session.said == session.unsaid[0].number - 1


def test_a_disk_that_hangs_does_not_fill_the_memory() -> None:
    talk, disk = kept(resume_events=10)
    person = ready(talk)
    person.leave()
    for number in range(1000):
        talk.publish("user:a", "E", number)
    session = person.session
    assert len(session.unsaid) <= 2 * 10 + SLACK + 1
    disk.write(talk.hub)
    assert len(session.unsaid) == len(disk.keys(Table.EVENTS)) == len(session.missed) == 10
    assert said(disk, session) == session.unsaid[0].number - 1


def test_what_a_grant_gave_is_written() -> None:
    talk, disk = kept()
    person = ready(talk)
    grant = Grant(granted=True, channels=("news",), metadata={"role": "admin"})
    talk.hub.keeper.gather()
    disk.waiting.clear()
    settle(talk.hub, person.session, grant)
    disk.write(talk.hub)
    settle(talk.hub, person.session, Grant(granted=True, channels=("news",), metadata={"role": "guest"}))
    disk.write(talk.hub)
    record = decode_session(disk.rows[Table.SESSIONS, person.session.id])
    assert record.grant == (["news"], {"role": "guest"})
    assert record.granted == ["news"]
    assert record.metadata["role"] == "guest"


def test_a_snapshot_is_what_the_writes_led_to() -> None:
    talk, disk = kept()
    for name in "abc":
        ready(talk, name)
    deaf(talk.people[0])
    talk.people[1].leave()
    for number in range(5):
        talk.publish("service:bot", "E", number)
    talk.hub.publish(talk.realm, "nobody", "E", 1, one=True)
    disk.write(talk.hub)
    assert plain(snapshot(talk.hub)) == plain(disk.rows)
    talk.publish("service:bot", "E", 5)
    before = plain(disk.rows)
    rows = plain(snapshot(talk.hub))
    assert rows != before
    disk.write(talk.hub)
    assert plain(disk.rows) == rows


def test_the_nodes_own_end_ends_what_it_does_not_keep() -> None:
    talk, disk = kept()
    loose = Playbook(utilbot.PROTOCOL, hub=talk.hub, listener="loose", durable=False)
    loose.now = talk.now
    ready(talk, "a")
    ready(loose, "b")
    talk.hub.end_all(Verdict(Cause.SHUTDOWN))
    assert [session.identity for session in talk.hub.sessions.values()] == ["a"]
    disk.write(talk.hub)
    assert len(disk.keys(Table.SESSIONS)) == 1


@pytest.mark.parametrize("cause", [Cause.KICKED, Cause.PEER_GONE])
def test_the_end_takes_its_rows_with_it(cause: Cause) -> None:
    talk, disk = kept(resume_window=0.0)
    person = ready(talk)
    deaf(person)
    talk.publish("user:a", "E", 1)
    disk.write(talk.hub)
    person.leave(cause)
    disk.write(talk.hub)
    assert disk.rows == {}
    talk.hub.keeper.touch(person.session)
    talk.hub.keeper.lags(person.connection)
    assert not disk.stirred


def test_what_a_smaller_buffer_cannot_take_is_not_held() -> None:
    """As when the limits were lowered between two runs."""
    talk, disk = kept(resume_bytes=100)
    person = ready(talk)
    person.leave()
    disk.write(talk.hub)
    talk.hub.keeper.hold(person.session, Event("user:a", "E", "x" * 200, talk.now, number=99))
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()
