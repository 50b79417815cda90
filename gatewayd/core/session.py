"""The identity behind a client: outlives it by the resume window, and keeps what it missed.

Law 1: missed events are kept in order, bounded by count and bytes; the oldest give way, and each one lost is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from attrs import define, field

from gatewayd.core.counts import Drop
from gatewayd.core.events import Event

if TYPE_CHECKING:
    from gatewayd.core.behaviour import Timer
    from gatewayd.core.close import Verdict
    from gatewayd.core.connection import Connection
    from gatewayd.core.grant import Grant


NOTHING: deque[Event] = deque()
"""Of a session that misses nothing: a deque of its own costs 760 bytes."""


class Missed:
    """A bounded, ordered buffer of events. Sizes in bytes of `Event.size`."""

    __slots__ = ("_events", "bytes", "lost", "max_bytes", "max_events")

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._events = NOTHING
        self.bytes = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def oldest(self) -> Event | None:
        """The first of them."""
        return self._events[0] if self._events else None

    @property
    def newest(self) -> Event | None:
        """The last of them."""
        return self._events[-1] if self._events else None

    def __contains__(self, event: Event) -> bool:
        return event in self._events

    def refuses(self, event: Event) -> Drop | None:
        """Why it could not even keep this event alone."""
        if self.max_events < 1:
            return Drop.NOT_KEPT
        return Drop.TOO_BIG if event.size > self.max_bytes else None

    def keep(self, event: Event) -> int:
        """Append one event; the answer is how many were lost to make room (the event itself, if it is too big)."""
        before = self.lost
        if self.refuses(event) is not None:
            self.lost += 1
            return 1
        if self._events is NOTHING:
            self._events = deque()
        self._events.append(event)
        self.bytes += event.size
        while len(self._events) > self.max_events or self.bytes > self.max_bytes:
            self.bytes -= self._events.popleft().size
            self.lost += 1
        return self.lost - before

    def forget(self, event: Event) -> bool:
        """The oldest event reached its client after all: do not say it twice. Whether it is the oldest."""
        if not self._events or self._events[0] is not event:
            return False
        self._events.popleft()
        self.bytes -= event.size
        return True

    def take(self) -> tuple[list[Event], int]:
        """All that was kept, in order, and how many were lost; the buffer is empty afterwards."""
        events, lost = list(self._events), self.lost
        self._events = NOTHING
        self.bytes = self.lost = 0
        return events, lost


@define(eq=False, kw_only=True)
class Session:
    """One identity: its subscriptions, metadata and missed events. Times are monotonic seconds unless named wall."""

    id: str
    listener: str
    protocol: str
    realm: str
    """Name of the realm of its listener: it hears, and is heard, in no other."""
    remote: str
    opened: float
    opened_wall: float
    missed: Missed
    resume_window: float
    connection: Connection | None
    identity: str | None = None
    key: str | None = None
    """The identity as its protocol compares it; `identity` is what people see."""
    resumable: bool = False
    detached_at: float | None = None
    generation: int = 1
    sequence: int = 0
    """How many lifecycle events there have been of it; 0 until it is identified."""
    resumes: int = 0
    durable: bool = False
    """Whether the journal is told of it."""
    unsaid: deque[Event] = NOTHING
    """What the journal knows that it has not got, oldest first; those it has got meanwhile are still in front."""
    said: int = 0
    """Number of the newest event that was among them and is no more."""
    lost: int = 0
    delivered: int = 0
    given: int = 0
    """Number of the newest event that its client was given; what was taken back from a client does not count."""
    acknowledged: int | None = None
    """Number of the newest event that a client has shown to have; None where its protocol has no way to."""
    channels: set[str] = field(factory=set)
    metadata: dict[str, Any] = field(factory=dict)
    data: Any = None
    grant: Grant | None = None
    """The latest verdict of auth; `granted` are the channels heard because of it alone, `expiry` its end."""
    granted: set[str] = field(factory=set)
    expiry: Timer | None = None
    ended: Verdict | None = None

    @property
    def state(self) -> str:
        """The client's state, or "detached" between clients, or "ended"."""
        if self.ended is not None:
            return "ended"
        return self.connection.state.value if self.connection is not None else "detached"

    @property
    def written(self) -> int:
        """Of the events that it was given, a socket has taken all up to this number whole."""
        waiting = self.connection.outbox.waiting() if self.connection is not None else []
        return min(self.given, waiting[0].number - 1) if waiting else self.given

    def reached(self, event: Event) -> None:
        """The socket had taken a part of this event when it was taken back, and has the whole of it now."""
        if self.missed.forget(event):
            self.given = max(self.given, event.number)

    def outgrown(self, channels: Collection[str]) -> list[str]:
        """What it still hears of its last login, of a kind in which the new one's `channels` say otherwise: it has
        moved to another listener, or comes back as another type of service.
        """
        if not self.channels:
            return []
        kinds = {_kind(channel) for channel in channels if channel not in self.channels}
        return [channel for channel in self.channels.difference(channels, self.granted) if _kind(channel) in kinds]


def _kind(channel: str) -> str:
    return channel.partition(":")[0]
