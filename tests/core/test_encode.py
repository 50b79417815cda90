"""Frames: the three forms of a length, and the two variants."""

from __future__ import annotations

import json
import zlib

import pytest

from gatewayd.core.encode import TEXT, ZLIB, encode
from gatewayd.core.frame import frame


@pytest.mark.parametrize(("size", "head"), [(125, 2), (126, 4), (4095, 4), (4096, 4), (65535, 4), (65536, 10)])
def test_lengths(size: int, head: int) -> None:
    made = frame(b"x" * size)
    assert made[0] == 0x81
    assert len(made) == head + size
    length = made[1] if head == 2 else int.from_bytes(made[2:head], "big")
    assert length == size


def test_variants() -> None:
    assert encode({"a": 1}, TEXT) == b'\x81\x07{"a":1}'
    made = encode({"a": 1}, ZLIB)
    assert made[0] == 0x82
    assert json.loads(zlib.decompress(made[2:])) == {"a": 1}
