"""On which line each key of a TOML text stands; tomllib does not tell.

The text has been accepted by tomllib before, so this scanner only finds the way and never judges.
"""

import re

Where = tuple[str | int, ...]
"""The place of a value: keys and list indexes from the top, such as ("listeners", 0, "bind")."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_STRINGS = {
    # A multi-line string may end in two more quotes that belong to it.
    '"""': re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{1,2})?', re.DOTALL),
    "'''": re.compile(r"'''.*?'''(?:'{1,2})?", re.DOTALL),
    '"': re.compile(r'"(?:[^"\\]|\\.)*"'),
    "'": re.compile(r"'[^']*'"),
}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}
_DEEPEST = 64  # the loader refuses what is nested deeper


def index_lines(text: str) -> dict[Where, int]:
    """The line, counted from 1, of every key, table header and list item of a valid TOML text."""
    return _Scanner(text).scan()


def line_of(lines: dict[Where, int], where: Where) -> int:
    """The line of a place, or of the nearest thing around it that has one (a missing key has none); else 1."""
    while where:
        if where in lines:
            return lines[where]
        where = where[:-1]
    return 1


def _unescape(match: re.Match[str]) -> str:
    body = match[1]
    return chr(int(body[1:], 16)) if body[0] in "uU" and len(body) > 1 else _ESCAPED.get(body, body)


class _Scanner:
    """One walk over a text; `at` is the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Where, int] = {}
        self.items: dict[Where, int] = {}  # how many [[tables]] an array has so far
        self.counted = (0, 1)  # position and line where counting went on last

    def scan(self) -> dict[Where, int]:
        table: Where = ()
        while self.skip(_BLANK) and self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.lines

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Step over a pattern; always true, so that it can stand in conditions."""
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return True

    def line(self) -> int:
        """The line of the current position; counting goes on where it stopped, so a walk counts each line once."""
        position, line = self.counted
        line += self.text.count("\n", position, self.at)
        self.counted = (self.at, line)
        return line

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def header(self) -> Where:
        """[table] or [[array of tables]]: the place that the following keys belong to."""
        line = self.line()
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        keys = self.key()
        self.at += 2 if double else 1
        where: Where = ()
        for depth, key in enumerate(keys):
            where += (key,)
            self.lines.setdefault(where, line)
            last = depth == len(keys) - 1
            if last and double:
                self.items[where] = self.items.get(where, 0) + 1
            if where in self.items:
                where += (self.items[where] - 1,)
        self.lines[where] = line
        return where

    def key(self) -> list[str]:
        """A key, dotted perhaps, quoted perhaps."""
        parts = []
        while True:
            self.skip(_SPACE)
            quote = self.peek()
            start = self.at
            self.skip(_STRINGS.get(quote, _BARE))
            if self.at == start:
                raise AssertionError(f"no key at {start}: tomllib would have refused this text")
            part = self.text[start : self.at]
            if quote in _STRINGS:
                part = part[1:-1] if quote == "'" else _ESCAPE.sub(_unescape, part[1:-1])
            parts.append(part)
            self.skip(_SPACE)
            if self.peek() != ".":
                return parts[:_DEEPEST]
            self.at += 1

    def pair(self, table: Where) -> None:
        """key = value."""
        line = self.line()
        where = table
        for key in self.key():
            where += (key,)
            self.lines.setdefault(where, line)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value(where)

    def value(self, where: Where) -> None:
        """Any value; those inside it are noted too."""
        opening = self.peek()
        if opening == "[":
            self.array(where)
        elif opening == "{":
            self.inline_table(where)
        else:
            quote = self.text[self.at : self.at + 3]
            self.skip(_STRINGS.get(quote) or _STRINGS.get(opening, _SCALAR))

    def array(self, where: Where) -> None:
        self.at += 1
        item = 0
        while self.skip(_BLANK) and self.peek() not in ("]", ""):
            if self.peek() == ",":
                self.at += 1
                item += 1
            else:
                self.lines[(*where, item)] = self.line()
                self.value((*where, item))
        self.at += 1

    def inline_table(self, where: Where) -> None:
        self.at += 1
        while self.skip(_BLANK) and self.peek() not in ("}", ""):
            if self.peek() == ",":
                self.at += 1
            else:
                self.pair(where)
        self.at += 1
