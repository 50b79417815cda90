"""Targets: decoded, or a sentence; and what has_parent_segment above where it begins, however it is written."""

from __future__ import annotations

import pytest

from gatewayd.net.request_target import has_parent_segment, split


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
