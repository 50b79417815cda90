"""The bytes of a WebSocket frame of ours."""

from __future__ import annotations


def frame(payload: bytes, *, binary: bool = False) -> bytes:
    """One unmasked, unfragmented server frame (RFC 6455 §5.2)."""
    first = b"\x82" if binary else b"\x81"
    size = len(payload)
    if size < 126:
        return first + size.to_bytes(1, "big") + payload
    if size < 65536:
        return first + b"\x7e" + size.to_bytes(2, "big") + payload
    return first + b"\x7f" + size.to_bytes(8, "big") + payload
