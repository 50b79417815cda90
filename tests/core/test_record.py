"""Rows: what is written can be read, by people too, and by the version before and after."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gatewayd.core.record import (
    EventRecord,
    Key,
    SessionRecord,
    Store,
    Table,
    Within,
    decode_event,
    decode_session,
    encode,
)

SESSION: dict[str, Any] = {
    "listener": "main", "protocol": "utilbot", "remote": "127.0.0.1:5", "opened": 1.5, "identity": "a",
    "key": "a", "resumable": True, "generation": 1, "sequence": 2, "resumes": 0, "given": 9,
    "written": 7, "mark": 1009, "lost": 1, "detached": None, "channels": ["user:a"], "metadata": {"type": "bot"},
}  # fmt: skip


def test_a_session_row() -> None:
    values = {key: value for key, value in SESSION.items() if key != "sequence"}
    record = SessionRecord(
        **values, lifecycle_sequence=2, realm="prod", acknowledged=5, gaps={"too_big": 1}, skipped=((3, 4),),
        granted=["x"], grant=(["x"], {"role": "admin"}), data={"guild": None},
    )  # fmt: skip
    assert decode_session(encode(record)) == record
    said = json.loads(encode(record))
    assert said["grant"] == [["x"], {"role": "admin"}]
    assert said["sequence"] == 2  # of its lifecycle events, as the versions before have named it


def test_a_session_row_of_another_version() -> None:
    record = decode_session(json.dumps({**SESSION, "newer": "field", "auth": "older"}))
    assert (record.realm, record.granted, record.grant, record.data) == ("", [], None, None)
    assert (record.acknowledged, record.gaps, record.skipped) == (None, {}, ())


@pytest.mark.parametrize("name", SESSION)
def test_a_session_row_that_makes_no_sense(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=name):
        decode_session(json.dumps({key: value for key, value in SESSION.items() if key != name}))
    with pytest.raises(msgspec.ValidationError, match=name):
        decode_session(json.dumps({**SESSION, name: {"5": [5]} if name != "metadata" else 5}))


def test_an_event_row_says_only_what_is_unusual() -> None:
    usual = EventRecord(channel="c", name="E", data=msgspec.Raw(b'{"x": 1}'), at=1.0, holders={"s": 7})
    assert json.loads(encode(usual)) == {"channel": "c", "name": "E", "data": {"x": 1}, "at": 1.0, "holders": {"s": 7}}
    unusual = EventRecord(channel="c", name="E", data=msgspec.Raw(b"1"), at=1.0, holders={"c": 0}, one=True)
    assert decode_event(encode(unusual)) == unusual


def test_without_a_journal_nothing_is_kept() -> None:
    store = Store()
    store.put(Table.ROOMS, "a", b"1")
    store.delete(Table.ROOMS, "a")
    store.stir()


class Told(Store):
    def __init__(self) -> None:
        self.calls: list[object] = []

    def put(self, table: Table, key: Key, value: bytes) -> None:
        self.calls.append((table, key, value))

    def delete(self, table: Table, key: Key) -> None:
        self.calls.append((table, key))


def test_keys_within_a_realm_begin_with_its_name() -> None:
    told = Told()
    store = Within(told, "prod")
    store.put(Table.ROOMS, "r", b"1")
    store.delete(Table.NOTIFICATIONS, ("u", 1))
    assert told.calls == [(Table.ROOMS, ("prod", "r"), b"1"), (Table.NOTIFICATIONS, ("prod", "u", 1))]
