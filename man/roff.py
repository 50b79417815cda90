"""A manual page as text of the man macros (groff_man(7)).

Law: whatever is put in is shown as it is; only `code` in backticks is set in bold.
"""

import re
from collections.abc import Iterable

_CODE = re.compile(r"`([^`]+)`")


def plain(text: str) -> str:
    """Text that groff shows as it is: its escape character, hyphens that are minus signs, and what is not ASCII."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)


def prose(text: str) -> str:
    """Text with its `code` in bold; a line never starts with what groff takes for a request."""
    marked = _CODE.sub(lambda found: f"\\fB{found[1]}\\fR", plain(text))
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in marked.split("\n"))


def bold(text: str) -> str:
    """A word to be typed as it stands."""
    return f"\\fB{plain(text)}\\fR"


def _quoted(text: str) -> str:
    """The one argument of a request."""
    return '"' + plain(text).replace('"', "\\(dq") + '"'


class Page:
    """One page, from its heading to its end."""

    def __init__(self, name: str, section: int, version: str, manual: str) -> None:
        self._lines = [
            '.\\" Written by `python -m man`; do not edit.',
            f'.TH {name.upper()} {section} "" "gatewayd {version}" "{manual}"',
            ".nh",  # names are copied from here: none is hyphenated
            ".ad l",
        ]

    def section(self, title: str, *paragraphs: str) -> None:
        """A heading, and what stands under it."""
        self._lines.append(f".SH {_quoted(title if title.startswith('[') else title.upper())}")
        self.say(*paragraphs)

    def subsection(self, title: str, *paragraphs: str) -> None:
        """A smaller heading."""
        self._lines.append(f".SS {_quoted(title)}")
        self.say(*paragraphs)

    def say(self, *paragraphs: str) -> None:
        """Paragraphs."""
        for paragraph in paragraphs:
            self._lines += [".PP", prose(paragraph)]

    def items(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Terms, as marked up, each with its explanation."""
        for term, text in pairs:
            self._lines += [".TP", term, prose(text)]

    def verbatim(self, text: str) -> None:
        """An example, line by line."""
        lines = [f"\\&{line}" if line.startswith((".", "'")) else line for line in plain(text.strip("\n")).split("\n")]
        self._lines += [".PP", ".RS 4", ".nf", *lines, ".fi", ".RE"]

    def text(self) -> str:
        """The whole page."""
        return "\n".join(self._lines) + "\n"
