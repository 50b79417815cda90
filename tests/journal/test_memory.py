"""Documents and notifications in memory: values, order, bounds."""

from __future__ import annotations

from typing import Any

from gatewayd.journal.memory import MemoryDocuments, MemoryNotifications
from gatewayd.journal.tables import Key, Table


class Told:
    """A store that remembers, as a disk would."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Table, Key], bytes] = {}

    def stir(self) -> None:
        pass

    def put(self, table: Table, key: Key, value: bytes) -> None:
        self.rows[table, key] = value

    def delete(self, table: Table, key: Key) -> None:
        del self.rows[table, key]

    def delete_group(self, table: Table, first: str) -> None:
        for other in [k for k in self.rows if k[0] is table and isinstance(k[1], tuple) and k[1][0] == first]:
            del self.rows[other]

    def of(self, table: Table) -> list[tuple[Key, bytes]]:
        """One table in key order, as a journal loads it."""
        return sorted(((k, v) for (t, k), v in self.rows.items() if t is table), key=lambda row: str(row[0]))


def test_documents_are_copies() -> None:
    documents = MemoryDocuments()
    value = {"a": [1]}
    assert documents.put("k", value)
    value["a"].append(2)
    assert documents.get("k") == {"a": [1]}
    assert "k" in documents
    assert documents.get("other") is None
    assert documents.delete("k")
    assert not documents.delete("k")
    assert (len(documents), documents.bytes) == (0, 0)


def test_documents_are_bounded_in_number_and_bytes() -> None:
    documents = MemoryDocuments(max_count=2, max_bytes=20)
    assert documents.put("a", 1)
    assert documents.put("b", 2)
    assert not documents.put("c", 3)
    assert documents.put("a", "0123456789")
    assert not documents.put("a", "0123456789012345")
    assert documents.get("a") == "0123456789"
    assert documents.bytes == 15


def test_notifications_wait_in_order_and_give_way() -> None:
    notes = MemoryNotifications(max_users=2, max_per_user=2)
    assert [notes.keep("a", n) for n in range(3)] == [0, 0, 1]
    assert notes.waiting("a") == [1, 2]
    notes.keep("b", 1)
    assert notes.keep("c", 1) == 2  # the longest waiting user
    assert notes.waiting("a") == []
    notes.drop("a", 1)
    notes.drop("b", 5)
    assert notes.waiting("b") == []
    assert notes.dropped == 3
    notes.keep("c", 2)
    notes.drop("c", 1)
    assert notes.waiting("c") == [2]


def test_documents_outlive_the_process() -> None:
    told = Told()
    documents = MemoryDocuments(max_count=3, store=told)
    documents.put("a", {"x": 1})
    documents.put("b", 2)
    documents.put("c", 3)
    assert not documents.put("d", 4)
    documents.put("b", [2])
    documents.delete("c")
    assert told.of(Table.DOCUMENTS) == [("a", b'{"x":1}'), ("b", b"[2]")]
    again = MemoryDocuments()
    assert again.restore(told.of(Table.DOCUMENTS)) == 0
    assert (again.get("a"), again.get("b"), len(again), again.bytes) == ({"x": 1}, [2], 2, documents.bytes)
    assert {(t, k): v for t, k, v in again.rows()} == told.rows


def test_documents_that_cannot_be_taken_are_counted() -> None:
    documents = MemoryDocuments(max_count=1)
    assert documents.restore([("a", b"{"), ("b", b"1"), ("c", b"2"), ("d", b'"\xff"')]) == 3
    assert (documents.get("b"), len(documents)) == (1, 1)


def waiting(notes: MemoryNotifications, *users: str) -> list[list[Any]]:
    return [notes.waiting(user) for user in users]


def test_notifications_outlive_the_process() -> None:
    told = Told()
    notes = MemoryNotifications(max_users=2, max_per_user=2, store=told)
    for user, data in (("z", 1), ("a", 1), ("a", 2), ("a", 3), ("z", 2)):
        notes.keep(user, data)
    notes.drop("z", 1)
    notes.drop("z", 0)
    assert told.of(Table.NOTIFICATIONS) == [(("a", 3), b"2"), (("a", 4), b"3"), (("z", 5), b"2")]
    again = MemoryNotifications(max_users=2, max_per_user=2, store=told)
    assert again.restore(told.of(Table.NOTIFICATIONS)) == 0
    assert waiting(again, "a", "z") == [[2, 3], [2]]
    assert {(t, k): v for t, k, v in again.rows()} == told.rows
    assert again.keep("m", 1) == 2  # the longest waiting user is the same as before
    assert told.of(Table.NOTIFICATIONS) == [(("m", 6), b"1"), (("z", 5), b"2")]
    again.drop("z", 5)
    again.drop("nobody", 1)
    assert told.of(Table.NOTIFICATIONS) == [(("m", 6), b"1")]


def test_notifications_beyond_the_bounds_give_way_on_disk_too() -> None:
    told = Told()
    before = MemoryNotifications(store=told)
    for number in range(6):
        before.keep("b" if number == 0 else "a", number)
    notes = MemoryNotifications(max_users=1, max_per_user=3, store=told)
    assert notes.restore([*told.of(Table.NOTIFICATIONS), ("no user", b"1"), (("a", 99), b"nul")]) == 5
    assert waiting(notes, "a", "b") == [[3, 4, 5], []]
    assert [key for key, _ in told.of(Table.NOTIFICATIONS)] == [("a", 4), ("a", 5), ("a", 6)]


def test_without_a_sink_nothing_is_told() -> None:
    documents, notes = MemoryDocuments(), MemoryNotifications(max_users=1, max_per_user=1)
    assert documents.put("a", 1)
    assert documents.delete("a")
    assert [notes.keep(user, 1) for user in ("a", "a", "b")] == [0, 1, 1]
