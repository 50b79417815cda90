"""WebSocket frames as bytes: what a client's header says, and the few frames that carry no event.

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
"""In the place of the length: the next two bytes hold it."""
MASK_BYTES = 4

_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""What a close frame may say (RFC 6455 §7.4.1 and §7.4.2, and IANA's registry)."""


class Header(NamedTuple):
    """The head of one client frame. `start` is where its payload begins, counted from the frame's first byte."""

    opcode: int
    final: bool
    size: int
    start: int
    sound: bool
    """Whether RFC 6455 allows such a frame at all, whatever came before it."""


def header(data: bytes, at: int) -> Header | None:
    """The header of the frame that begins at `at`; None while a part of it is missing."""
    have = len(data) - at
    if have < 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, size, start = first & 15, second & 127, 2
    masked = second >= MASKED
    control = opcode >= CLOSE
    sound = masked and not first & RESERVED and opcode in _OPCODES
    sound = sound and not (control and (first < FIN or size > MAX_CONTROL))
    if size >= WORD and not control:
        width = 2 if size == WORD else 8
        start += width
        if have < start:
            # What is wrong already need not wait for the rest of the length.
            return None if sound else Header(opcode, first >= FIN, 0, 2, sound=False)
        size = int.from_bytes(data[at + 2 : at + start], "big")
        sound = sound and (size >= WORD if width == 2 else 65536 <= size < 1 << 63)
    if not sound:
        return Header(opcode, first >= FIN, size, start, sound=False)
    start += MASK_BYTES
    if have < start:
        return None
    return Header(opcode, first >= FIN, size, start, sound=True)


def plain(data: bytes, at: int, most: int) -> tuple[str, int] | None:
    """The text of the frame that begins there, and where the next one does; None unless it is all here, whole and
    unfragmented, of at most `most` bytes (and 65,535), and in every way as RFC 6455 wants it.
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


class Text:
    """The payload of a masked text frame as it comes in: whether it can still become UTF-8. `size` in bytes so far."""

    __slots__ = ("_decoder", "_mask", "size")

    def __init__(self, mask: bytes) -> None:
        self._mask = mask
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.size = 0

    def takes(self, fresh: bytes) -> bool:
        """Look at the next bytes; False as soon as they are no text (RFC 6455 §8.1)."""
        turned = self.size % 4
        self.size += len(fresh)
        try:
            self._decoder.decode(unmask(fresh, self._mask[turned:] + self._mask[:turned]))
        except UnicodeDecodeError:
            return False
        return True


def unmask(payload: bytes, mask: bytes) -> bytes:
    """A client's payload with its mask taken off (RFC 6455 §5.3). One big XOR, since that runs in C."""
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
    """The code of a client's close frame: 1005 where it has none (RFC 6455 §7.1.5), None where it may not be said."""
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
