"""Text on the screen: plain columns that fit it, with every control character of a value made visible.

Law: a value that comes from outside passes `clean` before it is printed.  An identity is whatever a client sent, and a
terminal obeys escape sequences.
"""

import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

GAP = "  "
NARROWEST = 5  # a shortened column keeps four characters and the …


class Screen(NamedTuple):
    """Where output goes: `columns` and `lines` are None where it is not a terminal and nothing has to fit."""

    stream: TextIO
    columns: int | None
    colour: bool
    lines: int | None = None

    def line(self, text: str) -> None:
        print(text, file=self.stream)


class Column(NamedTuple):
    """One column of a table: its title, where a row's value is, and how it is drawn."""

    title: str
    value: Callable[[Any], Any]
    keep: bool = False  # shortened only when nothing else is left to shorten
    least: int = NARROWEST  # not made narrower than this before every other column is at its least
    right: bool = False
    colours: Mapping[str, str] = {}


def screen(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    """How `stream` may be written to."""
    if not stream.isatty():
        return Screen(stream, None, False)
    colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns = lines = 0
    # 0: a terminal that does not know
    return Screen(stream, _given(environ, "COLUMNS") or columns or 80, colour, _given(environ, "LINES") or lines or 24)


def _given(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else 0


def clean(text: str) -> str:
    """`text` with everything that does not print as itself written as an escape: \\x1b, \\n, \\u202e."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cell(value: Any) -> str:
    """A JSON value as one line of clean text; what is absent or empty is `-`, so that columns can be counted."""
    if value is None or (isinstance(value, str | list | dict) and not value):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case str():
            return clean(value)
        case float():
            return f"{value:.1f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"  # a time stamp keeps its digits
        case int():
            return str(value)
        case list() if not any(isinstance(item, dict | list) for item in value):
            return ", ".join(cell(item) for item in value)
        case _:
            return clean(json.dumps(value, ensure_ascii=False))


def width(text: str) -> int:
    """How many columns a terminal gives to `text`, which is clean."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, room: int) -> str:
    """`text` in at most `room` columns, with … for what was left out."""
    if width(text) <= room:
        return text
    kept, used = [], 1
    for character in text:
        used += _columns(character)
        if used > room:
            break
        kept.append(character)
    return "".join(kept) + "…" if room > 0 else ""


def table(out: Screen, columns: Sequence[Column], rows: Iterable[Any]) -> None:
    """Print a heading and a line for each row: in columns that fit a terminal, or with a tab between for programs."""
    lines = [[cell(column.value(row)) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    if out.columns is None:
        for line in (titles, *lines):
            out.line("\t".join(line))
        return
    widths = shrink(columns, natural(columns, lines), out.columns)
    out.line(_row(columns, widths, titles, lambda _column, text: _ink(out, "1", text)))
    for line in lines:
        out.line(_row(columns, widths, line, lambda column, text: _ink(out, column.colours.get(text.strip()), text)))


def natural(columns: Sequence[Column], lines: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column is with nothing left out."""
    return [max(width(column.title), *(width(line[i]) for line in lines), 0) for i, column in enumerate(columns)]


def total(widths: Sequence[int]) -> int:
    """How wide a row is."""
    return sum(widths) + len(GAP) * (len(widths) - 1)


def overflows(columns: Sequence[Column], rows: Sequence[Any], room: int) -> bool:
    """Whether something would be left out of a table."""
    return total(natural(columns, [[cell(column.value(row)) for column in columns] for row in rows])) > room


def shrink(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Narrow the widest until all fit in `room`: those not kept to their least, then any, at last to one each."""
    result = list(widths)
    over = total(result) - room
    steps = (
        [None if column.keep else column.least for column in columns],
        [None if column.keep else NARROWEST for column in columns],
        [NARROWEST for _ in columns],
        [1 for _ in columns],
    )
    for least in steps:
        while over > 0:
            shrinkable = [i for i, w in enumerate(result) if (stop := least[i]) is not None and w > stop]
            if not shrinkable:
                break
            result[max(shrinkable, key=result.__getitem__)] -= 1
            over -= 1
    return result


def _row(
    columns: Sequence[Column], widths: Sequence[int], texts: Sequence[str], ink: Callable[[Column, str], str]
) -> str:
    parts = []
    for i, (column, room, text) in enumerate(zip(columns, widths, texts, strict=True)):
        shown = fit(text, room)
        padding = " " * (room - width(shown))
        if column.right:
            shown = padding + shown
        elif i < len(columns) - 1:  # no blanks at a line's end
            shown += padding
        parts.append(ink(column, shown))
    return GAP.join(parts)


def _ink(out: Screen, code: str | None, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if out.colour and code else text


def properties(out: Screen, pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line.  The values are clean."""
    names = [clean(name) for name, _ in pairs]
    widest = max(map(width, names), default=0)
    if out.columns is not None:
        widest = min(widest, out.columns // 2)
    for name, (_, value) in zip(names, pairs, strict=True):
        shown = fit(name, widest)
        if out.columns is not None:
            value = fit(value, out.columns - widest - len(GAP))
        out.line(_ink(out, "1", shown) + " " * (widest - width(shown)) + GAP + value)


def json_value(out: Screen, text: str, value: Any) -> None:
    """Print what the API said: as it came where a program reads it, indented and harmless on a terminal."""
    if out.columns is not None:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        # Outside of strings only the line breaks are not printable: what is escaped here stands in one.
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    out.line(text.rstrip("\n"))
