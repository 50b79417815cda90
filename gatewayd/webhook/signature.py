"""Requests to a backend are signed, so that the backend can tell who asks and that the request is fresh.

The signature is HMAC-SHA256 over the timestamp, a dot and the body. It is the same within the tolerance: who must act
on a request once only has to remember the signatures that it has seen for that long.
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256

TIMESTAMP = "X-Gatewayd-Timestamp"
SIGNATURE = "X-Gatewayd-Signature"
ID = "X-Gatewayd-Id"
TOLERANCE = 300.0
"""Seconds that a timestamp may be away from the receiver's clock, before or after."""

_SECONDS = re.compile(r"[0-9]{1,12}")  # [0-9], not \d: \d also takes the digits of other scripts


def sign(secret: str, timestamp: int | str, body: bytes) -> str:
    """What goes into the signature's header; `timestamp` is whole seconds since the epoch."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, sha256).hexdigest()


def verify(
    secret: str, timestamp: int | str, signature: str, body: bytes, *, now: float, tolerance: float = TOLERANCE
) -> bool:
    """Whether the secret's holder has signed this body at a time near `now`; both headers as they were received."""
    text = str(timestamp)
    if not _SECONDS.fullmatch(text) or abs(int(text) - now) > tolerance:
        return False
    return hmac.compare_digest(sign(secret, text, body).encode(), signature.encode(errors="replace"))


def headers(secret: str | None, body: bytes, *, now: float) -> dict[str, str]:
    """The headers of one request: its id and time, and its signature where there is a secret."""
    timestamp = str(int(now))
    signed = {} if secret is None else {SIGNATURE: sign(secret, timestamp, body)}
    return {ID: secrets.token_hex(16), TIMESTAMP: timestamp, **signed}
