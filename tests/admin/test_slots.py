"""Who may come in, who gives way, and that nothing is left behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.admin.slots import Full, Place, Share


class Crowd:
    """Connections by name, and which of them had to give way, in order."""

    def __init__(self, each: int, most: int, *, kept: bool = True) -> None:
        self.share = Share(each, most, kept)
        self.gone: list[str] = []

    def enter(self, name: str, party: str = "a") -> Place:
        return self.share.enter(party, lambda: self.gone.append(name))


def test_of_one_party_the_one_that_was_quiet_longest_gives_way() -> None:
    crowd = Crowd(2, 10)
    first = crowd.enter("first")
    crowd.enter("second")
    crowd.enter("other", "b")
    first.busy()
    first.idle()
    crowd.enter("third")
    assert crowd.gone == ["second"]
    crowd.enter("fourth")
    assert crowd.gone == ["second", "first"]
    assert crowd.share.parties == {"a": 2, "b": 1}


def test_one_that_is_busy_stays_and_where_all_are_nobody_comes_in() -> None:
    crowd = Crowd(2, 10)
    for name in ("first", "second"):
        crowd.enter(name).busy()
    with pytest.raises(Full, match="2 of yours"):
        crowd.enter("third")
    crowd.enter("other", "b")
    assert crowd.gone == []
    assert crowd.share.taken == 3


def test_where_all_places_are_taken_the_party_with_most_gives_way() -> None:
    crowd = Crowd(3, 5)
    crowd.enter("oldest", "few")
    for number in range(3):
        crowd.enter(f"many{number}", "many")
    crowd.enter("one more", "few")
    crowd.enter("new", "new")
    assert crowd.gone == ["many0"]
    crowd = Crowd(3, 3)
    for name in "abc":
        crowd.enter(name, name).busy()
    with pytest.raises(Full, match="3 in all"):
        crowd.enter("d", "d")


def test_among_strangers_a_busy_one_gives_way_as_well() -> None:
    crowd = Crowd(1, 1, kept=False)
    crowd.enter("first").busy()
    crowd.enter("second")
    assert crowd.gone == ["first"]


def test_among_strangers_too_whoever_was_answered_last_stays_longest() -> None:
    crowd = Crowd(2, 2, kept=False)
    first = crowd.enter("first")
    crowd.enter("second")
    first.busy()
    first.idle()
    crowd.enter("third")
    assert crowd.gone == ["second"]


@given(st.lists(st.tuples(st.sampled_from(["enter", "busy", "idle", "leave"]), st.integers(0, 9)), max_size=60))
def test_the_books_always_agree(steps: list[tuple[str, int]]) -> None:
    share = Share(3, 6)
    places: list[Place] = []
    for step, number in steps:
        if step == "enter":
            try:
                places.append(share.enter(number % 3, lambda: None))
            except Full:
                assert not any(place.party == number % 3 for place in share.quiet) or len(share.parties) == 3
        elif places:
            getattr(places[number % len(places)], step)()
        held = [place for place in places if place.held]
        assert share.taken == len(held) <= 6
        assert sum(share.parties.values()) == len(held)
        assert all(0 < count <= 3 for count in share.parties.values())
        assert set(share.quiet) <= set(held)
    for place in places:
        place.leave()
    assert (share.taken, share.parties, share.quiet) == (0, {}, {})
