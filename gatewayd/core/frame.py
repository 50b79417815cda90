"""The bytes of a WebSocket frame of ours."""

from __future__ import annotations


def frame(payload: bytes, *, binary: bool = False) -> bytes:
    """One unmasked, unfragmented server frame (RFC 6455 §5.2)."""
    size = len(payload)
    if not binary and size < COMMON:
        return _HEADS[size] + payload
    return _head(size, b"\x82" if binary else b"\x81") + payload


def _head(size: int, first: bytes) -> bytes:
    if size < 126:
        return first + size.to_bytes(1, "big")
    if size < 65536:
        return first + b"\x7e" + size.to_bytes(2, "big")
    return first + b"\x7f" + size.to_bytes(8, "big")


COMMON = 4096
"""Bytes up to which the heads of text frames are made beforehand: a publish may need thousands at a time."""
_HEADS = [_head(size, b"\x81") for size in range(COMMON)]
