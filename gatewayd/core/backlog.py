"""The events that a session was given, in order: each has a sequence, and cursors say how far they have got.

    acknowledged ≤ written ≤ given
    floor ≤ written

Law 1: sequences count from 1 and never repeat.
Law 2: what is kept is a policy. Everything behind `written` is kept until a socket has taken it; a policy may keep it
longer. Nothing up to `floor` is kept.
Law 3: bounds make the oldest give way, and never end a living client. What is lost is counted by reason until its
session's client has been told.
Law 4: while a client reads, its source counts what it is given, and a backlog that keeps nothing is not touched.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from gatewayd.core.counts import Drop
from gatewayd.core.entries import NOTHING, Entries, Entry
from gatewayd.core.events import Event
from gatewayd.core.record import SessionRecord
from gatewayd.core.retention import UNTIL_WRITTEN, Policy, Retention
from gatewayd.core.source import NO_CLIENT, Source

UNCLEAN_ENDS = 16
"""How many unclean ends a backlog remembers the sequences of."""


class Backlog:
    """The book of one session; its length is what is not written.

    Sizes in bytes of `Event.size`, times in monotonic seconds.
    """

    __slots__ = (
        "_ahead", "_behind", "_forgotten", "_given", "_lost", "_told", "_untold", "acknowledged", "max_age",
        "max_bytes", "max_events", "policy", "skipped", "source", "unsure",
    )  # fmt: skip

    def __init__(
        self, policy: Policy = UNTIL_WRITTEN, *, max_events: int, max_bytes: int, max_age: float = math.inf
    ) -> None:
        self.policy = policy
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.acknowledged: int | None = 0 if policy.acknowledges else None
        """The client has shown that it has all up to this one; None where it has no way to."""
        self.skipped: tuple[tuple[int, int], ...] = ()
        """First and last of sequences in a row that were left out because a run did not end in order."""
        self.unsure: tuple[int, int] | None = None
        """`given` when a run was killed that had everything on disk, and the newest sequence that a client may have
        seen all the same; until a client comes."""
        self.source: Source = NO_CLIENT
        """The outbox whose writes count, or the place in an away log."""
        self._given = 0  # while there is no source to count
        self._lost = 0
        self._ahead = NOTHING  # not written
        self._behind = NOTHING  # written, and kept
        self._forgotten = 0  # the newest that was written, and is kept no more though it was not acknowledged
        self._untold: dict[str, int] | None = None
        # What a client with a cursor of its own was told, and `given` at that time: a client that is beyond it knows.
        self._told: tuple[int, Mapping[str, int]] | None = None

    # --- cursors --------------------------------------------------------------------------------------------

    @property
    def given(self) -> int:
        """The newest sequence."""
        source = self.source
        return self._given if source is NO_CLIENT else source.given

    @given.setter
    def given(self, sequence: int) -> None:
        if self.source is NO_CLIENT:
            self._given = sequence
        else:
            self.source.given = sequence

    def attach(self, source: Source) -> None:
        """A client's outbox counts what it is given from here on."""
        given, self.source = self.given, source
        self.given = given

    def share(self, source: Source) -> None:
        """An away log counts and keeps what the session is given from here on."""
        self._given, self.source = self.given, source

    def unshare(self, events: Collection[Event]) -> None:
        """The session leaves its away log with those of the log's events that it had still to get."""
        source, self.source = self.source, NO_CLIENT
        self._given = source.given
        if source.lost:
            self.lose(Drop.RESUME_BUFFER_FULL, source.lost)
        if events:
            if self._ahead is NOTHING:
                self._ahead = Entries()
            self._ahead.extend(self._given - len(events) + 1, events)

    def all_by(self, channel: str, few: int) -> bool:
        """Whether all that is kept, or the newest few of it, came by one channel."""
        events = self._ahead.events
        if not events:
            return True
        return len(events) >= few and all(event.channel == channel for event in islice(reversed(events), few))

    @property
    def written(self) -> int:
        """A socket has taken all up to this one whole, but for what is lost."""
        return self._ahead.first[0] - 1 if self._ahead.events else self.given - self.source.waiting

    @property
    def floor(self) -> int:
        """Nothing up to this one is kept."""
        self.source.report()
        return self._behind.first[0] - 1 if self._behind.events else self.written

    @property
    def lost(self) -> int:
        """Events that the session will never get."""
        return self._lost + self.source.lost

    @property
    def gaps(self) -> dict[str, int]:
        """How many of the lost ones its client has still to be told of, by reason; of what was forgotten it may be too
        many, where there are holes between.
        """
        untold = dict(self._untold or {})
        if lost := self.source.lost:
            untold[Drop.RESUME_BUFFER_FULL.value] = untold.get(Drop.RESUME_BUFFER_FULL.value, 0) + lost
        return untold

    def own_cursors(self) -> tuple[int, int, dict[str, int]]:
        """`written`, `lost` and `gaps` without what an away log counts: they do not change as that goes on."""
        return self._given if self.source.lost else self.written, self._lost, dict(self._untold or {})

    def __len__(self) -> int:
        """Events that are not written."""
        return len(self._ahead) + self.source.waiting

    @property
    def bytes(self) -> int:
        """Size of these."""
        return self._ahead.bytes + self.source.bytes

    @property
    def kept(self) -> int:
        """Events that are kept in all."""
        self.source.report()
        return len(self._behind) + len(self)

    def covers(self, cursor: int) -> bool:
        """Whether a client can be at this cursor."""
        return 0 <= cursor <= max(self.given, self.unsure[1] if self.unsure else 0)

    def entries(self, after: int = 0) -> list[Entry]:
        """What is kept behind a cursor, oldest first; looked for from the end, so that few cost little."""
        return self.own(after) + self.source.entries(after)

    def own(self, after: int = 0) -> list[Entry]:
        """The same without what is in an away log."""
        if after >= self.given:  # nearly always, at a login
            return []
        self.source.hand_over()
        if self._behind is NOTHING:
            return self._ahead.after(after)
        return self._behind.after(after) + self._ahead.after(after)

    @property
    def own_size(self) -> tuple[int, int]:
        """How many of the events that are kept are in no away log, and their size."""
        return len(self._behind) + len(self._ahead), self._behind.bytes + self._ahead.bytes

    def whole_from(self, cursor: int, now: float) -> bool:
        """Whether a client can be at this cursor, and can still be given all that is behind it."""
        self.source.report()
        self._forget(now)
        behind = self.given - self._left_out(cursor) - cursor
        return self.covers(cursor) and behind <= len(self.entries(cursor))

    # --- given ----------------------------------------------------------------------------------------------

    def append(self, event: Event) -> None:
        """The session is given an event that its socket has not taken yet."""
        source = self.source
        if source is not NO_CLIENT:
            source.let_go()
        self.given = sequence = self.given + 1
        self.take_back(sequence, event)

    def take_back(self, sequence: int, event: Event) -> None:
        """An event that was given, and that the socket has not taken, is kept in here."""
        if self._ahead is NOTHING:
            self._ahead = Entries()
        self._ahead.append(sequence, event)

    def retain(self, event: Event, now: float) -> None:
        """The newest event, which its socket took at once, is kept if the policy says so."""
        self._keep_written(self.given, event)
        self._forget(now)

    def refuses(self, event: Event) -> Drop | None:
        """Why an event could not be kept at all, while there is no client."""
        if self.max_events < 1:
            return Drop.NOT_KEPT
        return Drop.TOO_BIG if event.size > self.max_bytes else None

    def retain_all(self, first: int, events: Collection[Event], now: float = -math.inf) -> None:
        """These have been written, the first at that sequence: they are kept if the policy says so."""
        if self.policy.keeps_all:
            if self._behind is NOTHING:
                self._behind = Entries()
            self._behind.extend(first, events)
        else:
            for sequence, event in enumerate(events, first):
                self._keep_written(sequence, event)
        self._forget(now)

    def keep(self, event: Event) -> dict[Drop, int]:
        """The session is given an event while it has no client; what is lost by it, or because of it."""
        self.source.let_go()
        reason = self.refuses(event)
        if reason is not None:
            self.given += 1
            return self.lose(reason, 1)
        self.append(event)
        ahead, behind = self._ahead, self._behind  # a publish may come here for thousands in a row
        if len(ahead.events) + len(behind.events) <= self.max_events and ahead.bytes + behind.bytes <= self.max_bytes:
            return {}
        return self.trim()

    # --- written, acknowledged ------------------------------------------------------------------------------

    def wrote(self, sequence: int) -> None:
        """The socket took all up to this one whole."""
        if self.policy.retention is Retention.WRITTEN:
            self._ahead.drop(sequence)
        while self._ahead and self._ahead.first[0] <= sequence:
            self._keep_written(*self._ahead.popleft())
        self._forget(-math.inf)
        if not self._ahead:
            self._ahead = NOTHING

    def acknowledge(self, cursor: int) -> bool:
        """The client has all up to this one; whether that is news."""
        self.source.report()
        cursor = min(cursor, self.written)
        if cursor <= (self.acknowledged or 0):
            return False
        self.acknowledged = cursor
        self._let_go(cursor)
        return True

    def _let_go(self, cursor: int) -> None:
        """The client has all up to this one, as far as anybody can know."""
        if self._untold and Drop.FORGOTTEN.value in self._untold:
            left = min(self._untold.pop(Drop.FORGOTTEN.value), max(0, self._forgotten - cursor))
            if left:
                self._untold[Drop.FORGOTTEN.value] = left
        self._release(cursor)

    def _release(self, cursor: int) -> None:
        if self.policy.retention is Retention.ACKNOWLEDGED:
            self._behind.drop(cursor)
            if not self._behind:
                self._behind = NOTHING

    def _keep_written(self, sequence: int, event: Event) -> None:
        if self.policy.keeps(event):
            if self._behind is NOTHING:
                self._behind = Entries()
            self._behind.append(sequence, event)

    # --- bounds ---------------------------------------------------------------------------------------------

    def _forget(self, now: float) -> None:
        """Bound what is written and kept: without a word, since the client may well have it."""
        behind, count = self._behind, 0
        left, size, since = len(behind), behind.bytes, now - self.max_age
        for event in behind.events:
            if left <= self.max_events and size <= self.max_bytes and event.at >= since:
                break
            count, left, size = count + 1, left - 1, size - event.size
        if count:
            self._forget_oldest(count)

    def _forget_oldest(self, count: int = 1) -> None:
        self._forgotten = self._behind.shed(count)
        if self.policy.retention is Retention.ACKNOWLEDGED:
            self._tell_of(Drop.FORGOTTEN, count)

    def trim(self, lost: int = 0) -> dict[Drop, int]:
        """The client is gone: bound all that is kept; what is lost, with so many before."""
        ahead, behind, source = self._ahead, self._behind, self.source
        most, room = self.max_events - source.waiting, self.max_bytes - source.bytes
        while len(ahead.events) + len(behind.events) > most or ahead.bytes + behind.bytes > room:
            if behind.events:
                self._forget_oldest()
            elif ahead.events:
                ahead.popleft()
                lost += 1
            else:
                break  # what is left is in an away log, which is about to give way itself
        return self.lose(Drop.RESUME_BUFFER_FULL, lost) if lost else {}

    def part(self) -> dict[Drop, int]:
        """The client goes with what its socket did not take, of which some may be too big to be kept at all: that is
        lost alone. The rest is bounded; what is lost in all.
        """
        if self._ahead is self._behind is NOTHING:
            return {}  # nearly always
        fitting = [entry for entry in self._ahead.after(0) if entry[1].size <= self.max_bytes]
        too_big = len(self._ahead) - len(fitting)
        if too_big:
            self._ahead = Entries(fitting)
        return self.trim(too_big)

    def lose(self, reason: Drop, count: int) -> dict[Drop, int]:
        """So many events are lost, of which nothing is in here any more."""
        self._lost += count
        self._tell_of(reason, count)
        return {reason: count}

    def _tell_of(self, reason: Drop, count: int) -> None:
        if self._untold is None:
            self._untold = {}
        value = reason._value_  # the property costs three times as much, and a publish may come here for thousands
        self._untold[value] = self._untold.get(value, 0) + count

    # --- a client comes, a client goes ----------------------------------------------------------------------

    def resume(self, cursor: int | None, now: float) -> dict[str, int]:
        """A client goes on from its own cursor, or from where it is known to be: what is behind that is not written
        any more. The answer is what it will never get, by reason; it counts as told.
        """
        if self._ahead is self._behind is NOTHING and self._untold is None and cursor is None and not self.skipped:
            self.unsure = None
            return {}  # nearly always
        self._forget(now)
        self.make_sure(cursor)
        start = cursor
        if start is None:
            acknowledged = self.policy.retention is Retention.ACKNOWLEDGED
            start = (self.acknowledged or 0) if acknowledged else self.written
        self.wrote(start)  # a run that was killed has written more than it wrote down
        if again := self._behind.after(start):
            self._ahead = Entries([*again, *self._ahead.after(0)])
            for _ in again:
                self._behind.pop()
        known, self._untold = self._untold or {}, None
        if cursor is None:
            self._lost += known.get(Drop.FORGOTTEN.value, 0)
        else:
            if self.acknowledged is not None:
                self.acknowledge(cursor)
                self.acknowledged = cursor  # by its own word, be it less than before
            known = self._missing(cursor, Counter(known))
        if any(last > start for _, last in self.skipped):  # again, to a client that may not have heard of it
            known.setdefault(Drop.UNCLEAN_END.value, 0)
        return known

    def _leave_out(self, first: int, last: int) -> None:
        """These sequences are nobody's. Of too many rows of them, the two oldest become one, as long as both."""
        self.skipped = (*self.skipped, (first, last))
        while len(self.skipped) > UNCLEAN_ENDS:
            (one, end), (other, newer), *rest = self.skipped
            self.skipped = ((other - (end - one + 1), newer), *rest)

    def _left_out(self, cursor: int) -> int:
        """How many sequences behind a cursor are nobody's."""
        return sum(max(0, last - max(first - 1, cursor)) for first, last in self.skipped)

    def make_sure(self, cursor: int | None) -> None:
        """Where a client may have seen more than is on disk, up to `cursor`, what was given since comes behind it."""
        unsure, self.unsure = self.unsure, None
        if unsure is None or cursor is None or cursor <= unsure[0]:
            return
        start, count = unsure[0], cursor - unsure[0]
        self._leave_out(start + 1, cursor)
        self.given += count
        ahead = self._ahead.after(0)
        self._ahead = Entries((number + count if number > start else number, event) for number, event in ahead)

    def _missing(self, cursor: int, known: Counter[str]) -> dict[str, int]:
        """What a client that is at this cursor will never get; what is `known` of that tells why."""
        del known[Drop.FORGOTTEN.value]  # counted here
        if self._told is not None and cursor < self._told[0]:
            known.update(self._told[1])
        missing = self.given - cursor - len(self) - self._left_out(cursor)
        told: dict[str, int] = {}
        for reason, count in known.items():
            told[reason] = min(count, missing)
            missing -= told[reason]
        if missing:
            told[Drop.FORGOTTEN.value] = told.get(Drop.FORGOTTEN.value, 0) + missing
            self._lost += missing
        told = {reason: count for reason, count in told.items() if count or not known[reason]}
        self._told = self.given, told
        return dict(told)

    def settle(self) -> None:
        """The client that goes has never shown what it has, though others of its protocol do: what its socket took
        counts. It has acknowledged nothing by that.
        """
        if self.policy.retention is Retention.ACKNOWLEDGED:
            self._let_go(self.written)

    def close(self, *, away: bool = False) -> list[Event]:
        """The session is over: the events that were not written; of one that was `away`, what was not acknowledged is
        not known to have arrived either.
        """
        self.source.let_go()
        known = (self.acknowledged or 0) if away and self.policy.retention is Retention.ACKNOWLEDGED else self.written
        missed = [event for _, event in self.entries(known)]
        self._ahead = self._behind = NOTHING
        return missed

    def bound_as(self, other: Backlog) -> None:
        """The bounds of the listener that was used last hold."""
        self.max_events, self.max_bytes, self.max_age = other.max_events, other.max_bytes, other.max_age

    # --- the journal ----------------------------------------------------------------------------------------

    def restore(self, entries: Iterable[Entry], record: SessionRecord, *, exact: bool) -> dict[Drop, int]:
        """Take up what the last run has left, entries in order; what the bounds lose of it.

        Where that run did not end in order, it may have given more than `given`, but nothing above `mark`: that is left
        out, unless what was on disk is `exact` but for what nobody was promised.
        """
        self._lost, self._untold, self.skipped = record.lost, dict(record.gaps) or None, record.skipped
        for sequence, event in entries:
            if sequence > record.written:
                self.take_back(sequence, event)
            else:
                self._keep_written(sequence, event)
        self.given = max(self._ahead.newest, record.given, record.written)
        if self.acknowledged is not None:
            self.acknowledged = min(record.acknowledged or 0, self.written)
            self._release(self.acknowledged)
        self.unsure = record.unsure
        if record.mark > self.given and exact:
            self.unsure = self.unsure or (self.given, record.mark)
        elif record.mark > self.given:
            self._leave_out(self.given + 1, record.mark)
            self.given = record.mark
            self._tell_of(Drop.UNCLEAN_END, 0)
        return self.part()
