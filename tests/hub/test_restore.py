"""The next run: who is there again, who is not and is said to have ended, and who gets what they had not got."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from attrs import evolve

from gatewayd.config.limits import FirstReceiverLimits, HubLimits
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.grant import Grant
from gatewayd.core.observer import Observer
from gatewayd.core.protocol import Protocol
from gatewayd.core.record import Table, decode_event, decode_session
from gatewayd.core.session import Session
from gatewayd.hub.grants import settle
from gatewayd.hub.hub import Hub
from gatewayd.hub.restore import restore
from gatewayd.hub.totals import Tally
from gatewayd.protocols import discodo, dmod, oxyl, utilbot
from tests.hub.disk import Disk, deaf, take_up
from tests.hub.test_hub import numbers, ready, ready_again
from tests.playbook import Person, Playbook, notes_for, waiting

AHEAD = HubLimits().ahead
Told = list[tuple[str, str, str, int]]


class Node(Observer):
    """One run: its book, and what it told of its sessions: (identity, kind, cause, sequence)."""

    def __init__(
        self, disk: Disk, protocol: Protocol = utilbot.PROTOCOL, *, listener: str = "main", lived: float = 0.0,
        limits: HubLimits | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        self.disk = disk
        self.told: Told = []
        self.hub = Hub(lambda: self.book.now, store=disk, limits=limits, observers=[self])
        self.book = Playbook(protocol, hub=self.hub, listener=listener, **settings)
        self.book.now = 50_000.0
        take_up(disk, self.hub, {listener: self.book.settings}, lived)

    def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
        cause = "" if verdict is None else verdict.cause.value
        self.told.append((str(session.identity), kind, cause, session.lifecycle_sequence))

    def crash(self) -> Disk:
        self.disk.write(self.hub)
        return Disk(self.disk.rows)


def feeds(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 0, "d": {"type": "feeds", "compress": False, "secret": "s3cret"}})
    person.heard()
    return person


def test_clients_resume_as_if_only_the_network_had_gone() -> None:
    first = Node(Disk())
    there, away = ready(first.book, "a"), ready(first.book, "b")
    deaf(there)
    away.leave()
    for number in range(3):
        first.book.publish("service:bot", "E", number)
    second = Node(first.crash())
    assert second.told == [("a", "detached", "node_down", 2)]
    again = ready_again(second.book, "a")
    assert again.heard()[1]["d"] == {"id": "a", "resumed": True}
    assert again.session.id == there.session.id
    assert (again.session.generation, again.session.resumes, again.session.lifecycle_sequence) == (2, 1, 3)
    second.book.publish("service:bot", "E", 3)
    assert numbers(again) == [3]
    assert numbers(ready_again(second.book, "b")) == [0, 1, 2, 3]
    third = Node(second.crash())
    assert third.disk.keys(Table.EVENTS) == set()
    assert [entry[:3] for entry in third.told] == [("a", "detached", "node_down"), ("b", "detached", "node_down")]


def test_what_a_client_got_between_the_last_batch_and_the_crash_comes_again_and_nothing_else() -> None:
    first = Node(Disk())
    person = ready(first.book)
    deaf(person)
    for number in range(3):
        first.book.publish("user:a", "E", number)
    disk = first.crash()
    person.reads = True
    assert numbers(person) == [0, 1, 2]
    first.book.publish("user:a", "E", 3)
    assert numbers(ready_again(Node(disk).book)) == [0, 1, 2]
    assert numbers(ready_again(Node(first.crash()).book)) == []


def test_who_has_an_event_already_does_not_hear_it_again_because_others_wait_for_it() -> None:
    first = Node(Disk())
    for name in "ab":
        ready(first.book, name).leave()
    first.book.publish("service:bot", "E", 1)
    first.crash()
    assert numbers(ready_again(first.book, "a")) == [1]
    first.book.publish("service:bot", "E", 2)
    second = Node(first.crash())
    assert numbers(ready_again(second.book, "a")) == []
    assert numbers(ready_again(second.book, "b")) == [1, 2]
    second.disk.write(second.hub)
    assert second.disk.keys(Table.EVENTS) == set()


def test_the_time_that_the_node_was_away_counts_against_nobody() -> None:
    first = Node(Disk())
    ready(first.book, "a").leave()
    first.book.advance(20)
    ready(first.book, "b")
    disk = first.crash()
    assert first.hub.journaling.lived() == 20
    second = Node(disk, lived=20)
    second.book.advance(39)
    assert {session.identity for session in second.hub.sessions.values()} == {"a", "b"}
    second.book.advance(2)
    assert {session.identity for session in second.hub.sessions.values()} == {"b"}
    assert second.told[-1] == ("a", "ended", "expired", 3)
    second.book.advance(20)
    assert second.told[-1] == ("b", "ended", "expired", 3)
    second.disk.write(second.hub)
    assert second.disk.rows == {}


@pytest.mark.parametrize("step", [-1e9, -3600, 3600, 1e9])
def test_a_wall_clock_that_is_set_gives_and_takes_nothing(step: float) -> None:
    """Between detach and restart, which it was while nobody looked."""
    first = Node(Disk())
    ready(first.book).leave()
    first.book.advance(20)
    disk = first.crash()
    for place, row in disk.rows.items():
        if place[0] is Table.SESSIONS:
            record = json.loads(row)
            disk.rows[place] = json.dumps({**record, "detached": record["detached"] + step}).encode()
    second = Node(disk, lived=20)
    second.book.advance(39)
    assert second.hub.sessions
    second.book.advance(2)
    assert not second.hub.sessions


@pytest.mark.parametrize("row", [{"left": 1e9}, {"left": None, "grant": None}])
def test_whose_absence_nobody_knows_has_the_whole_window(row: dict[str, Any]) -> None:
    """What a version before has written, and what cannot be."""
    first = Node(Disk())
    ready(first.book).leave()
    disk = first.crash()
    for place, value in disk.rows.items():
        if place[0] is Table.SESSIONS:
            disk.rows[place] = json.dumps({**json.loads(value), **row}).encode()
    second = Node(disk, lived=20)
    second.book.advance(59)
    assert second.hub.sessions
    second.book.advance(2)
    assert not second.hub.sessions


def test_absence_adds_up_over_runs() -> None:
    first = Node(Disk())
    ready(first.book).leave()
    first.book.advance(20)
    second = Node(first.crash(), lived=first.hub.journaling.lived())
    second.book.advance(20)
    assert second.hub.journaling.lived() == 40
    third = Node(second.crash(), lived=second.hub.journaling.lived())
    third.book.advance(19)
    assert third.hub.sessions
    third.book.advance(2)
    assert not third.hub.sessions


def test_what_was_lost_is_said_after_the_crash_too() -> None:
    first = Node(Disk(), resume_events=2)
    ready(first.book).leave()
    for number in range(5):
        first.book.publish("user:a", "E", number)
    second = Node(first.crash(), resume_events=1)
    assert second.hub.totals.reasons == {"resume_buffer_full": 1}
    second.disk.write(second.hub)
    assert len(second.disk.keys(Table.EVENTS)) == 1
    again = ready_again(second.book)
    assert again.heard()[1]["d"] == {"id": "a", "resumed": True, "lost": 4}
    assert again.session.backlog.lost == 4


@pytest.mark.parametrize(
    "change",
    [{"listener": "other"}, {"realm": "renamed"}, {"protocol": discodo.PROTOCOL}, {"durable": False}],
    ids=lambda change: next(iter(change)),
)
def test_whom_nobody_serves_any_more_ends_and_gives_on_what_it_missed(change: dict[str, Any]) -> None:
    first = Node(Disk())
    person = ready(first.book)
    person.leave()
    first.hub.notify("a", "n")
    second = Node(first.crash(), **change)
    assert second.told == [("a", "ended", "node_down", 3)]
    assert not second.hub.sessions
    assert notes_for(second.hub, "a") == ["n"]
    second.disk.write(second.hub)
    assert {table for table, _ in second.disk.rows} == {Table.NOTIFICATIONS}
    third = Node(second.crash())
    assert notes_for(third.hub, "a") == ["n"]
    assert third.told == []


def test_a_protocol_is_not_told_of_the_end_of_anothers_session() -> None:
    class Strict(utilbot.Utilbot):
        def ended(self, session: Session) -> None:
            raise AssertionError("it knows nothing of this session")

    first = Node(Disk())
    ready(first.book)
    second = Node(first.crash(), evolve(discodo.PROTOCOL, behaviour=Strict))
    assert [entry[1] for entry in second.told] == ["detached", "ended"]


@pytest.mark.parametrize("change", [{}, {"listener": "other"}, {"resume_events": 1, "resume_bytes": 1}])
def test_events_for_one_receiver_are_given_on(change: dict[str, Any]) -> None:
    """Their receiver cannot resume: whatever its socket had not taken, another one gets, in order."""
    first = Node(Disk(), oxyl.PROTOCOL)
    deaf(feeds(first.book))
    for number in range(5):
        first.hub.publish(first.hub.realms.make("main"), "service:feeds", "E", number, one=True)
    first.book.publish("service:feeds", "F", 1)
    second = Node(first.crash(), oxyl.PROTOCOL, **change)
    assert [entry[1:3] for entry in second.told][-1] == ("ended", "node_down")
    third = Node(second.crash(), oxyl.PROTOCOL)
    late = third.book.connect()
    late.say({"op": 0, "d": {"type": "feeds", "compress": False, "secret": "s3cret"}})
    assert numbers(late) == [0, 1, 2, 3, 4]
    third.disk.write(third.hub)
    assert third.disk.keys(Table.EVENTS) == set()


def test_events_that_wait_for_the_first_receiver_still_do_within_their_bounds() -> None:
    first = Node(Disk(), oxyl.PROTOCOL)
    for channel, number in (("service:feeds", 1), ("service:feeds", 2), ("service:panel", 3)):
        first.hub.publish(first.hub.realms.make("main"), channel, "E", number, one=True)
    disk = first.crash()
    second = Node(disk, oxyl.PROTOCOL, limits=HubLimits(first_receiver=FirstReceiverLimits(channels=1)))
    assert [event.data for event in waiting(second.hub)] == [1, 2]
    second.disk.write(second.hub)
    assert len(second.disk.keys(Table.EVENTS)) == 2


def test_a_window_of_nothing_ends_them_all() -> None:
    first = Node(Disk())
    ready(first.book).leave()
    second = Node(first.crash(), resume_window=0.0)
    assert second.told == [("a", "ended", "node_down", 3)]


def test_an_event_that_nobody_waits_for_is_forgotten() -> None:
    first = Node(Disk())
    people = [ready(first.book, name) for name in "ab"]
    for person in people:
        person.leave()
    first.book.publish("service:bot", "E", 1)
    disk = first.crash()
    del disk.rows[Table.SESSIONS, people[0].session.id]
    second = Node(disk)
    assert numbers(ready_again(second.book, "b")) == [1]
    second.disk.write(second.hub)
    assert second.disk.keys(Table.EVENTS) == set()
    orphan = Disk({key: value for key, value in disk.rows.items() if key[0] is Table.EVENTS})
    third = Node(orphan)
    third.disk.write(third.hub)
    assert third.disk.rows == {}


def test_an_overtaken_event_keeps_its_place_in_each_session() -> None:
    first = Node(Disk())
    sessions = [ready(first.book, name).session for name in "ab"]
    for person in first.book.people:
        person.leave()
    old, new = (first.hub.delivery.event("service:bot", "E", number) for number in (1, 2))
    for session, order in zip(sessions, ((new, old), (old, new)), strict=True):
        for event in order:
            first.hub.delivery.give((session,), event, Tally(first.hub.totals))
    third = Node(Node(first.crash()).crash())
    assert [numbers(ready_again(third.book, name)) for name in "ab"] == [[2, 1], [1, 2]]


def test_a_row_whose_sequences_have_holes() -> None:
    first = Node(Disk())
    person = ready(first.book)
    person.leave()
    for number in range(4):
        first.book.publish("user:a", "E", number)
    first.hub.journaling.finish(first.hub.sessions.values())
    disk = first.crash()
    for number in (1, 3):
        del disk.rows[Table.EVENTS, number]
    second = Node(disk)
    (session,) = second.hub.sessions.values()
    assert [sequence for sequence, _ in session.backlog.entries()] == [2, 4]
    assert (session.backlog.given, session.backlog.written, session.backlog.gaps) == (4, 1, {})
    again = ready_again(second.book)
    assert again.heard()[1]["d"] == {"id": "a", "resumed": True}
    second.book.publish("user:a", "E", 4)
    assert numbers(again) == [4]
    assert (session.backlog.given, session.backlog.written) == (5, 5)


@pytest.mark.parametrize("sequences", [(1, 1), (0, 1)], ids=["twice", "none"])
def test_events_that_share_a_sequence_or_have_none_are_refused(sequences: tuple[int, int]) -> None:
    first = Node(Disk())
    person = ready(first.book)
    person.leave()
    for number in range(2):
        first.book.publish("user:a", "E", number)
    disk = first.crash()
    for (key, value), sequence in zip(disk.values(Table.EVENTS), sequences, strict=True):
        row = {**json.loads(value), "holders": {person.session.id: sequence}}
        disk.rows[Table.EVENTS, key] = json.dumps(row).encode()
    with pytest.raises(ValueError, match=person.session.id):
        Node(disk)


def test_after_an_unclean_end_a_session_goes_on_above_what_may_have_been_given() -> None:
    first = Node(Disk())
    person = ready(first.book)
    first.book.publish("user:a", "E", 1)
    disk = first.crash()
    for number in range(5):
        first.book.publish("user:a", "E", number)  # after the last batch
    assert person.session.backlog.given == 6
    second = Node(disk)
    (session,) = second.hub.sessions.values()
    assert (session.backlog.given, session.backlog.gaps) == (1 + AHEAD, {"unclean_end": 0})
    assert session.backlog.covers(6)
    third = Node(second.crash())  # somebody may have been there, before the next batch
    (session,) = third.hub.sessions.values()
    assert session.backlog.given == 1 + 2 * AHEAD
    again = ready_again(third.book)
    assert again.heard()[1]["d"] == {"id": "a", "resumed": True}
    assert (session.backlog.gaps, session.backlog.lost) == ({}, 0)
    third.book.publish("user:a", "E", 9)
    again.leave()
    third.hub.journaling.finish(third.hub.sessions.values())
    fourth = Node(third.crash())
    (session,) = fourth.hub.sessions.values()
    assert (session.backlog.given, session.backlog.gaps) == (2 + 2 * AHEAD, {})


def test_what_was_written_and_not_acknowledged_is_said_again_in_the_next_run() -> None:
    first = Node(Disk(), dmod.PROTOCOL)
    page = first.book.connect()
    page.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    first.book.advance(30)
    page.say({"op": 4})
    for name in ("NOTIFICATION", "E"):
        first.book.publish("user:7", name, 1)
    second = Node(first.crash(), dmod.PROTOCOL)
    again = second.book.connect()
    again.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    assert [payload.get("ev") for payload in again.heard()[2:]] == ["NOTIFICATION"]
    assert again.session.id == page.session.id


def test_a_row_that_does_not_say_what_was_acknowledged() -> None:
    """As of a session that was at a listener without acknowledgements."""
    first = Node(Disk(), dmod.PROTOCOL)
    page = first.book.connect()
    page.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    disk = first.crash()
    key = Table.SESSIONS, page.session.id
    disk.rows[key] = msgspec.json.encode(msgspec.structs.replace(decode_session(disk.rows[key]), acknowledged=None))
    (session,) = Node(disk, dmod.PROTOCOL).hub.sessions.values()
    assert session.backlog.acknowledged == 0


def before_realms(disk: Disk) -> Disk:
    """As a version without realms had it."""
    for (table, key), value in disk.rows.items():
        row = json.loads(value)
        for name in ("realm", "protocol") if table is Table.EVENTS else ("realm",):
            row.pop(name, None)
        disk.rows[table, key] = json.dumps(row).encode()
    return disk


@pytest.mark.parametrize(
    ("channel", "event", "listener", "place"),
    [
        ("service:feeds", "E", "main", ("prod", "oxyl")),  # of its session's listener
        ("service:feeds", "E", "gone", ("prod", "oxyl")),  # of the first realm
    ],
)
def test_an_event_of_a_version_without_realms_belongs_where_its_session_does(
    channel: str, event: str, listener: str, place: tuple[str, str]
) -> None:
    first = Node(Disk(), oxyl.PROTOCOL, listener=listener)
    deaf(feeds(first.book))
    first.hub.publish(first.book.realm, channel, event, 1, one=True)
    second = Node(before_realms(first.crash()), oxyl.PROTOCOL, realm="prod")
    assert [(item.realm, item.protocol) for item in waiting(second.hub)] == [place]


@pytest.mark.parametrize(
    ("name", "protocol"), [("EXECUTE_COMMAND", "oxyl"), ("E", "")], ids=["routed", "unknown"]
)  # fmt: skip
def test_one_that_waits_for_its_first_receiver_goes_to_the_realm_that_could_use_it(
    name: str, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = Node(Disk(), oxyl.PROTOCOL)
    first.hub.publish(first.book.realm, "service:commands", name, 1, one=True)
    second = Node(before_realms(first.crash()), oxyl.PROTOCOL, realm="prod")
    assert [(item.realm, item.protocol) for item in waiting(second.hub)] == [("prod", protocol)]
    assert "1 events kept before there were realms wait for a receiver in realm prod" in caplog.text


def test_the_oldest_session_of_an_identity_is_found_first_again() -> None:
    first = Node(Disk(), dmod.PROTOCOL)
    pages = []
    for _ in range(5):
        page = first.book.connect()
        page.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
        pages.append(page.session.id)
        page.session.opened_wall += len(pages)
    second = Node(first.crash(), dmod.PROTOCOL)
    assert [session.id for session in second.hub.find("main", "dmod", "7")] == pages


def test_a_grant_of_the_last_run_can_be_taken_away() -> None:
    first = Node(Disk())
    person = ready(first.book)
    settle(first.hub, person.session, Grant(granted=True, channels=("news",), metadata={"role": "admin"}))
    second = Node(first.crash())
    (session,) = second.hub.sessions.values()
    assert "news" in session.channels
    assert session.metadata["role"] == "admin"
    failing = Grant(granted=True, failure="timeout")
    settle(second.hub, session, failing)
    assert (session.metadata["role"], "news" in session.channels) == ("admin", True)
    ready_again(second.book)
    assert "role" not in session.metadata
    assert "news" not in session.channels


def test_what_the_protocol_remembers_is_checked() -> None:
    first = Node(Disk(), dmod.PROTOCOL)
    page = first.book.connect()
    page.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    disk = first.crash()
    key = Table.SESSIONS, page.session.id
    disk.rows[key] = msgspec.json.encode(msgspec.structs.replace(decode_session(disk.rows[key]), data={"guild": 5}))
    with pytest.raises(msgspec.ValidationError, match="guild"):
        Node(disk, dmod.PROTOCOL)


def test_a_kick_before_the_client_is_back_is_the_only_end() -> None:
    first = Node(Disk())
    ready(first.book)
    second = Node(first.crash())
    (session,) = second.hub.sessions.values()
    second.hub.end(session, Disconnect(Cause.KICKED, "x"))
    third = Node(second.crash())
    assert second.told == [("a", "detached", "node_down", 2), ("a", "ended", "kicked", 3)]
    assert third.told == []


@pytest.mark.parametrize("shared", [True, False])
def test_an_event_that_cannot_be_said_again_is_lost_to_those_that_have_not_got_it(shared: bool) -> None:
    first = Node(Disk())
    for name in ("away", "had"):
        ready(first.book, name).leave()
    event = first.hub.delivery.event("service:bot", "E", 1)
    sessions = tuple(first.hub.sessions.values())
    for group in (sessions,) if shared else ((session,) for session in sessions):
        first.hub.delivery.give(group, event, Tally(first.hub.totals))
    first.crash()
    ready_again(first.book, "had").leave()
    first.hub.journaling.finish(first.hub.sessions.values())
    disk = first.crash()
    (deep,) = (decode_event(value) for _, value in disk.values(Table.EVENTS))
    assert (len(deep.holders), len(deep.logs)) == ((0, 1) if shared else (2, 0))
    rows = [(str(key), decode_session(value)) for key, value in disk.values(Table.SESSIONS)]
    talk = Playbook(utilbot.PROTOCOL)
    restore(talk.hub, {"main": talk.settings}, rows, [], 0.0, [deep])
    lost = {session.identity: session.backlog.gaps for session in talk.hub.sessions.values()}
    assert lost == {"away": {"too_deep": 1}, "had": {}}
    assert talk.hub.totals.reasons == {"too_deep": 1}
