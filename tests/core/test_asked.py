"""An answer proves what was said before the oldest beat that it can be for, and no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.asked import Asked
from gatewayd.core.rate import Rate


def test_an_answer_proves_what_was_said_before_its_beat() -> None:
    asked = Asked()
    assert asked.answer() is None
    asked.beat(7, 1.0)
    assert asked.unanswered == 1
    assert asked.answer() == 7
    assert asked.answer() is None


def test_a_late_answer_counts_for_the_older_beat() -> None:
    asked = Asked()
    asked.beat(1, 0.0)
    asked.beat(2, 1.0)
    assert asked.answer() == 1
    asked.beat(3, 2.0)
    assert asked.answer() is None  # may be for the second beat, which nobody follows
    assert asked.answer() == 3


def test_how_soon_a_beat_may_be_said_out_of_turn() -> None:
    asked = Asked()
    asked.beat(0, 10.0)
    assert asked.again(None) == 11.0
    assert asked.again(Rate(50, 5.0)) == 11.0
    assert asked.again(Rate(1, 60.0)) == 130.0


@given(st.lists(st.sampled_from(["event", "beat", "read"]), max_size=60))
def test_a_client_that_answers_in_order_is_never_believed_too_much(moves: list[str]) -> None:
    """It reads what was said in order, and answers every beat that it reads, however late."""
    asked, wire = Asked(), []
    newest = read = proven = 0
    for move in moves:
        if move == "event":
            newest += 1
            wire.append(newest)
        elif move == "beat":
            asked.beat(newest, 0.0)
            wire.append(0)
        elif wire:
            said = wire.pop(0)
            read = max(read, said)
            if not said:
                proven = max(proven, asked.answer() or 0)
        assert proven <= read
