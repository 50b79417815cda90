"""Text from outside, made fit for a log line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.text import MASKED, check_url, due, printable, redacted


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


def test_secrets_in_a_target_are_masked() -> None:
    assert redacted("/x?a=1&token=abc&Key=d#f") == "/x?a=1&token=********&Key=********#f"
    assert redacted("/x?token=") == "/x?token=********"
    assert redacted("/tokens?monkey=1") == "/tokens?monkey=1"
    assert redacted("/token=a/key=b") == "/token=a/key=b"
    assert redacted("/x?token=a=b&c=d") == "/x?token=********&c=d"
    assert redacted("/x?a?token=b") == "/x?a?token=********"
    assert redacted("/x?token&key") == "/x?token&key"


def test_a_name_that_is_percent_encoded_is_still_a_secret() -> None:
    """The request's reader decodes the name and takes its value for the token."""
    assert redacted("/x?%74oke%6E=abc&access%5Ftoken=def") == "/x?%74oke%6E=********&access%5Ftoken=********"
    assert redacted("/x?%ff%=abc") == "/x?%ff%=abc"


@given(st.sampled_from(MASKED), st.data(), st.text("abc=?%+\x1bü", min_size=1), st.text("xyz?&=%", max_size=20))
def test_no_secret_survives(name: str, data: st.DataObject, secret: str, before: str) -> None:
    spelt = "".join(
        data.draw(st.sampled_from([char, char.upper(), f"%{ord(char):02x}", f"%{ord(char.upper()):02X}"]))
        for char in name
    )
    assert redacted(f"/?{before}&{spelt}={secret}&z=1").endswith(f"&{spelt}=********&z=1")


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
