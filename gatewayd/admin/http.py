"""Requests and answers of the admin API: strict JSON in, JSON out, every error in one shape."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from gatewayd.core.depth import TOO_DEEP, too_deep

MAX_BODY = 8 * 1024 * 1024
BODY_SECONDS = 15.0
"""How long the next part of a body may take."""


class ApiError(Exception):
    """An answer with a fitting status, a slug for programs and a sentence for people; `more` is for programs too."""

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
    """A JSON answer."""
    return Response(msgspec.json.encode(value) + b"\n", status, media_type="application/json")


async def body_of(request: Request) -> bytes:
    """The body, read in pieces and refused as soon as it is too large."""
    parts, size = [], 0
    async with aclosing(request.stream()) as stream:
        with trio.move_on_after(BODY_SECONDS) as patience:
            async for part in stream:
                patience.deadline = trio.current_time() + BODY_SECONDS
                size += len(part)
                if size > MAX_BODY:
                    text = f"a body may have {MAX_BODY} bytes; send fewer events at a time"
                    raise ApiError(413, "too_large", text, limit=MAX_BODY)
                parts.append(part)
    if patience.cancelled_caught:
        raise ApiError(408, "too_slow", f"nothing of the body came for {BODY_SECONDS:g} s")
    return b"".join(parts)


def parse(text: bytes) -> Any:
    """Strict JSON."""
    if too_deep(text):
        raise ApiError(400, "bad_json", TOO_DEEP)
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise ApiError(400, "bad_json", f"not JSON: {exc}") from None
    except RecursionError:
        raise ApiError(400, "bad_json", "not JSON: its brackets do not match") from None


def fields(value: Any, known: Mapping[str, tuple[type, ...]], required: tuple[str, ...]) -> dict[str, Any]:
    """An object with known fields of known types; anything else is said."""
    if not isinstance(value, dict):
        raise ApiError(400, "bad_request", "an object is needed")
    for name, item in value.items():
        if name not in known:
            raise ApiError(400, "bad_request", f"unknown field {name!r}; there are {', '.join(known)}")
        if known[name] and type(item) not in known[name]:
            raise ApiError(400, "bad_request", f"{name} is of the wrong type")
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
