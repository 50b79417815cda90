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
    """Where output goes: `columns` is None where it is not a terminal and nothing has to fit."""

    stream: TextIO
    columns: int | None
    colour: bool

    def line(self, text: str) -> None:
        print(text, file=self.stream)


class Column(NamedTuple):
    """One column of a table: its title, where a row's value is, and how it is drawn."""

    title: str
    value: Callable[[Any], Any]
    keep: bool = False  # shortened only when nothing else is left to shorten
    right: bool = False
    colours: Mapping[str, str] = {}


def screen(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    """How `stream` may be written to."""
    if not stream.isatty():
        return Screen(stream, None, False)
    colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Screen(stream, _terminal_columns(stream, environ), colour)


def _terminal_columns(stream: TextIO, environ: Mapping[str, str]) -> int:
    given = environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80  # 0: a terminal that does not know
    except (OSError, ValueError):
        return 80


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
    """Print a heading and a line for each row."""
    lines = [[cell(column.value(row)) for column in columns] for row in rows]
    natural = [max(width(column.title), *(width(line[i]) for line in lines), 0) for i, column in enumerate(columns)]
    widths = natural if out.columns is None else shrink(natural, [column.keep for column in columns], out.columns)
    out.line(_row(columns, widths, [column.title for column in columns], lambda _column, text: _ink(out, "1", text)))
    for line in lines:
        out.line(_row(columns, widths, line, lambda column, text: _ink(out, column.colours.get(text.strip()), text)))


def shrink(widths: Sequence[int], keep: Sequence[bool], room: int) -> list[int]:
    """Narrow the widest until all fit in `room`: first those not kept, then any, at last down to one column each."""
    result = list(widths)
    over = sum(result) + len(GAP) * (len(result) - 1) - room
    for least, may in ((NARROWEST, [not k for k in keep]), (NARROWEST, [True] * len(keep)), (1, [True] * len(keep))):
        while over > 0:
            shrinkable = [i for i, w in enumerate(result) if may[i] and w > least]
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
