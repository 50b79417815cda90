"""What was probably meant where a channel has no hearer: a backend may make channels of its own, so it is no error."""

from typing import Any

PREFIXES = ("session", "listener", "user", "room", "guild", "service")
"""The kinds of channels that sessions hear by themselves."""
COUNTS = ("delivered", "buffered", "dropped")


def unheard(channel: str, counts: Any) -> str | None:
    """A sentence where the counts of a publish say that nobody hears the channel."""
    if not isinstance(counts, dict) or any(counts.get(name) != 0 for name in COUNTS):
        return None
    prefix, colon, rest = channel.partition(":")
    if colon and prefix in PREFIXES:
        return f"nobody hears {channel}"
    from difflib import get_close_matches  # only here: every other use would pay for it

    near = get_close_matches(prefix, PREFIXES, n=1)
    meant = f"did you mean {near[0]}:{rest or 'ID'}?" if near else f"sessions hear {':, '.join(PREFIXES)}:"
    return f"nobody hears {channel}; {meant}"
