"""From a payload to the bytes of one WebSocket frame: JSON text, zlib, or what a client's own codec makes of it."""

from __future__ import annotations

import zlib

import msgspec

from gatewayd.core.codec import Codec
from gatewayd.core.frame import frame

TEXT = "text"
"""Variant: JSON in a text frame."""
ZLIB = "zlib"
"""Variant: one zlib stream (RFC 1950) of the JSON in a binary frame."""

json = msgspec.json.encode


def encode(payload: object, variant: str, codec: Codec | None = None) -> bytes:
    """The frame for one payload."""
    return packed(json(payload), variant, codec)


def packed(body: bytes, variant: str, codec: Codec | None = None) -> bytes:
    """The frame for a payload that is JSON already."""
    if codec is not None:
        return codec.frame(body)
    return frame(zlib.compress(body), binary=True) if variant == ZLIB else frame(body)
