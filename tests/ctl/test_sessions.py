"""The list of sessions at 80 columns: identity and remote address stay readable, whatever else there is."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from gatewayd.ctl.parser import COLUMNS
from gatewayd.ctl.sessions import sessions
from gatewayd.ctl.tables import Screen

NOW = datetime(2025, 11, 21, 12, 0, 0, tzinfo=UTC)
ID = "0123456789abcdef"
SESSION: dict[str, Any] = {
    "id": ID,
    "listener": "bots",
    "protocol": "utilbot",
    "realm": "prod",
    "identity": "bot-1",
    "state": "ready",
    "remote": "203.0.113.7:51234",
    "opened": "2025-11-21T08:29:00Z",
    "channels": 12,
    "outbox": {"events": 3, "bytes": 900},
    "missed": {"events": 4, "bytes": 10},
    "lost": 0,
    "latency": 0.0125,
}
LONG = SESSION | {"identity": "production-bot-with-a-long-identity-00001"}
OTHER = LONG | {"id": "f" * 16, "listener": "a-listener-with-a-long-name", "protocol": "rooms", "state": "detached"}


def drawn(rows: Sequence[Any], room: int | None = 80, wanted: Sequence[str] | None = None) -> list[str]:
    out = io.StringIO()
    sessions(Screen(out, room, False), rows, wanted, NOW)
    lines = out.getvalue().splitlines()
    assert room is None or all(len(line) <= room for line in lines)
    return lines


def test_a_wide_screen_has_everything() -> None:
    heading, line = (text.split() for text in drawn([SESSION], 200))
    assert heading == ["ID", "LISTENER", "PROTOCOL", "STATE", "IDENTITY", "REMOTE", "AGE", "CH", "QUEUED"]
    assert line == [ID, "bots", "utilbot", "ready", "bot-1", "203.0.113.7:51234", "3h31m", "12", "7"]


def test_what_is_constant_is_said_once_where_it_makes_room() -> None:
    first, *rest = drawn([LONG, LONG])
    assert first == "all: listener bots, protocol utilbot, state ready, channels 12, queued 7"
    assert rest[0].split() == ["ID", "IDENTITY", "REMOTE", "AGE"]
    assert rest[1].split() == ["0123456789", LONG["identity"], LONG["remote"], "3h31m"]


def test_identity_and_remote_stay_readable() -> None:
    lines = drawn([LONG, OTHER | {"channels": 1, "missed": {"events": 90_000}}])
    assert lines[0].split() == ["ID", "LISTENER", "STATE", "IDENTITY", "REMOTE", "AGE"]
    for line in lines[1:]:
        assert "203.0.113.7:51234" in line
        assert "production-bot" in line
    assert lines[2].startswith("ffffffffff  a-list")  # a start of the id, with nothing behind it that is not of it


def test_the_realm_is_shown_where_there_are_several() -> None:
    heading, *lines = drawn([SESSION, SESSION | {"realm": "staging"}], 200)
    assert heading.split()[-1] == "REALM"
    assert [line.split()[-1] for line in lines] == ["prod", "staging"]
    assert "REALM" not in drawn([LONG, OTHER | {"realm": "staging"}])[0]  # a listener has one, and room for it is short


def test_hostile_values_fit() -> None:
    hostile = SESSION | {"identity": "\x1b]0;pwned\x07" * 20, "remote": "日" * 100, "state": "x" * 100, "id": 7}
    for line in drawn([SESSION, hostile]) + drawn([hostile, hostile]):
        assert line.isprintable()


def test_no_sessions() -> None:
    assert drawn([]) == ["no sessions"]
    assert drawn([], None) == ["ID\tLISTENER\tPROTOCOL\tSTATE\tIDENTITY\tREMOTE\tAGE\tCH\tQUEUED"]


def test_a_program_gets_whole_ids_and_no_padding() -> None:
    assert drawn([OTHER], None)[1].split("\t") == [
        "f" * 16, OTHER["listener"], "rooms", "detached", LONG["identity"], LONG["remote"], "3h31m", "12", "7",
    ]  # fmt: skip


def test_columns_that_are_wanted_are_neither_dropped_nor_reordered() -> None:
    lines = drawn([LONG, LONG], 80, ["state", "id", "identity", "latency"])
    assert lines[0].split() == ["STATE", "ID", "IDENTITY", "LATENCY"]
    assert lines[1].split() == ["ready", ID, LONG["identity"], "0.0125"]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_can_be_had(name: str) -> None:
    (title, line) = drawn([SESSION | {"delivered": 5}], None, [name])
    assert title.isupper()
    assert line != "-"


def test_what_waits_is_unknown_where_nothing_says() -> None:
    assert drawn([{}], None, ["queued"])[1] == "-"
