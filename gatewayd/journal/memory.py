"""Documents and notifications: the truth is in memory, bounded in number and bytes; a store is told every change.

With a journal as the store they outlive the process: `restore` fills them at the start, `rows` gives everything for a
snapshot. A row that is read and cannot be kept (not JSON, no room) is counted, and stays where it came from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gatewayd.core.record import Key, Nowhere, Row, Store, Table

MAX_DOCUMENTS = 100_000
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_USERS = 10_000
MAX_PER_USER = 100
"""Notifications that wait for one user; the oldest give way."""


class MemoryDocuments:
    """JSON values under keys, kept as encoded bytes so that the bound is in bytes and nobody can change them."""

    def __init__(
        self, max_count: int = MAX_DOCUMENTS, max_bytes: int = MAX_DOCUMENT_BYTES, store: Store | None = None
    ) -> None:
        self.store: Store = store or Nowhere()
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._values: dict[str, bytes] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Any:
        """The value, or None."""
        body = self._values.get(key)
        return None if body is None else msgspec.json.decode(body)

    def put(self, key: str, value: Any) -> bool:
        """Store a value; False when there is no room for it."""
        body = msgspec.json.encode(value)
        if not self._store(key, body):
            return False
        self.store.put(Table.DOCUMENTS, key, body)
        return True

    def _store(self, key: str, body: bytes) -> bool:
        old = self._values.get(key)
        count = len(self._values) + (old is None)
        size = self.bytes + len(body) + (len(key) if old is None else -len(old))
        if count > self._max_count or size > self._max_bytes:
            return False
        self._values[key] = body
        self.bytes = size
        return True

    def delete(self, key: str) -> bool:
        """Whether it was there."""
        body = self._values.pop(key, None)
        if body is None:
            return False
        self.bytes -= len(body) + len(key)
        self.store.delete(Table.DOCUMENTS, key)
        return True

    def restore(self, rows: Iterable[tuple[Key, bytes]]) -> int:
        """Fill from what was kept; the answer is how many could not be taken."""
        return sum(not (is_json(body) and self._store(str(key), body)) for key, body in rows)

    def rows(self) -> Iterator[Row]:
        """Everything, as it is kept."""
        for key, body in self._values.items():
            yield Table.DOCUMENTS, key, body


class MemoryNotifications:
    """What waits for a user who is not there; in order. The longest waiting user gives way to a new one.

    Every notification has a number, which grows over all users: with the user it is the key under which it is kept.
    """

    def __init__(
        self, max_users: int = MAX_USERS, max_per_user: int = MAX_PER_USER, store: Store | None = None
    ) -> None:
        self.store: Store = store or Nowhere()
        self._max_users = max_users
        self._max_per_user = max_per_user
        self._waiting: dict[str, deque[tuple[int, Any]]] = {}
        self._next = 1
        self.dropped = 0

    def waiting(self, user: str) -> list[Any]:
        """All that waits for the user, oldest first."""
        return [data for _, data in self._waiting.get(user, ())]

    def keep(self, user: str, data: Any) -> int:
        """Keep one for later; the answer is how many others had to give way."""
        number = self._next
        dropped = self._add(user, number, data)
        self.store.put(Table.NOTIFICATIONS, (user, number), msgspec.json.encode(data))
        return dropped

    def _add(self, user: str, number: int, data: Any) -> int:
        before = self.dropped
        self._next = max(self._next, number + 1)
        if user not in self._waiting:
            if len(self._waiting) >= self._max_users:
                longest = next(iter(self._waiting))
                self.dropped += len(self._waiting.pop(longest))
                self.store.delete_group(Table.NOTIFICATIONS, longest)
            self._waiting[user] = deque()
        queue = self._waiting[user]
        queue.append((number, data))
        if len(queue) > self._max_per_user:
            self.store.delete(Table.NOTIFICATIONS, (user, queue.popleft()[0]))
            self.dropped += 1
        return self.dropped - before

    def drop(self, user: str, count: int) -> None:
        """Forget the oldest `count`: the client has shown that it has them."""
        queue = self._waiting.get(user)
        if queue is None:
            return
        if count >= len(queue):
            del self._waiting[user]
            self.store.delete_group(Table.NOTIFICATIONS, user)
            return
        for _ in range(count):
            self.store.delete(Table.NOTIFICATIONS, (user, queue.popleft()[0]))

    def restore(self, rows: Iterable[tuple[Key, bytes]]) -> int:
        """Fill from what was kept; the answer is how many could not be taken, or had to give way."""
        found = []
        unfit = 0
        for key, body in rows:
            if isinstance(key, tuple) and is_json(body):
                found.append((key[1], key[0], body))
            else:
                unfit += 1
        found.sort()  # as they came, so that the longest waiting user is the first again
        return unfit + sum(self._add(user, number, msgspec.json.decode(body)) for number, user, body in found)

    def rows(self) -> Iterator[Row]:
        """Everything, as it is kept."""
        for user, queue in self._waiting.items():
            for number, data in queue:
                yield Table.NOTIFICATIONS, (user, number), msgspec.json.encode(data)


def is_json(body: bytes) -> bool:
    """Whether what was read is still a value; somebody may have edited it."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
