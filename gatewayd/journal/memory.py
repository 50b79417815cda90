"""Documents and notifications in memory: bounded in number and bytes, gone with the process."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

MAX_DOCUMENTS = 100_000
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_USERS = 10_000
MAX_PER_USER = 100
"""Notifications that wait for one user; the oldest give way."""


class MemoryDocuments:
    """JSON values under keys, kept as encoded bytes so that the bound is in bytes and nobody can change them."""

    def __init__(self, max_count: int = MAX_DOCUMENTS, max_bytes: int = MAX_DOCUMENT_BYTES) -> None:
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
        return True


class MemoryNotifications:
    """What waits for a user who is not there; in order. The longest waiting user gives way to a new one."""

    def __init__(self, max_users: int = MAX_USERS, max_per_user: int = MAX_PER_USER) -> None:
        self._max_users = max_users
        self._max_per_user = max_per_user
        self._waiting: dict[str, deque[Any]] = {}
        self.dropped = 0

    def waiting(self, user: str) -> list[Any]:
        """All that waits for the user, oldest first."""
        return list(self._waiting.get(user, ()))

    def keep(self, user: str, data: Any) -> int:
        """Keep one for later; the answer is how many others had to give way."""
        before = self.dropped
        if user not in self._waiting:
            if len(self._waiting) >= self._max_users:
                self.dropped += len(self._waiting.pop(next(iter(self._waiting))))
            self._waiting[user] = deque()
        queue = self._waiting[user]
        queue.append(data)
        if len(queue) > self._max_per_user:
            queue.popleft()
            self.dropped += 1
        return self.dropped - before

    def drop(self, user: str, count: int) -> None:
        """Forget the oldest `count`: the client has shown that it has them."""
        queue = self._waiting.get(user)
        if queue is None:
            return
        for _ in range(min(count, len(queue))):
            queue.popleft()
        if not queue:
            del self._waiting[user]
