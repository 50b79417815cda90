"""Documents and notifications in memory: values, order, bounds."""

from __future__ import annotations

from gatewayd.journal.memory import MemoryDocuments, MemoryNotifications


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
