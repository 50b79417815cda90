"""The resume buffer keeps exactly what fits, in order, and counts the rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.events import Event
from gatewayd.core.session import Missed


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
    missed.forget(second)
    missed.forget(first)
    assert missed.take() == ([second], 0)
    missed.forget(first)
