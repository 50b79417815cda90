"""What is written, and when: one row per event, session rows where they changed, and nothing where nothing waits."""

from __future__ import annotations

import pytest

from gatewayd.config.limits import HubLimits
from gatewayd.core.close import Cause
from gatewayd.core.grant import Grant
from gatewayd.core.record import SessionRecord, Span, Table, decode_event, decode_session
from gatewayd.core.session import Session
from gatewayd.hub.grants import settle
from gatewayd.hub.journaling import SLACK
from gatewayd.protocols import dmod, utilbot
from tests.hub.disk import Disk, deaf, kept, plain, snapshot
from tests.hub.test_hub import ready, ready_again
from tests.playbook import Playbook

AHEAD = HubLimits().ahead


def record(disk: Disk, session: Session) -> SessionRecord:
    return decode_session(disk.rows[Table.SESSIONS, session.id])


def test_what_every_socket_took_costs_nothing() -> None:
    talk, disk = kept()
    person = ready(talk)
    assert disk.write(talk.hub) == {(Table.SESSIONS, person.session.id)}
    for number in range(10):
        talk.publish("user:a", "E", number)
    assert not disk.stirred
    assert (person.session.backlog.kept, talk.hub.journaling.holders) == (0, {})


def test_an_event_is_one_row_however_many_wait_for_it() -> None:
    talk, disk = kept()
    people = [ready(talk, name) for name in "abc"]
    for person in people:
        person.leave()
    disk.write(talk.hub)
    talk.publish("service:bot", "E", {"x": 0})
    assert {table for table, _ in disk.write(talk.hub)} == {Table.SESSIONS, Table.EVENTS}, "they are in a log now"
    talk.publish("service:bot", "E", {"x": 1})
    ((table, number),) = disk.write(talk.hub)  # no session has changed: their rows say already from where on
    row = decode_event(disk.rows[table, number])
    assert table is Table.EVENTS
    assert (row.channel, row.name, bytes(row.data), row.one) == ("service:bot", "E", b'{"x":1}', False)
    assert (row.holders, list(row.logs.values())) == ({}, [(2, 0)])
    (log,) = row.logs
    assert [record(disk, person.session).spans for person in people] == [(Span(log, 0, 0, None),)] * 3
    again = ready_again(talk, "a")
    disk.write(talk.hub)
    assert {number} < disk.keys(Table.EVENTS)
    assert (record(disk, again.session).written, record(disk, again.session).spans) == (2, ())
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
    assert (person.session.backlog.kept, talk.hub.journaling.holders) == (2, {})


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
    row = record(disk, person.session)
    assert (row.given, row.lost, row.gaps) == (1, 1, {"too_big": 1})
    assert disk.keys(Table.EVENTS) == set()
    for number in range(5):
        talk.publish("user:a", "E", number)
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == 2
    row = record(disk, person.session)
    assert (row.given, row.lost, row.gaps) == (6, 4, {"too_big": 1, "resume_buffer_full": 3})


def test_what_does_not_fit_is_not_kept_behind_what_does() -> None:
    talk, disk = kept(resume_bytes=100)
    person = ready(talk)
    person.leave()
    talk.publish("user:a", "E", 1)
    for _ in range(5):
        talk.publish("user:a", "E", "x" * 200)
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == len(person.session.backlog) == 1
    assert record(disk, person.session).gaps == {"too_big": 5}


def test_what_gave_way_between_two_writes_is_said_to_be_over() -> None:
    talk, disk = kept(resume_events=2)
    person = ready(talk)
    person.leave()
    session = person.session
    for number in range(2):
        talk.publish("user:a", "E", number)
    disk.write(talk.hub)
    assert (record(disk, session).written, disk.keys(Table.EVENTS)) == (0, {1, 2})
    for number in range(3):
        talk.publish("user:a", "E", number)
    disk.write(talk.hub)
    assert (record(disk, session).written, disk.keys(Table.EVENTS)) == (3, {4, 5})


def test_a_disk_that_hangs_does_not_fill_the_memory() -> None:
    talk, disk = kept(resume_events=10)
    person = ready(talk)
    person.leave()
    for number in range(1000):
        talk.publish("user:a", "E", number)
    assert talk.hub.journaling.holders == {}
    disk.write(talk.hub)
    assert len(talk.hub.journaling.holders) == len(disk.keys(Table.EVENTS)) == 10
    assert record(disk, person.session).written == 990


def test_what_is_held_behind_something_that_is_kept_longer_is_bounded() -> None:
    talk, disk = kept(dmod.PROTOCOL)
    person = talk.connect()
    person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    deaf(person)
    talk.publish("user:7", "NOTIFICATION", 0)
    for number in range(SLACK + 1):
        talk.publish("user:7", "E", number)
    disk.write(talk.hub)
    person.reads = True
    person.heard()
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == 1 + SLACK + 1
    deaf(person)
    talk.publish("user:7", "E", 1)
    disk.write(talk.hub)
    person.reads = True
    person.heard()
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == {1}
    talk.advance(30)
    person.say({"op": 4})
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()


def test_what_is_written_behind_something_that_is_kept_longer_is_in_no_next_run() -> None:
    talk, disk = kept(dmod.PROTOCOL)
    person = talk.connect()
    person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    deaf(person)
    for name in ("NOTIFICATION", "E"):
        talk.publish("user:7", name, 1)
    disk.write(talk.hub)
    person.reads = True
    person.heard()
    disk.write(talk.hub)
    assert (record(disk, person.session).written, record(disk, person.session).acknowledged) == (2, 0)
    assert plain(snapshot(talk.hub)) == plain(disk.rows)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_kept_until_it_is_acknowledged_is_written_down(at_once: bool) -> None:
    talk, disk = kept(dmod.PROTOCOL)
    person = talk.connect(at_once=at_once)
    person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    disk.write(talk.hub)
    talk.publish("user:7", "E", 1)
    assert not disk.stirred
    talk.publish("user:7", "NOTIFICATION", 1)
    assert [payload["op"] for payload in person.heard()] == [0, 2, 5, 5]
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == {2}
    talk.advance(30)
    person.say({"op": 4})
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()


def test_every_row_reserves_sequences_until_the_run_ends_in_order() -> None:
    """What is given between two writes is in no row; nobody shall be given the same sequence again. One that is away
    may come and be given something before the next write.
    """
    talk, disk = kept()
    there, away = ready(talk, "a"), ready(talk, "b")
    talk.publish("service:bot", "E", 1)
    away.leave()
    disk.write(talk.hub)
    assert [(row.given, row.mark) for row in (record(disk, there.session), record(disk, away.session))] == [
        (1, 1 + AHEAD), (1, 1 + AHEAD)
    ]  # fmt: skip
    talk.publish("service:bot", "E", 2)
    talk.hub.journaling.reserve(talk.hub.sessions.values())
    disk.write(talk.hub)
    assert [(row.given, row.mark) for row in (record(disk, there.session), record(disk, away.session))] == [
        (2, 2 + AHEAD), (2, 2 + AHEAD)
    ]  # fmt: skip
    talk.hub.journaling.finish(talk.hub.sessions.values())
    disk.write(talk.hub)
    assert [(row.given, row.mark) for row in (record(disk, there.session), record(disk, away.session))] == [
        (2, 2), (2, 2)
    ]  # fmt: skip


def test_what_a_grant_gave_is_written() -> None:
    talk, disk = kept()
    person = ready(talk)
    grant = Grant(granted=True, channels=("news",), metadata={"role": "admin"})
    talk.hub.journaling.gather()
    disk.waiting.clear()
    settle(talk.hub, person.session, grant)
    disk.write(talk.hub)
    settle(talk.hub, person.session, Grant(granted=True, channels=("news",), metadata={"role": "guest"}))
    disk.write(talk.hub)
    row = record(disk, person.session)
    assert row.grant == (["news"], {"role": "guest"})
    assert row.granted == ["news"]
    assert row.metadata["role"] == "guest"


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
    talk.hub.end_all(Cause.SHUTDOWN)
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
    talk.hub.journaling.changed(person.session)
    talk.hub.journaling.behind(person.session)
    assert not disk.stirred
