"""The target of a request: path and query decoded, whether the path has a segment "..", and how it may be shown.

A target that cannot be decoded is a ValueError, whose text is one sentence for the client.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SEGMENT_ENDS = re.compile(r"[/\\]")
_PARAMETER = re.compile(r"(?<=[?&])([^=&#?]*)=[^&#]*")
MASKED = ("token", "key", "secret", "password", "authorization", "access_token")
"""Query parameters whose values are never shown."""
TWICE = 2
"""Some servers decode a path more than once."""


def split(target: str, most: int) -> tuple[str, dict[str, str]]:
    """Path and query, decoded; of a repeated parameter the last one counts. `most` bounds the parameters."""
    path, _, query = target.partition("?")
    return _decoded(path, "path"), _query(query, most)


def _query(text: str, most: int) -> dict[str, str]:
    if not text:
        return {}
    pairs = [pair for pair in text.split("&") if pair]
    if len(pairs) > most:  # refused, not cut: one of the others might have been the token
        raise ValueError(f"more than {most} query parameters: send fewer")
    halves = [pair.partition("=") for pair in pairs]
    return {
        _decoded(name.replace("+", " "), "query"): _decoded(value.replace("+", " "), "query")
        for name, _, value in halves
    }


def _decoded(text: str, where: str) -> str:
    if "%" not in text and text.isascii() and text.isprintable():  # nearly always
        return text
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError(f"the {where} is not valid UTF-8: percent-encode UTF-8") from None
    if _CONTROL.search(decoded):  # nothing else: names have wide spaces, and emoji with format characters
        raise ValueError(f"the {where} holds control characters: remove them")
    return decoded


def has_parent_segment(target: str) -> bool:
    """Whether the path has a segment "..", in any spelling that some server would read as one."""
    path = target.partition("?")[0]
    for _ in range(TWICE):
        path = unquote(path)
    return any(segment.partition(";")[0] == ".." for segment in _SEGMENT_ENDS.split(path))


def redacted(target: str) -> str:
    """A request target with the values of secret query parameters masked."""
    return _PARAMETER.sub(_masked, target)


def _masked(parameter: re.Match[str]) -> str:
    # Judged by the name that the request's reader will see: `%74oken=` is a token too.
    return f"{parameter[1]}=********" if unquote_plus(parameter[1]).lower() in MASKED else parameter[0]
