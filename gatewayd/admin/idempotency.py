"""Recent answers to publishers, by the publisher's own id: the same id twice publishes once.

Ids of different scopes are different: publishers that reach other realms do not share them. Of too many answers, the
oldest of the scope with the most is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import msgspec

from gatewayd.config.limits import ApiLimits
from gatewayd.core.record import Key, Row, Store, Table, encode, parts

Scoped = tuple[str, str]


class Remembered:
    """Bounded in time and in number. Times are monotonic seconds; in the journal they are the node's own."""

    def __init__(self, store: Store | None = None, limits: ApiLimits = ApiLimits()) -> None:
        self._store: Store = store or Store()
        self._most = limits.remembered
        self._seconds = limits.remember_seconds
        self._before = 0.0  # from the clock to the node's own time
        self._answers: dict[str, OrderedDict[str, tuple[float, Any]]] = {}
        """By scope, oldest first; none is empty."""
        self._count = 0

    def get(self, key: str, now: float, scope: str = "") -> Any:
        """The answer to this id, or None."""
        self._forget(now)
        entry = self._answers[scope].get(key) if scope in self._answers else None
        return None if entry is None else entry[1]

    def put(self, key: str, answer: Any, now: float, scope: str = "") -> None:
        """Remember an answer; an older one may be forgotten for it."""
        until = now + self._seconds
        self._add(scope, key, until, answer)
        self._store.put(Table.IDEMPOTENCY, (scope, key), self._row(answer, until))
        if self._count > self._most:  # one tenant cannot make another's publish go out twice
            self._drop(max(self._answers, key=lambda name: len(self._answers[name])))

    def _add(self, scope: str, key: str, until: float, answer: Any) -> None:
        answers = self._answers.setdefault(scope, OrderedDict())
        self._count += key not in answers
        answers[key] = (until, answer)

    def _forget(self, now: float) -> None:
        for scope in tuple(self._answers):
            while scope in self._answers and next(iter(self._answers[scope].values()))[0] <= now:
                self._drop(scope)

    def _drop(self, scope: str) -> None:
        answers = self._answers[scope]
        key, _ = answers.popitem(last=False)
        if not answers:
            del self._answers[scope]
        self._count -= 1
        self._store.delete(Table.IDEMPOTENCY, (scope, key))

    def _row(self, answer: Any, until: float) -> bytes:
        return encode(Answered(answer, until + self._before))

    def rows(self) -> Iterator[Row]:
        """All rows that the journal should have."""
        for scope, answers in self._answers.items():
            for key, (until, answer) in answers.items():
                yield Table.IDEMPOTENCY, (scope, key), self._row(answer, until)

    def restore(self, rows: Iterator[tuple[Key, bytes]], now: float, lived: float) -> None:
        """Load the journal's rows; those that are too old are deleted there. `lived` is the node's own time."""
        self._before = lived - now
        found = [(_decode(value), _scoped(key)) for key, value in rows]
        for kept, (scope, key) in sorted(found, key=lambda item: item[0].until):
            # An earlier version wrote seconds since the epoch, which must not keep an answer for ever.
            self._add(scope, key, min(kept.until - self._before, now + self._seconds), kept.answer)
        self._forget(now)


def _scoped(key: Key) -> Scoped:
    scope, id_ = parts(key)
    return str(scope), str(id_)


class Answered(msgspec.Struct, frozen=True):
    """One answer in the journal; `until` is in the node's own time."""

    answer: Any
    until: float


_decode = msgspec.json.Decoder(Answered).decode
