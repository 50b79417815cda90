"""Text that came from outside, made fit for a log line or a table."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

_JSON = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def printable(text: str, limit: int = 200) -> str:
    """The text with everything unprintable escaped, cut to `limit` characters."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def due(kinds: Iterable[type]) -> str:
    """The end of a sentence on a value whose JSON type is none of these."""
    return f"is of the wrong type: expected {' or '.join(_JSON[kind] for kind in kinds)}"


def check_url(value: str, example: str) -> None:
    """Raise ValueError, with what stands behind the key, where this is no http: or https: URL to send requests to."""
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        fine = False
    if not fine or not value.isprintable() or " " in value:
        raise ValueError(f'expected a URL such as "{example}"')  # it may hold a password: not quoted
    if "@" in parts.netloc:
        raise ValueError("a URL is shown and logged: it must not hold a password")
    if parts.fragment:
        raise ValueError("a fragment (#…) is never sent; leave it out")
