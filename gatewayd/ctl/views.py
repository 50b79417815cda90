"""What each answer of the admin API looks like to people.

Law: any key may be missing and any value of an unexpected type; a newer or older daemon is no reason for a traceback.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gatewayd.ctl.tables import Column, Screen, cell, clean, overflows, properties, table

SECONDS = (
    "age",
    "latency",
    "resume_window",
    "expires_in",
    "login_expires_in",
    "client.connected_for",
    "client.last_heard_ago",
    "client.dead_in",
)
"""What of a session is a time."""
STATE_COLOURS = {"ready": "32", "resumed": "36", "detached": "33", "closing": "31", "closed": "31"}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
GIVE_WAY = ("BEAT", "RESUME")  # columns of listeners
DEEPEST = 3  # levels of a session that become names of their own; what is below is shown as JSON


def dig(value: Any, *keys: str) -> Any:
    """The value under `keys`, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def at(*keys: str) -> Callable[[Any], Any]:
    """A column's value: what stands under `keys`."""
    return lambda row: dig(row, *keys)


def records(value: Any, key: str) -> list[Any]:
    """The objects of the list under `key`; a plain string in it stands for an object of that id or name."""
    found = dig(value, key)
    items = found if isinstance(found, list) else []
    return [item if isinstance(item, dict) else {"id": item, "name": item} for item in items]


def number(value: Any) -> float | None:
    """`value` where it is a number that can be counted with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def duration(value: Any) -> str:
    """Seconds as the two largest units: 42s, 3m12s, 5h07m, 12d03h."""
    seconds = number(value)
    if seconds is None:
        return cell(value)
    if seconds < 60:
        return f"{seconds:.3g}s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def age(value: Any, now: datetime) -> str:
    """How long ago an ISO 8601 time was."""
    try:
        then = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return cell(value)
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return duration(max(0, int((now - then).total_seconds())))


def size(value: Any) -> str:
    """Bytes in a unit that people read."""
    amount = number(value)
    if amount is None:
        return cell(value)
    unit = 0
    while amount >= 1024 and unit < len(UNITS) - 1:
        amount /= 1024
        unit += 1
    return f"{amount:.{min(unit, 1)}f} {UNITS[unit]}"


def counts(value: Any) -> str:
    """An object of counts on one line: `delivered 3, buffered 0`."""
    if not isinstance(value, Mapping):
        return cell(value)
    return ", ".join(f"{clean(name)} {text}" for name, text in flatten(value)) or "-"


def listeners(out: Screen, rows: Sequence[Any]) -> None:
    """What is bound, and how busy it is; on a terminal with its realm where there are several.

    A URL without its end tells nothing: in a narrow terminal what the file says anyway gives way to it.
    """
    columns = [
        Column("NAME", at("name"), keep=True),
        Column("PROTOCOL", at("protocol")),
        Column("URL", lambda row: dig(row, "url") or dig(row, "address"), least=40),
        Column("CLIENTS", at("clients"), keep=True, right=True),
        Column("SESSIONS", at("sessions"), keep=True, right=True),
        Column("BEAT", lambda row: duration(dig(row, "heartbeat_interval")), keep=True, right=True),
        Column("RESUME", lambda row: duration(dig(row, "resume_window")), keep=True, right=True),
    ]
    if out.columns is None or len({cell(dig(row, "realm")) for row in rows}) > 1:
        columns.append(Column("REALM", at("realm"), keep=True))
    for title in GIVE_WAY:
        if out.columns is not None and overflows(columns, rows, out.columns):
            columns = [column for column in columns if column.title != title]
    table(out, columns, rows)


def services(out: Screen, rows: Sequence[Any]) -> None:
    """Types of service: how many there are, and what they have told in all."""
    table(
        out,
        [
            Column("TYPE", at("type"), keep=True),
            Column("PROTOCOL", at("protocol")),
            Column("REALM", at("realm")),
            Column("SESSIONS", lambda row: _length(dig(row, "sessions")), keep=True, right=True),
            Column("HEAP", lambda row: size(dig(row, "heapUsed")), keep=True, right=True),
            Column("GUILDS", at("guilds"), keep=True, right=True),
            Column("SHARDS", lambda row: ranges(dig(row, "shards"))),
        ],
        rows,
    )


def _length(value: Any) -> Any:
    return len(value) if isinstance(value, list) else value


def ranges(value: Any) -> str:
    """Numbers in order, with neighbours as one: 0-3, 8."""
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        return cell(value)
    runs: list[list[int]] = []
    for item in value:
        if runs and item == runs[-1][-1] + 1:
            runs[-1].append(item)
        else:
            runs.append([item])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "-"


def channels(out: Screen, rows: Sequence[Any]) -> None:
    """Channel names and how many hear them; on a terminal in which realms where there are several."""
    columns = [Column("CHANNEL", at("name")), Column("SUBSCRIBERS", at("subscribers"), keep=True, right=True)]
    if out.columns is None or len({name for row in rows for name, _ in flatten(dig(row, "realms"))}) > 1:
        columns.append(Column("REALMS", lambda row: counts(dig(row, "realms"))))
    table(out, columns, rows)


def flatten(value: Any, prefix: str = "", level: int = 1) -> list[tuple[str, str]]:
    """An object as pairs of name and clean text: {"outbox": {"events": 1}} is ("outbox.events", "1")."""
    if not isinstance(value, Mapping):
        return [(prefix, cell(value))]
    pairs = []
    for key, item in value.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(item, Mapping) and item and level < DEEPEST:
            pairs += flatten(item, name, level + 1)
        else:
            pairs.append((name, cell(item)))
    return pairs


def session(out: Screen, value: Any) -> None:
    """Everything known of one session: wrapped and with units on a terminal, one pair a line for programs."""
    if out.columns is None:
        properties(out, flatten(value))
        return
    pairs = [
        (name, duration(dig(value, *name.split("."))) if name in SECONDS else text) for name, text in flatten(value)
    ]
    # rich wraps long values well, and costs 100 ms: for the one view of a screenful only.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", overflow="fold", max_width=out.columns // 2)
    grid.add_column(overflow="fold")
    for name, text in pairs:
        grid.add_row(Text(clean(name)), Text(text, style=_state_style(name, text)))
    console = Console(
        file=out.stream, width=out.columns, highlight=False, color_system="standard" if out.colour else None
    )
    console.print(grid)


def _state_style(name: str, text: str) -> str:
    names = {"31": "red", "32": "green", "33": "yellow", "36": "cyan"}
    return names.get(STATE_COLOURS.get(text, ""), "") if name == "state" else ""
