"""The head of a plain request, as nearly all are, recognized by one expression; every other one is parsed by h11.

Law 1: what is plain here, h11 accepts too, with the same method, target and headers: a test compares the two.
Law 2: the expression never looks at a byte twice (its repetitions are possessive).
"""

from __future__ import annotations

import re

from attrs import define

from gatewayd.config.limits import ApiLimits
from gatewayd.net.request_head import FIELDS, HOST

_HEAD = re.compile(rb"([A-Z]{1,20}+) (/[!-~]*+) HTTP/1\.1\r\n" + FIELDS)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ODD = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""Headers that change how a request is read, or answered."""


@define(eq=False)
class PlainHead:
    """A request without anything special: with a body of a known length, or without one."""

    raw: bytes
    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    length: int | None
    """Of the body; None without a Content-Length."""


def plain_head(data: bytes | bytearray, limits: ApiLimits) -> PlainHead | None:
    """The head with which the data begins, if it is complete and plain."""
    found = _HEAD.match(data, 0, limits.head_bytes)
    if found is None:
        return None
    raw, method, target, lines = found.group(0, 1, 2, 3)
    headers = []
    for line in lines[:-2].split(b"\r\n"):
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    values = dict(headers)
    if len(values) != len(headers) or len(headers) > limits.headers or method == b"CONNECT":
        return None
    if not values.keys().isdisjoint(_ODD) or values.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    host, length = values.get(b"host"), values.get(b"content-length")
    if host is None or not HOST.fullmatch(host) or (length is not None and not _LENGTH.fullmatch(length)):
        return None
    return PlainHead(raw, method, target, headers, None if length is None else int(length))
