"""Answers that were given lately, by the publisher's own id: the same id twice publishes once.

Ids of different scopes are different: what one publisher has said is nothing to another that means other realms.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import msgspec

from gatewayd.core.record import Key, Nowhere, Row, Store, Table, encode, parts

KEEP_SECONDS = 300.0
KEEP_COUNT = 100_000
Scoped = tuple[str, str]


class Remembered:
    """Bounded in time and number. Times are monotonic seconds; in the journal they are the node's own."""

    def __init__(self, store: Store | None = None) -> None:
        self.store: Store = store or Nowhere()
        self._before = 0.0  # from the clock to the node's own time
        self._answers: OrderedDict[Scoped, tuple[float, Any]] = OrderedDict()

    def get(self, key: str, now: float, scope: str = "") -> Any:
        """The answer that was given to this id, or None."""
        self._forget(now)
        entry = self._answers.get((scope, key))
        return None if entry is None else entry[1]

    def put(self, key: str, answer: Any, now: float, scope: str = "") -> None:
        """Remember an answer; the oldest gives way."""
        until = now + KEEP_SECONDS
        self._answers[scope, key] = (until, answer)
        self.store.put(Table.IDEMPOTENCY, (scope, key), self._row(answer, until))
        if len(self._answers) > KEEP_COUNT:
            self._drop()

    def _forget(self, now: float) -> None:
        while self._answers and next(iter(self._answers.values()))[0] <= now:
            self._drop()

    def _drop(self) -> None:
        key, _ = self._answers.popitem(last=False)
        self.store.delete(Table.IDEMPOTENCY, key)

    def _row(self, answer: Any, until: float) -> bytes:
        return encode(Answered(answer, until + self._before))

    def rows(self) -> Iterator[Row]:
        """All rows there have to be."""
        for key, (until, answer) in self._answers.items():
            yield Table.IDEMPOTENCY, key, self._row(answer, until)

    def restore(self, rows: Iterator[tuple[Key, bytes]], now: float, lived: float) -> None:
        """Remember what the journal does; it is told of what is too old. `lived` is the node's own time."""
        self._before = lived - now
        found = [(_decode(value), _scoped(key)) for key, value in rows]
        for kept, key in sorted(found, key=lambda item: item[0].until):
            # A version before wrote seconds since the epoch, which must not make an answer immortal.
            self._answers[key] = (min(kept.until - self._before, now + KEEP_SECONDS), kept.answer)
        self._forget(now)


def _scoped(key: Key) -> Scoped:
    scope, id_ = parts(key)
    return str(scope), str(id_)


class Answered(msgspec.Struct, frozen=True):
    """One answer as it is kept; `until` is by the node's own time."""

    answer: Any
    until: float


_decode = msgspec.json.Decoder(Answered).decode
