"""What was probably meant, or what there is to choose from, for the end of a sentence."""

from typing import Any

from gatewayd.ctl.client import RequestRefused

PREFIXES = ("session", "listener", "user", "room", "guild", "service", "bot")
"""The kinds of channels that sessions hear by themselves."""
COUNTS = ("delivered", "buffered", "dropped")


def unheard(channel: str, counts: Any) -> str | None:
    """A sentence where the counts of a publish say that nobody hears the channel.

    It is no error: a backend may make channels of its own.
    """
    if not isinstance(counts, dict) or any(counts.get(name) != 0 for name in COUNTS):
        return None
    return nobody(channel)


def nobody(channel: str) -> str:
    """A sentence on a channel that nobody hears, with the one that was probably meant."""
    prefix, colon, rest = channel.partition(":")
    if colon and prefix in PREFIXES:
        return f"nobody hears {channel}"
    from difflib import get_close_matches  # only here: every other use would pay for it

    near = get_close_matches(prefix, PREFIXES, n=1)
    meant = f"did you mean {near[0]}:{rest or 'ID'}?" if near else f"sessions hear {':, '.join(PREFIXES)}:"
    return f"nobody hears {channel}; {meant}"


def choices(error: RequestRefused) -> str:
    """What a refusal says that there is to choose from, for the end of its sentence."""
    said = error.answer.value.get("error") if error.answer and isinstance(error.answer.value, dict) else None
    match said:
        case {"candidates": [*ids]} if ids:
            return f": {', '.join(map(str, ids))}"
        case {"code": "several_realms"}:
            return " (--realm REALM)"
        case _:
            return ""
