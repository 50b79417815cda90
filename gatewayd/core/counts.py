"""What became of a published event, counted in sessions; and why something was dropped, each reason by one name."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import define, field


class Drop(StrEnum):
    """Why events are dropped; the value is the slug of the admin API. The first group speaks of the event itself."""

    TOO_BIG = "too_big"
    """It is larger than the resume buffer (or the queue for the first receiver) that would have to keep it."""
    NOT_KEPT = "not_kept"
    """The session's client cannot take it, and its listener keeps nothing (`resume_events = 0`)."""
    SESSION_ENDED = "session_ended"
    """Its receiver could not take it, and cannot be resumed."""
    TOO_MANY_WAIT = "too_many_wait"
    """It has to wait for the first receiver of its channel, and too many channels have such events already."""

    RESUME_BUFFER_FULL = "resume_buffer_full"
    """An older event gave way in a session's resume buffer, or did not fit there when its client was cut off."""
    WAITING_FULL = "waiting_full"
    """An older event gave way among those that wait for the first receiver of the channel."""
    NOTIFICATIONS_FULL = "notifications_full"
    """An older notification gave way: the user's oldest, or all of the user that has waited longest."""
    TOO_DEEP = "too_deep"
    """The journal of an older version had it, nested deeper than JSON may be now."""
    FORGOTTEN = "forgotten"
    """It was written, but the client comes back from before it, and the resume bounds have made it give way."""
    UNCLEAN_END = "unclean_end"
    """The run before was killed: what it gave in its last moments is not known, so the count may be 0."""
    LOST_WITH_SESSION = "lost_with_session"
    """An older event was waiting for a session that has ended."""


@define
class Counts:
    """Sessions that have the event now or when they are resumed; and what was dropped for it, older events included.

    Made for every publish: a frozen one would cost three times as much.
    """

    delivered: int = 0
    buffered: int = 0
    dropped: int = 0
    reasons: Mapping[str, int] = field(factory=dict)
    number: int = field(default=0, eq=False)
