"""Away logs and crashes: what the next run knows of sessions that were in logs, beside the same without any log.

Clients count, acknowledge, and resume from cursors of their own; in the second world somebody waits for each event, and
so each session is given it by itself.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gatewayd.config.limits import HubLimits
from gatewayd.core.away import Absent
from gatewayd.core.backlog import Backlog
from gatewayd.core.counts import Counts
from gatewayd.core.retention import Policy, Retention
from gatewayd.hub.hub import Hub
from gatewayd.hub.progress import Goal
from tests import ledger
from tests.hub.disk import Disk, plain, snapshot, take_up
from tests.playbook import Person, Playbook

NAMES = st.sampled_from("abc")


@define(eq=False)
class World:
    """A node, its disk and its clients."""

    alone: bool
    settings: dict[str, Any]
    disk: Disk = field(factory=Disk)
    people: dict[str, Person] = field(factory=dict)
    talk: Playbook = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.run()

    def run(self) -> None:
        limits = HubLimits(in_sync=self.settings["in_sync"])
        hub = Hub(lambda: self.talk.now, store=self.disk, limits=limits)
        own = {name: value for name, value in self.settings.items() if name not in ("in_sync", "policy")}
        kept = type("Kept", (ledger.Ledger,), {"policy": self.settings["policy"]})
        self.talk = Playbook(
            evolve(ledger.PROTOCOL, behaviour=kept), hub=hub, identify_timeout=None, patience=1e9, **own
        )
        self.people = {}
        take_up(self.disk, hub, {"main": self.talk.settings}, 0.0)

    def come(self, name: str, cursor: int | None, reads: bool) -> Any:
        person = self.people[name] = self.talk.connect()
        person.reads = reads
        seq = {} if cursor is None else {"seq": cursor}
        person.say({"type": "hi", "name": name, "token": "s3cret", **seq})
        if person.closed is None:
            self.talk.hub.subscribe(person.session, "book:all")
        return person.heard()

    def post(self, channel: str, data: str) -> Counts:
        if not self.alone:
            return self.talk.hub.post(channel, "entry", data)
        watch = self.talk.hub.progress.start(Goal.WRITTEN)
        assert watch is not None
        counts = self.talk.hub.post(channel, "entry", data, watch=watch)
        self.talk.hub.progress.stop(watch)
        return counts

    def write(self) -> None:
        while self.disk.stirred:
            self.disk.write(self.talk.hub)
            if any(len(person.connection.outbox) for person in self.people.values()):
                break  # these are looked at until they have everything

    def crash(self) -> None:
        self.disk = Disk(self.disk.rows)
        self.run()

    def look(self) -> Any:
        found = {}
        for session in self.talk.hub.sessions.values():
            backlog = session.backlog
            entries = [(self.counted(backlog, sequence), event.data) for sequence, event in backlog.entries()]
            cursors = [self.counted(backlog, cursor) for cursor in (backlog.given, backlog.written)]
            found[session.key] = cursors, len(backlog.skipped), backlog.lost, backlog.gaps, entries
        return found

    def counted(self, backlog: Backlog, sequence: int) -> int:
        """A sequence without those that were left out: how many these are depends on when its row was written."""
        return sequence - sum(min(last, sequence) - first + 1 for first, last in backlog.skipped if first <= sequence)


class Machine(RuleBasedStateMachine):
    always: bool
    retention: Retention

    @initialize(events=st.sampled_from([2, 5, 30]), size=st.sampled_from([80, 1000]), in_sync=st.sampled_from([1, 99]))
    def start(self, events: int, size: int, in_sync: int) -> None:
        if self.retention is Retention.ACKNOWLEDGED:
            events, size = 1000, 1_000_000  # else what was forgotten, and another one keeps, may come again
        own: dict[str, Any] = {"always": self.always, "resume_events": events, "resume_bytes": size, "in_sync": in_sync}
        own["policy"] = Policy(self.retention, acknowledges=True)
        self.worlds = [World(alone, own) for alone in (False, True)]
        self.number = 0
        self.seen: dict[str, int] = {}
        for name in "abc":
            self.come(name, None, True)
        self.away(3)

    @rule(name=NAMES, behind=st.none() | st.integers(0, 9), reads=st.sampled_from([True, True, False]))
    def come(self, name: str, behind: int | None, reads: bool) -> None:
        cursor = None if behind is None or not self.always else max(0, self.seen.get(name, 0) - behind)
        one, other = (world.come(name, cursor, reads) for world in self.worlds)
        self.seen[name] = max([self.seen.get(name, 0), *(said["seq"] for said in one if "seq" in said)])
        for said in (*one, *other):
            if not self.always:
                said.pop("seq", None)
        assert one == other

    @rule(names=st.sampled_from(["abc", "abc", "ab", "c"]))
    def leave(self, names: str) -> None:
        for world in self.worlds:
            for name in names:
                if name in world.people:
                    world.people[name].leave()

    @rule(count=st.integers(1, 6))
    def away(self, count: int) -> None:
        """All go, and hear the same."""
        self.leave("abc")
        self.post("all", [0] * count)

    @rule(
        channel=st.sampled_from(["all", "all", "all", "a"]), pads=st.lists(st.sampled_from([0, 0, 20, 200]), max_size=7)
    )
    def post(self, channel: str, pads: list[int]) -> None:
        for pad in pads:
            self.number += 1
            one, other = (world.post(f"book:{channel}", f"{self.number}" + "x" * pad) for world in self.worlds)
            assert one == other

    @rule(name=NAMES, behind=st.integers(0, 5))
    def acknowledge(self, name: str, behind: int) -> None:
        for world in self.worlds:
            person = world.people.get(name)
            if person is not None and person.closed is None:
                person.say({"type": "beat", "seq": max(0, person.session.backlog.written - behind)})

    @rule()
    def write(self) -> None:
        for world in self.worlds:
            world.write()

    @rule(written=st.booleans())
    def crash(self, written: bool) -> None:
        for world in self.worlds:
            if written:
                world.write()
            world.crash()

    @rule()
    def stop(self) -> None:
        """In order."""
        for world in self.worlds:
            world.talk.hub.journaling.finish(world.talk.hub.sessions.values())
            world.write()
            world.crash()

    @invariant()
    def nobody_can_tell_them_apart(self) -> None:
        if hasattr(self, "worlds"):
            one, other = (world.look() for world in self.worlds)
            assert one == other
            assert not any(isinstance(s.backlog.source, Absent) for s in self.worlds[1].talk.hub.sessions.values())

    def teardown(self) -> None:
        """Everybody comes back, and nothing is left of the logs."""
        if not hasattr(self, "worlds"):
            return
        for world in self.worlds:
            world.write()
            assert plain(snapshot(world.talk.hub)) == plain(world.disk.rows)
        for name in "abc":
            self.come(name, None, True)
            self.acknowledge(name, 0)
        for world in self.worlds:
            world.write()
            world.write()
            assert not world.talk.hub.journaling.holders
        assert not self.worlds[0].talk.hub.away.logs
        assert not self.worlds[0].talk.realm.hearing.logs


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("retention", [Retention.WRITTEN, Retention.ACKNOWLEDGED], ids=lambda item: item.value)
def test_the_next_run_knows_the_same(always: bool, retention: Retention) -> None:
    machine = type("Crashing", (Machine,), {"always": always, "retention": retention})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
