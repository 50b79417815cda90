"""Rows that our daemon would not have written: taken up as far as they make sense, or refused by name."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gatewayd.admin import views
from gatewayd.core.record import Table
from gatewayd.hub.hub import Hub
from gatewayd.journal.pinned import JournalError
from tests.daemon.test_lifecycle_queue import Node
from tests.hub.test_hub import ready
from tests.playbook import Playbook


async def away(state: Path) -> str:
    """A run in which a session has got one event, and waits with two more, 2 and 3; its id."""
    node = Node(state)
    async with node.running():
        person = ready(node.book)
        node.book.publish("user:a", "E", 1)
        person.leave()
        node.book.publish("user:a", "E", 2)
        node.book.publish("user:a", "E", 3)
        await node.state.aclose()
    return person.session.id


def edit(state: Path, table: Table, changes: dict[str, Any]) -> None:
    """Set so much in every row of a table."""
    with closing(sqlite3.connect(state / "journal.db")) as connection:
        for path, value in changes.items():
            text = json.dumps(value)
            connection.execute(f"UPDATE {table} SET value = json_set(value, ?, json(?))", (f"$.{path}", text))
        connection.commit()


def heard(book: Playbook) -> tuple[Any, list[int]]:
    """What a client is told that comes back, and the data of the events that it hears."""
    person = book.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}})
    _, told, *events = person.heard()
    person.leave()
    return told["d"].get("lost"), [event["d"] for event in events]


def sequences(hub: Hub, id_: str) -> list[tuple[int, Any]]:
    return [(sequence, event.data) for sequence, event in hub.sessions[id_].backlog.entries()]


@pytest.mark.parametrize(
    ("changes", "next_one"),
    [
        ({}, 4),
        ({"mark": 2}, 4),
        ({"given": 2}, 4),
        ({"given": 9}, 10),
        ({"given": 9, "mark": 9}, 10),
        ({"mark": 9}, 10),
        ({"acknowledged": 3}, 4),
        ({"skipped": [[7, 5], [1, 3]]}, 4),
        ({"gaps": {"of another version": 5}}, 4),
    ],
)
async def test_cursors_that_do_not_fit_together(tmp_path: Path, changes: dict[str, Any], next_one: int) -> None:
    id_ = await away(tmp_path)
    edit(tmp_path, Table.SESSIONS, changes)
    second = Node(tmp_path)
    async with second.running():
        assert sequences(second.hub, id_) == [(2, 2), (3, 3)]
        second.book.publish("user:a", "E", 4)
        assert sequences(second.hub, id_)[-1] == (next_one, 4)
        assert heard(second.book) == (changes.get("gaps", {}).get("of another version"), [2, 3, 4])
    third = Node(tmp_path)
    assert heard(third.book) == (None, [])
    third.journal.close()


async def test_what_a_killed_run_may_have_given_was_not_delivered(tmp_path: Path) -> None:
    id_ = await away(tmp_path)
    edit(tmp_path, Table.SESSIONS, {"mark": 1000})
    second = Node(tmp_path)
    async with second.running():
        session = second.hub.sessions[id_]
        assert (session.backlog.given, views.delivered(session)) == (1000, 1)
        assert heard(second.book) == (None, [2, 3])
        assert (session.backlog.given, views.delivered(session)) == (1000, 3)


@pytest.mark.parametrize("written", [3, 4, 2**52])
async def test_more_written_than_given(tmp_path: Path, written: int) -> None:
    """It is believed: nothing is said twice."""
    id_ = await away(tmp_path)
    edit(tmp_path, Table.SESSIONS, {"written": written})
    second = Node(tmp_path)
    async with second.running():
        second.book.publish("user:a", "E", 4)
        assert sequences(second.hub, id_) == [(written + 1, 4)]
        assert heard(second.book) == (None, [4])
    third = Node(tmp_path)
    assert heard(third.book) == (None, [])
    third.journal.close()


async def test_holes_between_the_sequences(tmp_path: Path) -> None:
    id_ = await away(tmp_path)
    for number, sequence in ((2, 5), (3, 900)):
        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
            statement = "UPDATE events SET value = json_set(value, '$.holders', json(?)) WHERE sequence = ?"
            connection.execute(statement, (json.dumps({id_: sequence, "nobody": 1, "user:nobody": 0}), number))
            connection.commit()
    second = Node(tmp_path)
    async with second.running():
        second.book.publish("user:a", "E", 4)
        assert sequences(second.hub, id_) == [(5, 2), (900, 3), (901, 4)]
        assert heard(second.book) == (None, [2, 3, 4])
    third = Node(tmp_path)
    assert heard(third.book) == (None, [])
    third.journal.close()


async def test_the_other_way_round(tmp_path: Path) -> None:
    """The order is that of the sequences."""
    id_ = await away(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        for number, sequence in ((2, 3), (3, 2)):
            statement = "UPDATE events SET value = json_set(value, '$.holders', json(?)) WHERE sequence = ?"
            connection.execute(statement, (json.dumps({id_: sequence}), number))
        connection.commit()
    second = Node(tmp_path)
    async with second.running():
        assert heard(second.book) == (None, [3, 2])


@pytest.mark.parametrize(
    ("sequence", "words"),
    [
        (2, "what is remembered of a session makes no sense (session {id} has events without a sequence of their own)"),
        (0, "what is remembered of a session makes no sense (session {id} has events without a sequence of their own)"),
        (-1, "the row 2 of events makes no sense (Expected `int` >= 0 - at `$.holders[...]`)"),
        (2**53, "the row 2 of events makes no sense (Expected `int` <= 9007199254740991 - at `$.holders[...]`)"),
        ("2", "the row 2 of events makes no sense (Expected `int`, got `str` - at `$.holders[...]`)"),
        (None, "the row 2 of events makes no sense (Expected `int`, got `null` - at `$.holders[...]`)"),
    ],
)
async def test_sequences_that_make_no_sense(tmp_path: Path, sequence: Any, words: str) -> None:
    id_ = await away(tmp_path)
    edit(tmp_path, Table.EVENTS, {"holders": {id_: sequence}})
    with pytest.raises(JournalError) as caught:
        Node(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/journal.db: {words.replace('{id}', id_)}; restore the file from a backup, or move it away"
    )


@pytest.mark.parametrize("name", ["given", "written", "acknowledged", "mark", "lost"])
@pytest.mark.parametrize("value", [-1, 2**53, 10**30, 1.5, "1", [1]])
async def test_cursors_that_make_no_sense(tmp_path: Path, name: str, value: Any) -> None:
    id_ = await away(tmp_path)
    edit(tmp_path, Table.SESSIONS, {name: value})
    with pytest.raises(JournalError, match=rf"the row '{id_}' of sessions makes no sense \(.* - at `\$.{name}`\)"):
        Node(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"gaps": {"x": -1}}, {"gaps": [1]}, {"skipped": [[1]]}, {"skipped": [[-5, 5]]}, {"written": None}],
)
async def test_gaps_that_make_no_sense(tmp_path: Path, changes: dict[str, Any]) -> None:
    id_ = await away(tmp_path)
    edit(tmp_path, Table.SESSIONS, changes)
    with pytest.raises(JournalError, match=f"the row '{id_}' of sessions makes no sense"):
        Node(tmp_path)
