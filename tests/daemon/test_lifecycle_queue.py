"""The queue of lifecycle events in the journal, and the journal between the node's parts: in this process."""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from gatewayd.admin.idempotency import Remembered
from gatewayd.backend.lifecycle import Recorder
from gatewayd.backend.request import Entry
from gatewayd.config.limits import HubLimits
from gatewayd.core.behaviour import Handshake
from gatewayd.core.connection import Connection
from gatewayd.core.outbox import Outbox
from gatewayd.core.record import SessionRecord, Table, encode
from gatewayd.daemon.lifecycle_queue import JournalQueue
from gatewayd.daemon.state import State
from gatewayd.hub import dispatch
from gatewayd.hub.hub import Hub
from gatewayd.journal.engine import Journal
from gatewayd.journal.pinned import JournalError
from gatewayd.net.tick import Tick
from gatewayd.net.transport import SocketTransport
from gatewayd.net.writer import Writer
from gatewayd.protocols import discodo, utilbot
from tests.hub.test_hub import numbers, ready, ready_again
from tests.playbook import ADDRESS, Playbook, notes_for, run

AHEAD = HubLimits().ahead


def entry(number: int, **more: Any) -> Entry:
    values: dict[str, Any] = {
        "session": "s", "generation": 1, "sequence": number, "kind": "opened", "cause": "", "at": 1.0,
        "listener": "main", "protocol": "utilbot", "identity": "a", **more,
    }  # fmt: skip
    return Entry(n=number, **values)


class Node:
    """One run of the parts that a journal connects."""

    def __init__(self, state_dir: Path, *, limit: int = 100, protocol: Any = utilbot.PROTOCOL) -> None:
        self.journal = Journal.open(state_dir, interval=0.01)
        dropped = Counter[str]()
        try:
            self.queue = JournalQueue(self.journal, limit, dropped)
            recorder = Recorder(self.queue, ("opened", "detached", "resumed", "ended"))
            self.hub = Hub(lambda: self.book.now, store=self.journal, observers=[recorder])
            self.book = Playbook(protocol, hub=self.hub)
            self.remembered = Remembered(self.journal)
            self.state = State(self.journal, self.hub, self.remembered, self.queue, dropped)
            self.state.read({"main": self.book.settings})
        except BaseException:
            self.journal.close()
            raise

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Node]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.journal.run, self.state)
            yield self
            await self.journal.aclose()


def edit(state_dir: Path, statement: str, *values: Any) -> None:
    """By hand, while no daemon is there."""
    with closing(sqlite3.connect(state_dir / "journal.db")) as connection, connection:
        connection.execute(statement, values)


async def test_entries_wait_over_a_restart_and_their_numbers_go_on(tmp_path: Path) -> None:
    first = Node(tmp_path)
    async with first.running():
        for number in range(1, 6):
            first.queue.append(entry(number))
        assert [item.n for item in first.queue.peek(3)] == [1, 2, 3]
        await first.queue.committed()
        assert not first.journal.pending.bytes
        first.queue.done(2)
        assert len(first.queue) == 3
        assert first.state.status()["degraded"] is None
        assert first.state.status()["pending"]["operations"] == 2
    second = Node(tmp_path)
    assert second.queue.peek(10) == [entry(number) for number in (3, 4, 5)]
    assert second.queue.last == 5
    async with second.running():
        second.queue.done(5)
    third = Node(tmp_path)
    assert (len(third.queue), third.queue.last) == (0, 5)
    third.journal.close()


async def test_the_oldest_give_way_on_disk_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Node(tmp_path, limit=2)
    async with first.running():
        for number in range(1, 8):
            first.queue.append(entry(number))
        assert (len(first.queue), first.queue.dropped) == (2, 5)
    assert [record.message.split()[-3] for record in caplog.records if "were dropped" in record.message] == [
        "1", "2", "3", "5",
    ]  # fmt: skip
    second = Node(tmp_path)
    assert [item.n for item in second.queue.peek(10)] == [6, 7]
    second.journal.close()


async def test_nothing_is_handed_out_that_is_not_on_disk_with_its_session(tmp_path: Path) -> None:
    first = Node(tmp_path)
    async with first.running():
        person = ready(first.book)
        person.leave()
        first.book.publish("user:a", "E", 1)
        await first.queue.committed()
        assert not first.journal.pending.bytes
        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
            kinds = [json.loads(value)["kind"] for _, value in connection.execute("SELECT * FROM lifecycle")]
            (row,) = connection.execute("SELECT value FROM sessions").fetchone()
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
        assert kinds == ["opened", "detached"]
        assert json.loads(row)["sequence"] == 2
        assert await first.state.committed()


async def test_whoever_waits_for_the_disk_waits_for_what_the_socket_did_not_take(tmp_path: Path) -> None:
    """That it took only half is known when the tick is over, and not before."""
    node = Node(tmp_path)
    near, far = socket.socketpair()
    near.setblocking(False)
    book, hub = node.book, node.hub

    def connect(outbox: Outbox) -> Connection:
        return Connection(utilbot.WIRE, book.settings, book.now, ADDRESS, outbox=outbox)

    async with node.running():
        with far, Tick() as tick:
            writer = Writer(SocketTransport(near, "test"), book.settings, tick, 10.0, connect, hub.observers)
            hub.open(writer.connection, "main", "main", ADDRESS)
            run(dispatch.greet(hub, book.behaviour, writer.connection, Handshake("/", {}, {}, ADDRESS), None))
            claim = {"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}}
            later = dispatch.hear(hub, book.behaviour, writer.connection, json.dumps(claim))
            assert later is not None
            run(later)
            async with trio.open_nursery() as nursery:
                writer.use(nursery)
                assert await node.state.committed()
                for number in range(2):
                    node.book.publish("user:a", "E", [number, "x" * 400_000])
                    assert await node.state.committed()
                    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
                        (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
                    assert count == number + 1
                nursery.cancel_scope.cancel()
            writer.socket.abort()


async def test_everything_is_back_after_a_restart_and_after_a_snapshot(tmp_path: Path) -> None:
    first = Node(tmp_path)
    async with first.running():
        ready(first.book).leave()
        first.book.publish("user:a", "E", 1)
        first.hub.realms.make("main").documents.put("guild:1", {"name": "x"})
        first.hub.notify("b", "hello")
        first.hub.realms.make("main").rooms.create("r", {"roomLocked": True})
        first.remembered.put("id", {"delivered": 1}, first.book.now)
        first.hub.publish(first.hub.realms.make("main"), "service:bot", "E", 2, one=True)
        journal = first.journal
        assert await journal.committed()
        journal._degrade("a test")
        journal._retry = 0.01
        assert first.state.status()["degraded"] == "a test"
        with trio.fail_after(5):
            while journal.degraded is not None:
                await trio.sleep(0.005)
    second = Node(tmp_path)
    async with second.running():
        assert numbers(ready_again(second.book)) == [1, 2]
        assert second.hub.realms.make("main").documents.get("guild:1") == {"name": "x"}
        assert notes_for(second.hub, "b") == ["hello"]
        assert second.hub.realms.make("main").rooms.state("r") == {"roomLocked": True}
        assert second.remembered.get("id", second.book.now) == {"delivered": 1}
        assert [item.kind for item in second.queue.peek(10)] == ["opened", "detached", "resumed"]
        assert second.queue.last == 3


async def test_time_counts_from_when_the_node_was_last_seen(tmp_path: Path) -> None:
    first = Node(tmp_path)
    async with first.running():
        ready(first.book).leave()
        commits = first.journal.stats.commits
        assert await first.state.committed()
        assert first.journal.stats.commits == commits + 1
        assert await first.state.committed()
        assert first.journal.stats.commits == commits + 1, "to be there is no reason to write"
    edit(tmp_path, "UPDATE meta SET value = '9000' WHERE key = 'lived'")
    edit(tmp_path, "UPDATE sessions SET value = json_set(value, '$.left', ?)", 8950)
    second = Node(tmp_path)
    second.book.advance(9)
    assert second.hub.sessions
    second.book.advance(2)
    assert not second.hub.sessions
    second.journal.close()


async def test_numbers_of_events_go_on(tmp_path: Path) -> None:
    """A crash skips what was reserved, even where nothing was ever written; a clean end skips nothing."""
    first = Node(tmp_path)
    assert first.hub.post("user:nobody", "E", 1).delivered == 0
    async with first.running():
        pass  # only the journal is closed: as good as a crash
    second = Node(tmp_path)
    assert second.hub.delivery.numbers == AHEAD
    async with second.running():
        second.hub.delivery.numbers += AHEAD - 1  # published, and heard at once by everybody
    third = Node(tmp_path)
    assert third.hub.delivery.numbers == 3 * AHEAD - 1
    async with third.running():
        third.hub.post("user:nobody", "E", 1)
        await third.state.aclose()
    fourth = Node(tmp_path)
    assert fourth.hub.delivery.numbers == 3 * AHEAD
    fourth.journal.close()


async def test_a_node_without_a_backend_has_no_queue(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, interval=0.01)
    hub = Hub(lambda: 0.0, store=journal)
    state = State(journal, hub, Remembered(journal), None, Counter())
    state.read({})
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, state)
        hub.realms.make("main").documents.put("d", 1)
        journal._degrade("a test")
        await journal.aclose()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert connection.execute("SELECT * FROM documents").fetchall() == [("main", "d", "1")]
        keys = [key for (key,) in connection.execute("SELECT key FROM meta")]
        assert keys == ["commits", "journal", "lived", "numbers"]


async def test_what_the_start_gives_on_is_kept_as_well(tmp_path: Path) -> None:
    first = Node(tmp_path)
    async with first.running():
        ready(first.book).leave()
        first.hub.notify("a", "hello")
        first.remembered.put("old", 1, first.book.now)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert connection.execute("SELECT id FROM idempotency").fetchall() == [("old",)]
    edit(tmp_path, "UPDATE idempotency SET value = ?", json.dumps({"answer": 1, "until": -1}))
    second = Node(tmp_path, protocol=discodo.PROTOCOL)
    async with second.running():
        assert notes_for(second.hub, "a") == ["hello"]
    third = Node(tmp_path)
    assert notes_for(third.hub, "a") == ["hello"]
    assert third.remembered.get("old", 0.0) is None
    third.journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        for table in (Table.IDEMPOTENCY, Table.SESSIONS, Table.EVENTS):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []


def session_row(**changes: Any) -> str:
    record = SessionRecord(
        listener="main", protocol="discodo", realm="main", remote="r", opened=1.0, identity="a", key="a", resumable=True,
        generation=1, lifecycle_sequence=1, resumes=0, given=0, written=0, mark=0, lost=0, gaps={}, detached=None,
        channels=["user:a"], metadata={},
    )  # fmt: skip
    row: dict[str, Any] = json.loads(encode(record))
    return json.dumps({**row, **changes})


NONSENSE: list[tuple[str, tuple[Any, ...], str]] = [
    ("INSERT INTO sessions VALUES ('x', ?)", ("{}",), "the row 'x' of sessions makes no sense (Object missing"),
    ("INSERT INTO sessions VALUES ('x', ?)", (session_row(opened="soon"),), "row 'x' of sessions makes no sense"),
    ("INSERT INTO sessions VALUES ('x', ?)", (session_row(data={"clients": []}),), "remembered of a session makes no"),
    ("INSERT INTO sessions VALUES ('x', ?)", ("[" * 100_000,), "the row 'x' of sessions makes no sense"),
    ("INSERT INTO sessions VALUES ('x', ?)", (b"\xff",), "the row 'x' of sessions makes no sense"),
    ("INSERT INTO events VALUES (7, ?)", ("[]",), "the row 7 of events makes no sense"),
    ("INSERT INTO rooms VALUES ('main', 'r', ?)", ('{"bans": 1}',), "the row ('main', 'r') of rooms makes no sense"),
    ("INSERT INTO idempotency VALUES ('', 'i', ?)", ("{}",), "the row ('', 'i') of idempotency makes no sense"),
    ("INSERT INTO documents VALUES ('main', 'd', ?)", ("{",), "documents makes no sense (1 values are not JSON"),
    (
        "INSERT INTO notifications VALUES ('main', 'u', 1, ?)",
        ("{",),
        "notifications makes no sense (1 values are not JSON",
    ),
    ("INSERT INTO lifecycle VALUES (1, ?)", ("{}",), "the row 1 of lifecycle makes no sense"),
    ("INSERT INTO meta VALUES ('lifecycle', ?)", ("x",), "the row 'lifecycle' of meta makes no sense"),
    ("INSERT INTO meta VALUES ('lived', ?)", ("x",), "the row 'lived' of meta makes no sense"),
]


@pytest.mark.parametrize(("statement", "values", "words"), NONSENSE)
def test_a_row_that_makes_no_sense_is_named(
    tmp_path: Path, statement: str, values: tuple[Any, ...], words: str
) -> None:
    Node(tmp_path).journal.close()
    edit(tmp_path, statement, *values)
    with pytest.raises(JournalError) as caught:
        Node(tmp_path, protocol=discodo.PROTOCOL)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/journal.db: ")
    assert "\n" not in str(caught.value)


def test_other_faults_are_not_explained_away(tmp_path: Path) -> None:
    node = Node(tmp_path)
    fault: Callable[[], None] = node.journal.close
    fault()
    with pytest.raises(JournalError, match="is not open"):
        node.state.read({})


async def test_a_queue_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(tmp_path)
    queue = JournalQueue(node.journal, 10, Counter())
    with caplog.at_level(logging.ERROR):
        queue.append(entry(1))
    assert (queue.last, queue.dropped, queue.peek(5)) == (1, 0, [entry(1)])
    node.journal.close()
    await queue.committed()


async def test_a_row_nested_too_deep_is_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Written by a version that had no limit: whoever waits for it is told, and the node starts."""
    first = Node(tmp_path)
    async with first.running():
        ready(first.book).leave()
        bot = ready(first.book, "b")
        first.book.publish("user:a", "E", 1)
        first.book.publish("user:a", "E", 2)
        first.book.publish("user:b", "E", 3)
        bot.leave()
    deep, deeper = "[" * 500 + "]" * 500, "[" * 100_000 + "]" * 100_000
    for statement, value in (
        ("UPDATE events SET value = replace(value, '\"data\":2', ?)", f'"data":{deep}'),
        ("INSERT INTO events VALUES (7001, ?)", f'{{"data":{deeper}}}'),
        ("INSERT INTO documents VALUES ('main', 'd', ?)", deep),
        ("INSERT INTO documents VALUES ('main', 'e', ?)", "[" * 100 + "]" * 100),
        ("INSERT INTO lifecycle VALUES (1000, ?)", deep),
    ):
        edit(tmp_path, statement, value)
    with caplog.at_level(logging.WARNING):
        second = Node(tmp_path)
    dropped = {"lifecycle": 1, "documents": 1, "events": 2}
    assert second.state.status()["dropped"] == dropped
    assert [record.message for record in caplog.records] == [
        f"rows of {table} that were dropped, since they are nested deeper than 100 levels: {count}"
        for table, count in dropped.items()
    ]
    assert second.hub.totals.reasons == {"too_deep": 1}
    async with second.running():
        assert second.queue.last < 1000
        assert ("d" in second.hub.realms.make("main").documents, "e" in second.hub.realms.make("main").documents) == (
            False,
            True,
        )
        back = second.book.connect()
        back.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
        _, told, *events = back.heard()
        assert told["d"] == {"id": "a", "resumed": True, "lost": 1}
        assert [event["d"] for event in events] == [1]
        assert ready_again(second.book, "b").heard()[1]["d"] == {"id": "b", "resumed": True}
    third = Node(tmp_path)
    assert third.state.status()["dropped"] == {}
    third.journal.close()
