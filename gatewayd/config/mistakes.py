"""What can be wrong with a configuration, where, and in which words."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence

import attrs

from gatewayd.config.lines import Where

LARGEST = 2**53  # beyond it a float, and so JSON elsewhere, no longer tells whole numbers apart
_DEEPEST = 64


@attrs.frozen
class Mistake:
    """One thing that is wrong, and where, counted from the value that was judged."""

    where: Where
    text: str
    unknown: bool = False
    """A key that its table does not know."""

    def under(self, *where: str | int) -> "Mistake":
        """The same mistake as seen from further out."""
        return attrs.evolve(self, where=(*where, *self.where))


class InvalidValue(Exception):
    """A value cannot be taken; `mistakes` says all that is wrong with it."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("; ".join(mistake.text for mistake in self.mistakes))

    @classmethod
    def because(cls, text: str) -> "InvalidValue":
        """One reason, which lies in the value itself."""
        return cls([Mistake((), text)])

    def under(self, *where: str | int) -> list[Mistake]:
        """The mistakes as seen from further out."""
        return [mistake.under(*where) for mistake in self.mistakes]


def suggestion(word: str, known: Iterable[str]) -> str:
    """A question to put behind a misspelt word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f', did you mean "{close[0]}"?' if close else ""


def unknown_keys(table: Mapping[str, object], known: Sequence[str]) -> list[Mistake]:
    """One mistake for each key of the table that nobody reads."""
    return [Mistake((key,), f"unknown key{suggestion(key, known)}", unknown=True) for key in table if key not in known]


def kind_of(value: object) -> str:
    """What TOML calls the type of a value."""
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {str: "string", int: "number", float: "number", list: "array", dict: "table"}
    return names.get(type(value), "date or time")


def described(value: object) -> str:
    """The value's type, with the value itself where that is a short scalar."""
    kind = kind_of(value)
    if isinstance(value, bool):
        return f"{kind} {str(value).lower()}"
    if isinstance(value, str):
        return f"{kind} {value if len(value) <= 40 else value[:37] + '...'!r}"
    return f"{kind} {value}" if kind == "number" else kind


def too_deep(value: object, where: Where = ()) -> list[Mistake]:
    """The first place that is nested too deeply, if any; everything else here may then recurse."""
    if len(where) > _DEEPEST:
        return [Mistake(where, "nested too deeply")]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        if found := too_deep(item, (*where, key)):
            return found
    return []


def never_right(value: object, where: Where = ()) -> list[Mistake]:
    """What no setting may be, whatever its type: text or a key with NUL, a number not finite or too large."""
    if isinstance(value, str) and "\0" in value:
        return [Mistake(where, "text must not contain a NUL character")]
    if isinstance(value, float) and not math.isfinite(value):
        return [Mistake(where, f"expected a finite number, got {value}")]
    if isinstance(value, (int, float)) and abs(value) > LARGEST:
        return [Mistake(where, "the number is too large")]
    if isinstance(value, list):
        return [mistake for index, item in enumerate(value) for mistake in never_right(item, (*where, index))]
    if isinstance(value, dict):
        bad_keys = [Mistake((*where, key), "a key must not contain a NUL character") for key in value if "\0" in key]
        return bad_keys + [m for key, item in value.items() for m in never_right(item, (*where, key))]
    return []
