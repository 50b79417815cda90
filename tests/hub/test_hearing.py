"""Who hears an event, where many do: sets, logs, and what keeps an event from either."""

from __future__ import annotations

from gatewayd.config.limits import HubLimits
from gatewayd.core.counts import Counts
from gatewayd.core.observer import Observer
from gatewayd.core.session import Session
from tests import ledger, sixth
from tests.hub.test_away import away, logged, post
from tests.hub.test_hub import book, numbers, ready, ready_again
from tests.hub.test_insync import CLIENTS, World


class Behind(Observer):
    """Who is said to keep something."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    def behind(self, session: Session) -> None:
        self.sessions.append(session)


def test_a_set_of_another_protocol_is_said_nothing() -> None:
    there = World(sixth.PROTOCOL, 1)
    for who in range(CLIENTS):
        there.subscribe(who, "book:x")
    there.end()  # all that was said to them before is out
    hub, realm = there.book.hub, there.book.realm
    assert hub.publish(realm, "book:x", "E", 1) == Counts(CLIENTS)
    assert there.tick.in_one_go == CLIENTS
    assert hub.publish(realm, "book:x", "E", 2, protocol="other") == Counts()
    assert hub.publish(realm, "book:x", "E", 3, protocol="ticker") == Counts(CLIENTS)
    there.end()
    assert all(b'"d":2' not in one.took and b'"d":3' in one.took for one in there.people)


def test_a_log_that_is_older_than_the_sets_of_its_channel() -> None:
    talk = book(limits=HubLimits(in_sync=4))
    gone = away(talk, "a", "b")
    assert post(talk, 1) == Counts(0, 2)
    assert logged(talk) == {"a", "b"}
    here = [ready(talk, name) for name in "cd"]
    assert post(talk, 2) == Counts(2, 2)
    assert logged(talk) == {"a", "b"}
    assert [numbers(person) for person in here] == [[2], [2]]
    assert [session.backlog.given for session in gone] == [2, 2]
    assert numbers(ready_again(talk, "a")) == [1, 2]


def test_the_journal_is_told_of_members_that_keep_an_event_and_of_no_others() -> None:
    for protocol, told in ((ledger.PROTOCOL, CLIENTS), (sixth.PROTOCOL, 0)):
        observer = Behind()
        there = World(protocol, 1, observers=[observer])
        there.book.hub.delivery.serve(ledger.Ledger.policy)
        for who in range(CLIENTS):
            there.subscribe(who, "book:x")
        there.end()
        observer.sessions.clear()
        assert there.post("book:x", None, 0) == Counts(CLIENTS)
        assert there.tick.in_one_go == CLIENTS
        assert len(observer.sessions) == told
