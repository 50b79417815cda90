"""Rows of a journal as the last run left them: read one after another, and blamed by name where they make no sense."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

import msgspec

from gatewayd.core.depth import MAX_DEPTH, too_deep
from gatewayd.core.record import EventRecord, Key, Table, decode_event
from gatewayd.journal.engine import Journal
from gatewayd.journal.pinned import JournalError

log = logging.getLogger("gatewayd.journal")

NONSENSE = (msgspec.MsgspecError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What comes of a row that somebody has edited, or of a hook that does not know what it finds there."""
OWN_DEPTH = 8
"""How many levels more a row of the journal may have, since it wraps what came in."""


def nothing() -> None:
    """Nobody wants to end the reading."""


class Reading:
    """Makes whatever goes wrong with a row a `JournalError` that names it.

    Rows that are nested too deep are counted in `dropped`, by table. `check` is called at every row, and what it raises
    ends the reading.
    """

    def __init__(self, journal: Journal, dropped: Counter[str], check: Callable[[], None] = nothing) -> None:
        self._journal = journal
        self._check = check
        self._dropped = dropped
        self.place = ""
        """Where we are."""
        self.gaps: list[EventRecord] = []
        """The events among those that were dropped."""

    def load(self, table: Table) -> Iterator[tuple[Key, bytes]]:
        """The rows of a table; those that are nested too deep are left out, and go from the journal."""
        for key, value in self._journal.load(table):
            self._check()
            self.place = f"the row {key!r} of {table}"
            if too_deep(value, MAX_DEPTH + OWN_DEPTH):
                self._drop(table, key, value)
            else:
                yield key, value
        self.place = f"the table {table}"
        if count := self._dropped[table.value]:
            text = "rows of %s that were dropped, since they are nested deeper than %d levels: %d"
            log.warning(text, table, MAX_DEPTH, count)

    def _drop(self, table: Table, key: Key, value: bytes) -> None:
        self._dropped[table.value] += 1
        self._journal.delete(table, key)
        if table is Table.EVENTS:
            # Deeper than this daemon ever wrote, or of a version before, and too deep to be migrated: nobody can tell
            # whose it was.
            with suppress(RecursionError, msgspec.ValidationError):
                self.gaps.append(decode_event(value))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, NONSENSE):
            raise JournalError(
                f"{self._journal.file.path}: {self.place} makes no sense ({fault}); restore the file from a backup, "
                f"or move it away"
            ) from fault
