"""What can go wrong with a backend: every failure has a slug, by which it is counted and logged."""

from __future__ import annotations

from gatewayd.core.ports import BackendFailed

TIMEOUT = "timeout"
"""No whole answer in time."""
BUSY = "busy"
"""No free slot among the commands that may be at the backend at a time."""
UNREACHABLE = "unreachable"
"""No connection."""
BROKEN = "broken"
"""The connection was lost before the answer was whole, or what came is no HTTP."""
STATUS = "status"
"""An HTTP status that says: not now (5xx, 408, 429), or nothing that we know."""
REJECTED = "rejected"
"""An HTTP status that says: never like this (4xx)."""
TOO_BIG = "too_big"
NOT_JSON = "not_json"
INVALID = "invalid"
"""JSON, but not of an answer's shape."""
HANDLER = "handler"
"""A handler of this process raised."""
STOPPED = "stopped"
"""The daemon is stopping."""

WORDS = {TIMEOUT: "the backend did not answer in time", BUSY: "the backend is busy"}
"""What clients are told of it; of anything else only that there was no answer."""


class BackendError(BackendFailed):
    """One failure. `detail` is for the log; `taken`: how many lifecycle events of a batch were taken before it."""

    def __init__(self, slug: str, detail: str, *, taken: int = 0) -> None:
        super().__init__(slug, WORDS.get(slug, "the backend did not answer"))
        self.detail = detail
        self.taken = taken

    def __str__(self) -> str:
        return f"{self.slug}: {self.detail}"
