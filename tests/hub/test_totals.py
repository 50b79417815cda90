"""What became of one publish, counted by itself; the node's totals have all of it."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from gatewayd.core.counts import Counts, Drop
from gatewayd.core.session import Session
from gatewayd.hub.totals import Tally, Totals
from gatewayd.protocols import utilbot
from tests.hub.test_hub import ready
from tests.playbook import Person, Playbook


class Telling(utilbot.Utilbot):
    """Tells the others that somebody is gone, in the middle of whatever has cut that one off."""

    def detached(self, session: Session) -> None:
        self.port.publish("service:bot", "GONE", session.key)

    def ended(self, session: Session) -> None:
        self.port.publish("service:bot", "OVER", session.key)


def three(**settings: Any) -> tuple[Playbook, list[Person]]:
    """The first of them reads nothing, and has room for one event."""
    talk = Playbook(evolve(utilbot.PROTOCOL, behaviour=Telling), outbox_events=1, **settings)
    people = [ready(talk, name) for name in "abc"]
    people[0].reads = False
    assert talk.hub.post("service:bot", "E", 1) == Counts(3)
    for person in people:
        person.heard()
    return talk, people


def test_nothing_dropped_has_no_reasons() -> None:
    tally = Tally(Totals(), delivered=2, buffered=1)
    tally.drop(Drop.TOO_BIG, 0)
    assert tally.counts(7) == Counts(2, 1)
    assert tally.counts(7).number == 7
    assert not tally.totals.reasons


def test_what_is_dropped_is_in_the_totals_as_well() -> None:
    totals = Totals()
    one, other = Tally(totals), Tally(totals)
    one.add({Drop.TOO_BIG: 1, Drop.RESUME_BUFFER_FULL: 2})
    one.drop(Drop.TOO_BIG)
    other.drop(Drop.TOO_BIG)
    assert one.counts(0) == Counts(0, 0, 4, {"too_big": 2, "resume_buffer_full": 2})
    assert other.counts(0) == Counts(0, 0, 1, {"too_big": 1})
    assert (totals.dropped, totals.reasons) == (5, {"too_big": 3, "resume_buffer_full": 2})


def test_a_publish_within_another_is_counted_apart() -> None:
    talk, (_, two, three_) = three()
    assert talk.hub.post("service:bot", "E", 2) == Counts(2, 1)
    assert [payload["t"] for payload in two.heard()] == ["E", "GONE"]
    assert [payload["t"] for payload in three_.heard()] == ["E", "GONE"]
    totals = talk.hub.totals
    assert (totals.published, totals.delivered, totals.buffered, totals.dropped) == (3, 3 + 2 + 2, 2, 0)


def test_what_a_publish_costs_others_is_counted_in_it_and_what_is_said_because_of_it_is_not() -> None:
    talk, (one, two, _) = three(resume_window=0.0)
    counts = talk.hub.post("service:bot", "E", 2)
    assert counts == Counts(2, 0, 2, {"lost_with_session": 1, "session_ended": 1})
    assert one.session.ended is not None
    assert [payload["t"] for payload in two.heard()] == ["E", "OVER"]
    assert talk.hub.totals.reasons == {"lost_with_session": 1, "session_ended": 1}
    assert talk.hub.totals.delivered == 3 + 2 + 2
