"""What a publish is answered: who has the event, who gets it later, and what was dropped for which reason."""

from __future__ import annotations

from typing import Any

import pytest

from gatewayd.admin import views
from gatewayd.config.limits import FirstReceiverLimits, HubLimits
from gatewayd.core.behaviour import EventTooBig
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.counts import Counts
from gatewayd.protocols import dmod, oxyl, utilbot
from tests.hub.disk import kept
from tests.hub.test_hub import book, numbers, ready, ready_again
from tests.playbook import Person, Playbook, notes_for, waiting


def post(talk: Playbook, data: Any, channel: str = "user:a") -> Counts:
    return talk.hub.post(channel, "E", data)


def feed(talk: Playbook, kind: str = "feeds") -> Person:
    person = talk.connect()
    person.say({"op": 0, "d": {"type": kind, "compress": False, "secret": "s3cret"}})
    person.heard()
    return person


def test_nothing_dropped_gives_no_reason_and_numbers_grow() -> None:
    talk = book()
    ready(talk)
    first, second = post(talk, 1), post(talk, 2)
    assert first == second == Counts(1)
    assert second.number == first.number + 1


def test_nobody_hears() -> None:
    talk = book()
    assert post(talk, 1, "user:nobody") == Counts()
    assert talk.hub.totals.unheard == 1


def test_an_older_event_gives_way_in_the_resume_buffer() -> None:
    talk = book(resume_events=2)
    person = ready(talk)
    person.leave()
    assert [post(talk, n) for n in range(3)] == [
        Counts(0, 1), Counts(0, 1), Counts(0, 1, 1, {"resume_buffer_full": 1}),
    ]  # fmt: skip
    assert numbers(ready_again(talk)) == [1, 2]
    assert (talk.hub.totals.dropped, talk.hub.totals.reasons) == (1, {"resume_buffer_full": 1})


def test_an_event_too_big_to_be_kept_is_not_buffered() -> None:
    talk = book(resume_bytes=100)
    person = ready(talk)
    person.leave()
    assert post(talk, "x") == Counts(0, 1)
    assert post(talk, "x" * 200) == Counts(0, 0, 1, {"too_big": 1})
    again = ready_again(talk)
    assert numbers(again) == ["x"]
    assert again.session.backlog.lost == 1


def test_what_is_lost_behind_an_event_that_waits_takes_nothing_from_what_was_delivered() -> None:
    talk = book(resume_bytes=100)
    person = ready(talk)
    for n in range(2):
        post(talk, n)
    numbers(person)
    person.leave()
    post(talk, 2)
    post(talk, "x" * 200)
    backlog = person.session.backlog
    assert (backlog.given, backlog.written, len(backlog), backlog.lost) == (4, 2, 1, 1)
    assert views.delivered(person.session) == 2
    assert views.delivered(ready_again(talk).session) == 3


def test_a_listener_that_keeps_nothing() -> None:
    talk = book(resume_events=0)
    person = ready(talk)
    person.leave()
    assert post(talk, 1) == Counts(0, 0, 1, {"not_kept": 1})


def test_a_client_that_is_cut_off_for_it_gives_back_more_than_can_be_kept() -> None:
    """Three wait in the outbox; the fourth does not fit there, and of four the resume buffer keeps two."""
    talk = book(outbox_events=3, resume_events=2)
    person = ready(talk)
    person.reads = False
    for n in range(3):
        post(talk, n)
    assert (person.session.backlog.given, person.session.backlog.written) == (3, 0)
    assert post(talk, 3) == Counts(0, 1, 2, {"resume_buffer_full": 2})
    assert (person.session.backlog.given, person.session.backlog.written) == (4, 2)  # what is lost is passed by
    again = ready_again(talk)
    assert numbers(again) == [2, 3]
    assert (again.session.backlog.given, again.session.backlog.written) == (4, 4)
    assert (again.session.backlog.lost, views.delivered(again.session)) == (2, 2)


def test_an_outbox_that_is_taken_back_may_hold_what_the_resume_buffer_never_could() -> None:
    talk = book(resume_bytes=100)
    person = ready(talk)
    person.reads = False
    post(talk, "x" * 200)
    person.leave()
    assert talk.hub.totals.reasons == {"resume_buffer_full": 1}


def test_what_is_too_big_to_be_kept_is_lost_alone_when_an_outbox_is_taken_back() -> None:
    talk = book(resume_bytes=100, resume_events=2)
    person = ready(talk)
    person.reads = False
    for data in (0, 1, "x" * 200, 2):
        post(talk, data)
    person.leave()
    assert talk.hub.totals.reasons == {"resume_buffer_full": 2}
    again = ready_again(talk)
    assert numbers(again) == [1, 2]
    assert (again.session.backlog.given, again.session.backlog.lost) == (4, 2)


def test_a_session_that_cannot_be_resumed_ends_and_all_it_had_to_hear_is_lost() -> None:
    talk = Playbook(oxyl.PROTOCOL, outbox_events=1)
    slow, fine = feed(talk), feed(talk)
    slow.reads = False
    assert post(talk, 1, "service:feeds") == Counts(2)
    assert post(talk, 2, "service:feeds") == Counts(1, 0, 2, {"lost_with_session": 1, "session_ended": 1})
    assert slow.session.ended is not None
    assert len(fine.heard()) == 2
    assert talk.hub.totals.dropped == 2


def test_what_an_expired_session_missed_is_counted() -> None:
    talk = book()
    ready(talk).leave()
    post(talk, 1)
    talk.advance(60)
    assert talk.hub.totals.reasons == {"lost_with_session": 1}


def test_notifications_give_way() -> None:
    talk = book()
    for n in range(100):
        assert talk.hub.notify("a", n) == Counts(0, 1)
    assert talk.hub.notify("a", 100) == Counts(0, 1, 1, {"notifications_full": 1})
    ready(talk, "b").leave()
    for n in range(101):
        talk.hub.notify("b", n)
    talk.advance(60)
    assert talk.hub.totals.reasons == {"notifications_full": 2}


def test_waiting_for_the_first_receiver_and_its_bounds() -> None:
    talk = book(limits=HubLimits(first_receiver=FirstReceiverLimits(channels=1, events=2, bytes=100)))

    def give(channel: str, data: Any) -> Counts:
        return talk.hub.publish(talk.realm, channel, "E", data, one=True)

    assert give("service:bot", 1) == give("service:bot", 2) == Counts(0, 1)
    assert give("service:bot", 3) == Counts(0, 1, 1, {"waiting_full": 1})
    assert give("service:other", 1) == Counts(0, 0, 1, {"too_many_wait": 1})
    assert give("service:bot", "x" * 200) == Counts(0, 0, 1, {"too_big": 1})
    assert talk.hub.totals.unheard == 0


@pytest.mark.parametrize("bounds", [{}, {"outbox_events": 10}, {"outbox_bytes": 5000}])
def test_what_waited_for_a_first_receiver_is_said_to_it_free_of_its_outbox(bounds: dict[str, Any]) -> None:
    """It was cut off at its login, all of it waited again, and so for ever."""
    talk = Playbook(oxyl.PROTOCOL, **bounds)
    for number in range(1000):
        talk.publish("service:commands", "EXECUTE_COMMAND", [number, "x" * 1025])
    service = talk.connect()
    service.reads = False
    service.say({"op": 0, "d": {"type": "commands", "compress": False, "secret": "s3cret"}})
    assert service.closed is None
    backlog = service.session.backlog
    assert (backlog.given, backlog.written, talk.hub.delivery.numbers) == (1000, 0, 2000)
    service.reads = True
    assert [payload["d"][0] for payload in service.heard()[2:]] == list(range(1000))
    assert backlog.written == 1000
    service.reads = False
    for _ in range(1000):
        talk.publish("service:commands", "EXECUTE_COMMAND", "x" * 1500)
    assert service.connection.verdict is not None  # what comes later is bounded as ever
    assert service.connection.verdict.cause is Cause.SLOW_CONSUMER


def test_one_event_goes_on_when_its_receiver_cannot_even_keep_it() -> None:
    talk = Playbook(oxyl.PROTOCOL, outbox_events=1, resume_bytes=10)
    people = feed(talk, "sharder"), feed(talk, "sharder")
    for person in people:
        person.reads = False
        talk.hub.tell(person.session, "A", 1)
    assert talk.hub.publish(talk.realm, "service:sharder", "B", "x" * 20, one=True) == Counts(
        0, 1
    )  # it waits for another one
    assert [person.session.state for person in people] == ["detached", "detached"]
    again = talk.connect()
    again.say({"op": 0, "d": {"type": "sharder", "compress": False, "secret": "s3cret"}})
    assert [payload["t"] for payload in again.heard() if payload["op"] == 2] == ["IDENTIFIED", "A", "B"]


def test_what_goes_on_because_its_receiver_was_cut_off_is_not_taken_for_the_event_that_did_it() -> None:
    talk = Playbook(oxyl.PROTOCOL, outbox_events=2)
    one, two = feed(talk), feed(talk)
    one.reads = two.reads = False

    def give(data: Any) -> Counts:
        return talk.hub.publish(talk.realm, "service:feeds", "E", data, one=True)

    for _ in range(2):
        talk.hub.tell(two.session, "TOLD", 0)
    assert give("first") == Counts(1)
    talk.hub.tell(one.session, "TOLD", 0)
    assert give("second") == Counts(0, 1, 3, {"lost_with_session": 3})
    assert [one.session.state, two.session.state] == ["ended", "ended"]
    assert {event.data for event in waiting(talk.hub)} == {"first", "second"}
    assert (talk.hub.totals.delivered, talk.hub.totals.buffered) == (1, 1)


def test_an_older_event_that_goes_on_to_another_is_not_counted_in_the_publish_that_cut_its_receiver_off() -> None:
    talk = Playbook(oxyl.PROTOCOL, outbox_events=1)
    slow = feed(talk)
    slow.reads = False
    assert talk.hub.publish(talk.realm, "service:feeds", "E", 1, one=True) == Counts(1)
    fine = feed(talk)
    assert post(talk, 2, "service:feeds") == Counts(1, 0, 1, {"session_ended": 1})
    assert numbers(fine) == [2, 1]


def test_an_event_that_a_receiver_keeps_is_given_to_no_other() -> None:
    """Its buffer loses an older one for it, which is no reason to say it twice."""
    talk = Playbook(oxyl.PROTOCOL, outbox_events=2, resume_events=1)
    first, second = feed(talk, "sharder"), feed(talk, "sharder")
    for person in (first, second):
        person.reads = False
        for name in "AB":
            talk.hub.tell(person.session, name, 1)
    counts = talk.hub.publish(talk.realm, "service:sharder", "C", 1, one=True)
    assert counts == Counts(0, 1, 2, {"resume_buffer_full": 2})
    second.reads = True
    assert [payload["t"] for payload in second.heard()] == ["A", "B"]


def test_an_event_that_no_outbox_could_hold_is_refused_and_cuts_nobody_off() -> None:
    talk = book(outbox_bytes=1000)
    person, gone = ready(talk), ready(talk, "b")
    gone.leave()
    assert post(talk, "x" * 900, "service:bot").delivered == 1
    with pytest.raises(EventTooBig, match="main, which holds 1000") as caught:
        post(talk, "x" * 1000, "service:bot")
    assert caught.value.limit == 1000
    assert talk.hub.totals.published == 1
    assert person.session.state == "ready"
    assert post(talk, "x" * 1000, "user:b").buffered == 1
    leaving = ready(talk, "d")
    leaving.stay()
    leaving.connection.end(Disconnect(Cause.HEARTBEAT_MISSED))
    assert post(talk, "x" * 1000, "user:d").buffered == 1  # kept for its next client


def test_a_large_outbox_is_not_looked_at_for_a_small_event() -> None:
    talk = book()
    person = ready(talk)
    talk.hub.registry.smallest_outbox = 100_000
    person.connection.settings = talk.settings.__class__(
        interval=60.0, patience=65.0, identify_timeout=None, resume_window=60.0, outbox_bytes=10
    )
    assert post(talk, "x").delivered == 1


def test_a_notification_for_an_ended_session_is_kept_for_the_user() -> None:
    talk = Playbook(utilbot.PROTOCOL)
    ready(talk).leave()
    talk.hub.notify("a", 1)
    talk.advance(60)
    assert notes_for(talk.hub, "a") == [1]
    assert not talk.hub.totals.reasons


def test_what_other_protocols_keep_costs_the_journal_nothing_where_only_others_hear_it() -> None:
    pages, disk = kept(dmod.PROTOCOL)
    bots = Playbook(utilbot.PROTOCOL, beside=pages, listener="bots")
    ready(bots)
    disk.write(pages.hub)
    assert bots.publish("user:a", "NOTIFICATION", {}) == (1, 0, 0)
    assert not disk.stirred
