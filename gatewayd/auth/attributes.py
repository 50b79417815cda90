"""What a verdict may give to a session, as an issuer or a backend writes it down: channels and metadata, judged."""

from __future__ import annotations

from typing import Any

import msgspec

MAX_CHANNELS = 256
"""Channels of one verdict."""
LONGEST_NAME = 512
MAX_METADATA = 65536
"""Bytes of JSON: it is written to the journal, and goes to the backend with every request."""


class BadAttributes(ValueError):
    """They are not what they should be; the text says which."""


def channels(value: Any) -> tuple[str, ...]:
    """A list of channel names; None is none."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_CHANNELS:
        raise BadAttributes(f"channels must be a list of at most {MAX_CHANNELS} names")
    for name in value:
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise BadAttributes(f"a channel is a name of 1 to {LONGEST_NAME} printable characters")
    return tuple(dict.fromkeys(value))


def metadata(value: Any) -> dict[str, Any]:
    """An object; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadAttributes("metadata must be an object")
    try:
        body = msgspec.json.encode(value)
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):  # half of a surrogate pair, for one
        raise BadAttributes("metadata is nothing that JSON can say") from None
    if len(body) > MAX_METADATA:
        raise BadAttributes(f"metadata is larger than {MAX_METADATA} bytes")
    return value
