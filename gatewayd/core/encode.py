"""From a payload to the bytes of one WebSocket frame, in the two variants that exist: JSON text, and zlib."""

from __future__ import annotations

import zlib

import msgspec

TEXT = "text"
"""Variant: JSON in a text frame."""
ZLIB = "zlib"
"""Variant: one zlib stream (RFC 1950) of the JSON in a binary frame."""

json = msgspec.json.encode


def frame(payload: bytes, *, binary: bool = False) -> bytes:
    """One unmasked, unfragmented server frame (RFC 6455 §5.2)."""
    first = b"\x82" if binary else b"\x81"
    size = len(payload)
    if size < 126:
        return first + size.to_bytes(1, "big") + payload
    if size < 65536:
        return first + b"\x7e" + size.to_bytes(2, "big") + payload
    return first + b"\x7f" + size.to_bytes(8, "big") + payload


def encode(payload: object, variant: str) -> bytes:
    """The frame for one payload."""
    return packed(json(payload), variant)


def packed(body: bytes, variant: str) -> bytes:
    """The frame for a payload that is JSON already."""
    return frame(zlib.compress(body), binary=True) if variant == ZLIB else frame(body)
