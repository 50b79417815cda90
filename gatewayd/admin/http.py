"""Requests and responses of the admin API: strict JSON in, JSON out, every error in one shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any, Self

import msgspec
import trio
from attrs import define, field
from starlette.requests import Request
from starlette.responses import Response

from gatewayd.config.limits import ApiLimits
from gatewayd.core.depth import TOO_DEEP, too_deep
from gatewayd.core.text import due


class ApiError(Exception):
    """An error response: its status, a code for programs, a sentence for people; `more` is for programs too."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.more = more

    @property
    def body(self) -> dict[str, Any]:
        """The one shape of errors."""
        return {"error": {"code": self.code, "message": self.message, **self.more}}


def answer(value: object, status: int = 200) -> Response:
    """A JSON response."""
    return answered(msgspec.json.encode(value), status)


def answered(text: bytes, status: int = 200) -> Response:
    """A response that is JSON already."""
    return Response(text + b"\n", status, media_type="application/json")


@define(eq=False)
class Bodies:
    """Bytes of the bodies that are being read or processed, by party: a uid or a token."""

    limits: ApiLimits
    by_party: Counter[Hashable] = field(factory=Counter)


@define(eq=False)
class Body:
    """The part of one request, within the block. A small body always fits."""

    bodies: Bodies
    party: Hashable
    size: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        by_party = self.bodies.by_party
        by_party[self.party] -= self.size
        if not by_party[self.party]:
            del by_party[self.party]

    def grow(self, size: int) -> None:
        """Count so many bytes more. Raises `ApiError` if there is no room for them."""
        by_party, limits = self.bodies.by_party, self.bodies.limits
        most = limits.bodies_bytes
        if self.size + size > limits.small_body_bytes and by_party[self.party] + size > most:
            raise ApiError(503, "busy", f"{most} bytes of your requests are being worked on: wait for their answers")
        by_party[self.party] += size
        self.size += size


def header(request: Request, name: bytes) -> str:
    """A header; "" without it. Starlette's `request.headers` is made anew for each request, and searched for each."""
    for found, value in request.scope["headers"]:
        if found == name:
            return str(value, "latin-1")
    return ""


async def json_of(request: Request, limits: ApiLimits) -> Any:
    """The body, as strict JSON."""
    return parse(await body_of(request, limits.body_bytes), limits.nested)


async def body_of(request: Request, most: int) -> bytes:
    """The body, read in pieces; refused as soon as it is too large, by its Content-Length before it is read."""
    parts: list[bytes] = []
    part = request.scope["state"]["body"]
    size, announced = 0, header(request, b"content-length")
    while True:
        if size > most or (not parts and int(announced or 0) > most):
            raise ApiError(413, "too_large", f"a body may have {most} bytes; send fewer events at a time", limit=most)
        try:
            message = await request.receive()
        except trio.TooSlowError:
            raise ApiError(408, "too_slow", "the rest of the body did not come in time") from None
        if message["type"] == "http.disconnect":
            raise ApiError(400, "incomplete", "the body ended too early, or came in chunks that are wrong or too many")
        part.grow(len(message["body"]))
        parts.append(message["body"])
        size += len(message["body"])
        if not message["more_body"]:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def parse(given: bytes | msgspec.Raw, nested: int) -> Any:
    """The value of strict JSON, which may have `nested` arrays and objects."""
    text = bytes(given)
    if len(text) > 2 * nested and text.count(b"[") + text.count(b"{") > nested:
        raise ApiError(413, "too_large", f"a value may have {nested} arrays and objects in it", limit=nested)
    if too_deep(text):
        raise ApiError(400, "bad_json", TOO_DEEP)
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise ApiError(400, "bad_json", f"not JSON: {exc}") from None
    except RecursionError:
        raise ApiError(400, "bad_json", "not JSON: its brackets do not match") from None


def fields(value: Any, known: Mapping[str, tuple[type, ...]], required: tuple[str, ...]) -> dict[str, Any]:
    """An object with known fields of known types. Raises `ApiError`, which names any other."""
    if not isinstance(value, dict):
        raise ApiError(400, "bad_request", "an object is needed")
    for name, item in value.items():
        if name not in known:
            raise ApiError(400, "bad_request", f"unknown field {name!r}; there are {', '.join(known)}")
        if known[name] and type(item) not in known[name]:
            raise ApiError(400, "bad_request", f"{name} {due(known[name])}")
    for name in required:
        if name not in value:
            raise ApiError(400, "bad_request", f"{name} is missing")
    return value


def number(request: Request, name: str, default: int, most: int) -> int:
    """A query parameter that is a whole number from 1 to `most`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
        raise ApiError(400, "bad_request", f"{name} must be a whole number from 1 to {most}")
    return int(text)
