"""WebSocket frames as bytes: reading a client's header, and writing the few frames that carry no event.

Law 1: pure bytes in and out. Law 2: a header is judged by RFC 6455 §5.2 and §5.5 as soon as all of it is here.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

CONTINUATION = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

FIN = 0x80
RESERVED = 0x70
MASKED = 0x80
FINAL_TEXT = FIN | TEXT
MAX_CONTROL = 125
WORD = 126
"""As a length: the next two bytes hold it."""
MASK_BYTES = 4

_number = int.from_bytes
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""The codes that a close frame may have (RFC 6455 §7.4.1 and §7.4.2, and IANA's registry)."""


class Header(NamedTuple):
    """The head of one client frame. `start` is where its payload begins, counted from the frame's first byte."""

    opcode: int
    final: bool
    size: int
    start: int
    valid: bool
    """Whether RFC 6455 allows such a frame, whatever came before it."""


def header(data: bytes, at: int) -> Header | None:
    """The header of the frame that begins at `at`; None while a part of it is missing."""
    have = len(data) - at
    if have < 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, size, start = first & 15, second & 127, 2
    masked = second >= MASKED
    control = opcode >= CLOSE
    valid = masked and not first & RESERVED and opcode in _OPCODES
    valid = valid and not (control and (first < FIN or size > MAX_CONTROL))
    if size >= WORD and not control:
        width = 2 if size == WORD else 8
        start += width
        if have < start:
            # A violation need not wait for the rest of the length.
            return None if valid else Header(opcode, first >= FIN, 0, 2, valid=False)
        size = int.from_bytes(data[at + 2 : at + start], "big")
        valid = valid and (size >= WORD if width == 2 else 65536 <= size < 1 << 63)
    if not valid:
        return Header(opcode, first >= FIN, size, start, valid=False)
    start += MASK_BYTES
    if have < start:
        return None
    return Header(opcode, first >= FIN, size, start, valid=True)


def small(data: bytes, most: int) -> str | None:
    """The text of the one plain frame that `data` is, of 1 to 125 bytes and at most `most`; None where it is not that.
    The short way to what `plain` says, for nearly every message.
    """
    size = len(data) - 6
    if not 0 < size < WORD or data[0] != FINAL_TEXT or data[1] != MASKED + size or size > most:
        return None
    key = (data[2:6] * 32)[:size]
    try:
        return (_number(data[6:], "little") ^ _number(key, "little")).to_bytes(size, "little").decode()
    except UnicodeDecodeError:
        return None


def plain(data: bytes, at: int, most: int) -> tuple[str, int] | None:
    """The text of the frame that begins at `at`, and where the next frame begins; None unless the frame is complete,
    unfragmented, of at most `most` bytes (and 65,535), and valid by RFC 6455.
    """
    have = len(data) - at
    if have < 6 or data[at] != FINAL_TEXT:
        return None
    size = data[at + 1] - MASKED
    start = at + 6
    if size == WORD and have >= 8:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        start = at + 8
        if size < WORD:
            return None
    elif not 0 <= size < WORD:
        return None
    end = start + size
    if end > len(data) or size > most:
        return None
    try:
        return unmask(data[start:end], data[start - 4 : start]).decode(), end
    except UnicodeDecodeError:
        return None


class Utf8Check:
    """Checks the payload of a masked text frame for UTF-8 as it arrives; `size` is what it has seen, in bytes."""

    __slots__ = ("_decoder", "_mask", "size")

    def __init__(self, mask: bytes) -> None:
        self._mask = mask
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.size = 0

    def check(self, fresh: bytes) -> bool:
        """Check the next bytes; False as soon as they are no UTF-8 (RFC 6455 §8.1)."""
        offset = self.size % MASK_BYTES
        self.size += len(fresh)
        try:
            self._decoder.decode(unmask(fresh, self._mask[offset:] + self._mask[:offset]))
        except UnicodeDecodeError:
            return False
        return True


def unmask(payload: bytes, mask: bytes) -> bytes:
    """A client's payload without its mask (RFC 6455 §5.3). One big XOR, since that runs in C."""
    size = len(payload)
    key = (mask * (size // MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def control(opcode: int, payload: bytes) -> bytes:
    """One unmasked control frame; the payload is at most `MAX_CONTROL` bytes."""
    return bytes((FIN | opcode, len(payload))) + payload


def close(code: int | None, reason: str = "") -> bytes:
    """A close frame; without a code it is empty. `reason` is already cut to size."""
    return control(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def close_code(payload: bytes) -> int | None:
    """The code of a client's close frame: 1005 if it has none (RFC 6455 §7.1.5), None if it is not allowed."""
    if not payload:
        return 1005
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or code not in _CLOSE_CODES:
        return None
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return None
    return code
