"""Reading a backend's answer: strict about what is known, easy about what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.backend.answer import Answer, Said, checked, parse
from gatewayd.backend.errors import INVALID, NOT_JSON, BackendError
from gatewayd.core.ports import NO_REPLY


def test_everything_an_answer_can_say() -> None:
    assert parse(
        b'{"reply": {"a": 1}, "subscribe": ["room:1"], "unsubscribe": ["room:2"], "disconnect": "enough",'
        b' "events": [{"channel": "room:1", "event": "E", "data": [1]}, {"channel": "c", "event": "F"}]}'
    ) == Answer(
        reply={"a": 1}, subscribe=("room:1",), unsubscribe=("room:2",), disconnect="enough",
        events=(Said(channel="room:1", event="E", data=[1]), Said(channel="c", event="F", data={})),
    )  # fmt: skip


def test_no_reply_is_not_a_null_reply() -> None:
    assert parse(b"{}") == Answer()
    assert parse(b"{}").reply is NO_REPLY
    assert parse(b'{"reply": null}').reply is None


def test_what_a_newer_backend_says_more_is_passed_over() -> None:
    assert parse(b'{"reply": 1, "later": {"x": []}, "events": [{"channel": "c", "event": "e", "ttl": 5}]}') == Answer(
        reply=1, events=(Said(channel="c", event="e"),)
    )


@pytest.mark.parametrize(
    ("body", "slug", "words"),
    [
        (b"<html>down</html>", NOT_JSON, "the answer is not JSON"),
        (b"", NOT_JSON, "the answer is not JSON"),
        (b'{"reply": "\xff"}', NOT_JSON, "the answer is not JSON"),
        (b'{"reply": ' + b"[" * 100_000, NOT_JSON, "the answer is not JSON"),
        (b'{"reply": ' + b"[" * 900 + b"]" * 900 + b"}", INVALID, "JSON is nested deeper than 100 levels"),
        (b"[]", INVALID, "the answer: Expected `object`, got `array`"),
        (b'{"reply": 1e999}', INVALID, "reply: Number out of range"),
        (b'{"events": {}}', INVALID, "events: Expected `array`, got `object`"),
        (b'{"events": [{"channel": 1}]}', INVALID, "events[0].channel: Expected `str`, got `int`"),
        (b'{"events": [{"channel": "c"}]}', INVALID, "events[0]: Object missing required field `event`"),
        (b'{"events": [{"channel": "", "event": "e"}]}', INVALID, "events[0].channel: a name has 1 to 512 printable"),
        (b'{"events": [{"channel": "c", "event": "\\n"}]}', INVALID, "events[0].event: a name has 1 to 512 printable"),
        (b'{"subscribe": "c"}', INVALID, "subscribe: Expected `array`, got `str`"),
        (b'{"subscribe": ["c", ""]}', INVALID, "subscribe[1]: a name has 1 to 512 printable characters"),
        (b'{"unsubscribe": [null]}', INVALID, "unsubscribe[0]: Expected `str`, got `null`"),
        (b'{"disconnect": true}', INVALID, "disconnect: Expected `str | null`, got `bool`"),
        (b'{"unknown": 1}', INVALID, "unknown: Expected `bool`, got `int`"),
    ],
)
def test_what_is_no_answer(body: bytes, slug: str, words: str) -> None:
    with pytest.raises(BackendError) as caught:
        parse(body)
    assert caught.value.slug == slug
    assert caught.value.detail.startswith(words)
    assert caught.value.words == "the backend did not answer"  # a client is told no more


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    try:
        parse(body)
    except BackendError as error:
        assert error.slug in (INVALID, NOT_JSON)


def test_an_answer_of_this_process_is_held_to_the_same() -> None:
    data = {"a": [1]}
    answer = checked(Answer(reply=data, events=(Said(channel="c", event="e", data=data),)))
    data["a"].append(2)
    assert answer == Answer(reply={"a": [1]}, events=(Said(channel="c", event="e", data={"a": [1]}),))
    assert checked(Answer()).reply is NO_REPLY


@pytest.mark.parametrize(
    "answer",
    [
        Answer(reply=object()),
        Answer(reply="\ud800"),
        Answer(subscribe=("",)),
        Answer(disconnect=5),  # type: ignore[arg-type]
        Answer(reply={(1, 2): 3}),
    ],
)
def test_what_has_no_form_in_json_is_an_error_of_the_answer(answer: Any) -> None:
    with pytest.raises(BackendError, match="invalid"):
        checked(answer)
