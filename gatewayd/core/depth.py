"""How deep JSON may be nested, wherever it comes in: what can be decoded can then be encoded again.

Law 1: text is judged before it is decoded, by whoever decodes it.
Law 2: text whose brackets do not match is not JSON; that is for the decoder to say.
"""

from __future__ import annotations

from array import array
from itertools import accumulate

MAX_DEPTH = 100
"""Arrays and objects within each other. Decoder and encoder give up at some 950, and not at the same depth."""
TOO_DEEP = f"JSON is nested deeper than {MAX_DEPTH} levels"
SHALLOW = 2 * MAX_DEPTH
"""Text that is no longer cannot be nested deeper."""

_OTHER_BYTES = bytes(sorted(set(range(256)) - set(b'"[]{}')))
_STEP = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One deeper, one less deep: as signed bytes."""


def too_deep(text: str | bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether JSON text is nested deeper than `limit`."""
    # Nearly every message ends here: it is too short, or has too few brackets.
    if len(text) <= 2 * limit:
        return False
    if isinstance(text, str):
        if text.count("[") + text.count("{") <= limit:
            return False
        text = text.encode(errors="replace")
    elif text.count(b"[") + text.count(b"{") <= limit:
        return False
    # Strings do not count. Escaped backslashes go first: the quote in \\" ends a string, the one in \" does not.
    plain = text.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _OTHER_BYTES)
    # Two quotes side by side are an empty string, or the border of two: without them the same brackets are in strings.
    brackets = b"".join(plain.replace(b'""', b"").split(b'"')[::2])
    if 2 * (brackets.count(b"[") + brackets.count(b"{")) != len(brackets):
        return False
    return max(accumulate(array("b", brackets.translate(_STEP))), default=0) > limit
