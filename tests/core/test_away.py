"""Sessions in an away log against twins whose backlogs keep the same events one by one: nobody can tell them apart."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
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

from gatewayd.core.away import Absent, AwayLog
from gatewayd.core.backlog import Backlog
from gatewayd.core.counts import Drop
from gatewayd.core.events import Event
from gatewayd.core.retention import Policy, Retention
from gatewayd.core.session import Session
from gatewayd.core.source import NO_CLIENT

POLICIES = [
    Policy(),
    Policy(Retention.ACKNOWLEDGED),
    Policy(Retention.LATEST),
    Policy(Retention.LATEST, frozenset("A")),
]
BOUNDS = st.sampled_from([(5, 200), (3, 200), (3, 90), (1, 40), (8, 150), (40, 100_000)])
PEOPLE = st.integers(0, 4)
PADS = st.lists(st.sampled_from([0, 0, 3, 10, 25, 60]), min_size=1, max_size=6)


def session(backlog: Backlog, name: str = "s") -> Session:
    return Session(
        id=name, listener="main", protocol="utilbot", realm="main", remote="", opened=0.0, opened_wall=0.0,
        backlog=backlog, connection=None,
    )  # fmt: skip


class Machine(RuleBasedStateMachine):
    policy: Policy

    @initialize(bounds=BOUNDS)
    def start(self, bounds: tuple[int, int]) -> None:
        self.bounds = bounds
        self.numbers = count(1)
        self.log = self.fresh()
        self.gone: list[Session] = []
        self.pairs = [(session(self.backlog(), str(number)), self.backlog()) for number in range(5)]

    def backlog(self) -> Backlog:
        return Backlog(self.policy, max_events=self.bounds[0], max_bytes=self.bounds[1])

    def fresh(self) -> AwayLog:
        return AwayLog(
            "log", max_events=self.bounds[0], max_bytes=self.bounds[1], durable=True,
            left=lambda absent: self.gone.append(absent.session),
        )  # fmt: skip

    def event(self, pad: int, name: str = "A") -> Event:
        number = next(self.numbers)
        return Event("c", name, f"{number:04}" + "x" * pad, float(number), number=number)

    @rule(who=PEOPLE)
    def join(self, who: int) -> None:
        away, _ = self.pairs[who]
        if away.backlog.source is NO_CLIENT:
            self.log.join(away)
            assert away in self.log.members

    @rule(who=PEOPLE)
    def leave(self, who: int) -> None:
        away, _ = self.pairs[who]
        told = self.gone.count(away)
        inside = away in self.log.members
        away.backlog.source.let_go()
        assert away.backlog.source is NO_CLIENT
        assert away not in self.log.members
        assert self.gone.count(away) == told + inside

    @rule(pads=PADS)
    def give(self, pads: list[int]) -> None:
        for pad in pads:
            event = self.event(pad)
            if event.size > self.bounds[1] or not self.log.members:
                continue
            lost, trimmed = self.log.append(event)
            own = dict(trimmed)
            expected = 0
            for away, twin in self.pairs:
                if away not in self.log.members:
                    continue
                losses = twin.keep(event)
                assert set(losses) <= {Drop.RESUME_BUFFER_FULL}
                expected += sum(losses.values())
                assert sum(own.get(away, {}).values()) <= sum(losses.values())
            assert lost + sum(sum(losses.values()) for losses in own.values()) == expected

    @rule(who=PEOPLE, pads=PADS)
    def give_alone(self, who: int, pads: list[int]) -> None:
        """What is too big for any buffer among it."""
        away, twin = self.pairs[who]
        for pad in pads:
            event = self.event(pad)
            assert away.backlog.keep(event) == twin.keep(event)
        assert away.backlog.source is NO_CLIENT

    @rule(who=PEOPLE, names=st.text("AB", min_size=1, max_size=5), wrote=st.booleans(), again=st.booleans())
    def visit(self, who: int, names: str, wrote: bool, again: bool) -> None:
        """A client comes, is said all that was missed or nothing of it, and something more, and goes."""
        away, twin = self.pairs[who]
        events = [self.event(0, name) for name in names]
        gaps = []
        for backlog in (away.backlog, twin):
            backlog.source.let_go()
            gaps.append(backlog.resume(None, 0.0))
            for event in events:
                backlog.append(event)
            if wrote:
                backlog.wrote(backlog.given)
            if again:
                backlog.acknowledge(backlog.given)
            backlog.part()
        assert gaps[0] == gaps[1]

    @precondition(lambda self: self.log.members)
    @rule(who=PEOPLE)
    def end(self, who: int) -> None:
        away, twin = self.pairs[who]
        assert away.backlog.close(away=True) == twin.close(away=True)
        assert away.backlog.kept == 0
        self.pairs[who] = (session(self.backlog(), str(who)), self.backlog())

    @invariant()
    def nobody_can_tell_them_apart(self) -> None:
        for away, twin in self.pairs:
            one = away.backlog
            assert (one.given, one.written, one.floor, one.lost, one.kept, len(one), one.bytes) == (
                twin.given, twin.written, twin.floor, twin.lost, twin.kept, len(twin), twin.bytes
            )  # fmt: skip
            assert Counter(one.gaps) == Counter(twin.gaps)
            assert one.entries() == twin.entries()
            for cursor in (twin.written, twin.written + 1, twin.floor, twin.given - 1):
                assert one.entries(cursor) == twin.entries(cursor)

    @invariant()
    def the_log_is_bounded(self) -> None:
        log, (events, size) = self.log, self.bounds
        assert len(log.events) == log.head - log.floor <= events
        assert log.bytes == sum(event.size for event in log.events) <= size
        oldest = min((absent.position for absent in log.members.values()), default=log.head)
        assert log.floor >= oldest, "an event that nobody has"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.retention.value)
def test_whatever_happens(policy: Policy) -> None:
    class Kept(Machine):
        pass

    Kept.policy = policy
    run_state_machine_as_test(
        Kept,
        settings=settings(
            max_examples=60, stateful_step_count=30, derandomize=True, deadline=None, report_multiple_bugs=False
        ),
    )


def test_an_event_costs_the_same_however_many_are_in_the_log() -> None:
    """Nothing of a session without events of its own is touched."""
    log = AwayLog("log", max_events=2, max_bytes=1000, durable=True, left=lambda absent: None)
    for number in range(50):
        log.join(session(Backlog(max_events=2, max_bytes=1000), str(number)))
    for absent in log.members.values():
        del absent.session
    events = [Event("c", "E", number, 0.0) for number in range(5)]
    assert [log.append(event) for event in events] == [(0, ()), (0, ()), (50, ()), (50, ()), (50, ())]
    assert list(log.events) == events[3:]


def test_what_is_its_own_gives_way_first_and_then_the_log() -> None:
    twin = Backlog(max_events=9, max_bytes=100)
    away = session(Backlog(max_events=9, max_bytes=100))
    log = AwayLog("log", max_events=9, max_bytes=100, durable=True, left=lambda absent: None)
    small, large = Event("c", "E", 1, 0.0), Event("c", "E", "x" * 96, 0.0)
    for backlog in (away.backlog, twin):
        backlog.keep(small)
    log.join(away)
    for event, lost in ((small, (0, ())), (large, (1, ((away, {Drop.RESUME_BUFFER_FULL: 1}),)))):
        count, own = log.append(event)
        assert (count, tuple(own)) == lost
        twin.keep(event)
    assert (away.backlog.lost, away.backlog.gaps, away.backlog.entries()) == (twin.lost, twin.gaps, twin.entries())


def test_who_leaves_of_several_that_joined_at_one_event() -> None:
    log = AwayLog("log", max_events=2, max_bytes=1000, durable=True, left=lambda absent: None)
    first, second, third = people = [session(Backlog(max_events=2, max_bytes=1000), name) for name in "abc"]
    log.join(first)
    log.append(Event("c", "E", 1, 0.0))
    for late in (second, third):
        log.join(late)
    second.backlog.source.let_go()
    assert [log.append(Event("c", "E", number, 0.0))[0] for number in (2, 3, 4)] == [0, 1, 2]
    assert [person.backlog.lost for person in people] == [2, 0, 1]


def test_a_session_without_client_and_log_has_nothing_elsewhere() -> None:
    assert (NO_CLIENT.given, NO_CLIENT.waiting, NO_CLIENT.lost, NO_CLIENT.bytes, NO_CLIENT.entries(0)) == (
        0, 0, 0, 0, []
    )  # fmt: skip


def test_what_is_its_own_is_not_in_the_log() -> None:
    backlog = Backlog(max_events=2, max_bytes=1000)
    away = session(backlog)
    log = AwayLog("log", max_events=2, max_bytes=1000, durable=True, left=lambda absent: None)
    backlog.keep(Event("c", "E", 1, 0.0))
    log.join(away)
    log.append(Event("c", "E", 2, 0.0))
    assert isinstance(backlog.source, Absent)
    assert [(sequence, event.data) for sequence, event in backlog.own()] == [(1, 1)]
    assert [(sequence, event.data) for sequence, event in backlog.entries()] == [(1, 1), (2, 2)]
