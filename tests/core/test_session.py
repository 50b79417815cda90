"""The resume buffer keeps exactly what fits, in order, and counts the rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.connection import Connection
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.session import Missed, Session
from gatewayd.core.settings import Settings
from gatewayd.protocols import utilbot


def event(number: int, pad: int = 0) -> Event:
    return Event("c", "E", {"n": number, "pad": "x" * pad}, 0.0)


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(0, 10), st.integers(0, 400))
def test_it_replays_exactly_the_newest_that_fit(pads: list[int], max_events: int, max_bytes: int) -> None:
    missed = Missed(max_events, max_bytes)
    events = [event(number, pad) for number, pad in enumerate(pads)]
    reported = sum(missed.keep(item) for item in events)
    assert len(missed) <= max_events
    assert missed.bytes <= max_bytes
    kept, lost = missed.take()
    assert reported == lost == len(events) - len(kept)
    assert (len(missed), missed.bytes, missed.lost) == (0, 0, 0)
    storable = [item for item in events if item.size <= max_bytes] if max_events else []
    assert kept == storable[len(storable) - len(kept) :]
    older = storable[: len(storable) - len(kept)]
    if older:  # one more would not have fitted
        assert len(kept) == max_events or sum(item.size for item in kept) + older[-1].size > max_bytes


def test_an_event_that_reached_its_client_after_all_is_not_said_twice() -> None:
    missed = Missed(10, 1000)
    first, second = event(1), event(2)
    missed.keep(first)
    missed.keep(second)
    assert not missed.forget(second)
    assert missed.forget(first)
    assert missed.take() == ([second], 0)
    assert not missed.forget(first)


def test_what_it_could_not_keep_even_alone() -> None:
    assert Missed(0, 1000).refuses(event(1)) is Drop.NOT_KEPT
    assert Missed(1, 10).refuses(event(1)) is Drop.TOO_BIG
    missed = Missed(1, 1000)
    assert missed.refuses(event(1)) is None
    kept = event(1)
    missed.keep(kept)
    assert kept in missed
    assert event(1) not in missed


def numbered(number: int) -> Event:
    return Event("c", "E", None, 0.0, number=number)


def session(connection: Connection | None) -> Session:
    return Session(
        id="s", listener="main", protocol="utilbot", realm="main", remote="", opened=0.0, opened_wall=0.0,
        missed=Missed(10, 1000), resume_window=60.0, connection=connection,
    )  # fmt: skip


def test_how_far_it_has_got() -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=60.0)
    connection = Connection(utilbot.WIRE, settings, 0.0)
    item = session(connection)
    item.given = 9
    assert item.written == 9
    for number in (5, 9):
        connection.outbox.push(b"12345", numbered(number), 0.0)
    assert item.written == 4
    connection.outbox.advance(7)
    assert item.written == 8
    connection.outbox.advance(3)
    assert item.written == 9
    item.connection = None
    assert item.written == 9


def test_an_event_that_was_half_written_when_it_was_taken_back_has_been_reached_once_it_is_out() -> None:
    item = session(None)
    item.given = 4
    first, second = numbered(5), numbered(6)
    item.missed.keep(first)
    item.missed.keep(second)
    item.reached(second)  # it is not the one that was half out
    assert item.given == 4
    item.reached(first)
    assert (item.given, len(item.missed)) == (5, 1)
