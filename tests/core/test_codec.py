"""Compression of one client's own: what it makes can be read message by message, and costs what it says."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import zstandard

from gatewayd.core.codec import Codec, ZlibPayloads, ZlibStream, ZstdStream

SAID = b'{"op":0,"t":"MESSAGE_CREATE","d":{"content":"what was said is not sent again"}}'
LONG = b"".join(b'{"id":"%d","content":"%d"}' % (number, number * number) for number in range(500))


def inside(frame: bytes) -> bytes:
    """The payload of a short binary frame."""
    assert frame[0] == 0x82
    return frame[4 if frame[1] == 126 else 2 :]


def reader(codec: Codec) -> Any:
    return zlib.decompressobj() if isinstance(codec, ZlibStream) else zstandard.ZstdDecompressor().decompressobj()


@pytest.mark.parametrize("make", [ZlibStream, ZstdStream])
@pytest.mark.parametrize("window_bits", [9, 12, 15])
def test_a_stream_goes_on_from_message_to_message(make: type[ZlibStream] | type[ZstdStream], window_bits: int) -> None:
    codec = make(0, window_bits)
    read = reader(codec)
    sizes = []
    for _ in range(3):
        payload = inside(codec.frame(SAID))
        sizes.append(len(payload))
        assert read.decompress(payload) == SAID
    assert max(sizes[1:]) < sizes[0] / 2
    assert 4096 <= codec.memory < 1 << 20


def test_a_payload_is_read_by_itself() -> None:
    codec = ZlibPayloads(0)
    assert codec.frame(SAID) == codec.frame(SAID)
    assert zlib.decompress(inside(codec.frame(SAID))) == SAID


@pytest.mark.parametrize(
    ("default", "same"),
    [
        (ZlibStream(0, 12), ZlibStream(6, 12)),
        (ZlibPayloads(0), ZlibPayloads(6)),
        (ZstdStream(0, 12), ZstdStream(1, 12)),
    ],
)
def test_level_0_is_the_one_that_serves_best(default: Codec, same: Codec) -> None:
    assert default.memory == same.memory
    assert default.frame(LONG) == same.frame(LONG)


@pytest.mark.parametrize("make", [ZlibStream, ZstdStream])
def test_a_level_has_an_effect(make: type[ZlibStream] | type[ZstdStream]) -> None:
    assert make(9, 12).frame(LONG) != make(1, 12).frame(LONG)
