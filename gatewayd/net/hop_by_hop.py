"""What of a request and of its answer goes on to the next hop: framing, headers, and the rest of neither.

Pure: heads in, h11's events out, or `Failed`. Sources: RFC 9110 §7.6.1 (hop by hop), RFC 9112 §6 (where a body ends).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import h11

from gatewayd.net import origin
from gatewayd.net.request_head import Head, tokens
from gatewayd.net.request_target import climbs

LENGTH_DIGITS = 15
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
OURS = frozenset(
    {"content-length", "expect", "forwarded", "host", "x-original-url", "x-real-ip", "x-rewrite-url"}
)  # fmt: skip
"""Headers of a request that are written here, or that a server would believe as if they were."""
FORWARDED = "x-forwarded-"
"""All that begins so is ours as well."""


class Failed(Exception):  # noqa: N818, RUF100
    """A call without an answer of the server's: HTTP status, what it is counted as, one sentence for the client."""

    def __init__(self, status: int, cause: str, reason: str) -> None:
        super().__init__(status, cause, reason)
        self.status = status
        self.cause = cause
        self.reason = reason


def framing_of(head: Head) -> dict[str, str]:
    """How the request says where its body ends; nothing where it has none. Raises `Failed`."""
    if climbs(head.target):
        raise Failed(400, "bad_request", 'the request target must not hold ".."')
    length, coding = head.headers.get("content-length"), head.headers.get("transfer-encoding")
    if length is not None and coding is not None:
        # Servers that disagree about this one are how requests are smuggled (RFC 9112 §6.1).
        raise Failed(400, "bad_request", "a request has Content-Length or Transfer-Encoding, not both")
    if head.headers.get("expect", "100-continue").lower() != "100-continue":
        raise Failed(417, "bad_request", "the only expectation that can be met is 100-continue")
    if coding is not None:
        if coding.lower() != "chunked":
            raise Failed(501, "bad_request", "the only Transfer-Encoding that is understood here is chunked")
        return {"transfer-encoding": "chunked"}
    if length is None:
        return {}
    if not length.isdecimal() or len(length) > LENGTH_DIGITS:
        raise Failed(400, "bad_request", "Content-Length must be a number")
    return {"content-length": length}


def request_of(head: Head, framing: Mapping[str, str], remote: str, authority: str, path: str) -> h11.Request:
    """The request as the server gets it: its target below the fixed path, and the headers that are meant for it."""
    dropped = HOP_BY_HOP | OURS | tokens(head.headers, "connection")
    headers = {}
    for name, value in head.headers.items():
        read = name.replace("_", "-")  # by servers that read both alike, as CGI and WSGI do
        if read not in dropped and not read.startswith(FORWARDED):
            headers[name] = value
    headers |= {"host": authority, "connection": "close", **framing}
    if (address := origin.host_of(remote)) is not None:
        headers["x-forwarded-for"] = address
    return h11.Request(method=head.method, target=path + head.target, headers=list(headers.items()))


def client_side(head: Head, framing: Mapping[str, str], rest: bytes) -> h11.Connection:
    """The client's side of HTTP from behind the head on: what decides about bodies is said again, and no more."""
    lines = [f"{head.method} / HTTP/1.1", "host: client", *(f"{name}: {value}" for name, value in framing.items())]
    if framing and "expect" in head.headers:
        lines.append("expect: 100-continue")
    wire = h11.Connection(h11.SERVER)
    wire.receive_data("\r\n".join([*lines, "\r\n"]).encode())
    wire.next_event()
    if rest:
        wire.receive_data(rest)
    return wire


def answer_of(event: h11.Response) -> h11.Response:
    """The answer as the client gets it; redirects and all else of it are the client's business."""
    found = [(name.lower(), name, value) for name, value in event.headers.raw_items()]
    dropped = {name.encode() for name in HOP_BY_HOP}
    for name, _, value in found:
        if name == b"connection":
            dropped |= {token.strip().lower() for token in value.split(b",")}
        elif name == b"transfer-encoding":
            dropped.add(b"content-length")  # which counts for nothing beside it (RFC 9112 §6.3)
    headers = [(raw, value) for name, raw, value in found if name not in dropped]
    return h11.Response(
        status_code=event.status_code, reason=event.reason, headers=[*headers, (b"Connection", b"close")]
    )


def announced(event: h11.Response) -> float:
    """How many bytes of a body an answer says that it has; infinity where it does not."""
    lengths = [int(value) for name, value in event.headers if name == b"content-length"]
    return lengths[0] if lengths else math.inf
