"""What a backend answers to a command, and the strict reading of it.

A field that is not known is passed over, so that a newer backend may talk to an older daemon; a known field of the
wrong type is an error that names it.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from gatewayd.backend.errors import INVALID, NOT_JSON, BackendError
from gatewayd.core.depth import TOO_DEEP, too_deep
from gatewayd.core.events import LONGEST_NAME
from gatewayd.core.ports import NO_REPLY


@attrs.frozen(kw_only=True)
class Said:
    """An event that the answer publishes."""

    channel: str
    event: str
    data: Any = attrs.field(factory=dict)
    realm: str | None = None
    """None is the realm of the session that asked."""


@attrs.frozen(kw_only=True)
class Answer:
    """Done in this order: the reply, what the asking session hears from now on, events, its end.

    `reply` is the reply's data; left out, nothing is replied. `disconnect` ends the session, with that reason.
    `unknown` says that this backend does not know the command: the daemon does what it would do without a backend.
    """

    reply: Any = NO_REPLY
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    events: tuple[Said, ...] = ()
    disconnect: str | None = None
    unknown: bool = False


_decode = msgspec.json.Decoder(Answer).decode


def parse(body: bytes) -> Answer:
    """An answer from JSON. Raises `BackendError`: NOT_JSON, or INVALID with the field's name or what else is wrong."""
    if too_deep(body):
        raise BackendError(INVALID, TOO_DEEP)
    try:
        answer = _decode(body)
    except msgspec.ValidationError as exc:
        raise BackendError(INVALID, _with_field_first(str(exc))) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise BackendError(NOT_JSON, f"the answer is not JSON: {exc}") from None
    for name in ("subscribe", "unsubscribe"):
        for index, channel in enumerate(getattr(answer, name)):
            _check_name(channel, f"{name}[{index}]")
    for index, said in enumerate(answer.events):
        _check_name(said.channel, f"events[{index}].channel")
        _check_name(said.event, f"events[{index}].event")
    return answer


def checked(answer: Answer) -> Answer:
    """An answer of this process, held to what one over HTTP is held to, and sharing nothing with who made it."""
    try:
        body = msgspec.json.encode(answer)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise BackendError(INVALID, f"the answer has no form in JSON: {exc}") from None
    return parse(body)


def _with_field_first(text: str) -> str:
    """msgspec's "Expected `str`, got `int` - at `$.events[0].channel`" with the field in front."""
    what, _, where = text.partition(" - at ")
    field = where.strip("`").removeprefix("$").removeprefix(".")
    return f"{field or 'the answer'}: {what}"


def _check_name(name: str, where: str) -> None:
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise BackendError(INVALID, f"{where}: a name has 1 to {LONGEST_NAME} printable characters")
