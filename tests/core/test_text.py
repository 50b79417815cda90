"""Text from outside, made fit for a log line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.text import printable, redacted


@given(st.text())
def test_whatever_comes_is_printable_and_short(text: str) -> None:
    shown = printable(text, 50)
    assert shown.isprintable()
    assert len(shown) <= 50


def test_printable() -> None:
    assert printable("a\x1b[2J\r\n\u2028b") == "a\\x1b[2J\\r\\n\\u2028b"
    assert printable("x" * 300).endswith("…")


def test_secrets_in_a_target_are_masked() -> None:
    assert redacted("/x?a=1&token=abc&Key=d#f") == "/x?a=1&token=********&Key=********#f"
    assert redacted("/x?token=") == "/x?token=********"
    assert redacted("/tokens?monkey=1") == "/tokens?monkey=1"
