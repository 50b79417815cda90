"""Lifecycle events that wait for the backend, in the journal: the next run delivers what this one did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from gatewayd.backend.lifecycle import MemoryQueue
from gatewayd.backend.request import Entry
from gatewayd.core.record import Row, Table, encode
from gatewayd.daemon.reading import Reading
from gatewayd.journal.engine import Journal

LAST = "lifecycle"
"""Key of the meta table: the number of the newest event."""


class JournalQueue(MemoryQueue):
    """A `Queue` that outlives the process.

    Before an entry is handed out it is on disk, together with what has happened to its session: what the backend knows,
    the next run knows too. Where the disk fails it is handed out all the same, and a crash in that time may say an end
    twice.

    Begins with what the last run has not delivered; raises `JournalError`. `dropped` counts rows that are left out.
    """

    def __init__(self, journal: Journal, limit: int, dropped: Counter[str]) -> None:
        super().__init__(limit)
        self._journal = journal
        with Reading(journal, dropped) as reading:
            for _, value in reading.load(Table.LIFECYCLE):
                self._add(msgspec.json.decode(value, type=Entry))
            for key, value in reading.load(Table.META):
                if key == LAST:
                    self.last = int(value)

    def append(self, entry: Entry) -> None:
        """Take one more."""
        self._journal.put(Table.LIFECYCLE, entry.n, encode(entry))
        self._journal.put(Table.META, LAST, b"%d" % entry.n)
        super().append(entry)

    async def committed(self) -> None:
        """Wait until all that was appended is on disk; at once where the disk fails, since waiting would not help."""
        await self._journal.committed()

    def _drop(self, realm: str) -> Entry:
        entry = super()._drop(realm)
        self._journal.delete(Table.LIFECYCLE, entry.n)
        return entry

    def rows(self) -> Iterator[Row]:
        """All rows there have to be."""
        for entry in self.entries():
            yield Table.LIFECYCLE, entry.n, encode(entry)
        yield Table.META, LAST, b"%d" % self.last
