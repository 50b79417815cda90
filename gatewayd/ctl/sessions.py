"""The list of sessions, for people: in a narrow terminal what tells nothing gives way to identity and remote address.

Laws: without --columns, what is the same for all rows is said once above the table, if that makes room; an ID is
shortened before it is cut, to a start that the daemon takes for it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gatewayd.ctl.parser import COLUMNS
from gatewayd.ctl.tables import Column, Screen, cell, fit, natural, table, total
from gatewayd.ctl.views import STATE_COLOURS, age, at, dig, number

SHORT_ID = 10  # with a hundred thousand sessions, one chance in ten million that another starts alike
USUAL = ("id", "listener", "protocol", "state", "identity", "remote", "age", "channels", "queued")
CONSTANT = ("listener", "protocol", "state", "channels", "queued")
GIVES_WAY = ("protocol", "realm", "channels")  # a listener has one protocol and one realm; `show` tells the channels
GIVES_WAY_LAST = ("queued", "age")


def queued(row: Any) -> float | None:
    """Events in the outbox and the resume buffer together: what waits for the socket, or for the client."""
    found = [number(dig(row, "outbox", "events")), number(dig(row, "missed", "events"))]
    known = [amount for amount in found if amount is not None]
    return sum(known) if known else None


def _age(now: datetime, row: Any) -> str:
    return age(dig(row, "opened"), now)


def _short_id(row: Any) -> Any:
    found = dig(row, "id")
    return found[:SHORT_ID] if isinstance(found, str) else found


def _columns(now: datetime) -> Mapping[str, Column]:
    special: dict[str, Column] = {
        "id": Column("ID", at("id"), keep=True),  # whole, so that it can be given to `show` and `kick`
        "listener": Column("LISTENER", at("listener"), least=8),
        "state": Column("STATE", at("state"), keep=True, colours=STATE_COLOURS),
        "identity": Column("IDENTITY", at("identity"), least=20),
        "remote": Column("REMOTE", at("remote"), least=21),  # an IPv4 address and its port
        "age": Column("AGE", partial(_age, now), keep=True, right=True),
        "channels": Column("CH", at("channels"), keep=True, right=True),
        "queued": Column("QUEUED", queued, keep=True, right=True),
    }
    plain = {name: Column(name.upper(), at(name), keep=True, right=True) for name in ("delivered", "lost", "latency")}
    return {name: Column(name.upper(), at(name)) for name in COLUMNS} | plain | special


def sessions(
    out: Screen, rows: Sequence[Any], wanted: Sequence[str] | None = None, now: datetime | None = None
) -> None:
    """A line for each session: the columns that are wanted, else what fits."""
    known = _columns(now or datetime.now(UTC))
    if out.columns is not None and not rows:
        out.line("no sessions")
        return
    if wanted is not None or out.columns is None:
        table(out, [known[name] for name in wanted or USUAL], rows)
        return
    shown = dict.fromkeys(USUAL if _same(known["realm"].value, rows) else (*USUAL, "realm"))
    fits = partial(_fits, rows, out.columns)
    if not fits([known[name] for name in shown]):
        same = {name: text for name in CONSTANT if (text := _same(known[name].value, rows)) is not None}
        if same:
            out.line(fit(f"all: {', '.join(f'{name} {text}' for name, text in same.items())}", out.columns))
        for name in same:
            del shown[name]
    for name in GIVES_WAY:
        if not fits([known[name] for name in shown]):
            shown.pop(name, None)
    if not fits([known[name] for name in shown]):
        known = {**known, "id": Column("ID", _short_id, keep=True)}
    for name in GIVES_WAY_LAST:
        if not fits([known[name] for name in shown], shrunk=True):
            shown.pop(name, None)
    table(out, [known[name] for name in shown], rows)


def _fits(rows: Sequence[Any], room: int, columns: Sequence[Column], *, shrunk: bool = False) -> bool:
    """Whether the rows fit as they are, or with every column at its least."""
    widths = natural(columns, [[cell(column.value(row)) for column in columns] for row in rows])
    if shrunk:
        widths = [w if column.keep else min(w, column.least) for column, w in zip(columns, widths, strict=True)]
    return total(widths) <= room


def _same(value: Callable[[Any], Any], rows: Sequence[Any]) -> str | None:
    """What a column says of every row, if it is the same."""
    said = {cell(value(row)) for row in rows}
    return said.pop() if len(said) == 1 else None
