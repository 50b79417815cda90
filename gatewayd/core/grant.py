"""What a client claims to be allowed, and auth's verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen


@frozen
class Claim:
    """Something to be verified: `kind` is "secret" (a shared one), "user" (token of `subject`) or "guild"."""

    kind: str
    token: str | None = field(repr=False)
    subject: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class Grant:
    """A verdict on a claim, true when it was granted, with what it gives to the session.

    `expires` is in how many seconds from `given` (monotonic) the session ends, or is judged again if `ask_again`; then
    `claim` is kept for that, in memory only. `reason` and `failure` are for counters and logs, never for the client:
    why it was refused, and what kept auth from judging at all; such a verdict leaves what an earlier one gave.
    """

    granted: bool
    channels: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(factory=dict)
    expires: float | None = None
    ask_again: bool = False
    reason: str = ""
    failure: str = ""
    subject: str | None = None
    """Whom auth itself knows the claim to be of."""
    given: float = 0.0
    claim: Claim | None = None

    def __bool__(self) -> bool:
        return self.granted

    def to(self, claim: Claim, now: float) -> Grant:
        """The same, given now to that claim; one without an end is good for all of them."""
        if self.expires is None:  # nearly always
            return self
        return evolve(self, given=now, claim=claim if self.ask_again else None)

    @property
    def until(self) -> float | None:
        """When it expires, in monotonic seconds."""
        return None if self.expires is None else self.given + self.expires
