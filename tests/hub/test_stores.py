"""Documents and notifications in memory: values, order, bounds."""

from __future__ import annotations

import json
from typing import Any

from gatewayd.config.limits import NotificationLimits
from gatewayd.core.record import Key, Store, Table
from gatewayd.hub.stores import OVERHEAD, MemoryDocuments, MemoryNotifications


class Told(Store):
    """A store that remembers, as a disk would."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Table, Key], bytes] = {}

    def put(self, table: Table, key: Key, value: bytes) -> None:
        self.rows[table, key] = value

    def delete(self, table: Table, key: Key) -> None:
        del self.rows[table, key]

    def of(self, table: Table) -> list[tuple[Key, bytes]]:
        """One table in key order, as a journal loads it."""
        return sorted(((k, v) for (t, k), v in self.rows.items() if t is table), key=lambda row: str(row[0]))


def documents_of(max_count: int = 100, max_bytes: int = 10_000, store: Told | None = None) -> MemoryDocuments:
    return MemoryDocuments(max_count, max_bytes, store)


def test_documents_are_copies() -> None:
    documents = documents_of()
    value = {"a": [1]}
    assert documents.put("k", value)
    value["a"].append(2)
    assert documents.get("k") == {"a": [1]}
    assert "k" in documents
    assert documents.get("other") is None
    assert documents.delete("k")
    assert not documents.delete("k")
    assert (len(documents), documents.bytes) == (0, 0)


def test_a_document_that_stays_the_same_is_not_written_again() -> None:
    told = Told()
    documents = documents_of(store=told)
    for value in ({"a": 1}, {"a": 1}, {"a": 2}):
        told.rows.clear()
        assert documents.put("k", value)
        assert documents.get("k") == value
    assert told.rows == {(Table.DOCUMENTS, "k"): b'{"a":2}'}
    told.rows.clear()
    assert documents.put("k", {"a": 2})
    assert told.rows == {}


def test_documents_are_bounded_in_number_and_bytes() -> None:
    documents = documents_of(max_count=2, max_bytes=20)
    assert documents.put("a", 1)
    assert documents.put("b", 2)
    assert not documents.put("c", 3)
    assert documents.put("a", "0123456789")
    assert not documents.put("a", "0123456789012345")
    assert documents.get("a") == "0123456789"
    assert documents.bytes == 15


def values(notes: MemoryNotifications, *users: str) -> list[list[Any]]:
    return [[json.loads(bytes(note)) for note in notes.waiting(user).notes] for user in users]


def limited(store: Told | None = None, **limits: int) -> MemoryNotifications:
    return MemoryNotifications(NotificationLimits(**limits), store=store)


def test_notifications_wait_in_order_and_give_way() -> None:
    notes = limited(users=2, per_user=2)
    assert [notes.keep("a", n) for n in range(3)] == [(True, 0), (True, 0), (True, 1)]
    assert values(notes, "a") == [[1, 2]]
    assert notes.waiting("a").lost == 1
    notes.keep("b", 1)
    assert notes.keep("c", 1) == (True, 2)  # the longest waiting user
    assert values(notes, "a") == [[]]
    notes.drop("a", 1, 0)
    notes.drop("b", 99, 0)
    assert values(notes, "b") == [[]]
    notes.keep("c", 2)
    notes.drop("c", notes.waiting("c").last - 1, 0)
    assert values(notes, "c") == [[2]]


def test_notifications_are_bounded_in_bytes_for_each_user() -> None:
    notes = limited(bytes_per_user=3 * (OVERHEAD + 10))
    assert [notes.keep("a", "x" * 8) for _ in range(3)] == [(True, 0)] * 3
    assert notes.keep("a", "y" * 18) == (True, 2)
    assert (values(notes, "a"), notes.waiting("a").lost) == ([["x" * 8, "y" * 18]], 2)
    assert notes.keep("a", "z" * 1000) == (False, 1)  # it fits in no case, so nothing gives way to it
    assert (values(notes, "a"), notes.waiting("a").lost) == ([["x" * 8, "y" * 18]], 3)
    assert notes.bytes == 2 * OVERHEAD + 30
    assert notes.keep("b", "x" * 8) == (True, 0)


def test_all_notifications_together_are_bounded_in_bytes_and_the_oldest_of_anybody_give_way() -> None:
    told = Told()
    notes = limited(told, bytes=4 * (OVERHEAD + 1))
    for user in ("a", "b", "a", "b"):
        notes.keep(user, 1)
    assert notes.keep("c", 1) == (True, 1)
    assert notes.keep("c", 2) == (True, 1)
    assert values(notes, "a", "b", "c") == [[1], [1], [1, 2]]
    assert [notes.waiting(user).lost for user in "abc"] == [1, 1, 0]
    assert notes.keep("d", "x" * 1000) == (False, 1)
    assert (values(notes, "d"), notes.waiting("d").lost) == ([[]], 1)
    assert notes.bytes == 4 * (OVERHEAD + 1)
    assert {(t, k): v for t, k, v in notes.rows()} == told.rows


def test_what_a_user_has_lost_is_known_until_the_client_knows_it() -> None:
    told = Told()
    notes = limited(told, per_user=1)
    for number in range(3):
        notes.keep("a", number)
    shown = notes.waiting("a")
    assert (shown.lost, shown.last) == (2, 3)
    notes.keep("a", 3)  # the one that was shown has given way: it is lost as well, or told twice
    notes.drop("a", shown.last, shown.lost)
    assert (values(notes, "a"), notes.waiting("a").lost) == ([[3]], 1)
    assert {(t, k): v for t, k, v in notes.rows()} == told.rows
    again = MemoryNotifications()
    assert again.restore(told.of(Table.NOTIFICATIONS)) == 0
    assert (values(again, "a"), again.waiting("a").lost) == ([[3]], 1)
    notes.drop("a", 0, 1)
    assert notes.waiting("a").lost == 0
    assert told.of(Table.NOTIFICATIONS) == [(("a", 4), b"3")]
    notes.drop("a", 4, 0)
    assert told.rows == {}
    notes.drop("a", 4, 0)


def test_documents_outlive_the_process() -> None:
    told = Told()
    documents = documents_of(max_count=3, store=told)
    documents.put("a", {"x": 1})
    documents.put("b", 2)
    documents.put("c", 3)
    assert not documents.put("d", 4)
    documents.put("b", [2])
    documents.delete("c")
    assert told.of(Table.DOCUMENTS) == [("a", b'{"x":1}'), ("b", b"[2]")]
    again = documents_of()
    assert again.restore(told.of(Table.DOCUMENTS)) == 0
    assert (again.get("a"), again.get("b"), len(again), again.bytes) == ({"x": 1}, [2], 2, documents.bytes)
    assert {(t, k): v for t, k, v in again.rows()} == told.rows


def test_documents_that_cannot_be_taken_are_counted() -> None:
    documents = documents_of(max_count=1)
    assert documents.restore([("a", b"{"), ("b", b"1"), ("c", b"2"), ("d", b'"\xff"')]) == 3
    assert (documents.get("b"), len(documents)) == (1, 1)


def test_notifications_outlive_the_process() -> None:
    told = Told()
    notes = limited(told, users=2, per_user=2)
    for user, data in (("z", 1), ("a", 1), ("a", 2), ("a", 3), ("z", 2)):
        notes.keep(user, data)
    notes.drop("z", 1, 0)
    notes.drop("z", 0, 0)
    rows = [(("a", 0), b"1"), (("a", 3), b"2"), (("a", 4), b"3"), (("z", 5), b"2")]
    assert told.of(Table.NOTIFICATIONS) == rows
    again = limited(told, users=2, per_user=2)
    assert again.restore(told.of(Table.NOTIFICATIONS)) == 0
    assert values(again, "a", "z") == [[2, 3], [2]]
    assert {(t, k): v for t, k, v in again.rows()} == told.rows
    assert again.keep("m", 1) == (True, 2)  # the longest waiting user is the same as before
    assert told.of(Table.NOTIFICATIONS) == [(("m", 6), b"1"), (("z", 5), b"2")]
    again.drop("z", 5, 0)
    again.drop("nobody", 1, 0)
    assert told.of(Table.NOTIFICATIONS) == [(("m", 6), b"1")]


def test_what_is_beyond_the_bounds_of_the_next_run_gives_way_on_disk_too() -> None:
    told = Told()
    before = MemoryNotifications(store=told)
    for number in range(6):
        before.keep("b" if number == 0 else "a", number)
    notes = limited(told, users=1, per_user=3, bytes=3 * (OVERHEAD + 1))
    unfit: list[tuple[Key, bytes]] = [("no user", b"1"), (("a", 99), b"nul"), (("a", 0), b'"x"')]
    assert notes.restore([*told.of(Table.NOTIFICATIONS), *unfit]) == 3
    assert values(notes, "a") == [[3, 4, 5]]
    assert told.of(Table.NOTIFICATIONS)[0] == (("a", 0), b"2")
    assert notes.keep("c", 6) == (True, 4)
    assert told.of(Table.NOTIFICATIONS) == [(("c", 7), b"6")]


def test_without_a_sink_nothing_is_told() -> None:
    documents, notes = documents_of(), limited(users=1, per_user=1)
    assert documents.put("a", 1)
    assert documents.delete("a")
    assert [notes.keep(user, 1) for user in ("a", "a", "b")] == [(True, 0), (True, 1), (True, 1)]
