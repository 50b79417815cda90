"""Events as publishers say them: decoded straight into their fields, and as a value that is checked field by field."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from gatewayd.admin.events import Publication, event_of
from gatewayd.admin.http import ApiError, fields, parse
from gatewayd.core.depth import MAX_DEPTH

NESTED = 300
TEXT = (str,)
KNOWN: dict[str, tuple[type, ...]] = {
    "channel": TEXT, "event": TEXT, "data": (), "id": TEXT, "realm": TEXT, "except": TEXT,
}  # fmt: skip


def checked(text: bytes) -> dict[str, Any]:
    """The value, checked field by field."""
    value: dict[str, Any] = {"data": {}, "except": "", **fields(parse(text, NESTED), KNOWN, ("channel", "event"))}
    return value


def seen(item: Publication) -> dict[str, Any]:
    found = {"channel": item.channel, "event": item.event, "data": item.data, "id": item.id, "realm": item.realm}
    return {name: value for name, value in {**found, "except": item.besides}.items() if value is not UNSET}


def deep(levels: int) -> bytes:
    return b'{"channel": "c", "event": "e", "data": ' + b"[" * levels + b"]" * levels + b"}"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from([*KNOWN, "besides", "Channel", ""])
MEMBERS = st.lists(st.tuples(NAMES, st.text(max_size=3) | VALUES), max_size=6)


@settings(max_examples=500, deadline=None)
@given(MEMBERS, st.booleans(), st.none() | st.integers(0, 200))
@example([("event", "E"), ("event", 1)], True, None)  # of a name that comes twice, the last one counts
@example([("event", 1), ("event", "E")], True, None)
@example([("id", None)], True, None)
@example([("besides", "x")], True, None)
def test_both_ways_see_the_same(members: list[tuple[str, Any]], whole: bool, cut: int | None) -> None:
    needed = [("channel", "c"), ("event", "e")] if whole else []
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in [*needed, *members]]
    compare(("{" + ", ".join(lines) + "}").encode()[:cut])


@pytest.mark.parametrize(
    "text",
    [b"", b"1", b"[]", b"null", b"{}", b'{"channel": "c", "event": "\xff"}', b'{"ch\\u0061nnel": "c", "event": "e"}', b"[" * 5000,
     b'{"channel": "c", "event": "e", "data": NaN}', b'{"channel": "c", "event": "e", "data": 1e999}',
     b'{"channel": "c", "event": "e"} x', b' {"channel": "c", "event": "e"}\r\n', b'{"channel": "c", "event": "e", "data": "' + b"[" * 5000,
     deep(MAX_DEPTH - 1), deep(MAX_DEPTH), deep(3000),
     b'{"channel": "c", "event": "e", "data": [' + b"[]," * (NESTED - 3) + b"[]]}",
     b'{"channel": "c", "event": "e", "data": [' + b"[]," * (NESTED - 2) + b"[]]}",
     b'{"channel": "c", "event": "e", "data": "' + b"x" * 1000 + b'"}'],
)  # fmt: skip
def test_what_is_unusual(text: bytes) -> None:
    compare(text)


def compare(text: bytes) -> None:
    for body in (text, msgspec.Raw(text)):
        try:
            wanted = checked(text)
        except ApiError as error:
            with pytest.raises(ApiError) as caught:
                event_of(body, NESTED)
            assert caught.value.args == error.args
        else:
            found = seen(event_of(body, NESTED))
            assert json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)
