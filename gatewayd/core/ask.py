"""How asking the backend about a command may end, other than with data."""

from __future__ import annotations

from typing import Final

import msgspec

from gatewayd.core.close import Cause


class NoBackend(Exception):
    """Nothing is configured that could answer this command, or what is configured does not know it."""


class BackendFailed(Exception):
    """The backend did not answer a command, or not with sense.

    `slug` names the failure in counters and logs; `words` is what a client may be told of it.
    """

    def __init__(self, slug: str, words: str = Cause.BACKEND_FAILED.words) -> None:
        super().__init__(slug, words)
        self.slug = slug
        self.words = words


NO_REPLY: Final = msgspec.UNSET
"""What stands in the place of a reply's data where the backend wants nothing said."""
