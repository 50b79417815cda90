"""How deep JSON is nested: judged without decoding it, and rightly whatever stands in its strings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.depth import MAX_DEPTH, too_deep

BRACKETS = st.text('[]{}"\\ab é', max_size=40)
VALUES = st.recursive(
    st.none() | st.integers() | BRACKETS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(BRACKETS, inner, max_size=4),
    max_leaves=30,
)


def nested(depth: int, inner: str = "1") -> str:
    return '{"a":[' * (depth // 2) + "[" * (depth % 2) + inner + "]" * (depth % 2) + "]}" * (depth // 2)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 6), st.booleans())
def test_it_is_the_depth_that_a_decoder_would_find(value: Any, limit: int, ascii_: bool) -> None:  # noqa: FBT001, RUF100
    text = json.dumps(value, ensure_ascii=ascii_)
    assert too_deep(text, limit) == too_deep(text.encode(), limit) == (depth_of(value) > limit)


@pytest.mark.parametrize("wrap", [str, str.encode])
def test_the_limit(wrap: Any) -> None:
    assert not too_deep(wrap(nested(MAX_DEPTH)))
    assert too_deep(wrap(nested(MAX_DEPTH + 1)))
    assert too_deep(wrap(nested(100_000)))
    assert not too_deep(wrap(json.dumps([[], {}] * 1000)))
    assert not too_deep(wrap(json.dumps("[" * 1000 + '\\"' + "{" * 1000)))
    assert too_deep(wrap(nested(MAX_DEPTH + 1, json.dumps(']"' * 500))))


@pytest.mark.parametrize("text", ["[" * 100_000, "]" * 1000, '"' + '\\"[' * 1000, "[" * 500 + "\ud800", ""])
def test_what_is_no_json_is_left_to_the_decoder(text: str) -> None:
    assert not too_deep(text)
