"""Who gets a slot, who is evicted, and that nothing is left behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.admin.slots import NoSlot, Slot, SlotPool


class Crowd:
    """Connections by name, and which of them were evicted, in order."""

    def __init__(self, per_party: int, total: int, *, evict_busy: bool = False) -> None:
        self.pool = SlotPool(per_party, total, evict_busy=evict_busy)
        self.gone: list[str] = []

    def enter(self, name: str, party: str = "a") -> Slot:
        return self.pool.acquire(party, lambda: self.gone.append(name))


def test_of_one_party_the_longest_idle_is_evicted() -> None:
    crowd = Crowd(2, 10)
    first = crowd.enter("first")
    crowd.enter("second")
    crowd.enter("other", "b")
    first.mark_busy()
    first.mark_idle()
    crowd.enter("third")
    assert crowd.gone == ["second"]
    crowd.enter("fourth")
    assert crowd.gone == ["second", "first"]
    assert crowd.pool.parties == {"a": 2, "b": 1}


def test_one_that_is_busy_stays_and_where_all_are_nobody_comes_in() -> None:
    crowd = Crowd(2, 10)
    for name in ("first", "second"):
        crowd.enter(name).mark_busy()
    with pytest.raises(NoSlot, match="2 of yours"):
        crowd.enter("third")
    crowd.enter("other", "b")
    assert crowd.gone == []
    assert crowd.pool.taken == 3


def test_where_all_slots_are_taken_the_party_with_most_loses_one() -> None:
    crowd = Crowd(3, 5)
    crowd.enter("oldest", "few")
    for number in range(3):
        crowd.enter(f"many{number}", "many")
    crowd.enter("one more", "few")
    crowd.enter("new", "new")
    assert crowd.gone == ["many0"]
    crowd = Crowd(3, 3)
    for name in "abc":
        crowd.enter(name, name).mark_busy()
    with pytest.raises(NoSlot, match="3 in all"):
        crowd.enter("d", "d")


def test_among_strangers_a_busy_one_is_evicted_as_well() -> None:
    crowd = Crowd(1, 1, evict_busy=True)
    crowd.enter("first").mark_busy()
    crowd.enter("second")
    assert crowd.gone == ["first"]


def test_among_strangers_too_whoever_was_answered_last_stays_longest() -> None:
    crowd = Crowd(2, 2, evict_busy=True)
    first = crowd.enter("first")
    crowd.enter("second")
    first.mark_busy()
    first.mark_idle()
    crowd.enter("third")
    assert crowd.gone == ["second"]


def test_a_slot_that_moves_leaves_one_pool_for_the_other_and_stays_busy() -> None:
    strangers, known = Crowd(2, 2, evict_busy=True), Crowd(1, 1)
    slot, other = strangers.enter("first"), strangers.enter("other")
    slot.mark_busy()
    slot.move(known.pool, "token")
    assert (strangers.pool.parties, known.pool.parties, known.pool.idle) == ({"a": 1}, {"token": 1}, {})
    with pytest.raises(NoSlot, match="1 of yours"):
        other.move(known.pool, "token")
    assert other.held
    assert strangers.pool.parties == {"a": 1}
    slot.mark_idle()
    other.move(known.pool, "token")
    assert strangers.gone == ["first"]
    assert (strangers.pool.taken, known.pool.parties, list(known.pool.idle)) == (0, {"token": 1}, [other])


@given(
    st.lists(
        st.tuples(st.sampled_from(["acquire", "mark_busy", "mark_idle", "release"]), st.integers(0, 9)), max_size=60
    )
)
def test_the_books_always_agree(steps: list[tuple[str, int]]) -> None:
    pool = SlotPool(3, 6)
    slots: list[Slot] = []
    for step, number in steps:
        if step == "acquire":
            try:
                slots.append(pool.acquire(number % 3, lambda: None))
            except NoSlot:
                assert not any(slot.party == number % 3 for slot in pool.idle) or len(pool.parties) == 3
        elif slots:
            getattr(slots[number % len(slots)], step)()
        held = [slot for slot in slots if slot.held]
        assert pool.taken == len(held) <= 6
        assert sum(pool.parties.values()) == len(held)
        assert all(0 < count <= 3 for count in pool.parties.values())
        assert set(pool.idle) <= set(held)
    for slot in slots:
        slot.release()
    assert (pool.taken, pool.parties, pool.idle) == (0, {}, {})
