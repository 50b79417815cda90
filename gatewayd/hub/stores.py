"""Documents and notifications: the truth is in memory, bounded in number and bytes; a store is told every change.

With a journal as the store they outlive the process: `restore` fills them at the start, `rows` gives everything for a
snapshot. A row that is read and cannot be kept (not JSON, no room) is counted, and stays where it came from.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from attrs import define, field

from gatewayd.config.limits import NotificationLimits
from gatewayd.core.record import Key, MissedNotifications, Row, Store, Table

OVERHEAD = 200
"""What a notification takes in memory beside its own bytes."""
LOST = 0
"""The number under which a user's count of lost notifications is kept."""


class MemoryDocuments:
    """JSON values under keys, kept as encoded bytes so that the bound is in bytes and nobody can change them."""

    def __init__(self, max_count: int, max_bytes: int, store: Store | None = None) -> None:
        self.store: Store = store or Store()
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
        if self._values.get(key) == body:
            return True  # an oxyl sharder that starts says all its guilds again: the disk need not hear of it
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


@define
class _Box:
    """What waits for one user. `lost` counts what gave way and the user has not been told of."""

    user: str
    kept: deque[tuple[int, bytes]] = field(factory=deque)
    size: int = 0
    lost: int = 0


class MemoryNotifications:
    """What waits for absent users: in order, encoded, bounded; the oldest give way, or the longest waiting user.

    Notifications are numbered over all users: user and number are the key under which one is kept.
    """

    def __init__(self, limits: NotificationLimits | None = None, *, store: Store | None = None) -> None:
        self.store: Store = store or Store()
        self._limits = limits or NotificationLimits()
        self._boxes: dict[str, _Box] = {}
        self._order: OrderedDict[int, _Box] = OrderedDict()  # where each is, oldest first
        self._next = 1
        self.bytes = 0

    def waiting(self, user: str) -> MissedNotifications:
        """All that waits for the user."""
        box = self._boxes.get(user)
        if box is None:
            return MissedNotifications()
        self._make_room(box, 0)
        last = box.kept[-1][0] if box.kept else 0
        return MissedNotifications([msgspec.Raw(body) for _, body in box.kept], last, box.lost)

    def keep(self, user: str, data: Any) -> tuple[bool, int]:
        """Keep one for later. Whether it is kept, and how many were lost: others that gave way, or it itself."""
        body, limits, lost = msgspec.json.encode(data), self._limits, 0
        size = len(body) + OVERHEAD
        while user not in self._boxes and len(self._boxes) >= limits.users:
            longest = next(iter(self._boxes.values()))
            lost += len(longest.kept)
            self.drop(longest.user, self._next, longest.lost)
        box = self._boxes.setdefault(user, _Box(user))
        if size > min(limits.bytes_per_user, limits.bytes):
            self._lose(box, 1)
            return False, lost + 1
        lost += self._make_room(box, size)
        while self.bytes + size > limits.bytes:
            lost += self._give_way(next(iter(self._order.values())))
        self.store.put(Table.NOTIFICATIONS, (user, self._next), body)
        self._put(box, self._next, body)
        return True, lost

    def _put(self, box: _Box, number: int, body: bytes) -> None:
        box.kept.append((number, body))
        box.size += len(body) + OVERHEAD
        self.bytes += len(body) + OVERHEAD
        self._next = max(self._next, number + 1)
        self._order[number] = box

    def _make_room(self, box: _Box, size: int) -> int:
        limits, more, lost = self._limits, size > 0, 0
        while len(box.kept) + more > limits.per_user or box.size + size > limits.bytes_per_user:
            lost += self._give_way(box)
        return lost

    def _give_way(self, box: _Box) -> int:
        self._take(box)
        self._lose(box, 1)
        return 1

    def _take(self, box: _Box) -> None:
        """Keep the user's oldest no more."""
        number, body = box.kept.popleft()
        box.size -= len(body) + OVERHEAD
        self.bytes -= len(body) + OVERHEAD
        del self._order[number]
        self.store.delete(Table.NOTIFICATIONS, (box.user, number))

    def _lose(self, box: _Box, count: int) -> None:
        box.lost += count
        if box.lost:
            self.store.put(Table.NOTIFICATIONS, (box.user, LOST), b"%d" % box.lost)
        else:
            self.store.delete(Table.NOTIFICATIONS, (box.user, LOST))

    def drop(self, user: str, last: int, lost: int) -> None:
        """The client has shown that it has all up to the number `last`, and knows that it lost so many."""
        box = self._boxes.get(user)
        if box is None:
            return
        while box.kept and box.kept[0][0] <= last:
            self._take(box)
        if known := min(lost, box.lost):
            self._lose(box, -known)
        if not box.kept and not box.lost:
            del self._boxes[user]

    def restore(self, rows: Iterable[tuple[Key, bytes]]) -> int:
        """Fill from what was kept; how many rows make no sense. What is beyond the bounds by now gives way later."""
        found, unfit = [], 0
        for key, body in rows:
            if isinstance(key, tuple) and is_json(body) and (key[1] != LOST or body.isdigit()):
                found.append((int(key[1]), str(key[0]), body))
            else:
                unfit += 1
        found.sort()  # as they came, so that the longest waiting user is the first again; the lost ones before that
        for number, user, body in found:
            box = self._boxes.setdefault(user, _Box(user))
            if number == LOST:
                box.lost = int(body)
            else:
                self._put(box, number, body)
        return unfit

    def rows(self) -> Iterator[Row]:
        """Everything, as it is kept."""
        for user, box in self._boxes.items():
            if box.lost:
                yield Table.NOTIFICATIONS, (user, LOST), b"%d" % box.lost
            for number, body in box.kept:
                yield Table.NOTIFICATIONS, (user, number), body


def is_json(body: bytes) -> bool:
    """Whether what was read is still a value; somebody may have edited it."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
