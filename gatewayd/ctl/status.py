"""The node on one screen: trouble first, then the figures, then a line for each listener.

Laws: any key may be missing, and one that this version does not know is a line of its own; what is zero or empty is
left out; never JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gatewayd.ctl.tables import Column, Screen, cell, clean, properties, table
from gatewayd.ctl.views import at, dig, duration, number, size

PROMPT = 1  # a line for the shell's prompt below the output
FEWEST = 3  # lines of the table of listeners that stay on the screen: heading, a row, and how many more
KNOWN = ("node", "version", "pid", "started", "uptime", "draining", "clients", "sessions", "events", "memory", "faults")
SECTIONS = ("totals", "closed", "forgiven", "refused", "wrong_keys", "auth", "backend", "journal", "api", "loop")


def status(out: Screen, value: Any, listeners: Sequence[Any] = ()) -> None:
    """What the daemon says of itself."""
    pairs = [*_head(value), *_trouble(value), *_figures(value), *_rest(value)]
    room = None
    if out.lines is not None:
        room = max(FEWEST, out.lines - PROMPT - len(pairs) - 1) if listeners else 0
        pairs = pairs[: out.lines - PROMPT - (FEWEST + 1 if listeners else 0)]
    properties(out, pairs)
    if listeners:
        out.line("")
        _listeners(out, listeners, room)


def _head(value: Any) -> Iterator[tuple[str, str]]:
    facts = [cell(dig(value, "node")), f"version {cell(dig(value, 'version'))}"]
    if dig(value, "pid") is not None:
        facts.append(f"pid {cell(dig(value, 'pid'))}")
    facts.append(f"up {duration(dig(value, 'uptime'))}")
    yield "node", ", ".join(facts)


def _trouble(value: Any) -> Iterator[tuple[str, str]]:
    """What an operator must see before anything else."""
    if dig(value, "draining") is True:
        yield "DRAINING", "new clients are refused"
    if degraded := dig(value, "journal", "degraded"):
        yield "DEGRADED", f"the journal cannot be written: {cell(degraded)}"
    if number(dig(value, "faults")):
        yield "FAULTS", f"{cell(dig(value, 'faults'))} faults of the daemon itself; its log has them"


def _figures(value: Any) -> Iterator[tuple[str, str]]:
    yield "clients", cell(dig(value, "clients"))
    yield "sessions", _sum(dig(value, "sessions", "total"), dig(value, "sessions", "by_state"))
    realms = dig(value, "sessions", "by_realm")
    if isinstance(realms, Mapping) and len(realms) > 1:
        yield "realms", _nonzero(realms)
    events = dig(value, "events")
    names = ("published", "delivered", "buffered", "dropped")
    yield "events", ", ".join(f"{name} {cell(dig(events, name))}" for name in names)
    if reasons := _nonzero(dig(events, "reasons")):
        yield "dropped", reasons
    yield "memory", size(dig(value, "memory", "rss"))


def _sum(total: Any, parts: Any) -> str:
    inner = _nonzero(parts)
    return f"{cell(total)} ({inner})" if inner else cell(total)


def _rest(value: Any) -> Iterator[tuple[str, str]]:
    """The sections in their order, then what a newer daemon says."""
    table = value if isinstance(value, Mapping) else {}
    for name in dict.fromkeys((*SECTIONS, *table)):
        text = (_auth if name == "auth" else _nonzero)(table.get(name))
        if name not in KNOWN and text:
            yield name, text


def _auth(value: Any) -> str:
    """Who was refused, and which auth failed, the most first: with many listeners, those granted would hide them."""
    return ", ".join(f"{name} {text}" for name, text in sorted(_leaves(value, ""), key=_trouble_first))


def _trouble_first(leaf: tuple[str, str]) -> float:
    name, text = leaf
    return -float(text) if text.isdecimal() and (" refused " in name or " failed " in name) else 0.0


def _nonzero(value: Any, prefix: str = "") -> str:
    """What is not zero, nor empty, on one line: `granted 24, refused wrong secret 2`; the largest figures first."""
    return ", ".join(f"{name} {text}".strip() for name, text in _leaves(value, prefix))


def _leaves(value: Any, name: str) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        untold = value in (None, False, 0, "", []) or (isinstance(value, str) and name != "")
        return [] if untold else [(name, _short(value))]
    found = [leaf for key, item in value.items() for leaf in _leaves(item, f"{name} {clean(str(key))}".strip())]
    figures = all(number(item) is not None for item in value.values())
    return sorted(found, key=lambda leaf: -float(leaf[1])) if figures else found


def _short(value: Any) -> str:
    return f"{len(value)} items" if isinstance(value, list) else cell(value)


def _listeners(out: Screen, rows: Sequence[Any], room: int | None) -> None:
    """A line for each listener; the busiest where there is no room for all."""
    shown = rows
    if room is not None and len(rows) > room - 1:
        shown = sorted(rows, key=lambda row: -(number(dig(row, "clients")) or 0))[: room - 2]
    table(
        out,
        [
            Column("LISTENER", at("name"), least=12),
            Column("PROTOCOL", at("protocol"), keep=True),
            Column("URL", lambda row: dig(row, "url") or dig(row, "address")),
            Column("CLIENTS", at("clients"), keep=True, right=True),
            Column("SESSIONS", at("sessions"), keep=True, right=True),
        ],
        shown,
    )
    if len(shown) < len(rows):
        out.line(f"and {len(rows) - len(shown)} less busy; gatewayctl listeners shows all")
