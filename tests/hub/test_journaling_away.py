"""What is written of sessions that are in an away log, of those that leave it, and what the next run makes of that."""

from __future__ import annotations

from typing import Any

from gatewayd.core.record import EventRecord, SessionRecord, Span, Table, decode_event, decode_session
from gatewayd.core.session import Session
from gatewayd.hub import journaling
from gatewayd.hub.away import FEW
from gatewayd.hub.hub import Hub
from gatewayd.protocols import utilbot
from tests.hub.disk import Disk, kept, plain, snapshot, take_up
from tests.hub.test_away import away, logged
from tests.hub.test_hub import numbers, ready_again
from tests.playbook import Playbook


def row(disk: Disk, session: Session) -> SessionRecord:
    return decode_session(disk.rows[Table.SESSIONS, session.id])


def events(disk: Disk) -> list[EventRecord]:
    return [decode_event(value) for _, value in disk.values(Table.EVENTS)]


def next_run(disk: Disk, *, always: bool = False, **settings: Any) -> tuple[Playbook, Disk]:
    """After a crash."""
    again = Disk(disk.rows)
    hub = Hub(lambda: talk.now, store=again)
    talk = Playbook(utilbot.PROTOCOL, hub=hub, always=always, **settings)
    take_up(again, talk.hub, {"main": talk.settings}, 0.0)
    return talk, again


def slowly(talk: Playbook, name: str) -> Session:
    """A client comes whose socket takes nothing of what was missed."""
    person = talk.connect()
    person.reads = False
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
    return person.session


def test_what_a_log_is_given_is_one_row_and_changes_no_other() -> None:
    talk, disk = kept(resume_events=3)
    sessions = away(talk, *"abc")
    talk.publish("service:bot", "E", 0)
    disk.write(talk.hub)
    for number in range(1, 9):
        talk.publish("service:bot", "E", number)
        assert {table for table, _ in disk.write(talk.hub)} == {Table.EVENTS}
    assert len(disk.keys(Table.EVENTS)) == 3
    assert [(len(event.holders), len(event.logs)) for event in events(disk)] == [(0, 1)] * 3
    assert {row(disk, session).lost for session in sessions} == {0}, "the next run counts it"
    assert plain(snapshot(talk.hub)) == plain(disk.rows)


def test_two_logs_grow_at_once() -> None:
    talk, disk = kept()
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other")
    sessions = [*away(talk, *"ab"), *away(other, *"cd")]
    for number in range(3):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    assert [len(event.logs) for event in events(disk)] == [2] * 3
    assert len({row(disk, session).spans[0].log for session in sessions}) == 2
    assert plain(snapshot(talk.hub)) == plain(disk.rows)


def test_a_log_of_which_no_row_is_left_gives_nothing() -> None:
    """Somebody has removed what was in it."""
    talk, disk = kept()
    away(talk, *"ab")
    talk.publish("service:bot", "E", 1)
    disk.write(talk.hub)
    disk.rows = {place: value for place, value in disk.rows.items() if place[0] is not Table.EVENTS}
    again, _ = next_run(disk)
    assert next((s.backlog.given, s.backlog.lost) for s in again.hub.sessions.values())[1] == 0
    assert numbers(ready_again(again, "a")) == []


def test_the_next_run_counts_what_gave_way() -> None:
    talk, disk = kept(resume_events=3)
    (first, *_) = away(talk, *"ab")
    talk.publish("user:a", "E", -1)
    for number in range(FEW):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    assert logged(talk) == {"b"}
    (late,) = away(talk, "c")
    for number in range(FEW, FEW + 4):
        talk.publish("service:bot", "E", number)
    assert logged(talk) == set("bc")
    disk.write(talk.hub)
    talk.publish("service:bot", "E", "not written")
    again, _ = next_run(disk, resume_events=3)
    known = {str(session.key): session.backlog for session in again.hub.sessions.values()}
    assert [known[name].lost for name in "abc"] == [6, 5, 1]
    assert known["b"].gaps == {"resume_buffer_full": 5, "unclean_end": 0}
    assert [[event.data for _, event in known[name].entries()] for name in "abc"] == [[5, 6, 7]] * 3
    assert known["c"].entries()[0][0] == 2, "the second that it was given"
    assert first.id in again.hub.sessions
    assert late.id in again.hub.sessions


def test_who_leaves_a_log_keeps_its_rows() -> None:
    talk, disk = kept()
    sessions = away(talk, *"abc")
    for number in range(5):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    (log,) = events(disk)[0].logs
    slow = slowly(talk, "a")
    assert slow is sessions[0]
    assert disk.write(talk.hub) == {(Table.SESSIONS, slow.id)}, "no event is written again"
    assert row(disk, slow).spans == (Span(log, 0, 0, 5),)
    assert row(disk, sessions[1]).spans == (Span(log, 0, 0),)
    assert plain(snapshot(talk.hub)) == plain(disk.rows)
    for name in "bc":
        numbers(ready_again(talk, name))
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == 5, "the slow one has still to get them"
    again, later = next_run(disk)
    assert [numbers(ready_again(again, name)) for name in "abc"] == [list(range(5)), [], []]
    later.write(again.hub)
    assert later.keys(Table.EVENTS) == set()
    for person in talk.people:
        person.reads = True
        person.heard()
    disk.write(talk.hub)
    disk.write(talk.hub)
    assert disk.keys(Table.EVENTS) == set()
    assert row(disk, slow).spans == ()
    assert talk.hub.journaling.holders == {}


def test_what_was_its_own_before_is_held_by_itself() -> None:
    """It joins with what it kept, and leaves, before a row says so."""
    talk, disk = kept()
    (first, *_) = away(talk, *"ab")
    talk.publish("user:a", "E", -1)
    disk.write(talk.hub)
    for number in range(FEW):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    talk.publish("service:bot", "E", FEW)
    talk.publish("service:bot", "E", FEW + 1)
    assert logged(talk) == set("ab")
    disk.write(talk.hub)
    (log,) = events(disk)[-1].logs
    assert row(disk, first).spans == (Span(log, FEW, FEW + 1),)
    talk.hub.tell(first, "E", "alone")
    disk.write(talk.hub)
    assert row(disk, first).spans == (Span(log, FEW, FEW + 1, 2),)
    assert plain(snapshot(talk.hub)) == plain(disk.rows)
    again, _ = next_run(disk)
    assert numbers(ready_again(again, "a")) == [-1, *range(FEW + 2), "alone"]


def test_who_comes_and_goes_between_two_writes() -> None:
    talk, disk = kept()
    (first, *_) = away(talk, *"ab")
    for number in range(3):
        talk.publish("service:bot", "E", number)
    talk.hub.tell(first, "E", "alone")
    for number in range(3, 3 + FEW + 2):
        talk.publish("service:bot", "E", number)
    assert logged(talk) == set("ab")
    talk.hub.tell(first, "E", "again")
    assert logged(talk) == {"b"}
    disk.write(talk.hub)
    assert plain(snapshot(talk.hub)) == plain(disk.rows)
    expected = [0, 1, 2, "alone", *range(3, 3 + FEW + 2), "again"]
    again, _ = next_run(disk)
    assert numbers(ready_again(again, "a")) == expected
    assert numbers(ready_again(talk, "a")) == expected


def test_own_events_that_no_row_has_yet_come_before_what_a_span_has() -> None:
    talk, disk = kept()
    (first, *_) = away(talk, *"abc")
    for number in range(2):
        talk.publish("service:bot", "E", number)
    talk.hub.tell(first, "E", "alone")
    disk.write(talk.hub)
    for number in range(2, 2 + FEW):  # its own, and in no row; the log of the others has one for each
        talk.publish("service:bot", "E", number)
    talk.publish("service:bot", "E", 9)
    disk.write(talk.hub)
    talk.publish("service:bot", "E", 10)
    talk.hub.tell(first, "E", "again")
    disk.write(talk.hub)
    assert plain(snapshot(talk.hub)) == plain(disk.rows)
    again, _ = next_run(disk)
    assert numbers(ready_again(again, "a")) == [0, 1, "alone", *range(2, 2 + FEW), 9, 10, "again"]


def test_a_span_of_what_has_given_way_brings_nothing_back() -> None:
    """An event that another one has still to get is in a row, though it gave way for those in the log."""
    talk, disk = kept(resume_events=4)
    away(talk, *"abc")
    for number in range(4):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    slowly(talk, "a")
    disk.write(talk.hub)
    for number in range(4, 6):
        talk.publish("service:bot", "E", number)
    slowly(talk, "b")
    disk.write(talk.hub)
    assert len(disk.keys(Table.EVENTS)) == 6
    again, _ = next_run(disk, resume_events=4)
    known = {str(session.key): session.backlog for session in again.hub.sessions.values()}
    assert [[event.data for _, event in known[name].entries()] for name in "abc"] == [[2, 3, 4, 5]] * 3
    assert [known[name].lost for name in "bc"] == [2, 2]
    assert [known[name].gaps.get("resume_buffer_full") for name in "abc"] == [2, None, 2], "b was told"


def test_a_row_names_few_logs() -> None:
    """What is beyond that is held for the session by itself."""
    talk, disk = kept()
    (first, *_) = away(talk, *"abc")
    rounds = journaling.SPANS + 2
    for number in range(rounds):
        for part in range(FEW + 2):
            talk.publish("service:bot", "E", f"{number}.{part}")
        assert "a" in logged(talk)
        disk.write(talk.hub)
        talk.hub.tell(first, "E", f"{number} alone")
    disk.write(talk.hub)
    assert len(row(disk, first).spans) == journaling.SPANS
    assert plain(snapshot(talk.hub)) == plain(disk.rows)
    again, _ = next_run(disk)
    expected = [
        item
        for number in range(rounds)
        for item in (*(f"{number}.{part}" for part in range(FEW + 2)), f"{number} alone")
    ]
    assert numbers(ready_again(again, "a")) == expected


def test_a_span_goes_with_what_it_is_of() -> None:
    talk, disk = kept(resume_events=FEW + 4)
    (first, *_) = away(talk, *"abc")
    for number in range(6):
        for part in range(FEW + 2):
            talk.publish("service:bot", "E", f"{number}.{part}")
        assert "a" in logged(talk)
        disk.write(talk.hub)
        talk.hub.tell(first, "E", f"{number} alone")
    disk.write(talk.hub)
    assert len(row(disk, first).spans) == 1
    assert plain(snapshot(talk.hub)) == plain(disk.rows)


def test_a_run_that_ends_in_order_goes_on_with_the_next_sequence() -> None:
    talk, disk = kept()
    away(talk, *"ab")
    for number in range(3):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    talk.hub.journaling.finish(talk.hub.sessions.values())
    disk.write(talk.hub)
    again, _ = next_run(disk)
    assert [(s.backlog.given, s.backlog.gaps) for s in again.hub.sessions.values()] == [(3, {})] * 2
    again.publish("service:bot", "E", 3)
    assert numbers(ready_again(again, "a")) == [0, 1, 2, 3]


def test_a_session_that_is_not_kept_has_no_spans() -> None:
    talk, disk = kept(durable=False)
    (first, *_) = away(talk, *"ab")
    for number in range(3):
        talk.publish("service:bot", "E", number)
    assert logged(talk) == set("ab")
    talk.hub.tell(first, "E", "alone")
    disk.write(talk.hub)
    assert disk.rows == {}


def test_who_ends_in_a_log_leaves_nothing() -> None:
    talk, disk = kept()
    away(talk, *"ab")
    for number in range(3):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    talk.advance(10_000)
    assert not talk.hub.sessions
    disk.write(talk.hub)
    assert disk.rows == {}
    assert talk.hub.journaling.holders == {}


def test_sequences_that_move_take_no_spans_along() -> None:
    """A client that counts has seen more than is on disk: what came since is behind that, and held by itself."""
    talk, disk = kept()
    away(talk, *"ab")
    for number in range(3):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    again, later = next_run(disk, always=True)
    (first, *_) = (session for session in again.hub.sessions.values() if session.key == "a")
    assert first.backlog.unsure is not None
    for number in range(3, 3 + FEW + 2):
        again.publish("service:bot", "E", number)
    assert logged(again) == set("ab")
    later.write(again.hub)
    first.backlog.source.let_go()
    first.backlog.make_sure(5)
    again.hub.journaling.renumbered(first)
    later.write(again.hub)
    assert plain(snapshot(again.hub)) == plain(later.rows)
    assert [sequence for sequence, _ in first.backlog.entries()] == [1, 2, 3, *range(6, 6 + FEW + 2)]
    third, _ = next_run(later, always=True)
    (found,) = (session for session in third.hub.sessions.values() if session.key == "a")
    assert found.backlog.entries()[-1][0] == 6 + FEW + 1
    assert [event.data for _, event in found.backlog.entries()] == list(range(3 + FEW + 2))


def test_a_snapshot_says_the_same() -> None:
    """The way back from a failure of the disk."""
    talk, disk = kept(resume_events=6)
    sessions = away(talk, *"abc")
    for number in range(8):
        talk.publish("service:bot", "E", number)
    disk.write(talk.hub)
    slowly(talk, "a")
    talk.publish("service:bot", "E", 8)
    disk.anew(talk.hub)
    assert plain(snapshot(talk.hub)) == plain(disk.rows)
    again, _ = next_run(disk, resume_events=6)
    assert [numbers(ready_again(again, name)) for name in "bc"] == [list(range(3, 9))] * 2
    assert [again.hub.sessions[session.id].backlog.lost for session in sessions[1:]] == [3, 3]
