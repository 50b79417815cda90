"""The events in the body of a publish: one object, a list, or NDJSON.

Law 1: a body is split in one step, and each event decoded in a step of its own: a list may have 300,000.
Law 2: an event is decoded straight into its fields. What that refuses is decoded as a value and checked field by field,
which says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request

from gatewayd.admin.http import ApiError, fields, header, parse
from gatewayd.core.depth import too_deep

TEXT, ANYTHING = (str,), ()
_FIELDS = {"channel": TEXT, "event": TEXT, "data": ANYTHING, "id": TEXT, "realm": TEXT, "except": TEXT}
_LIST = re.compile(rb"\s*+\[")


class Publication(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One event, as a publisher says it."""

    channel: str
    event: str
    data: Any = msgspec.field(default_factory=dict)
    id: str | UnsetType = UNSET
    realm: str | UnsetType = UNSET
    besides: str = msgspec.field(name="except", default="")
    """A session that does not get it."""


_decode = msgspec.json.Decoder(Publication).decode


def event_of(given: bytes | msgspec.Raw, nested: int) -> Publication:
    """One event; its data may have `nested` arrays and objects. Raises `ApiError`."""
    text = bytes(given)
    if len(text) <= 2 * nested and not too_deep(text):
        try:
            return _decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass  # it is said below
    return msgspec.convert(fields(parse(text, nested), _FIELDS, ("channel", "event")), Publication)


def items_of(request: Request, body: bytes, most: int) -> Iterator[bytes | msgspec.Raw] | None:
    """The events of a list or of NDJSON, not decoded yet; None if the body is one event."""
    if header(request, b"content-type").partition(";")[0].strip() == "application/x-ndjson":
        _bound(body.count(b"\n"), most)
        return _lines(body)
    if not _LIST.match(body):
        return None
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise ApiError(400, "bad_json", f"not JSON: {exc}") from None
    _bound(len(items), most)
    return iter(items)


def _bound(count: int, most: int) -> None:
    if count > most:
        raise ApiError(413, "too_large", f"a body may have {most} events", limit=most)


def _lines(body: bytes) -> Iterator[bytes]:
    """The lines that are not blank, one by one: a list of them could take many times the memory of the body."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        if line := body[start:end].strip():
            yield line
        start = end + 1
