"""Long lists: filters, sorting, and pages that stay consistent while sessions come and go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import trio
from starlette.requests import Request

from gatewayd.admin import views
from gatewayd.admin.http import ApiError, number
from gatewayd.config.mistakes import suggestion
from gatewayd.core.machine import State
from gatewayd.core.session import Session

FILTERS: dict[str, Callable[[Session, str], bool]] = {
    "listener": lambda session, text: session.listener == text,
    "protocol": lambda session, text: session.protocol == text,
    "realm": lambda session, text: session.realm == text,
    "state": lambda session, text: session.state == text,
    "channel": lambda session, text: text in session.channels,
    "identity": lambda session, text: session.identity == text,
    "remote": lambda session, text: session.remote == text or session.remote.rpartition(":")[0] == text,
}
STATES = (*(state.value for state in State), "detached")
SORTS: dict[str, Callable[[Session], Any]] = {
    "id": lambda session: session.id,
    "opened": lambda session: session.opened_wall,
    "age": lambda session: -session.opened_wall,
    "listener": lambda session: session.listener,
    "protocol": lambda session: session.protocol,
    "realm": lambda session: session.realm,
    "state": lambda session: session.state,
    "identity": lambda session: session.identity or "",
    "remote": lambda session: session.remote,
    "channels": lambda session: len(session.channels),
    "outbox": lambda session: session.connection.outbox.size if session.connection else 0,
    "missed": views.missed,
    "delivered": views.delivered,
    "lost": lambda session: session.backlog.lost,
    "latency": lambda session: (session.connection.latency or 0.0) if session.connection else 0.0,
}
PAGING = ("sort", "limit", "cursor")


async def page(
    request: Request, sessions: list[Session], known: Mapping[str, Collection[str]], in_a_row: int
) -> tuple[list[Session], str | None]:
    """One page of the sessions that a request asks for, and the cursor of the next one.

    `known` has the existing values of the filters for which any other value is an error. The cursor names the last row
    by its sort value and id, so that rows that come or go do not shift others. Other tasks run after so many sessions
    `in_a_row`.
    """
    for name, text in request.query_params.items():
        if name not in FILTERS and name not in PAGING:
            raise _unknown(400, "parameter", name, (*FILTERS, *PAGING))
        if name in known and text not in known[name]:
            raise _unknown(404 if name == "listener" else 400, name, text, known[name])
    limit = number(request, "limit", 100, 1000)
    sort = request.query_params.get("sort", "opened")
    backwards, column = sort.startswith("-"), sort.removeprefix("-")
    if column not in SORTS:
        raise _unknown(400, "sort", column, SORTS)
    tests = [(FILTERS[name], text) for name, text in request.query_params.items() if name in FILTERS]
    chosen = []
    for start in range(0, len(sessions), in_a_row):
        part = sessions[start : start + in_a_row]
        chosen += [(SORTS[column](s), s.id, s) for s in part if all(test(s, text) for test, text in tests)]
        await trio.lowlevel.checkpoint()
    chosen.sort(key=lambda row: row[:2], reverse=backwards)
    after = request.query_params.get("cursor")
    if after is not None:
        position = _position(after, column)
        chosen = [row for row in chosen if (row[:2] < position if backwards else row[:2] > position)]
    rows = [session for *_, session in chosen[:limit]]
    more = len(chosen) > limit
    return rows, cursor(column, SORTS[column](rows[-1]), rows[-1].id) if more else None


def _unknown(status: int, what: str, word: str, known: Collection[str]) -> ApiError:
    """The error for a name that does not exist, with the one that was probably meant, or all."""
    hint = suggestion(word, known) or f"; there are {', '.join(known)}"
    return ApiError(status, "not_found" if status == 404 else "bad_request", f"there is no {what} {word!r}{hint}")


def cursor(column: str, value: Any, key: str) -> str:
    """An opaque name for a position in a sorted list."""
    return base64.urlsafe_b64encode(msgspec.json.encode([column, value, key])).decode()


def _position(text: str, column: str) -> tuple[Any, str]:
    try:
        sorted_by, value, key = msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[str, str | float, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        sorted_by = ""
    if sorted_by != column or isinstance(value, str) != (
        column in ("id", "listener", "protocol", "realm", "state", "identity", "remote")
    ):
        raise ApiError(400, "bad_request", "the cursor belongs to another list; ask again without it")
    return value, key
