"""What the daemon before backlogs has left at a kill -9: each session goes on, and hears what it had not got, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatewayd.core.record import Table
from tests.daemon.test_state_realms import ALL, Node
from tests.journal.test_migration import AWAY, COMMANDS, SHARDER, older, rows
from tests.playbook import Person, notes_for


def bot(node: Node, name: str) -> list[Any]:
    """What a bot hears that comes back: that it is resumed, and the data of its events."""
    person = node.books["bots"].connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": name}})
    _, told, *events = person.heard()
    assert told["d"]["id"] == name
    return [told["d"].get("resumed", False), *[event["d"] for event in events]]


def service(node: Node, listener: str, kind: str) -> list[Any]:
    """The answer to a service that identifies, and the commands that it hears."""
    person = node.books[listener].connect()
    person.say({"op": 0, "d": {"type": kind, "compress": False, "secret": "s3cret"}})
    _, told, *events = person.heard()
    return [told["d"], *[event["d"]["command"] for event in events]]


def ann(node: Node) -> Person:
    return node.books["rooms"].connect("/gateway", {"roomId": "r", "participantId": "ann", "token": "s3cret"})


async def test_each_session_hears_what_it_had_not_got(tmp_path: Path) -> None:
    """Two runs: what the first has said, and what the second has still to say."""
    older(tmp_path, 2)
    first = Node(tmp_path, *ALL)
    async with first.running():
        assert bot(first, "away") == [True, 2, 3]
        assert bot(first, "overtaken") == [True, 5, 7]
        assert service(first, "staging", "sharder") == [{"shards": [0], "lost": 2}, "c2", "c3", "c4"]
        assert service(first, "fleet", "commands") == [{}, "prod"], "of one that could not be resumed"
        assert COMMANDS not in first.hub.sessions
        assert [entry.n for entry in first.queue.peek(9)] == list(range(1, 10))
        assert first.remembered.get("id-1", 1000.0) == {"delivered": 1, "buffered": 0, "dropped": 0}
    second = Node(tmp_path, *ALL)  # the first one was killed, too
    async with second.running():
        assert bot(second, "away") == [True]
        assert bot(second, "behind") == [True, 2, 4]
        assert bot(second, "reader") == [True]
        assert bot(second, "overtaken") == [True]
        assert service(second, "staging", "sharder") == [{"shards": [0]}]
        assert service(second, "staging", "commands") == [{}, "first"]
        assert service(second, "fleet", "commands") == [{}]
        stage = second.hub.realms.make("stage")
        assert stage.documents.get("guild:7") == {"name": "seven"}
        assert notes_for(second.hub, "7", "stage") == [{"text": "hello"}]
        assert stage.rooms.state("r") == {"chatLocked": False, "maxParticipants": 9}
        assert stage.rooms.is_closed("gone")
        assert [said["d"]["content"] for said in ann(second).heard() if said["e"] == 3] == ["hi"]
        assert bot(second, "new") == [False]
    assert rows(tmp_path)[1] == {}


async def test_what_comes_now_comes_behind_it(tmp_path: Path) -> None:
    older(tmp_path, 2)
    node = Node(tmp_path, *ALL)
    async with node.running():
        backlog = node.hub.sessions[AWAY].backlog
        for number in (100, 101):
            node.hub.post("user:away", "E", number)
        assert [(sequence, event.data) for sequence, event in backlog.entries()] == [(2, 2), (3, 3), (4, 100), (5, 101)]
        assert bot(node, "away") == [True, 2, 3, 100, 101]
        assert (backlog.given, backlog.written, len(backlog)) == (5, 5, 0)


def test_its_losses_are_shown_until_they_are_told(tmp_path: Path) -> None:
    older(tmp_path, 2)
    node = Node(tmp_path, *ALL)
    backlog = node.hub.sessions[SHARDER].backlog
    assert (backlog.gaps, backlog.lost) == ({"resume_buffer_full": 2}, 2)
    service(node, "staging", "sharder")
    assert (backlog.gaps, backlog.lost) == ({}, 2)
    node.journal.close()


@pytest.mark.parametrize(("depth", "lost"), [(500, 1), (3000, None)])
def test_what_is_nested_too_deep_is_lost(tmp_path: Path, depth: int, lost: int | None) -> None:
    """Beyond a thousand levels SQLite cannot look into it, and nobody can tell whose it was."""
    deep = "[" * depth + "]" * depth
    event = f'{{"channel":"user:away","name":"E","data":{deep},"at":1.0,"holders":["{AWAY}"]}}'
    older(tmp_path, 2, ("INSERT INTO events VALUES (100, ?)", event))
    node = Node(tmp_path, *ALL)
    assert node.state.status()["dropped"] == {"events": 1}
    person = node.books["bots"].connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "away"}})
    _, told, *events = person.heard()
    assert (told["d"].get("lost"), [event["d"] for event in events]) == (lost, [2, 3])
    node.journal.close()


def test_what_waits_for_nobody_is_forgotten(tmp_path: Path) -> None:
    event = {"channel": "user:x", "name": "E", "data": 1, "at": 1.0, "holders": ["nobody", "service:x"]}
    older(tmp_path, 2, ("INSERT INTO events VALUES (100, ?)", json.dumps(event)))
    node = Node(tmp_path, *ALL)
    assert node.hub.delivery.numbers >= 100
    assert 100 not in [row[1] for row in node.state.snapshot() if row[0] is Table.EVENTS]
    node.journal.close()
