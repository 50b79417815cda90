"""Compression of one client's own: a context that goes on from message to message, so that what was said is not sent
again.

Law 1: a frame that a stream has made has to be sent: whatever is made later cannot be read without it.
Law 2: each message can be read as soon as all of it is here; all of them are binary.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Protocol

import zstandard

from gatewayd.core.frame import frame

ZLIB_LEVEL = 6
ZSTD_PIECE = 4096
"""Bytes in which compressed output comes; longer frames are joined from several."""


class Codec(Protocol):
    """Makes the frames of one client. `memory` is what it takes for that, in bytes."""

    name: str
    memory: int
    stream: bool
    """Whether what is made later cannot be read without all that was made before."""

    def frame(self, payload: bytes) -> bytes:
        """The frame of one payload."""


class ZlibStream:
    """One zlib stream (RFC 1950) for all messages; each ends with the empty block of a sync flush, 00 00 FF FF.

    `window_bits` of 9 to 15 and `level` of 1 to 9 (0: 6, zlib's own default) say how well it compresses, and what that
    takes.
    """

    __slots__ = ("_compress", "_flush", "memory")
    name = "zlib-stream"
    stream = True

    def __init__(self, level: int, window_bits: int) -> None:
        effort = min(9, max(1, window_bits - 7))  # zlib's own proportion: 15 bits go with 8
        stream = zlib.compressobj(level or ZLIB_LEVEL, zlib.DEFLATED, window_bits, effort)
        self._compress, self._flush = stream.compress, stream.flush
        self.memory = (1 << (window_bits + 2)) + (1 << (effort + 9))  # zconf.h

    def frame(self, payload: bytes) -> bytes:
        return frame(self._compress(payload) + self._flush(zlib.Z_SYNC_FLUSH), binary=True)


class ZstdStream:
    """One Zstandard frame (RFC 8878) for all messages, each of which ends with its block. `level` 0 is 1: of small
    messages the higher ones make little less, and take several times as long.
    """

    __slots__ = ("_compress", "_flush", "memory")
    name = "zstd-stream"
    stream = True

    def __init__(self, level: int, window_bits: int) -> None:
        bits = max(10, window_bits)  # zstd has no smaller window, and sizes its tables for the source
        chosen = zstandard.ZstdCompressionParameters.from_level(level or 1, source_size=1 << bits, window_log=bits)
        # A `compressobj` would hold 128 KiB for its output, twice what it compresses with.
        stream = zstandard.ZstdCompressor(compression_params=chosen).chunker(chunk_size=ZSTD_PIECE)
        self._compress = stream.compress
        self._flush: Callable[[], Iterable[bytes]] = stream.flush
        self.memory = chosen.estimated_compression_context_size() + ZSTD_PIECE

    def frame(self, payload: bytes) -> bytes:
        return frame(b"".join([*self._compress(payload), *self._flush()]), binary=True)


class ZlibPayloads:
    """Each message is a zlib stream of its own: nothing goes on, and nothing is kept."""

    __slots__ = ("_level",)
    name = "zlib"
    stream = False
    memory = 0

    def __init__(self, level: int) -> None:
        self._level = level

    def frame(self, payload: bytes) -> bytes:
        return frame(zlib.compress(payload, self._level or ZLIB_LEVEL), binary=True)
