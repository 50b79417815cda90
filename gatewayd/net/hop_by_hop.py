"""What of a request and of its response is forwarded to the next hop: framing and end-to-end headers.

Pure: heads in, h11's events out, or `CallFailed`. Sources: RFC 9110 §7.6.1 (hop by hop), RFC 9112 §6 (body length).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import h11

from gatewayd.net import origin
from gatewayd.net.request_head import Head, tokens
from gatewayd.net.request_target import has_parent_segment

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
"""Request headers that are set here, or that a server would trust as if they were."""
FORWARDED = "x-forwarded-"
"""Headers with this prefix are set here as well."""


class CallFailed(Exception):  # noqa: N818, RUF100
    """A call without a response of the server: HTTP status, the reason it counts under, a sentence for the client."""

    def __init__(self, status: int, cause: str, reason: str) -> None:
        super().__init__(status, cause, reason)
        self.status = status
        self.cause = cause
        self.reason = reason


def framing_of(head: Head) -> dict[str, str]:
    """The headers that say where the request's body ends; empty if it has none. Raises `CallFailed`."""
    if has_parent_segment(head.target):
        raise CallFailed(400, "bad_request", 'the request target must not hold ".."')
    length, encoding = head.headers.get("content-length"), head.headers.get("transfer-encoding")
    if length is not None and encoding is not None:
        # Servers that disagree about this one make request smuggling possible (RFC 9112 §6.1).
        raise CallFailed(400, "bad_request", "a request has Content-Length or Transfer-Encoding, not both")
    if head.headers.get("expect", "100-continue").lower() != "100-continue":
        raise CallFailed(417, "bad_request", "the only expectation that can be met is 100-continue")
    if encoding is not None:
        if encoding.lower() != "chunked":
            raise CallFailed(501, "bad_request", "the only Transfer-Encoding that is understood here is chunked")
        return {"transfer-encoding": "chunked"}
    if length is None:
        return {}
    if not length.isdecimal() or len(length) > LENGTH_DIGITS:
        raise CallFailed(400, "bad_request", "Content-Length must be a number")
    return {"content-length": length}


def request_of(head: Head, framing: Mapping[str, str], remote: str, authority: str, path: str) -> h11.Request:
    """The request as the server gets it: its target below the fixed path, and its end-to-end headers."""
    dropped = HOP_BY_HOP | OURS | tokens(head.headers, "connection")
    headers = {}
    for name, value in head.headers.items():
        read = name.replace("_", "-")  # CGI and WSGI servers read both alike
        if read not in dropped and not read.startswith(FORWARDED):
            headers[name] = value
    headers |= {"host": authority, "connection": "close", **framing}
    if (address := origin.host_of(remote)) is not None:
        headers["x-forwarded-for"] = address
    return h11.Request(method=head.method, target=path + head.target, headers=list(headers.items()))


def client_side(head: Head, framing: Mapping[str, str], pipelined: bytes) -> h11.Connection:
    """The client's side of HTTP after the head: h11 is fed a head again, with only what decides about the body."""
    lines = [f"{head.method} / HTTP/1.1", "host: client", *(f"{name}: {value}" for name, value in framing.items())]
    if framing and "expect" in head.headers:
        lines.append("expect: 100-continue")
    wire = h11.Connection(h11.SERVER)
    wire.receive_data("\r\n".join([*lines, "\r\n"]).encode())
    wire.next_event()
    if pipelined:
        wire.receive_data(pipelined)
    return wire


def response_of(event: h11.Response) -> h11.Response:
    """The response as the client gets it; redirects and the rest are forwarded unchanged."""
    found = [(name.lower(), name, value) for name, value in event.headers.raw_items()]
    dropped = {name.encode() for name in HOP_BY_HOP}
    for name, _, value in found:
        if name == b"connection":
            dropped |= {token.strip().lower() for token in value.split(b",")}
        elif name == b"transfer-encoding":
            dropped.add(b"content-length")  # which is ignored beside it (RFC 9112 §6.3)
    headers = [(raw, value) for name, raw, value in found if name not in dropped]
    return h11.Response(
        status_code=event.status_code, reason=event.reason, headers=[*headers, (b"Connection", b"close")]
    )


def body_length(event: h11.Response) -> float:
    """The length of a response's body; infinity if its head does not tell."""
    lengths = [int(value) for name, value in event.headers if name == b"content-length"]
    return lengths[0] if lengths else math.inf
