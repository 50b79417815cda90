"""Entries: letting go of the oldest, over holes between the sequences."""

from __future__ import annotations

import pytest

from gatewayd.core.entries import Entries
from gatewayd.core.events import Event


@pytest.mark.parametrize(
    ("count", "last", "left"), [(1, 1, [2, 5, 6]), (2, 2, [5, 6]), (3, 5, [6]), (4, 6, [])]
)  # fmt: skip
def test_the_oldest_are_let_go_of_over_holes(count: int, last: int, left: list[int]) -> None:
    entries = Entries((sequence, Event("c", "E", sequence, 0.0)) for sequence in (1, 2, 5, 6))
    assert entries.shed(count) == last
    assert [sequence for sequence, _ in entries.after(0)] == left
    assert entries.bytes == 2 * len(left)
    entries.append(7, Event("c", "E", 7, 0.0))
    assert entries.newest == 7


def test_newer_ones_go_on_where_the_newest_is_or_behind_a_hole() -> None:
    entries = Entries([(1, Event("c", "E", 1, 0.0))])
    for first in (2, 6):
        entries.extend(first, [Event("c", "E", number, 0.0) for number in (first, first + 1)])
    assert [sequence for sequence, _ in entries.after(0)] == [1, 2, 3, 6, 7]
    assert entries.bytes == 10
