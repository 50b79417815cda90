"""What is recorded: the last word on every key, no trace of what came and went, and how much waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.record import Key, Table
from gatewayd.journal.pending import OPERATION_BYTES, Batch, Pending

Disk = dict[tuple[Table, Key], bytes]


def apply(disk: Disk, batch: Batch) -> int:
    """Do to a dictionary what the file does to its tables; the answer is how many rows that touched."""
    if batch.replaces:
        disk.clear()
    touched = 0
    for table, changes in batch.changes.items():
        for key, value in changes.items():
            touched += 1
            if value is None:
                disk.pop((table, key), None)
            else:
                disk[table, key] = value
    return touched


def learned() -> Pending:
    """One that knows that the disk is empty."""
    pending = Pending()
    for table in Table:
        pending.learn(table, ())
    return pending


def test_the_last_word_counts() -> None:
    pending, disk = Pending(), Disk()
    for value in (b"1", b"22", b"333"):
        pending.put(Table.SESSIONS, "k", value)
        pending.put(Table.NOTIFICATIONS, ("r", "s", 1), value)
    assert (len(pending), pending.bytes) == (2, 2 * (3 + OPERATION_BYTES))
    assert apply(disk, pending.take()) == 2
    assert disk == {(Table.SESSIONS, "k"): b"333", (Table.NOTIFICATIONS, ("r", "s", 1)): b"333"}
    assert (len(pending), pending.bytes) == (0, 0)


def test_what_came_and_went_is_never_written() -> None:
    pending = learned()
    for key in ("k", "l"):
        pending.put(Table.SESSIONS, key, b"1")
        pending.delete(Table.SESSIONS, key)
    assert (len(pending), pending.bytes) == (0, 0)
    assert pending.take().changes == {}


def test_what_may_be_on_disk_is_deleted_there() -> None:
    pending = learned()
    pending.learn(Table.SESSIONS, ["a", "b"])
    for key in ("a", "c"):
        pending.put(Table.SESSIONS, key, b"1")
        pending.delete(Table.SESSIONS, key)
    pending.delete(Table.SESSIONS, "a")  # once is enough
    assert pending.take().changes == {Table.SESSIONS: {"a": None}}
    unknown = Pending()
    unknown.delete(Table.SESSIONS, "r")
    unknown.delete(Table.SESSIONS, "r")
    unknown.delete(Table.NOTIFICATIONS, ("r", "s", 9))
    unknown.put(Table.SESSIONS, "other", b"1")
    unknown.delete(Table.SESSIONS, "other")
    assert (len(unknown), unknown.bytes) == (3, 3 * OPERATION_BYTES)
    unknown.put(Table.SESSIONS, "r", b"1")
    unknown.put(Table.NOTIFICATIONS, ("r", "s", 9), b"1")
    assert (len(unknown), unknown.bytes) == (3, 3 * OPERATION_BYTES + 2)


def test_notifications_are_not_remembered_as_rows_of_the_disk() -> None:
    """There may be a million of them: one delete too many does no harm."""
    pending = learned()
    pending.put(Table.NOTIFICATIONS, ("r", "s", 1), b"1")
    pending.delete(Table.NOTIFICATIONS, ("r", "s", 1))
    assert pending.take().changes == {Table.NOTIFICATIONS: {("r", "s", 1): None}}


def test_a_snapshot_is_everything() -> None:
    pending, disk = Pending(), Disk({(Table.META, "old"): b"1"})
    pending.put(Table.META, "lost", b"1")
    batch = pending.replace([(Table.META, "a", b"1"), (Table.NOTIFICATIONS, ("r", "s", 1), b"2")])
    pending.put(Table.META, "later", b"1")
    apply(disk, batch)
    assert disk == {(Table.META, "a"): b"1", (Table.NOTIFICATIONS, ("r", "s", 1)): b"2"}
    pending.delete(Table.META, "later")
    pending.delete(Table.META, "a")
    assert apply(disk, pending.take()) == 1


KEYS = st.sampled_from(["a", "b", "c"])
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), st.just(Table.SESSIONS), KEYS, st.binary(max_size=3)),
    st.tuples(
        st.just("put"), st.just(Table.NOTIFICATIONS), st.tuples(KEYS, KEYS, st.integers(0, 4)), st.binary(max_size=3)
    ),
    st.tuples(st.just("delete"), st.just(Table.SESSIONS), KEYS, st.none()),
    st.tuples(st.just("delete"), st.just(Table.NOTIFICATIONS), st.tuples(KEYS, KEYS, st.integers(0, 4)), st.none()),
    st.tuples(st.sampled_from(["flush", "drop"]), st.none(), st.none(), st.none()),
)


@given(st.booleans(), st.lists(OPERATIONS, max_size=60))
def test_the_disk_follows_whatever_happens(known: bool, operations: list[tuple[str, Table, Key, bytes]]) -> None:
    pending = learned() if known else Pending()
    truth, disk = Disk(), Disk()
    for what, table, key, value in operations:
        if what == "put":
            pending.put(table, key, value)
            truth[table, key] = value
        elif what == "delete":
            pending.delete(table, key)
            truth.pop((table, key), None)
        elif what == "drop":
            pending.drop()
            apply(disk, pending.replace((t, k, v) for (t, k), v in truth.items()))
        else:
            apply(disk, pending.take())
            assert disk == truth
            assert (len(pending), pending.bytes) == (0, 0)
        assert (pending.bytes == 0) == (len(pending) == 0)
        assert pending.bytes >= len(pending) * OPERATION_BYTES
    apply(disk, pending.take())
    assert disk == truth
