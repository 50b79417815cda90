"""Events that somebody waits for: followed to the socket and to the client's answer, and to nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.config.limits import HubLimits
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.rate import Rate
from gatewayd.hub.hearing import Hearers
from gatewayd.hub.hub import Hub
from gatewayd.hub.progress import Followed, Goal, Watch
from gatewayd.protocols import dmod, oxyl
from tests import ledger
from tests.hub.test_delivery import feed
from tests.hub.test_hub import book, ready, ready_again
from tests.playbook import Person, Playbook


class Wait:
    """One publisher that waits; `done` counts how often it was told that nothing is left."""

    def __init__(self, talk: Playbook, goal: Goal = Goal.WRITTEN) -> None:
        self.talk = talk
        found = talk.hub.progress.start(goal)
        assert found is not None
        self.watch: Watch = found
        self.watch.done = self._tell
        self.done = 0

    def _tell(self) -> None:
        self.done += 1

    def post(self, channel: str, data: Any = 1) -> Followed:
        self.talk.hub.post(channel, "E", data, watch=self.watch)
        return self.watch.followed[-1]

    def stop(self) -> None:
        self.talk.hub.progress.stop(self.watch)
        following = self.talk.hub.progress
        assert (len(following), following.events, following.sessions) == (0, {}, {})


def take(person: Person, count: int) -> None:
    """Its socket takes so many bytes, as the writer would tell."""
    if person.connection.outbox.advance(count):
        person.book.hub.observers.advanced(person.session)


def page(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    person.heard()
    return person


def test_what_every_socket_took_at_once_leaves_nothing_to_wait_for() -> None:
    talk = book()
    ready(talk, "a"), ready(talk, "b")
    wait = Wait(talk)
    followed = wait.post("service:bot")
    assert (followed.written, wait.watch.left) == (2, 0)
    assert talk.hub.progress.sessions == {}
    wait.stop()


def test_it_is_written_when_the_socket_has_taken_all_of_it() -> None:
    talk = book()
    slow = ready(talk, "a")
    ready(talk, "b")
    slow.reads = False
    wait = Wait(talk)
    followed, second = wait.post("service:bot"), wait.post("user:a")
    talk.publish("user:a", "E", "not followed")
    assert (followed.written, second.written, wait.watch.left, wait.done) == (1, 0, 2, 0)
    assert list(talk.hub.progress.sessions) == [slow.session]
    take(slow, 5)
    assert followed.written == 1
    take(slow, slow.connection.outbox.size)
    assert (followed.written, second.written, wait.watch.left, wait.done) == (2, 1, 0, 1)
    wait.stop()


def test_an_event_that_is_not_followed_costs_nothing() -> None:
    talk = book()
    person = ready(talk)
    person.reads = False
    talk.publish("user:a", "E", 1)
    assert not talk.hub.progress.events
    assert not talk.hub.progress.sessions


def test_a_session_that_is_away_has_it_when_it_is_resumed() -> None:
    talk = book()
    ready(talk).leave()
    wait = Wait(talk)
    followed = wait.post("user:a")
    assert (followed.written, wait.watch.left) == (0, 1)
    ready_again(talk)
    assert (followed.written, wait.done) == (1, 1)
    wait.stop()


def test_a_resumed_client_that_does_not_read() -> None:
    talk = book()
    ready(talk).leave()
    wait = Wait(talk)
    followed = wait.post("user:a")
    person = talk.connect()
    person.reads = False
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
    assert (followed.written, wait.watch.left) == (0, 1)
    person.reads = True
    person.heard()
    assert (followed.written, wait.done) == (1, 1)
    wait.stop()


def test_a_client_that_is_cut_off_before_it_read() -> None:
    talk = book()
    person = ready(talk)
    person.reads = False
    wait = Wait(talk)
    followed = wait.post("user:a")
    person.leave()
    assert (followed.written, wait.watch.left) == (0, 1)
    ready_again(talk)
    assert (followed.written, wait.done) == (1, 1)
    wait.stop()


def test_what_gave_way_is_not_waited_for_any_longer() -> None:
    talk = book(resume_events=1, resume_bytes=100)
    ready(talk).leave()
    wait = Wait(talk)
    lost, too_big, kept = wait.post("user:a"), wait.post("user:a", "x" * 200), wait.post("user:a")
    assert wait.watch.left == 1
    ready_again(talk)
    assert [followed.written for followed in (lost, too_big, kept)] == [0, 0, 1]
    assert wait.watch.left == 0
    wait.stop()


@pytest.mark.parametrize("cause", [Cause.KICKED, Cause.CLIENT_CLOSED])
def test_a_session_that_ends_gets_what_is_still_written_to_it(cause: Cause) -> None:
    """Kicked, its client reads what waits and then the close frame; a client that has closed reads nothing."""
    talk = book()
    person = ready(talk)
    person.reads = False
    wait = Wait(talk)
    followed = wait.post("user:a")
    talk.hub.end(person.session, Disconnect(cause))
    assert wait.watch.left == (cause is Cause.KICKED)
    person.reads = True
    person.heard()
    assert (followed.written, wait.watch.left, wait.done) == (cause is Cause.KICKED, 0, 1)
    wait.stop()


def test_to_stop_waiting_leaves_nothing_behind() -> None:
    talk = book()
    person = ready(talk)
    person.reads = False
    wait, other = Wait(talk), Wait(talk)
    mine, others = wait.post("user:a"), other.post("user:a")
    ready(talk, "b").leave()
    wait.post("user:b")
    talk.hub.progress.stop(wait.watch)
    assert (wait.done, wait.watch.left) == (0, 0)
    assert list(talk.hub.progress.sessions) == [person.session]
    person.reads = True
    person.heard()
    assert (mine.written, others.written, other.done) == (0, 1, 1)
    other.stop()


def test_bounds() -> None:
    talk = book(limits=HubLimits(watches=2, watched_pairs=1))
    ready(talk).leave()
    wait = Wait(talk)
    wait.post("user:a")
    assert talk.hub.progress.full(None)
    assert talk.hub.progress.start(Goal.WRITTEN) is None
    assert not talk.hub.progress.full(("staging",))
    wait.stop()
    waits = [Wait(talk) for _ in range(2)]
    assert talk.hub.progress.start(Goal.WRITTEN) is None
    other = talk.hub.progress.start(Goal.WRITTEN, ("staging",))
    assert other is not None
    talk.hub.progress.stop(other)
    for wait in waits:
        talk.hub.progress.stop(wait.watch)


# --- one receiver -------------------------------------------------------------------------------------------


def one(wait: Wait, data: Any = 1) -> Followed:
    event = wait.talk.hub.delivery.event("service:feeds", "E", data, realm="main")
    wait.talk.hub.progress.follow([event], wait.watch)
    wait.talk.hub.delivery.publish([event], Hearers())
    return wait.watch.followed[-1]


def test_an_event_for_the_first_receiver_that_comes() -> None:
    talk = Playbook(oxyl.PROTOCOL)
    wait = Wait(talk)
    followed = one(wait)
    assert (followed.written, wait.watch.left) == (0, 1)
    feed(talk)
    assert (followed.written, wait.watch.left) == (1, 0)
    wait.stop()


def test_an_event_whose_receiver_goes_is_followed_to_the_next() -> None:
    talk = Playbook(oxyl.PROTOCOL)
    first, second = feed(talk), feed(talk)
    first.reads = second.reads = False
    wait = Wait(talk)
    followed = one(wait)
    first.leave()
    assert (followed.written, wait.watch.left) == (0, 1)
    second.leave()
    assert (followed.written, wait.watch.left) == (0, 1)  # nobody is left: it waits again
    feed(talk)
    assert (followed.written, wait.watch.left) == (1, 0)
    wait.stop()


# --- acknowledged -------------------------------------------------------------------------------------------


def test_the_client_is_asked_at_once_and_its_answer_acknowledges() -> None:
    talk = Playbook(dmod.PROTOCOL)
    person = page(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    followed = wait.post("user:7")
    assert [payload["op"] for payload in person.heard()] == [5, 3]
    assert (followed.written, followed.acknowledged, followed.answerable, wait.watch.left) == (1, 0, True, 1)
    person.say({"op": 4})
    assert (followed.acknowledged, wait.done) == (1, 1)
    wait.stop()


def test_a_client_is_not_asked_again_before_it_has_answered_nor_too_soon() -> None:
    talk = Playbook(dmod.PROTOCOL, rate_limit=Rate(10, 10.0))
    person = page(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    first, second, third = (wait.post("user:7", n) for n in range(3))
    assert [payload["op"] for payload in person.heard()] == [5, 3, 5, 5]
    person.say({"op": 4})
    assert (first.acknowledged, second.acknowledged) == (1, 0)
    fourth = wait.post("user:7", 3)
    assert [payload["op"] for payload in person.heard()] == [5]
    talk.advance(1.9)
    assert person.heard() == []
    talk.advance(0.1)
    assert [payload["op"] for payload in person.heard()] == [3]
    person.say({"op": 4})
    assert [followed.acknowledged for followed in (second, third, fourth)] == [1, 1, 1]
    assert wait.done == 1
    wait.stop()
    talk.advance(5)
    assert person.heard() == []


def test_whom_nobody_waits_for_any_more_is_not_asked() -> None:
    talk = Playbook(dmod.PROTOCOL)
    person = page(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    wait.post("user:7")
    person.say({"op": 4})
    wait.post("user:7")
    wait.stop()
    person.heard()
    talk.advance(2)
    assert person.heard() == []


def test_an_event_that_waits_is_asked_about_when_it_is_written() -> None:
    soon: list[Callable[[], None]] = []
    talk = Playbook(dmod.PROTOCOL, hub=Hub(lambda: talk.now, soon=soon.append))
    person = page(talk)
    person.reads = False
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    followed = wait.post("user:7")
    assert len(person.connection.outbox) == 1
    person.reads = True
    assert [payload["op"] for payload in person.heard()] == [5]
    (call,) = soon
    call()
    assert [payload["op"] for payload in person.heard()] == [3]
    person.say({"op": 4})
    assert (followed.written, followed.acknowledged) == (1, 1)
    wait.stop()


def test_a_heartbeat_that_answers_an_older_beat_acknowledges_nothing_newer() -> None:
    talk = Playbook(dmod.PROTOCOL)
    person = page(talk)
    talk.advance(30)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    followed = wait.post("user:7")
    person.say({"op": 4})
    assert (followed.acknowledged, wait.watch.left) == (0, 1)
    talk.advance(1)
    person.say({"op": 4})
    assert (followed.acknowledged, wait.done) == (1, 1)
    wait.stop()


def test_what_was_written_to_a_connection_that_broke_is_never_acknowledged_on_the_next() -> None:
    talk = Playbook(dmod.PROTOCOL)
    person = page(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    followed = wait.post("user:7")
    person.leave()
    assert wait.watch.left == 1
    missed = wait.post("user:7")
    person = page(talk)
    assert wait.watch.left == 1
    talk.advance(1)
    person.say({"op": 4})
    assert (followed.written, followed.acknowledged) == (1, 0)
    assert (missed.written, missed.acknowledged, wait.done) == (1, 1, 1)
    wait.stop()


def reader(talk: Playbook, seq: int | None = None) -> Person:
    """A client that counts: what it has read is its own word."""
    person = talk.connect()
    person.say({"type": "hi", "name": "a", "token": "s3cret", **({} if seq is None else {"seq": seq})})
    person.heard()
    return person


def test_a_client_that_comes_back_with_its_cursor_acknowledges_what_it_read_before() -> None:
    talk = Playbook(ledger.PROTOCOL)
    person = reader(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    read, unread = wait.post("book:a"), wait.post("book:a")
    person.leave()
    missed = wait.post("book:a")
    assert [(item.written, item.acknowledged) for item in (read, unread, missed)] == [(1, 0), (1, 0), (0, 0)]
    assert wait.watch.left == 3
    person = reader(talk, 1)
    assert [(item.written, item.acknowledged) for item in (read, unread, missed)] == [(1, 1), (1, 0), (1, 0)]
    assert wait.watch.left == 2
    person.say({"type": "beat", "seq": 3})
    assert [(item.written, item.acknowledged) for item in (read, unread, missed)] == [(1, 1), (1, 1), (1, 1)]
    assert wait.watch.left == 0
    wait.stop()


def test_a_client_that_comes_back_without_its_cursor_is_said_it_again_and_may_acknowledge_that() -> None:
    talk = Playbook(ledger.PROTOCOL)
    person = reader(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    first, second = wait.post("book:a"), wait.post("book:a")
    person.say({"type": "beat", "seq": 1})
    person.leave()
    person = reader(talk)
    assert [(item.written, item.acknowledged) for item in (first, second)] == [(1, 1), (1, 0)]
    person.say({"type": "beat", "seq": 2})
    assert (second.acknowledged, wait.watch.left) == (1, 0)
    wait.stop()


def test_what_was_forgotten_meanwhile_is_waited_for_no_longer() -> None:
    talk = Playbook(ledger.PROTOCOL, resume_events=1)
    person = reader(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    first, second = wait.post("book:a"), wait.post("book:a")
    person.leave()
    reader(talk)
    assert [(item.written, item.acknowledged) for item in (first, second)] == [(1, 0), (1, 0)]
    assert wait.watch.left == 1
    wait.stop()


def test_where_there_is_no_acknowledgement_written_is_the_end_of_it() -> None:
    talk = book()
    ready(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    followed = wait.post("user:a")
    assert (followed.written, followed.answerable, wait.watch.left) == (1, False, 0)
    wait.stop()


def test_a_session_that_ends_acknowledges_nothing() -> None:
    talk = Playbook(dmod.PROTOCOL)
    person, slow = page(talk), page(talk)
    slow.reads = False
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    followed = wait.post("user:7")
    for each in (person, slow):
        talk.hub.end(each.session, Disconnect(Cause.KICKED))
    slow.reads = True
    slow.heard()
    assert (followed.written, followed.acknowledged, wait.watch.left) == (2, 0, 0)
    wait.stop()


def test_a_client_that_cannot_even_take_the_question_is_a_slow_consumer() -> None:
    talk = Playbook(dmod.PROTOCOL, outbox_events=2)
    person = page(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    wait.post("user:7")
    person.say({"op": 4})
    wait.post("user:7")  # to be asked about in a second
    person.heard()
    person.reads = False
    for n in range(2):
        talk.publish("user:7", "E", n)
    talk.advance(1)
    assert person.closed is not None
    assert person.session.state == "detached"
    assert wait.watch.left == 1
    wait.stop()


def test_a_client_that_is_leaving_is_not_asked() -> None:
    talk = Playbook(dmod.PROTOCOL)
    person = page(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    wait.post("user:7")
    person.say({"op": 4})
    for _ in range(2):
        wait.post("user:7")
    assert len(talk.hub.timers) == 1
    person.heard()
    person.stay()  # its tasks have not run yet
    person.connection.end(Disconnect(Cause.KICKED))
    talk.advance(1)
    assert person.heard() == []
    wait.stop()


def test_a_client_that_is_gone_is_not_asked() -> None:
    talk = Playbook(dmod.PROTOCOL)
    person = page(talk)
    wait = Wait(talk, Goal.ACKNOWLEDGED)
    wait.post("user:7")
    person.say({"op": 4})
    wait.post("user:7")
    person.leave()
    talk.advance(1)
    assert wait.watch.left == 1
    wait.stop()


MOVES = st.lists(
    st.sampled_from(["publish", "leave", "return", "deaf", "hears", "answer", "beat", "stop"]), max_size=40
)


@settings(max_examples=200)
@given(MOVES, st.sampled_from(Goal), st.integers(1, 4))
def test_nothing_is_counted_that_the_client_has_not_read(moves: list[str], goal: Goal, room: int) -> None:
    """Whatever happens: what counts as written was read from the socket; as acknowledged, by that very client."""
    talk = Playbook(dmod.PROTOCOL, resume_window=1e6, resume_events=room, patience=1e6, outbox_events=4)
    person = page(talk)
    wait: Wait | None = Wait(talk, goal)
    followed: dict[int, Followed] = {}
    read: set[int] = set()
    asked = 0

    def look() -> None:
        nonlocal asked
        for payload in person.heard() if person.reads else []:
            asked += payload["op"] == 3
            if payload["op"] == 5:
                read.add(payload["d"])

    for number, move in enumerate(moves):
        if move == "publish" and wait is not None:
            followed[number] = wait.post("user:7", number)
        elif move == "leave" and person.closed is None:
            look()
            person.leave()
        elif move == "return" and person.closed is not None:
            person = talk.connect()
            person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
            asked = 0
        elif move in ("deaf", "hears"):
            person.reads = move == "hears"
        elif move == "answer" and asked and person.closed is None:
            asked -= 1
            person.say({"op": 4})
        elif move == "beat":
            talk.advance(30)
        elif move == "stop" and wait is not None:
            talk.hub.progress.stop(wait.watch)
            wait = None
        look()
        written = {n for n, item in followed.items() if item.written}
        acknowledged = {n for n, item in followed.items() if item.acknowledged}
        assert all(item.written <= 1 and item.acknowledged <= item.written for item in followed.values())
        if person.reads:
            assert acknowledged <= written <= read
    if wait is not None:
        wait.stop()
