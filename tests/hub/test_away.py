"""Sessions that are away together, beside the same ones each by itself: nothing that anybody can see differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gatewayd.admin import views
from gatewayd.config.limits import HubLimits
from gatewayd.core.away import Absent
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.counts import Counts
from gatewayd.core.session import Session
from gatewayd.hub.away import FEW
from gatewayd.hub.progress import Goal
from gatewayd.protocols import utilbot
from tests.hub.test_hub import book, numbers, ready, ready_again
from tests.playbook import Person, Playbook

BOTS = "service:bot"


def logged(talk: Playbook) -> set[str]:
    """Who is in a log."""
    return {str(s.key) for s in talk.hub.sessions.values() if isinstance(s.backlog.source, Absent)}


def away(talk: Playbook, *names: str) -> list[Session]:
    people = [ready(talk, name) for name in names]
    for person in people:
        person.leave()
    return [person.session for person in people]


def post(talk: Playbook, data: Any, channel: str = BOTS) -> Counts:
    return talk.hub.post(channel, "E", data)


def view(session: Session) -> dict[str, Any]:
    known = views.session(session, 0.0, whole=True)
    return {name: known[name] for name in ("given", "written", "lost", "gaps", "missed", "delivered")}


class Machine(RuleBasedStateMachine):
    """Two hubs; in the second, somebody waits for each event, and so each session gets it by itself."""

    @initialize(
        events=st.sampled_from([1, 3, 8, 1000]), size=st.sampled_from([60, 150, 100_000]),
        in_sync=st.sampled_from([1, 2, 3, 1000]),
    )  # fmt: skip
    def start(self, events: int, size: int, in_sync: int) -> None:
        self.number = 0
        limits = HubLimits(in_sync=in_sync)
        self.talks = [book(resume_events=events, resume_bytes=size, limits=limits) for _ in range(2)]
        self.people: list[dict[str, Person]] = [{}, {}]

    @rule(name=st.sampled_from("abcd"), reads=st.booleans())
    def connect(self, name: str, reads: bool) -> None:
        heard = []
        for talk, people in zip(self.talks, self.people, strict=True):
            person = talk.connect()
            person.reads = reads
            person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
            people[name] = person
            heard.append([payload.get("d") for payload in person.heard()])
        for said in heard:
            for data in said[:2]:
                if isinstance(data, dict):
                    data.pop("session", None)
        assert heard[0] == heard[1]

    @rule(name=st.sampled_from("abcd"), cause=st.sampled_from([Cause.PEER_GONE, Cause.PEER_GONE, Cause.CLIENT_CLOSED]))
    def leave(self, name: str, cause: Cause) -> None:
        for people in self.people:
            if name in people:
                people[name].leave(cause)

    @rule()
    def all_leave(self) -> None:
        for name in "abcd":
            self.leave(name, Cause.PEER_GONE)

    @rule(
        channel=st.sampled_from([BOTS, BOTS, BOTS, "news", "user:a", "listener:main"]),
        pads=st.lists(st.sampled_from([0, 0, 0, 20, 70, 200]), min_size=1, max_size=6),
        waits=st.booleans(),
    )
    def publish(self, channel: str, pads: list[int], waits: bool) -> None:
        for pad in pads:
            self.number += 1
            data = f"{self.number}" + "x" * pad
            first, second = self.talks
            counts = self.post(first, channel, data) if waits and pad == 20 else post(first, data, channel)
            assert counts == self.post(second, channel, data)

    def post(self, talk: Playbook, channel: str, data: str) -> Counts:
        watch = talk.hub.progress.start(Goal.WRITTEN)
        assert watch is not None
        counts = talk.hub.post(channel, "E", data, watch=watch)
        talk.hub.progress.stop(watch)
        return counts

    @rule(name=st.sampled_from("abcd"), hears=st.booleans(), channel=st.sampled_from([BOTS, "news"]))
    def subscribe(self, name: str, hears: bool, channel: str) -> None:
        for talk in self.talks:
            for session in talk.hub.find("main", "utilbot", name):
                (talk.hub.subscribe if hears else talk.hub.unsubscribe)(session, channel)

    @rule(name=st.sampled_from("abcd"))
    def kick(self, name: str) -> None:
        for talk in self.talks:
            for session in talk.hub.find("main", "utilbot", name):
                talk.hub.end(session, Disconnect(Cause.KICKED, "kicked"))

    @rule(name=st.sampled_from("abcd"))
    def tell(self, name: str) -> None:
        self.number += 1
        answers = []
        for talk in self.talks:
            answers += [talk.hub.tell(s, "E", self.number) for s in talk.hub.find("main", "utilbot", name)]
        assert answers[: len(answers) // 2] == answers[len(answers) // 2 :]

    @invariant()
    def nobody_can_tell_them_apart(self) -> None:
        if not hasattr(self, "talks"):
            return
        first, second = (
            {
                str(session.key): (view(session), [(n, event.data) for n, event in session.backlog.entries()])
                for session in talk.hub.sessions.values()
            }
            for talk in self.talks
        )
        assert first == second
        assert self.talks[0].hub.totals == self.talks[1].hub.totals
        logs = [log for kinds in self.talks[0].hub.away.logs.values() for log in kinds.values()]
        assert all(log.members for log in logs)
        assert not self.talks[1].hub.away.logs


Machine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, derandomize=True, deadline=None, report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestWhateverHappens = Machine.TestCase


def test_who_is_away_and_hears_the_same_is_in_one_log() -> None:
    talk = book()
    sessions = away(talk, *"abc")
    there = ready(talk, "d")
    assert post(talk, 1) == Counts(1, 3)
    assert logged(talk) == set("abc")
    assert post(talk, 2) == Counts(1, 3)
    assert [session.backlog.own() for session in sessions] == [[]] * 3
    assert [session.backlog.given for session in sessions] == [2] * 3
    assert numbers(there) == [1, 2]
    assert numbers(ready_again(talk, "b")) == [1, 2]
    assert logged(talk) == set("ac")
    assert post(talk, 3) == Counts(2, 2)
    assert [numbers(ready_again(talk, name)) for name in "ac"] == [[1, 2, 3]] * 2
    assert talk.hub.away.logs == {}


class Choosy(utilbot.Utilbot):
    """Some of its sessions hear an event of which the name says so; they may be in audiences."""

    def hears(self, channel: str, name: str, data: Any) -> Callable[[Session], bool] | None:
        if name == "all":
            return None
        return lambda session: str(session.audience or session.key) in name


@pytest.mark.parametrize("audiences", [True, False])
@pytest.mark.parametrize("in_sync", [1, 1000])
def test_what_a_protocol_filters_is_for_those_that_hear_it(audiences: bool, in_sync: int) -> None:
    talk = Playbook(evolve(utilbot.PROTOCOL, behaviour=Choosy), limits=HubLimits(in_sync=in_sync))
    for session in away(talk, *"abcd"):
        session.audience = "xy"["ab".count(str(session.key))] if audiences else None
    names = ["all", "x", "y", "all", "xy", "", "b", "all"]
    told = [talk.hub.post(BOTS, name, number).buffered for number, name in enumerate(names)]
    assert told == ([4, 2, 2, 4, 4, 0, 0, 4] if audiences else [4, 0, 0, 4, 0, 0, 1, 4])
    assert len(talk.hub.away.logs.get(BOTS, {})) == (2 if audiences else 1)
    heard = [[event.name for _, event in s.backlog.entries()] for s in talk.hub.sessions.values()]
    if audiences:
        first, second = ["all", "y", "all", "xy", "all"], ["all", "x", "all", "xy", "all"]
        assert heard == [first, first, second, second]
    else:
        assert heard == [["all"] * 3, ["all", "all", "b", "all"], ["all"] * 3, ["all"] * 3]


def test_a_protocol_without_words_for_an_event_leaves_its_logs_as_they_are() -> None:
    talk = book(limits=HubLimits(in_sync=1))
    away(talk, *"abc")
    post(talk, 1)
    hearing = talk.realm.hearing
    assert len(hearing.hearers(BOTS, "E", 1)) == 3
    for others in (
        hearing.hearers(BOTS, "E", 1, mute=("utilbot",)),
        hearing.hearers(BOTS, "E", 1, protocol="oxyl"),
    ):
        assert (len(others), others.logs, others.sessions) == (0, [], [])
    assert logged(talk) == set("abc")


def test_many_that_are_away_stand_not_aside() -> None:
    """Nothing is done for each of them."""
    talk = book(limits=HubLimits(in_sync=2))
    there, *_ = (ready(talk, "d"), away(talk, *"abc"))
    post(talk, 1)
    hearers = talk.realm.hearing.hearers(BOTS, "E", 2)
    assert ([s.key for s in hearers.sessions], len(hearers.logs), len(hearers)) == (["d"], 1, 4)
    assert set(hearers) == set(talk.hub.sessions.values())
    numbers(ready_again(talk, "a"))
    hearers = talk.realm.hearing.hearers(BOTS, "E", 3)
    assert len(hearers) == 4
    assert [len(log.members) for log in hearers.logs] == [2]
    there.leave()
    for name in "bc":
        ready_again(talk, name)
    assert talk.realm.hearing.logs == {}
    assert len(talk.realm.hearing.hearers(BOTS, "E", 4)) == 4


def test_a_channel_that_grows_beside_a_log_has_nobody_twice() -> None:
    """Its sets are made when the log is there."""
    talk = book(limits=HubLimits(in_sync=4))
    away(talk, *"abc")
    post(talk, 1)
    assert logged(talk) == set("abc")
    there = ready(talk, "d")
    assert post(talk, 2) == Counts(1, 3)
    hearers = talk.realm.hearing.hearers(BOTS, "E", 3)
    assert ([s.key for s in hearers.sessions], len(hearers.logs), len(hearers)) == (["d"], 1, 4)
    assert numbers(there) == [2]
    assert [numbers(ready_again(talk, name)) for name in "abc"] == [[1, 2]] * 3


def test_an_event_too_big_for_a_log_is_for_each_alone() -> None:
    talk = book(limits=HubLimits(in_sync=1), resume_bytes=100)
    away(talk, *"abc")
    post(talk, 1)
    assert post(talk, "x" * 200) == Counts(0, 0, 3, {"too_big": 3})
    assert logged(talk) == set()


def test_one_session_alone_needs_no_log() -> None:
    talk = book()
    away(talk, "a")
    post(talk, 1)
    assert logged(talk) == set()


def test_who_is_told_something_alone_goes_its_own_way_for_some_time() -> None:
    talk = book()
    (session, *_) = away(talk, *"abc")
    post(talk, 1)
    talk.hub.tell(session, "E", 2)
    assert logged(talk) == set("bc")
    for number in range(FEW):
        post(talk, 3 + number)
        assert logged(talk) == set("bc")
    post(talk, 9)
    assert logged(talk) == set("abc")
    assert [numbers(ready_again(talk, name)) for name in "ab"] == [[1, 2, 3, 4, 5, 6, 9], [1, 3, 4, 5, 6, 9]]


def test_two_channels_in_turn_have_nobody_come_and_go() -> None:
    talk = book()
    sessions = away(talk, *"abc")
    for session in sessions:
        talk.hub.subscribe(session, "news")
    moves = []
    for number in range(20):
        before = logged(talk)
        post(talk, number, "news" if number % 2 else BOTS)
        moves.append(logged(talk) != before)
    assert sum(moves) == 2
    assert numbers(ready_again(talk, "a")) == list(range(20))


def test_who_hears_a_channel_no_more_leaves_its_log() -> None:
    talk = book()
    sessions = away(talk, *"abc")
    post(talk, 1)
    talk.hub.unsubscribe(sessions[0], BOTS)
    assert logged(talk) == set("bc")
    assert post(talk, 2) == Counts(0, 2)
    assert [numbers(ready_again(talk, name)) for name in "ab"] == [[1], [1, 2]]


def test_an_event_for_some_of_a_log_alone_is_for_them_alone() -> None:
    talk = book()
    sessions = away(talk, *"abc")
    post(talk, 1)
    assert talk.hub.publish(talk.realm, BOTS, "E", 2, besides=sessions[1]) == Counts(0, 2)
    assert logged(talk) == {"b"}
    assert post(talk, 3) == Counts(0, 3)
    assert [numbers(ready_again(talk, name)) for name in "abc"] == [[1, 2, 3], [1, 3], [1, 2, 3]]


def test_sessions_with_other_bounds_are_in_another_log() -> None:
    talk = book(resume_events=2)
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other", resume_events=3)
    away(talk, *"ab")
    away(other, *"cd")
    assert [post(talk, number) for number in range(4)] == [
        Counts(0, 4), Counts(0, 4), Counts(0, 4, 2, {"resume_buffer_full": 2}),
        Counts(0, 4, 4, {"resume_buffer_full": 4}),
    ]  # fmt: skip
    assert logged(talk) == set("abcd")
    assert len(talk.hub.away.logs[BOTS]) == 2
    assert numbers(ready_again(talk, "a")) == [2, 3]
    assert numbers(ready_again(other, "c")) == [1, 2, 3]
    assert numbers(ready_again(other, "d")) == [1, 2, 3]
    assert [len(log.members) for log in talk.hub.away.logs[BOTS].values()] == [1]


def test_an_event_for_one_receiver_goes_to_no_log() -> None:
    talk = book()
    away(talk, *"abc")
    post(talk, 1)
    there = ready(talk, "d")
    assert talk.hub.publish(talk.realm, BOTS, "E", 2, one=True) == Counts(1)
    assert numbers(there) == [2]
    assert logged(talk) == set("abc")


def test_bounds_that_have_changed_make_no_common_log() -> None:
    """A listener's bounds are those of its start, except to whoever tries hard."""
    talk = book()
    first, second, third = away(talk, *"abc")
    third.backlog.max_events = 1
    assert [post(talk, number) for number in range(2)] == [
        Counts(0, 3), Counts(0, 3, 1, {"resume_buffer_full": 1})
    ]  # fmt: skip
    assert logged(talk) == set("ab")
    assert (first.backlog.lost, second.backlog.lost, third.backlog.lost) == (0, 0, 1)


def test_an_event_that_fits_no_buffer_has_all_of_them_leave() -> None:
    talk = book(resume_bytes=100)
    away(talk, *"ab")
    post(talk, 1)
    assert post(talk, "x" * 200) == Counts(0, 0, 2, {"too_big": 2})
    assert logged(talk) == set()
    assert [numbers(ready_again(talk, name)) for name in "ab"] == [[1], [1]]
