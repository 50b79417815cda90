"""What a verdict may give to a session, as an issuer or a backend writes it down: channels and metadata, judged."""

from __future__ import annotations

from typing import Any

import msgspec

from gatewayd.config.limits import AuthLimits
from gatewayd.core.events import LONGEST_NAME


class BadAttributes(ValueError):
    """They are not what they should be; the text says which."""


def channels(value: Any, limits: AuthLimits) -> tuple[str, ...]:
    """A list of channel names; None is none."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > limits.channels:
        raise BadAttributes(f"channels must be a list of at most {limits.channels} names")
    for name in value:
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise BadAttributes(f"a channel is a name of 1 to {LONGEST_NAME} printable characters")
    return tuple(dict.fromkeys(value))


def metadata(value: Any, limits: AuthLimits) -> dict[str, Any]:
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
    if len(body) > limits.metadata_bytes:
        raise BadAttributes(f"metadata is larger than {limits.metadata_bytes} bytes")
    return value
