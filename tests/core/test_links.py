"""Addresses of HTTP servers: what can be sent to, and a sentence about what cannot."""

from __future__ import annotations

import pytest

from gatewayd.core.links import check_url


@pytest.mark.parametrize("url", ["http://a", "https://a.example:8443/x?y=1", "http://[::1]:8000"])
def test_fine(url: str) -> None:
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
