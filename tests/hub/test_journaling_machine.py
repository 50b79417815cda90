"""Whatever happens before a crash: the next run goes on from the last batch that was written, as if only the network
had gone. A machine of random moves, with crashes between any two of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.observer import Observer
from gatewayd.core.record import Table
from gatewayd.core.session import Session
from gatewayd.hub.hub import Hub
from gatewayd.protocols import discodo
from tests.hub.disk import Disk, take_up
from tests.hub.watch import LISTENERS, Known, Watch, assert_between, unsaid
from tests.playbook import Person, Playbook, frames, make_calls

NAMES = st.sampled_from("abc")
CHANNELS = st.sampled_from(["all", "all", "all", "user:a", "user:b", "room:x", "listener:kept", "listener:brief"])
ENDS = st.sampled_from(
    [Cause.PEER_GONE, Cause.CLIENT_CLOSED, Cause.SLOW_CONSUMER, Cause.SHUTDOWN, Cause.INVALID_PAYLOAD]
)
EARLY = st.integers(0, 3).map(lambda n: n == 0)
"""Whether a batch is written before what was said in this turn of the loop has gone to the sockets."""


class Told(Observer):
    """Has the machine write down what the hub tells of its sessions."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def happened(self, session: Session, kind: str, verdict: Disconnect | None, lost: Mapping[str, int]) -> None:
        self.machine.tell(session, kind)


class Machine(Watch, RuleBasedStateMachine):
    @initialize(room=st.sampled_from([3, 1000]))
    def start(self, room: int) -> None:
        self.room = room
        self.disk = Disk()
        self.number = self.entries = 0
        self.excused: set[str] = set()
        self.known = Known()
        self.lived = 0.0
        self.run(1000.0)

    def run(self, now: float) -> None:
        """A run of the node, from what is on disk."""
        self.people: dict[str, Person] = {}
        self.task: dict[Person, bool] = {}
        self.heard: dict[Person, bytes] = {}
        hub = Hub(lambda: self.books["kept"].now, store=self.disk, observers=[Told(self)])
        self.hub = hub
        self.books: dict[str, Playbook] = {}
        for name, values in LISTENERS.items():
            self.books[name] = Playbook(
                discodo.PROTOCOL, hub=hub, listener=name, resume_events=self.room, patience=1e9, identify_timeout=None,
                interval=1e8, **values,
            )  # fmt: skip
            self.books[name].now = now
        take_up(self.disk, hub, {name: book.settings for name, book in self.books.items()}, self.lived)

    def tell(self, session: Session, kind: str) -> None:
        self.entries += 1
        value = json.dumps([session.id, session.lifecycle_sequence, session.generation, kind])
        self.disk.put(Table.LIFECYCLE, self.entries, value.encode())

    # --- moves ----------------------------------------------------------------------------------------------

    @rule(name=NAMES, listener=st.sampled_from([*LISTENERS, "kept"]), reads=st.booleans(), early=EARLY)
    def connect(self, name: str, listener: str, reads: bool, early: bool) -> None:
        person = self.books[listener].connect("/ws", headers={"authorization": "s3cret"})
        person.reads = False
        person.say({"op": "IDENTIFY", "d": {"user_id": name, "shard_id": None}})
        assert person.closed is None
        old = self.people.get(name)
        if old is not None and old.closed is not None:
            self.task.pop(old, None)
        self.people[name] = person
        self.hub.subscribe(person.session, "all")
        if reads:
            self.drink_all(person)
        self.end_turn(early)

    @rule(channel=CHANNELS, one=st.booleans(), times=st.integers(1, 5), early=EARLY)
    def publish(self, channel: str, one: bool, times: int, early: bool) -> None:
        for _ in range(times):
            self.number += 1
            self.hub.publish(self.hub.realms.make("main"), channel, "E", self.number, one=one)
        self.end_turn(early)

    @rule(name=NAMES, early=EARLY)
    def notify(self, name: str, early: bool) -> None:
        self.number += 1
        self.hub.notify(name, self.number)
        self.end_turn(early)

    @rule(name=NAMES, hears=st.booleans(), early=EARLY)
    def subscribe(self, name: str, hears: bool, early: bool) -> None:
        person = self.people.get(name)
        if person is not None and person.session.ended is None:
            (self.hub.subscribe if hears else self.hub.unsubscribe)(person.session, "room:x")
            if hears:
                self.hub.drain_waiting(person.session)
            self.end_turn(early)

    @rule(name=NAMES, guild=st.sampled_from("123"), early=EARLY)
    def voice(self, name: str, guild: str, early: bool) -> None:
        person = self.people.get(name)
        if person is not None and person.closed is None:
            move = {"t": "VOICE_SERVER_UPDATE", "d": {"guild_id": guild}}
            known = guild in person.session.data.clients
            person.say({"op": "VC_DESTROY", "d": {"guild_id": guild}} if known else {"op": "DISCORD_EVENT", "d": move})
            self.end_turn(early)

    @rule(name=NAMES, count=st.integers(1, 60), early=EARLY)
    def drink(self, name: str, count: int, early: bool) -> None:
        """The socket takes some bytes; of a client that is leaving too, if a frame of its is half out."""
        person = self.people.get(name)
        if person is not None:
            self.swallow(person, count)
            self.end_turn(early)

    @rule(name=NAMES, early=EARLY)
    def drink_up(self, name: str, early: bool) -> None:
        person = self.people.get(name)
        if person is not None:
            self.drink_all(person)
            self.end_turn(early)

    @rule(name=NAMES, cause=ENDS, early=EARLY)
    def leave(self, name: str, cause: Cause, early: bool) -> None:
        if name in self.people:
            self.people[name].leave(cause)
            self.end_turn(early)

    @rule(name=NAMES, early=EARLY)
    def kick(self, name: str, early: bool) -> None:
        for session in self.hub.find("main", "discodo", name):
            self.hub.end(session, Disconnect(Cause.KICKED, "kicked"))
        self.end_turn(early)

    @rule(times=st.integers(1, 9))
    def wait(self, times: int) -> None:
        now = self.books["kept"].now + 7.0 * times
        while self.hub.timers.next <= now:
            for book in self.books.values():
                book.now = max(book.now, self.hub.timers.next)
            make_calls(self.hub, book.now)
        for book in self.books.values():
            book.now = now
        self.end_turn(False)

    @rule(room=st.sampled_from("xyz"), act=st.sampled_from(["create", "close", "ban", "forgive", "discard", "update"]))
    def rooms(self, room: str, act: str) -> None:
        rooms = self.hub.realms.make("main").rooms
        match act:
            case "create":
                rooms.create(room, {})
            case "update":
                rooms.update(room, {"maxParticipants": self.number})
            case "ban" | "forgive":
                rooms.ban(room, f"p{self.number % 2}", act == "ban")
            case _:
                getattr(rooms, act)(room)

    @rule()
    def write(self) -> None:
        self.commit(early=False)

    @rule()
    def fail_and_recover(self) -> None:
        """What was recorded is dropped, and the way back is a snapshot. The lifecycle queue has its own rows."""
        kept = {place: value for place, value in {**self.disk.rows, **self.disk.waiting}.items() if value is not None}
        self.disk.anew(self.hub)
        self.disk.rows |= {place: value for place, value in kept.items() if place[0] is Table.LIFECYCLE}
        self.note(early=False)

    @rule()
    def crash(self) -> None:
        """SIGKILL: what only waited to be written is gone, and so is every client."""
        known = self.known
        self.excused |= known.loose
        self.disk = Disk(self.disk.rows)
        self.entries = max((number for number in self.disk.keys(Table.LIFECYCLE) if isinstance(number, int)), default=0)
        self.run(self.books["kept"].now * 7 % 100_000)  # another clock
        for id_, may in known.may.items():
            facts = known.facts[id_]
            session = self.hub.sessions.get(id_)
            assert (session is not None) == facts["lives"], f"{id_} should live: {facts['lives']}"
            if session is None:
                continue
            got = unsaid(session)
            if known.must[id_] == may:
                assert got == may[-self.room :]
                assert session.backlog.lost == facts["lost"] + max(0, len(may) - self.room)
                assert sum(session.backlog.gaps.values()) == facts["untold"] + max(0, len(may) - self.room)
            assert_between([one for one in known.must[id_] if one in may[-self.room :]], may, got)
            assert got == [one for one in may if one in got]
            assert session.channels == facts["channels"]
            assert session.metadata == facts["metadata"]
            assert session.data == facts["data"]
            assert (session.generation, session.resumes) == facts["counts"]
        assert {id_ for id_, facts in known.facts.items() if facts["lives"]} == set(self.hub.sessions)
        if self.room > 3:
            assert_between(*known.ones, self.ones()[1])
            assert_between(*known.notes, self.notes()[1])
        if known.rooms is not None:
            assert self.room_states() == known.rooms
        self.commit(early=False)

    # --- what is seen ---------------------------------------------------------------------------------------

    def swallow(self, person: Person, count: int) -> bool:
        """As a writer does it."""
        outbox = person.connection.outbox
        data = outbox.batch()[:count]
        if not data:
            return False
        if outbox.advance(len(data)):
            self.hub.observers.advanced(person.session)
        self.heard[person] = self.heard.get(person, b"") + data
        return True

    def drink_all(self, person: Person) -> None:
        while self.swallow(person, 1_000_000):
            pass

    def end_turn(self, early: bool) -> None:
        """What the sockets did not take is known now."""
        if early:
            self.commit(early=True)
        for person in self.people.values():
            waits = len(person.connection.outbox) > 0
            if waits and not self.task.get(person):
                self.hub.observers.behind(person.session)
            self.task[person] = waits

    @invariant()
    def a_session_is_told_of_in_order(self) -> None:
        told: dict[str, list[Any]] = {}
        for id_, sequence, generation, kind in self.lifecycle():
            told.setdefault(id_, []).append((sequence, generation, kind))
        for id_, entries in told.items():
            kinds = [kind for _, _, kind in entries]
            assert [sequence for sequence, _, _ in entries] == list(range(1, len(entries) + 1)), id_
            assert "ended" not in kinds[:-1], id_
            assert kinds[0] == "opened"

    def teardown(self) -> None:
        """Everybody comes back, hears all that is left, and goes: nothing may be left but rooms and notifications."""
        if not hasattr(self, "hub"):
            return
        self.crash()
        for session in tuple(self.hub.sessions.values()):
            name = str(session.key)
            expected = unsaid(session)
            self.connect(name, "kept", True, False)
            person = self.people[name]
            self.drink_all(person)
            payloads = [payload for _, payload in frames(self.heard[person])]
            again = [json.dumps([payload["op"], payload["d"]]) for payload in payloads]
            assert payloads[0]["op"] == "RESUMED"
            assert again[1 : 1 + len(expected)] == expected
        for name, listener in product("abc", LISTENERS):
            self.connect(name, listener, True, False)
            self.subscribe(name, True, False)
            self.drink_up(name, False)
        for person in self.people.values():
            self.drink_all(person)
            person.leave()
        self.wait(9)
        while self.disk.stirred:
            self.commit(early=False)
        assert not self.hub.sessions
        assert not self.disk.keys(Table.SESSIONS)
        assert not self.disk.keys(Table.EVENTS)
        ended = {id_ for id_, _, _, kind in self.lifecycle() if kind == "ended"}
        assert {id_ for id_, *_ in self.lifecycle()} - ended <= self.excused


Machine.TestCase.settings = settings(
    max_examples=300, derandomize=True, deadline=None, report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestWhateverHappens = Machine.TestCase
