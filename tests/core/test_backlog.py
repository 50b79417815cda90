"""The backlog keeps exactly what fits, in order, and counts the rest; clients go on from where they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.backlog import UNCLEAN_ENDS, Backlog
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.record import SessionRecord
from gatewayd.core.retention import Policy, Retention

WRITTEN = Policy()
ACKNOWLEDGED = Policy(Retention.ACKNOWLEDGED)
LATEST = Policy(Retention.LATEST)


def event(number: int, pad: int = 0, *, name: str = "E", at: float = 0.0) -> Event:
    return Event("c", name, {"n": number, "pad": "x" * pad}, at)


def backlog(policy: Policy = WRITTEN, **bounds: Any) -> Backlog:
    return Backlog(policy, **{"max_events": 10, "max_bytes": 1000, "max_age": 60.0, **bounds})


def taken(policy: Policy, count: int, **bounds: Any) -> Backlog:
    """So many events were given, and a socket took each at once."""
    book = backlog(policy, **bounds)
    for number in range(1, count + 1):
        book.given += 1
        if policy.retention is not Retention.WRITTEN:
            book.retain(event(number), 0.0)
    return book


def sequences(book: Backlog, after: int = 0) -> list[int]:
    return [sequence for sequence, _ in book.entries(after)]


def record(**cursors: Any) -> SessionRecord:
    """What the journal has of a session."""
    return SessionRecord(
        listener="main", protocol="p", remote="", opened=0.0, identity="a", key="a", resumable=True, generation=1,
        lifecycle_sequence=1, resumes=0, detached=None, channels=[], metadata={},
        **{"given": 0, "written": 0, "mark": 0, "lost": 0, **cursors},
    )  # fmt: skip


def restored(policy: Policy, entries: list[tuple[int, Event]], *, exact: bool = False, **cursors: Any) -> Backlog:
    book = backlog(policy, **cursors.pop("bounds", {}))
    book.restore(entries, record(**cursors), exact=exact)
    return book


# --- bounds -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(0, 10), st.integers(0, 400))
def test_it_replays_exactly_the_newest_that_fit(pads: list[int], max_events: int, max_bytes: int) -> None:
    book = backlog(max_events=max_events, max_bytes=max_bytes)
    events = [event(number, pad) for number, pad in enumerate(pads)]
    reported = sum(sum(book.keep(item).values()) for item in events)
    assert len(book) <= max_events
    assert book.bytes <= max_bytes
    kept, lost = [item for _, item in book.entries()], book.lost
    assert sum(book.resume(None, 0.0).values()) == reported == lost == len(events) - len(kept)
    assert sum(book.gaps.values()) == 0
    storable = [item for item in events if item.size <= max_bytes] if max_events else []
    assert kept == storable[len(storable) - len(kept) :]
    older = storable[: len(storable) - len(kept)]
    if older:  # one more would not have fitted
        assert len(kept) == max_events or sum(item.size for item in kept) + older[-1].size > max_bytes


def test_what_it_could_not_keep_even_alone() -> None:
    assert backlog(max_events=0).refuses(event(1)) is Drop.NOT_KEPT
    assert backlog(max_bytes=10).refuses(event(1)) is Drop.TOO_BIG
    book = backlog(max_events=1)
    assert book.refuses(event(1)) is None
    assert book.keep(event(1, 2000)) == {Drop.TOO_BIG: 1}
    assert (book.given, book.written, len(book), book.gaps) == (1, 1, 0, {"too_big": 1})


def test_what_was_written_gives_way_before_what_was_not() -> None:
    book = taken(ACKNOWLEDGED, 2, max_events=3)
    for number in (3, 4):
        book.append(event(number))
    assert (book.kept, book.trim(), book.gaps) == (4, {}, {"forgotten": 1})
    book.max_events = 1
    assert book.trim() == {Drop.RESUME_BUFFER_FULL: 1}
    assert (sequences(book), book.gaps) == ([4], {"forgotten": 2, "resume_buffer_full": 1})


def test_what_could_never_be_kept_makes_nothing_else_give_way_when_its_client_goes() -> None:
    book = backlog()
    for pad in (0, 2000, 0):
        book.append(event(1, pad))
    assert book.part() == {Drop.RESUME_BUFFER_FULL: 1}
    assert (sequences(book), book.gaps) == ([1, 3], {"resume_buffer_full": 1})
    book = backlog()
    book.append(event(1, 2000))
    assert book.part() == {Drop.RESUME_BUFFER_FULL: 1}
    assert (book.kept, book.written, book.part()) == (0, 1, {})


def test_what_is_written_is_kept_for_so_long() -> None:
    book = backlog(LATEST)
    for at in (0.0, 30.0, 61.0):
        book.given += 1
        book.retain(event(1, at=at), at)
    assert sequences(book) == [2, 3]
    assert book.resume(1, 91.0) == {"forgotten": 1}
    assert sequences(book) == [3]


# --- cursors ------------------------------------------------------------------------------------------------


def test_how_far_it_has_got() -> None:
    book = taken(WRITTEN, 7)
    assert (book.given, book.written, book.floor, len(book)) == (7, 7, 7, 0)
    for number in (8, 9):
        book.append(event(number))
    assert (book.given, book.written, book.floor, len(book)) == (9, 7, 7, 2)
    book.wrote(8)
    assert (book.given, book.written, book.floor, sequences(book)) == (9, 8, 8, [9])
    book.wrote(9)
    assert (book.given, book.written, book.kept, book.acknowledged) == (9, 9, 0, None)


@pytest.mark.parametrize(("cursor", "covered"), [(-1, False), (0, True), (7, True), (8, False)])
def test_where_a_client_can_be(cursor: int, covered: bool) -> None:
    assert taken(WRITTEN, 7).covers(cursor) == covered


def test_what_is_acknowledged_is_kept_no_more() -> None:
    book = taken(ACKNOWLEDGED, 5)
    assert book.acknowledge(2)
    assert not book.acknowledge(2)
    assert not book.acknowledge(1)
    assert (book.acknowledged, book.floor, sequences(book)) == (2, 2, [3, 4, 5])
    book.append(event(6))
    assert book.acknowledge(6)  # all but what no socket has taken
    assert (book.acknowledged, sequences(book)) == (5, [6])


def test_the_latest_stay_whatever_is_acknowledged() -> None:
    book = taken(Policy(Retention.LATEST, acknowledges=True), 3)
    assert book.acknowledge(2)
    assert sequences(book) == [1, 2, 3]
    assert book.resume(1, 0.0) == {}
    assert (book.acknowledged, book.written) == (1, 1)  # by the client's own word


def test_events_of_some_names_alone() -> None:
    book = backlog(Policy(Retention.ACKNOWLEDGED, frozenset({"A"})))
    for name in "ABA":
        book.append(event(1, name=name))
    book.wrote(3)
    assert (book.written, sequences(book), sequences(book, 1)) == (3, [1, 3], [3])
    assert book.resume(None, 0.0) == {}
    assert sequences(book, book.written) == [1, 3]


# --- a client comes, a client goes --------------------------------------------------------------------------


def test_without_a_cursor_a_client_goes_on_from_where_it_is_known_to_be() -> None:
    for policy, replayed in ((WRITTEN, [4]), (LATEST, [4]), (ACKNOWLEDGED, [2, 3, 4])):
        book = taken(policy, 3)
        if policy is ACKNOWLEDGED:
            book.acknowledge(1)
        book.append(event(4))
        assert book.resume(None, 0.0) == {}
        assert sequences(book, book.written) == replayed


def test_a_client_that_has_never_shown_what_it_has_is_taken_to_have_what_its_socket_took() -> None:
    for policy, acknowledged, kept in ((ACKNOWLEDGED, 0, [4]), (LATEST, None, [1, 2, 3, 4])):
        book = taken(policy, 3)
        book.append(event(4))
        book.settle()
        assert (book.acknowledged, sequences(book)) == (acknowledged, kept)
    book = taken(ACKNOWLEDGED, 3, max_events=2)
    book.settle()
    assert book.resume(None, 0.0) == {}


def test_what_was_forgotten_before_it_was_acknowledged_is_a_gap() -> None:
    book = taken(ACKNOWLEDGED, 5, max_events=2)
    assert (book.gaps, book.lost) == ({"forgotten": 3}, 0)
    book.acknowledge(1)
    assert book.gaps == {"forgotten": 2}
    assert book.resume(None, 0.0) == {"forgotten": 2}
    assert (book.gaps, book.lost, sequences(book)) == ({}, 2, [4, 5])
    book = taken(ACKNOWLEDGED, 5, max_events=2)
    book.acknowledge(3)
    assert book.resume(None, 0.0) == {}


def test_a_client_goes_on_from_its_own_cursor() -> None:
    book = taken(LATEST, 5, max_events=3)
    assert (book.resume(4, 0.0), sequences(book, book.written)) == ({}, [5])
    assert (book.resume(2, 0.0), sequences(book, book.written)) == ({}, [3, 4, 5])
    assert (book.resume(0, 0.0), book.lost) == ({"forgotten": 2}, 2)
    for _ in range(2):
        assert book.resume(3, 0.0) == {}


def test_a_gap_is_said_again_to_a_client_that_shows_that_it_has_not_heard_of_it_and_is_counted_once() -> None:
    book = backlog(LATEST, max_events=2)
    for number in range(5):
        book.keep(event(number))
    book.keep(event(6, 2000))
    for _ in range(2):
        assert book.resume(0, 0.0) == {"resume_buffer_full": 3, "too_big": 1}
        assert (book.lost, sum(book.gaps.values()), sequences(book, book.written)) == (4, 0, [4, 5])
    book.wrote(5)
    for _ in range(3):
        book.keep(event(7))
    assert book.resume(6, 0.0) == {"resume_buffer_full": 1}
    assert book.lost == 5


def test_a_client_that_is_further_than_its_run_has_written_down() -> None:
    book = restored(LATEST, [(3, event(3)), (4, event(4))], given=4, written=2, mark=4)
    assert (book.resume(3, 0.0), book.written, sequences(book)) == ({}, 3, [3, 4])


def test_bounds_of_the_listener_that_was_used_last() -> None:
    book = taken(ACKNOWLEDGED, 5)
    book.bound_as(backlog(max_events=2))
    assert book.resume(None, 0.0) == {"forgotten": 3}


def test_what_a_session_leaves_behind() -> None:
    book = taken(LATEST, 2)
    book.append(last := event(3))
    assert book.close() == [last]
    assert (book.kept, book.bytes, book.written, book.given) == (0, 0, 3, 3)


# --- the journal --------------------------------------------------------------------------------------------


def test_it_goes_on_in_another_run() -> None:
    """Cursors, holes and all."""
    book = restored(
        ACKNOWLEDGED, [(2, event(2)), (5, event(5)), (8, event(8))],
        given=9, written=6, acknowledged=1, mark=9, lost=3, gaps={"too_big": 1},
    )  # fmt: skip
    assert (book.given, book.written, book.acknowledged, book.floor) == (9, 7, 1, 1)
    assert (sequences(book), len(book)) == ([2, 5, 8], 1)
    assert book.resume(None, 0.0) == {"too_big": 1}
    assert (sequences(book, book.written), book.lost) == ([2, 5, 8], 3)
    book.append(event(10))
    assert sequences(book)[-1] == 10


def test_what_the_journal_knows_to_be_acknowledged_is_not_kept() -> None:
    book = restored(ACKNOWLEDGED, [(1, event(1)), (2, event(2))], given=2, written=2, acknowledged=1, mark=2)
    assert sequences(book) == [2]


@pytest.mark.parametrize("acknowledged", [None, 99])
def test_a_row_whose_cursors_make_no_sense(acknowledged: int | None) -> None:
    book = restored(ACKNOWLEDGED, [(7, event(7))], given=2, written=5, acknowledged=acknowledged, mark=0)
    assert (book.given, book.written, book.acknowledged) == (7, 6, 0 if acknowledged is None else 6)


def test_after_an_unclean_end_it_goes_on_above_the_mark() -> None:
    book = restored(LATEST, [(4, event(4))], given=4, written=4, mark=1004)
    assert (book.given, sequences(book), book.gaps) == (1004, [4], {"unclean_end": 0})
    book.append(event(5))
    assert book.covers(1000)
    assert (book.resume(1000, 0.0), sequences(book, book.written)) == ({"unclean_end": 0}, [1005])
    assert (book.resume(2, 0.0), book.lost) == ({"unclean_end": 0, "forgotten": 1}, 1)  # 3


def test_what_unclean_ends_have_left_out_is_remembered_by_later_runs() -> None:
    book = restored(LATEST, [], given=4, written=4, mark=10)
    book = restored(LATEST, [], given=12, written=12, mark=20, skipped=book.skipped)
    assert book.skipped == ((5, 10), (13, 20))
    assert book.resume(7, 0.0) == {"unclean_end": 0, "forgotten": 2}  # 11 and 12
    many = tuple((number, number) for number in range(1, 50, 2))
    book = restored(LATEST, [], given=60, written=60, mark=70, skipped=many)
    assert len(book.skipped) == UNCLEAN_ENDS
    assert book.skipped[-1] == (61, 70)
    assert sum(last - first + 1 for first, last in book.skipped) == len(many) + 10
    assert book.resume(0, 0.0) == {"unclean_end": 0, "forgotten": 60 - len(many)}


@pytest.mark.parametrize("cursor", [2, None])
def test_an_unclean_end_is_said_until_the_client_is_beyond_it(cursor: int | None) -> None:
    """It may have lost its connection before it heard of it, and the run that told it may have ended since then."""
    book = restored(ACKNOWLEDGED, [(3, event(3))], given=3, written=3, acknowledged=2, mark=1003)
    assert book.resume(cursor, 0.0) == {"unclean_end": 0}
    assert book.resume(cursor, 0.0) == {"unclean_end": 0}
    book = restored(
        ACKNOWLEDGED, [(3, event(3))], given=1003, written=1003, acknowledged=2, mark=1003, skipped=book.skipped
    )
    assert book.resume(cursor, 0.0) == {"unclean_end": 0}
    book.wrote(1003)
    book.acknowledge(1003)
    assert book.resume(None if cursor is None else 1003, 0.0) == {}


def uncertain() -> Backlog:
    """A run was killed that had all on disk; three events came since, of which the second could not be kept."""
    book = restored(LATEST, [(4, event(4))], given=4, written=4, mark=1004, exact=True)
    assert (book.given, book.gaps, book.skipped) == (4, {}, ())
    for pad in (0, 2000, 0):
        book.keep(event(5, pad))
    return book


def test_where_all_was_on_disk_there_is_no_hole() -> None:
    book = uncertain()
    assert book.resume(None, 0.0) == {"too_big": 1}
    assert (sequences(book, book.written), book.covers(1004)) == ([5, 7], False)
    book = uncertain()
    assert book.resume(3, 0.0) == {"too_big": 1}
    assert sequences(book, book.written) == [4, 5, 7]


def test_a_client_may_have_seen_more_than_was_on_disk() -> None:
    book = uncertain()
    assert [book.covers(cursor) for cursor in (1004, 1005)] == [True, False]
    assert book.resume(6, 0.0) == {"too_big": 1}
    assert (sequences(book, book.written), book.skipped, book.unsure) == ([7, 9], ((5, 6),), None)
    book = restored(LATEST, [], given=4, written=4, mark=1004, exact=True)
    assert book.resume(6, 0.0) == {}
    book.append(event(7))
    assert sequences(book) == [7]


def test_until_a_client_comes_later_runs_are_as_unsure() -> None:
    book = restored(LATEST, [(5, event(5))], given=5, written=4, mark=5, unsure=(4, 1004), exact=True)
    assert book.resume(6, 0.0) == {}
    assert sequences(book) == [7]


def test_what_does_not_fit_any_more_when_it_is_taken_up() -> None:
    book = restored(
        WRITTEN, [(1, event(1)), (2, event(2))], given=2, mark=2, bounds={"max_events": 1}, gaps={"too_big": 1}, lost=1
    )
    assert (sequences(book), book.gaps, book.lost) == ([2], {"too_big": 1, "resume_buffer_full": 1}, 2)
    book.lose(Drop.TOO_DEEP, 2)
    assert (sum(book.gaps.values()), book.lost) == (4, 4)
