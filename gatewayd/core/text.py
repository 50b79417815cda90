"""Text that came from outside, made fit for a log line or a table."""

from __future__ import annotations

import re

MASKED = ("token", "key", "secret", "password", "authorization", "access_token")
"""Query parameters whose values are never shown."""

_SECRET = re.compile(rf"([?&](?:{'|'.join(MASKED)})=)[^&#]*", re.IGNORECASE)


def printable(text: str, limit: int = 200) -> str:
    """The text with everything unprintable escaped, cut to `limit` characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def redacted(target: str) -> str:
    """A request target with the values of secret query parameters masked."""
    return _SECRET.sub(r"\1********", target)
