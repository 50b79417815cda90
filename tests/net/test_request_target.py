"""Targets: decoded, or a sentence; and what has_parent_segment above where it begins, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.net.request_target import MASKED, has_parent_segment, redacted, split


def test_path_and_query_are_decoded_and_the_last_of_a_repeated_parameter_counts() -> None:
    assert split("/a%20b?x=1&x=2&y=%C3%A4+b&&z", 32) == ("/a b", {"x": "2", "y": "ä b", "z": ""})


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("/%ff", "path is not valid UTF-8"),
        ("/?a=%ff", "query is not valid UTF-8"),
        ("/%00", "path holds control"),
        ("/?%0a=1", "query holds control"),
        ("/?" + "&".join(f"p{n}=1" for n in range(33)), "query parameters"),
    ],
)
def test_what_cannot_be_decoded(target: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        split(target, 32)


@pytest.mark.parametrize(
    "target",
    ["/..", "/a/../b", "/a/..", "/%2e%2e/b", "/.%2E/b", "/a/%2e%2e%2fb", "/a/..%5cb", "/a\\..\\b", "/%252e%252e/b",
     "/a%252f..%252fb", "/..;x=1/b"],
)  # fmt: skip
def test_what_climbs(target: str) -> None:
    assert has_parent_segment(target)


@pytest.mark.parametrize("target", ["/", "/a/b", "/a..b", "/...", "/a/.b", "/a?x=../../b", "/a;../b", "//b", "/%2e"])
def test_what_does_not(target: str) -> None:
    assert not has_parent_segment(target)


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
