"""The backlog against a plain list: whatever happens, each event is kept, written or said to be lost, and only once."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from enum import Enum

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gatewayd.core.backlog import Backlog
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.record import SessionRecord
from gatewayd.core.retention import Policy, Retention
from tests.core.test_backlog import record

AHEAD = 50
"""How many sequences a run may give until it writes down again where it is."""
BOUNDS = st.sampled_from([(5, 200, 50.0), (3, 200, 50.0), (3, 90, 50.0), (5, 90, 5.0), (1, 40, 50.0), (0, 200, 50.0)])
WAITED = st.sampled_from([0.0, 1.0, 4.0, 10.0, 60.0])
WHERE = st.sampled_from([1.0, 0.9, 0.5, 0.1, 0.0])
PADS = st.lists(st.sampled_from([0, 10, 60, 130]), min_size=1, max_size=3)


class Place(Enum):
    AHEAD = "not written"
    BEHIND = "written, and kept"
    HAD = "written, and not kept for its client's sake"
    FORGOTTEN = "written, and kept no more because of a bound"
    LOST = "lost"
    SKIPPED = "left out by an unclean end"


@define(eq=False)
class Row:
    """One sequence."""

    event: Event | None
    place: Place
    reason: str = Drop.FORGOTTEN.value


@define
class Model:
    """What a backlog does, as a list of all that it was ever given, with loops over it."""

    policy: Policy
    rows: list[Row] = field(factory=list)
    acknowledged: int = 0
    lost: int = 0
    untold: list[Row] = field(factory=list)
    told: list[Row] = field(factory=list)
    """What a client with a cursor of its own was told the last time, when the newest sequence was `told_at`."""
    told_at: int = 0
    unsure: tuple[int, int] | None = None
    """What was given when a run was killed that had all on disk, and how far a client may have seen all the same."""
    sure: bool = True
    """False where its cursor was behind something of which it was not told: then nobody knows why what is missing."""

    @property
    def given(self) -> int:
        return len(self.rows)

    def at(self, *places: Place) -> list[tuple[int, Row]]:
        return [(sequence, row) for sequence, row in enumerate(self.rows, 1) if row.place in places]

    @property
    def written(self) -> int:
        ahead = self.at(Place.AHEAD)
        return ahead[0][0] - 1 if ahead else self.given

    def size(self, *places: Place) -> int:
        return sum(row.event.size for _, row in self.at(*places) if row.event is not None)

    def wrote(self, row: Row) -> None:
        assert row.event is not None
        row.place = Place.BEHIND if self.policy.keeps(row.event) else Place.HAD

    def lose(self, row: Row, reason: Drop) -> None:
        row.place, row.reason = Place.LOST, reason.value
        self.lost += 1
        self.untold.append(row)

    def forget(self, bounds: tuple[int, int, float], now: float) -> None:
        events, size, age = bounds
        while behind := self.at(Place.BEHIND):
            oldest = behind[0][1]
            assert oldest.event is not None
            if len(behind) <= events and self.size(Place.BEHIND) <= size and oldest.event.at >= now - age:
                break
            self.forget_oldest()

    def forget_oldest(self) -> None:
        oldest = self.at(Place.BEHIND)[0][1]
        oldest.place = Place.FORGOTTEN
        if self.policy.retention is Retention.ACKNOWLEDGED:
            self.untold.append(oldest)

    def acknowledge(self, cursor: int) -> None:
        self.acknowledged = max(self.acknowledged, min(cursor, self.written))
        self.let_go(self.acknowledged)

    def let_go(self, cursor: int) -> None:
        shown = self.rows[:cursor]
        self.untold = [row for row in self.untold if row.place is not Place.FORGOTTEN or row not in shown]
        if self.policy.retention is Retention.ACKNOWLEDGED:
            for row in shown:
                row.place = Place.HAD if row.place is Place.BEHIND else row.place


class Machine(RuleBasedStateMachine):
    policy: Policy

    @initialize(bounds=BOUNDS)
    def start(self, bounds: tuple[int, int, float]) -> None:
        self.now = 100.0
        self.bounds = bounds
        self.model = Model(self.policy)
        self.backlog = self.fresh(bounds)
        self.attached = True
        self.row: tuple[SessionRecord, list[tuple[int, Event]], Model, int] | None = None
        self.seen: dict[int, Event] = {}
        self.numbers = 0
        self.write_down()

    def fresh(self, bounds: tuple[int, int, float]) -> Backlog:
        events, size, age = bounds
        return Backlog(self.policy, max_events=events, max_bytes=size, max_age=age)

    def event(self, name: str, pad: int) -> Event:
        self.numbers += 1
        return Event("c", name, f"{self.numbers:04}" + "x" * pad, self.now, number=self.numbers)

    def saw(self, sequence: int, event: Event) -> None:
        """A socket took it: no other event may ever have that sequence."""
        assert self.seen.setdefault(sequence, event) is event

    # --- given ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.attached)
    @rule(names=st.text("AB", min_size=1, max_size=5), pad=st.sampled_from([0, 30]), took=st.booleans())
    def give(self, names: str, pad: int, took: bool) -> None:
        for name in names:
            self.give_one(name, pad, took)

    def give_one(self, name: str, pad: int, took: bool) -> None:
        """As an outbox does; what follows something that is not written waits behind it."""
        if self.row is not None and self.model.given >= self.row[3]:
            self.write_down()
        event, backlog, model = self.event(name, pad), self.backlog, self.model
        model.rows.append(Row(event, Place.AHEAD))
        if not took or len(backlog):
            backlog.append(event)
            return
        backlog.given += 1
        model.wrote(model.rows[-1])
        if self.policy.retention is not Retention.WRITTEN:
            backlog.retain(event, self.now)
            model.forget(self.bounds, self.now)
        self.saw(backlog.given, event)

    @precondition(lambda self: self.attached and len(self.backlog) > 0)
    @rule(count=st.integers(1, 5))
    def write(self, count: int) -> None:
        ahead = self.model.at(Place.AHEAD)[:count]
        for sequence, row in ahead:
            self.model.wrote(row)
            assert row.event is not None
            self.saw(sequence, row.event)
        self.model.forget(self.bounds, -1e9)
        self.backlog.wrote(ahead[-1][0])

    @precondition(lambda self: not self.attached)
    @rule(name=st.sampled_from("AB"), pads=PADS)
    def keep(self, name: str, pads: list[int]) -> None:
        for pad in pads:
            self.keep_one(name, pad)

    def keep_one(self, name: str, pad: int) -> None:
        event, model = self.event(name, pad), self.model
        before = Counter(row.reason for row in model.untold if row.place is Place.LOST)
        row = Row(event, Place.AHEAD)
        model.rows.append(row)
        refused = self.backlog.refuses(event)
        assert (refused is not None) == (self.bounds[0] == 0 or event.size > self.bounds[1])
        losses = self.backlog.keep(event)
        if refused is not None:
            model.lose(row, refused)
        self.trimmed()
        assert losses == Counter(row.reason for row in model.untold if row.place is Place.LOST) - before

    def trimmed(self) -> int:
        """All that is kept is bounded; what was written goes first."""
        model, lost = self.model, 0
        kept = (Place.BEHIND, Place.AHEAD)
        while len(model.at(*kept)) > self.bounds[0] or model.size(*kept) > self.bounds[1]:
            if model.at(Place.BEHIND):
                model.forget_oldest()
            else:
                model.lose(model.at(Place.AHEAD)[0][1], Drop.RESUME_BUFFER_FULL)
                lost += 1
        return lost

    def parted(self) -> int:
        """The same without a client: what is too big by itself is lost alone."""
        lost = 0
        for _, row in self.model.at(Place.AHEAD):
            assert row.event is not None
            if row.event.size > self.bounds[1]:
                self.model.lose(row, Drop.RESUME_BUFFER_FULL)
                lost += 1
        return lost + self.trimmed()

    # --- the client -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.attached and self.policy.acknowledges)
    @rule(where=st.integers(-2, 40) | st.floats(0, 1))
    def acknowledge(self, where: float) -> None:
        cursor = where if isinstance(where, int) else round(where * self.model.given)
        assert self.backlog.covers(cursor) == (0 <= cursor <= self.model.given)
        if self.backlog.covers(cursor):
            before = self.model.acknowledged
            self.model.acknowledge(cursor)
            assert self.backlog.acknowledge(cursor) == (self.model.acknowledged > before)

    @precondition(lambda self: self.attached)
    @rule(settles=st.booleans())
    def leave(self, settles: bool) -> None:
        if settles:
            self.backlog.settle()
            if self.policy.retention is Retention.ACKNOWLEDGED:
                self.model.let_go(self.model.written)
        lost = self.parted()
        assert self.backlog.part() == ({Drop.RESUME_BUFFER_FULL: lost} if lost else {})
        self.attached = False

    def come(self, bounds: tuple[int, int, float] | None, waited: float, cursor: int = 0) -> None:
        """A client comes, perhaps to another listener."""
        model = self.model
        if model.unsure is not None:
            start = model.unsure[0]
            beyond = max(0, cursor - start)
            model.rows[start:start] = [Row(None, Place.SKIPPED) for _ in range(beyond)]
            self.seen = {sequence: event for sequence, event in self.seen.items() if sequence <= start + beyond}
            model.unsure = None
        self.attached, self.row = True, None
        self.now += waited
        if bounds is not None:
            self.bounds = bounds
            self.backlog.bound_as(self.fresh(bounds))
        self.model.forget(self.bounds, self.now)

    @precondition(lambda self: not self.attached)
    @rule(bounds=st.none() | BOUNDS, waited=WAITED)
    def resume(self, bounds: tuple[int, int, float] | None, waited: float) -> None:
        self.come(bounds, waited)
        model = self.model
        if self.policy.retention is Retention.ACKNOWLEDGED:
            for _, row in model.at(Place.BEHIND):
                row.place = Place.AHEAD
        gaps = self.backlog.resume(None, self.now)
        self.check_gaps(gaps)
        model.untold = []
        model.lost += gaps.get(Drop.FORGOTTEN.value, 0)
        self.write_down()

    @precondition(lambda self: not self.attached)
    @rule(bounds=st.none() | BOUNDS, waited=WAITED, where=WHERE, far=st.booleans())
    def resume_from(self, bounds: tuple[int, int, float] | None, waited: float, where: float, far: bool) -> None:
        """From the client's own cursor: anywhere, or near to what is kept."""
        model = self.model
        low = 0 if far else max(0, self.backlog.floor - 3)
        high = max(model.given, 0 if model.unsure is None else model.unsure[1])
        cursor = low + round(where * (high - low))
        assert self.backlog.covers(high)
        assert not self.backlog.covers(high + 1)
        self.come(bounds, waited, cursor)
        for _, row in model.at(Place.AHEAD):
            if row in model.rows[:cursor]:
                model.wrote(row)
        model.forget(self.bounds, -1e9)
        for _, row in model.at(Place.BEHIND):
            if row not in model.rows[:cursor]:
                row.place = Place.AHEAD
        if self.policy.acknowledges:
            model.acknowledge(cursor)
            model.acknowledged = cursor
        missing = [row for row in model.rows[cursor:] if row.place not in (Place.AHEAD, Place.SKIPPED)]
        known = [row for row in model.untold if row.place is Place.LOST] + model.told * (cursor < model.told_at)
        lost = self.backlog.lost
        gaps = self.backlog.resume(cursor, self.now)
        assert sum(gaps.values()) == len(missing)
        sure = all(row in missing for row in known) and (model.sure or not model.told or cursor >= model.told_at)
        if sure:
            reasons = Counter(row.reason if row in known else Drop.FORGOTTEN.value for row in missing)
            assert Counter({reason: count for reason, count in gaps.items() if count}) == reasons
            assert self.backlog.lost == lost + len([row for row in missing if row not in known])
        model.lost = self.backlog.lost
        model.untold, model.told, model.told_at, model.sure = [], missing, model.given, sure
        for row in missing:
            if row not in known:
                row.reason = Drop.FORGOTTEN.value
        self.write_down()

    # --- runs -----------------------------------------------------------------------------------------------

    @rule()
    def write_down(self) -> None:
        """What the journal has of it."""
        backlog = self.backlog
        mark = backlog.given + AHEAD if self.attached else backlog.given
        written = record(
            given=backlog.given, written=backlog.written, acknowledged=backlog.acknowledged, mark=mark,
            lost=backlog.lost, gaps=backlog.gaps, skipped=backlog.skipped, unsure=backlog.unsure,
        )  # fmt: skip
        events = {id(row.event): row.event for row in self.model.rows}
        self.row = written, backlog.entries(), deepcopy(self.model, events), mark

    @precondition(lambda self: self.row is not None)
    @rule(exact=st.booleans())
    def go_on_in_another_run(self, exact: bool) -> None:
        """Another run takes up what was written down; what happened since then is not known there."""
        assert self.row is not None
        written, entries, self.model, mark = self.row
        model = self.model
        skips = mark > model.given and not exact
        if mark > model.given and exact:
            model.unsure = (model.given, mark)
        elif skips:
            model.rows += [Row(None, Place.SKIPPED) for _ in range(mark - model.given)]
        model.told, model.told_at = [], 0
        self.row, self.attached = None, False
        self.backlog = self.fresh(self.bounds)
        lost = self.parted()
        assert self.backlog.restore(entries, written, exact=exact) == ({Drop.RESUME_BUFFER_FULL: lost} if lost else {})
        if skips:
            assert self.backlog.gaps[Drop.UNCLEAN_END.value] == 0

    def teardown(self) -> None:
        """The session ends."""
        if hasattr(self, "model"):
            assert self.backlog.close() == [row.event for _, row in self.model.at(Place.AHEAD)]
            assert (self.backlog.kept, self.backlog.bytes, self.backlog.given) == (0, 0, self.model.given)

    # --- always ---------------------------------------------------------------------------------------------

    def check_gaps(self, gaps: dict[str, int]) -> None:
        model = self.model
        lost = Counter(row.reason for row in model.untold if row.place is Place.LOST)
        assert {reason: count for reason, count in gaps.items() if count and reason != "forgotten"} == lost
        forgotten = [row for row in model.untold if row.place is Place.FORGOTTEN]
        said = gaps.get("forgotten", 0)
        assert said >= len(forgotten)
        if forgotten:
            first, last = model.rows.index(forgotten[0]), model.rows.index(forgotten[-1])
            assert said <= last + 1 - model.acknowledged
            if last - first == len(forgotten) - 1 and first == model.acknowledged:
                assert said == len(forgotten)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        backlog, model = self.backlog, self.model
        assert (backlog.given, backlog.written, backlog.lost) == (model.given, model.written, model.lost)
        assert backlog.floor <= backlog.written <= backlog.given
        assert (backlog.acknowledged or 0) == model.acknowledged <= backlog.written
        kept = [(sequence, row.event) for sequence, row in model.at(Place.BEHIND, Place.AHEAD)]
        assert [(sequence, id(event)) for sequence, event in backlog.entries()] == [(n, id(event)) for n, event in kept]
        for after in range(max(0, backlog.floor - 2), min(model.given, backlog.floor + 20) + 1):
            assert backlog.entries(after) == [entry for entry in kept if entry[0] > after]
        assert [event for _, event in backlog.entries(backlog.written)] == [
            row.event for _, row in model.at(Place.AHEAD)
        ]
        assert (len(backlog), backlog.kept) == (len(model.at(Place.AHEAD)), len(kept))
        assert backlog.bytes == model.size(Place.AHEAD)
        behind = model.at(Place.BEHIND)
        assert backlog.floor == (behind[0][0] - 1 if behind else backlog.written)
        assert len(behind) <= self.bounds[0]
        assert model.size(Place.BEHIND) <= self.bounds[1]
        if not self.attached:
            assert len(kept) <= self.bounds[0]
            assert model.size(Place.BEHIND, Place.AHEAD) <= self.bounds[1]
        self.check_gaps(backlog.gaps)


POLICIES = [
    Policy(Retention.WRITTEN, acknowledges=True),
    Policy(Retention.WRITTEN, frozenset("A")),
    Policy(Retention.ACKNOWLEDGED),
    Policy(Retention.ACKNOWLEDGED, frozenset("A")),
    Policy(Retention.LATEST, acknowledges=True),
    Policy(Retention.LATEST, frozenset("A")),
]


@pytest.mark.parametrize(
    "policy", POLICIES, ids=lambda p: f"{p.retention.value}-{'all' if p.names is None else 'some'}"
)
def test_whatever_happens(policy: Policy) -> None:
    machine = type("Machine", (Machine,), {"policy": policy})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150, stateful_step_count=30, deadline=None, derandomize=True, report_multiple_bugs=False
        ),
    )
