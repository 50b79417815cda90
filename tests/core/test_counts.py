"""What became of an event, as a value."""

from __future__ import annotations

from gatewayd.core.counts import Counts, Drop


def test_the_number_says_which_event_and_is_no_count() -> None:
    assert Counts(1, 2, 3, {Drop.TOO_BIG: 3}, number=7) == Counts(1, 2, 3, {"too_big": 3}, number=8)
    assert Counts(1).reasons == {}
