"""Text from outside, made fit for a log line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.text import check_url, due, printable


@given(st.text())
def test_whatever_comes_is_printable_and_short(text: str) -> None:
    shown = printable(text, 50)
    assert shown.isprintable()
    assert len(shown) <= 50


def test_printable() -> None:
    assert printable("a\x1b[2J\r\n\u2028b") == "a\\x1b[2J\\r\\n\\u2028b"
    assert printable("\x00\x7f\x85\u202e\ud800") == "\\x00\\x7f\\x85\\u202e\\ud800"
    assert printable("ü 👍") == "ü 👍"


@pytest.mark.parametrize(("length", "shown"), [(199, "x" * 199), (200, "x" * 200), (201, "x" * 199 + "…")])
def test_the_limit(length: int, shown: str) -> None:
    assert printable("x" * length) == shown


def test_the_types_that_are_due() -> None:
    assert due((bool,)) == "is of the wrong type: expected true or false"
    assert due((str, type(None))) == "is of the wrong type: expected a string or null"


@pytest.mark.parametrize("url", ["http://a", "https://a.example:8443/x?y=1", "http://[::1]:8000"])
def test_a_url_to_send_requests_to(url: str) -> None:
    check_url(url, "http://example")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("a", "such as"), ("ftp://a", "such as"), ("http://", "such as"), ("http://a:0", "such as"), ("http://a:x", "such as"),
        ("http://a b", "such as"), ("http://a\n", "such as"), ("http://[a", "such as"), ("http://u:p@a", "password"), ("http://a#b", "fragment"),
    ],
)  # fmt: skip
def test_wrong(url: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        check_url(url, "http://example")
