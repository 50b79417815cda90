"""The three things of a protocol whose clients count: resume from their own cursor, acknowledge, be told of a gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from gatewayd.config.limits import HubLimits
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.observer import Observer
from gatewayd.core.record import Table, decode_event
from gatewayd.core.retention import Policy, Retention
from gatewayd.core.session import Session
from gatewayd.hub.hub import Hub
from gatewayd.protocols import utilbot
from gatewayd.protocols.describe import causes
from tests import ledger
from tests.hub.disk import Disk, snapshot, take_up
from tests.playbook import Person, Playbook


def book(**settings: Any) -> Playbook:
    return Playbook(ledger.PROTOCOL, **settings)


def come(talk: Playbook, seq: Any = None, name: str = "a", *, reads: bool = True) -> Person:
    person = talk.connect()
    person.reads = reads
    person.say({"type": "hi", "name": name, "token": "s3cret", **({} if seq is None else {"seq": seq})})
    return person


def write(talk: Playbook, *values: Any, name: str = "a") -> None:
    for value in values:
        talk.publish(f"book:{name}", "entry", value)


def entries(person: Person) -> list[tuple[int, Any]]:
    return [(said["seq"], said["d"]) for said in person.heard() if said["type"] == "entry"]


def gap(person: Person) -> Any:
    welcome = next(said for said in person.heard() if said["type"] == "welcome")
    return welcome["gap"]


def test_entries_are_numbered_from_one_for_each_session() -> None:
    talk = book()
    one, other = come(talk), come(talk, name="b")
    write(talk, "x", "y")
    write(talk, "z", name="b")
    assert entries(one) == [(1, "x"), (2, "y")]
    assert entries(other) == [(1, "z")]


def test_a_client_goes_on_from_its_own_cursor() -> None:
    """Its socket had taken all three; it has read one."""
    talk = book()
    first = come(talk)
    write(talk, *"xyz")
    first.leave()
    write(talk, "v")
    again = come(talk, 1)
    assert again.heard()[1:] == [
        {"type": "welcome", "back": True, "gap": {}},
        *({"seq": n, "type": "entry", "d": value} for n, value in ((2, "y"), (3, "z"), (4, "v"))),
    ]
    write(talk, "w")
    assert entries(again) == [(5, "w")]


def test_without_a_cursor_it_goes_on_from_what_it_has_acknowledged() -> None:
    talk = book()
    first = come(talk)
    write(talk, *"xyz")
    first.say({"type": "beat", "seq": 2})
    assert first.session.backlog.acknowledged == 2
    first.leave()
    assert entries(come(talk)) == [(3, "z")]


def test_what_is_acknowledged_is_kept_no_more() -> None:
    talk = book()
    first = come(talk)
    write(talk, *"xyz")
    first.say({"type": "beat", "seq": 2})
    first.leave()
    again = come(talk, 0)
    assert gap(again) == {"forgotten": 2}
    assert again.session.backlog.lost == 2


def test_a_bound_makes_a_gap_and_never_ends_a_living_client() -> None:
    talk = book(resume_events=2)
    first = come(talk)
    write(talk, *"vwxyz")
    assert [number for number, _ in entries(first)] == [1, 2, 3, 4, 5]
    assert first.closed is None
    first.leave()
    again = come(talk, 1)
    said = again.heard()
    assert said[1]["gap"] == {"forgotten": 2}
    assert [entry["seq"] for entry in said[2:]] == [4, 5]


def test_what_is_missed_beyond_the_bounds_is_a_gap_with_its_reason() -> None:
    talk = book(resume_events=2, resume_bytes=200)
    come(talk).leave()
    write(talk, 1, 2, "x" * 300, 4)
    said = come(talk, 0).heard()
    assert said[1]["gap"] == {"resume_buffer_full": 1, "too_big": 1}
    assert [(entry["seq"], entry["d"]) for entry in said[2:]] == [(2, 2), (4, 4)]


@pytest.mark.parametrize("seq", [4, -1, 10**30])
def test_a_cursor_that_was_never_given(seq: int) -> None:
    """It is refused, and the session of the one that was there lives on."""
    talk = book()
    first = come(talk)
    write(talk, *"xyz")
    intruder = come(talk, seq)
    assert intruder.closed == (4407, Cause.INVALID_SEQUENCE.words)
    assert first.closed is None
    write(talk, "v")
    assert [number for number, _ in entries(first)] == [1, 2, 3, 4]


def test_a_cursor_of_another_session_is_none_of_a_new_one() -> None:
    talk = book()
    come(talk)
    write(talk, *"xyz")
    assert come(talk, 2, name="b").closed == (4407, Cause.INVALID_SEQUENCE.words)


@pytest.mark.parametrize("seq", [4, -1])
def test_an_acknowledgement_from_the_future_acknowledges_nothing(seq: int) -> None:
    talk = book()
    first = come(talk)
    write(talk, *"xyz")
    first.say({"type": "beat", "seq": seq})
    assert first.closed is not None
    assert first.closed[0] == 4407
    assert first.session.backlog.acknowledged == 0


def test_a_resume_while_the_older_client_lives_takes_it_over() -> None:
    talk = book()
    first = come(talk)
    write(talk, *"xyz")
    again = come(talk, 2)
    assert first.closed is not None
    assert entries(again) == [(3, "z")]


def test_bounds_of_the_listener_that_was_used_last_hold() -> None:
    talk = book(resume_events=3)
    small = Playbook(ledger.PROTOCOL, beside=talk, listener="small", resume_events=1)
    come(talk).leave()
    write(talk, *"xyz")
    come(small, 0).leave()
    said = come(talk, 0).heard()
    assert said[1]["gap"] == {"forgotten": 2}
    assert [entry["seq"] for entry in said[2:]] == [3]


def test_a_client_that_says_from_where_may_be_kept_the_latest() -> None:
    class Tape(ledger.Ledger):
        policy = Policy(Retention.LATEST)

    talk = Playbook(evolve(ledger.PROTOCOL, behaviour=Tape), resume_events=3)
    first = come(talk)
    write(talk, *"vwxyz")
    first.leave()
    said = come(talk, 0).heard()
    assert said[1]["gap"] == {"forgotten": 2}
    assert [entry["seq"] for entry in said[2:]] == [3, 4, 5]
    assert [number for number, _ in entries(come(talk, 3))] == [4, 5]


def kept(disk: Disk, **settings: Any) -> Playbook:
    hub = Hub(lambda: talk.now, store=disk)
    talk = Playbook(ledger.PROTOCOL, hub=hub, **settings)
    return talk


def test_a_crash_skips_sequences_and_says_so() -> None:
    """What was given after the last write to the disk is not known: the client's cursor in between is accepted."""
    disk = Disk()
    talk = kept(disk)
    first = come(talk)
    write(talk, *"xyz")
    disk.write(talk.hub)
    write(talk, "v")
    assert entries(first)[-1] == (4, "v")
    talk = kept(disk)
    take_up(disk, talk.hub, {"main": talk.settings}, 0.0)
    write(talk, "w")
    said = come(talk, 4).heard()
    assert said[1] == {"type": "welcome", "back": True, "gap": {"unclean_end": 0}}
    assert said[2:] == [{"seq": 3 + HubLimits().ahead + 1, "type": "entry", "d": "w"}]


def test_after_an_orderly_end_there_is_no_hole() -> None:
    disk = Disk()
    talk = kept(disk)
    first = come(talk)
    write(talk, *"xyz")
    first.leave(Cause.SHUTDOWN)
    talk.hub.journaling.finish(talk.hub.sessions.values())
    disk.write(talk.hub)
    talk = kept(disk)
    take_up(disk, talk.hub, {"main": talk.settings}, 0.0)
    write(talk, "v")
    again = come(talk, 2)
    assert again.heard()[1:] == [
        {"type": "welcome", "back": True, "gap": {}},
        {"seq": 3, "type": "entry", "d": "z"},
        {"seq": 4, "type": "entry", "d": "v"},
    ]


def test_the_journal_keeps_what_is_not_acknowledged() -> None:
    disk = Disk()
    talk = kept(disk)
    first = come(talk)
    write(talk, *"xyz")
    disk.write(talk.hub)
    first.say({"type": "beat", "seq": 2})
    disk.write(talk.hub)
    talk = kept(disk)
    take_up(disk, talk.hub, {"main": talk.settings}, 0.0)
    said = come(talk).heard()
    assert [(entry["seq"], entry["d"]) for entry in said[2:]] == [(3, "z")]


def killed(disk: Disk, **settings: Any) -> Playbook:
    """The next run, after a crash."""
    talk = kept(Disk(disk.rows), **settings)
    take_up(disk, talk.hub, {"main": talk.settings}, 0.0)
    return talk


@pytest.mark.parametrize(("seen", "heard"), [(3, ["w", "x2"]), (4, ["w", "x2"]), (2, ["z", "w", "x2"])])
def test_under_always_a_crash_leaves_no_hole(seen: int, heard: list[str]) -> None:
    """What a client has seen and no publisher was promised is behind it; what came since then comes after that."""
    disk = Disk()
    talk = kept(disk, always=True)
    first = come(talk)
    write(talk, *"xyz")
    first.say({"type": "beat", "seq": 0})
    disk.write(talk.hub)
    write(talk, "v")  # said, and not on disk when the node is killed
    talk = killed(disk, always=True)
    write(talk, "w")
    second = Disk()
    second.rows = snapshot(talk.hub)
    talk = killed(second, always=True)
    write(talk, "x2")
    said = come(talk, seen).heard()
    assert said[1]["gap"] == {}
    assert [entry["d"] for entry in said[2:]] == heard
    assert [entry["seq"] for entry in said[2:]] == list(range(seen + 1, seen + 1 + len(heard)))


def test_under_always_a_client_that_does_not_say_what_it_has_seen_is_never_given_a_sequence_again() -> None:
    disk = Disk()
    talk = kept(disk, always=True)
    first = come(talk)
    write(talk, "x")
    disk.write(talk.hub)
    write(talk, "y")
    assert [number for number, _ in entries(first)] == [1, 2]
    talk = killed(disk, always=True)
    write(talk, "z")
    assert entries(come(talk)) == [(1, "x"), (1 + HubLimits().ahead + 1, "z")]


def test_a_client_that_was_away_when_its_row_was_written_may_have_seen_more() -> None:
    disk = Disk()
    talk = kept(disk, always=True)
    first = come(talk)
    write(talk, *"ab")
    first.leave()
    disk.write(talk.hub)
    again = come(talk, 2)
    write(talk, *"xy")  # given before the next write
    assert [number for number, _ in entries(again)] == [3, 4]
    talk = killed(disk, always=True)
    write(talk, "z")
    assert come(talk, 4).heard()[1:] == [
        {"type": "welcome", "back": True, "gap": {}},
        {"seq": 5, "type": "entry", "d": "z"},
    ]


def test_the_journal_knows_the_sequences_of_what_was_moved_behind_a_clients_cursor() -> None:
    disk = Disk()
    talk = kept(disk, always=True)
    come(talk)
    write(talk, *"ab")
    disk.write(talk.hub)
    write(talk, *"xyz")
    disk = Disk(disk.rows)
    talk = kept(disk, always=True)
    take_up(disk, talk.hub, {"main": talk.settings}, 0.0)
    write(talk, *range(20))
    disk.write(talk.hub)
    again = come(talk, 5)
    assert [number for number, _ in entries(again)] == list(range(6, 26))
    disk.write(talk.hub)
    sequences = [set(decode_event(value).holders.values()) for _, value in disk.values(Table.EVENTS)]
    assert sequences == [{number} for number in range(6, 26)]
    again.say({"type": "beat", "seq": 25})
    disk.write(talk.hub)
    assert not disk.keys(Table.EVENTS)


def test_the_backend_learns_of_the_gap_as_well() -> None:
    told: list[tuple[str, dict[str, int]]] = []

    class Backend(Observer):
        def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
            told.append((kind, dict(lost)))

    talk: Playbook = Playbook(ledger.PROTOCOL, hub=Hub(lambda: talk.now, observers=(Backend(),)), resume_events=1)
    come(talk).leave()
    write(talk, *"xyz")
    assert gap(come(talk, 0)) == {"resume_buffer_full": 2}
    assert told == [("opened", {}), ("detached", {}), ("resumed", {"resume_buffer_full": 2})]


def test_only_a_protocol_whose_clients_see_sequences_has_a_cause_for_a_wrong_one() -> None:
    assert Cause.INVALID_SEQUENCE in dict(causes(ledger.PROTOCOL))
    assert Cause.INVALID_SEQUENCE not in dict(causes(utilbot.PROTOCOL))
