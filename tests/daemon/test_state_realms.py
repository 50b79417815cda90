"""The journal and its realms: one of the version before, and what is kept for a realm that has no listener now."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from gatewayd.__main__ import main
from gatewayd.admin.idempotency import Remembered
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.protocol import Protocol
from gatewayd.daemon.lifecycle_queue import JournalQueue
from gatewayd.daemon.state import State
from gatewayd.hub.hub import Hub
from gatewayd.journal.engine import Journal
from gatewayd.journal.summary import rows_by_realm
from gatewayd.protocols import dmod, oxyl, rooms, utilbot
from tests.playbook import Person, Playbook, notes_for, waiting

DUMP = Path(__file__).parents[1] / "journal" / "version1.sql"
BOTS, FLEET = ("bots", utilbot.PROTOCOL, "prod"), ("fleet", oxyl.PROTOCOL, "prod")
STAGING, PAGES = ("staging", oxyl.PROTOCOL, "stage"), ("pages", dmod.PROTOCOL, "stage")
ROOMS = ("rooms", rooms.PROTOCOL, "stage")
ALL = (BOTS, STAGING, FLEET, PAGES, ROOMS)
"""The listeners that wrote it, in the order of another file."""


def older(state: Path) -> None:
    """Put the journal of the version before in place."""
    state.mkdir(mode=0o700)
    with closing(sqlite3.connect(state / "journal.db")) as connection:
        connection.executescript(DUMP.read_text())


class Node:
    """A run over a journal, with these listeners."""

    def __init__(self, state: Path, *listeners: tuple[str, Protocol, str]) -> None:
        self.journal = Journal.open(state, interval=0.01)
        dropped = Counter[str]()
        self.queue = JournalQueue(self.journal, 100, dropped)
        self.hub = Hub(lambda: 1000.0, store=self.journal)
        self.books: dict[str, Playbook] = {}
        self.remembered = Remembered(self.journal)
        for name, protocol, realm in listeners:
            self.books[name] = Playbook(protocol, hub=self.hub, listener=name, realm=realm)
        settings = {name: book.settings for name, book in self.books.items()}
        self.state = State(self.journal, self.hub, self.remembered, self.queue, dropped)
        self.state.read(settings)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.journal.run, self.state)
            yield
            await self.journal.aclose()


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said at a level that is always logged, since the last look."""
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return said


def worker(talk: Playbook) -> list[Any]:
    person = talk.connect()
    person.say({"op": 0, "d": {"type": "commands", "compress": False, "secret": "s3cret"}})
    return [payload["t"] for payload in person.heard()[1:]]


def bot(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
    return person


async def test_a_journal_of_the_version_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Sessions are of their listener's realm; all else goes to the first listener that uses such a thing."""
    state = tmp_path / "state"
    older(state)
    with caplog.at_level(logging.WARNING):
        first = Node(state, *ALL)
    assert warned(caplog) == [
        "documents kept before there were realms are in realm stage from now on",
        "notifications kept before there were realms are in realm stage from now on",
        "rooms kept before there were realms are in realm stage from now on",
        "1 events kept before there were realms wait for a receiver in realm stage from now on",
    ]
    async with first.running():
        assert {session.id: session.realm for session in first.hub.sessions.values()} == {
            "a1a1a1a1a1a1a1a1": "prod", "b2b2b2b2b2b2b2b2": "stage"
        }  # fmt: skip
        assert [entry.realm for entry in first.queue.peek(9)] == ["", ""]
    caplog.clear()
    second = Node(state, *ALL)  # nothing had to be said about it, and no byte is where it was
    assert warned(caplog) == []
    async with second.running():
        stage = second.hub.realms.make("stage")
        assert stage.documents.get("guild:7") == {"name": "seven"}
        assert second.hub.realms.make("prod").documents.get("guild:7") is None
        assert notes_for(second.hub, "7", "stage") == [{"text": "hello"}]
        assert stage.rooms.state("r") == {"roomLocked": True}
        assert stage.rooms.is_closed("gone")
        assert bot(second.books["bots"]).heard()[1:] == [
            {"op": 0, "t": "bot_connect_success", "d": {"id": "a", "resumed": True}},
            {"op": 0, "t": "HELLO", "d": {"n": 1}},
        ]
        assert worker(second.books["fleet"]) == ["IDENTIFIED"]
        assert worker(second.books["staging"]) == ["IDENTIFIED", "EXECUTE_COMMAND"]


def test_the_ids_of_publishes_and_what_nobody_has_a_use_for(tmp_path: Path) -> None:
    state = tmp_path / "state"
    older(state)
    with closing(sqlite3.connect(state / "journal.db")) as connection:
        connection.execute("UPDATE idempotency SET value = json_set(value, '$.until', 9e9)")
        connection.commit()
    node = Node(state, BOTS)
    assert node.remembered.get("id-1", 1000.0) == {"delivered": 1, "buffered": 0, "dropped": 0}
    assert node.remembered.get("id-1", 1000.0, "another") is None
    assert node.hub.realms.make("prod").documents.get("guild:7") == {"name": "seven"}
    assert [event.realm for event in waiting(node.hub)] == ["prod"]
    assert list(node.hub.sessions) == ["a1a1a1a1a1a1a1a1"]  # the other one's listener is no more
    node.journal.close()


async def test_what_is_kept_for_a_realm_without_a_listener_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    older(state)
    async with Node(state, *ALL).running():
        pass
    assert rows_by_realm(state) == {"stage": {"documents": 1, "notifications": 1, "rooms": 2, "events": 1}}
    caplog.clear()
    without = Node(state, BOTS)
    assert warned(caplog) == ["realm stage has no listener: what the journal keeps for it stays there"]
    async with without.running():
        assert list(without.hub.realms.served) == ["prod"]
        without.journal._degrade("a test")  # all of it is written anew
    assert rows_by_realm(state) == {"stage": {"documents": 1, "notifications": 1, "rooms": 2, "events": 1}}
    listener = '[[listeners]]\nname = "bots"\nprotocol = "utilbot"\nbind = "127.0.0.1:0"\n'
    path = tmp_path / "gatewayd.toml"
    path.write_text(f'[gateway]\nstate_dir = "{state}"\n{listener}')
    assert main(["check", "--config", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == (
        f"{state}: warning: the journal keeps 1 documents, 1 notifications, 2 rooms, 1 events for realm 'stage', "
        "in which there is no listener\n"
    )
    assert out == f"{path}: ok, 1 listener, 1 warning\nrealm open: bots (utilbot)\n"
    assert main(["check", "--strict", "--config", str(path)]) == 2
    path.write_text(path.read_text() + 'realm = "stage"\n')
    assert main(["check", "--strict", "--config", str(path)]) == 0
    back = Node(state, STAGING)
    assert worker(back.books["staging"]) == ["IDENTIFIED", "EXECUTE_COMMAND"]
    back.journal.close()


def test_an_event_that_somebody_was_to_get_alone_stays_in_its_realm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    older(state)
    with closing(sqlite3.connect(state / "journal.db")) as connection:
        connection.execute(
            "UPDATE events SET value = json_set(value, '$.holders[0]', 'b2b2b2b2b2b2b2b2') WHERE sequence = 2"
        )
        connection.commit()
    node = Node(state, FLEET, STAGING)
    assert not [text for text in warned(caplog) if "events" in text]
    node.hub.end(node.hub.sessions["b2b2b2b2b2b2b2b2"], Disconnect(Cause.KICKED, "x"))
    assert [(event.realm, event.protocol) for event in waiting(node.hub)] == [("stage", "oxyl")]
    node.journal.close()


def test_a_journal_that_cannot_be_looked_into(tmp_path: Path) -> None:
    assert rows_by_realm(tmp_path) == {}
    (tmp_path / "journal.db").write_bytes(b"no database" * 100)
    assert rows_by_realm(tmp_path) == {}
    older(tmp_path / "state")
    assert rows_by_realm(tmp_path / "state") == {}
