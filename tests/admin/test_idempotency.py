"""The same id twice publishes once: within its time, its number, and over a restart."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from gatewayd.admin.idempotency import Remembered
from gatewayd.config.limits import ApiLimits
from gatewayd.core.record import Key, Table
from gatewayd.hub.hub import Hub
from tests.hub.disk import Disk

SECONDS = ApiLimits().remember_seconds


def written(disk: Disk) -> Iterator[tuple[Key, bytes]]:
    disk.write(Hub(lambda: 0.0))
    return iter(disk.values(Table.IDEMPOTENCY))


def test_within_its_time_and_after() -> None:
    disk = Disk()
    remembered = Remembered(disk)
    remembered.put("x", {"delivered": 1}, 100.0)
    assert remembered.get("x", 100.0 + SECONDS - 0.1) == {"delivered": 1}
    assert len(list(written(disk))) == 1
    assert remembered.get("x", 100.0 + SECONDS) is None
    assert list(written(disk)) == []


def test_the_oldest_gives_way() -> None:
    disk = Disk()
    remembered = Remembered(disk, limits=ApiLimits(remembered=2))
    for name in "abc":
        remembered.put(name, name, 0.0)
    assert [remembered.get(name, 1.0) for name in "abc"] == [None, "b", "c"]
    assert [key for key, _ in written(disk)] == [("", "b"), ("", "c")]
    assert [key for _, key, _ in remembered.rows()] == [("", "b"), ("", "c")]


def test_of_the_scope_with_the_most_answers() -> None:
    remembered = Remembered(limits=ApiLimits(remembered=3))
    remembered.put("x", "quiet", 0.0, "prod")
    for name in "abcd":
        remembered.put(name, name, 1.0, "staging")
    assert remembered.get("x", 2.0, "prod") == "quiet"
    assert [remembered.get(name, 2.0, "staging") for name in "abcd"] == [None, None, "c", "d"]
    remembered.put("d", "again", 2.0, "staging")
    assert remembered.get("c", 2.0, "staging") == "c"
    assert remembered.get("x", SECONDS, "prod") is None
    assert remembered.get("d", SECONDS, "staging") == "again"


def test_over_a_restart_with_another_clock() -> None:
    disk = Disk()
    remembered = Remembered(disk)
    remembered.put("z", 1, 1000.0)
    remembered.put("a", 2, 1200.0)
    again = Remembered(disk)
    rows = {key: value for _, key, value in remembered.rows()}
    again.restore(iter(rows.items()), 5.0, lived=1200.0)
    assert again.get("z", 5.0 + 99) == 1
    assert again.get("z", 5.0 + 101) is None
    assert again.get("a", 5.0 + 299) == 2
    rows = {key: value for _, key, value in again.rows()}
    third = Remembered()
    third.restore(iter(rows.items()), 70_000.0, lived=1400.0)
    assert third.get("z", 70_000.0) is None
    assert third.get("a", 70_000.0 + 99) == 2
    assert third.get("a", 70_000.0 + 101) is None


def test_what_was_too_old_at_the_start_leaves_the_journal() -> None:
    disk = Disk()
    old = Remembered(disk)
    old.put("old", 1, 0.0)
    rows = list(written(disk))
    late = msgspec.json.encode({"answer": 1, "until": 99.0})
    again = Remembered(disk)
    again.restore(iter([(key, late) for key, _ in rows]), 5.0, lived=100.0)
    assert again.get("old", 5.0) is None
    assert list(written(disk)) == []


def test_what_a_version_before_has_written_is_not_immortal() -> None:
    again = Remembered()
    row = msgspec.json.encode({"answer": 1, "until": 1.8e9})
    again.restore(iter([(("", "x"), row)]), 0.0, lived=0.0)
    assert again.get("x", SECONDS - 1) == 1
    assert again.get("x", SECONDS) is None


@pytest.mark.parametrize("row", [b"5", b"{}", b'{"answer": 1, "until": "soon"}', b"{"])
def test_a_row_that_makes_no_sense(row: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Remembered().restore(iter([(("", "x"), row)]), 0.0, lived=0.0)
