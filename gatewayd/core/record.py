"""What outlives the process: the tables, and sessions and events as rows of them. JSON, so that people can read it.

Times are wall clock here, since a monotonic clock means nothing to the next process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from attrs import frozen

Key = str | int | tuple[str | int, ...]


class Table(StrEnum):
    """What is kept."""

    SESSIONS = "sessions"
    EVENTS = "events"
    """Events that wait for a client: by number, in the order in which they were published."""
    DOCUMENTS = "documents"
    """(realm, key)."""
    NOTIFICATIONS = "notifications"
    """What waits for a user who is not there: (realm, user, sequence), in order."""
    ROOMS = "rooms"
    LIFECYCLE = "lifecycle"
    """What the backend has still to learn: by number, in order."""
    IDEMPOTENCY = "idempotency"
    META = "meta"


Row = tuple[Table, Key, bytes]


class Store:
    """Where rows go. Nothing here waits or fails; what is said between two awaits becomes durable together. This one is
    of a node without a journal: nothing is kept.
    """

    def put(self, table: Table, key: Key, value: bytes) -> None:
        """Keep a value."""

    def delete(self, table: Table, key: Key) -> None:
        """Keep it no more."""

    def stir(self) -> None:
        """There is something that the next commit has to ask for."""


@frozen
class MissedNotifications:
    """What waits for a user, encoded, oldest first; `last` is the number of the newest, `lost` counts what gave way."""

    notes: Sequence[msgspec.Raw] = ()
    last: int = 0
    lost: int = 0


def parts(key: Key) -> tuple[str | int, ...]:
    """A key as the columns of its row."""
    return key if isinstance(key, tuple) else (key,)


@frozen
class Within(Store):
    """The part of a store that belongs to one realm: each key there begins with the realm's name."""

    _store: Store
    _realm: str

    def put(self, table: Table, key: Key, value: bytes) -> None:
        self._store.put(table, (self._realm, *parts(key)), value)

    def delete(self, table: Table, key: Key) -> None:
        self._store.delete(table, (self._realm, *parts(key)))


Cursor = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""Any other number was never a sequence."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A part of an away log that a session keeps: behind `position` there, behind `sequence` in its backlog."""

    log: str
    position: Cursor
    sequence: Cursor
    count: Cursor | None = None
    """Of its events; None while the session is in the log: all that is there, and what has given way is lost."""

    @property
    def last(self) -> float:
        """The newest sequence of these."""
        return math.inf if self.count is None else self.sequence + self.count


class SessionRecord(msgspec.Struct, kw_only=True, frozen=True):
    """One identified session. Its id is the key of the row."""

    listener: str
    protocol: str
    realm: str = ""
    """"" in what a version without realms has written."""
    remote: str
    opened: float
    identity: str | None
    key: str | None
    resumable: bool
    generation: int
    lifecycle_sequence: int = msgspec.field(name="sequence")
    resumes: int
    given: Cursor
    written: Cursor
    acknowledged: Cursor | None = None
    """Cursors of its backlog: sequences."""
    mark: Cursor
    """No sequence above this one was given."""
    lost: Cursor
    gaps: dict[str, Cursor] = {}
    """How many of the lost ones its client has still to be told of, by reason."""
    spans: tuple[Span, ...] = ()
    """Parts of away logs that are its own; of one without an end, `written`, `lost` and `gaps` are from before it."""
    skipped: tuple[tuple[Cursor, Cursor], ...] = ()
    """First and last of sequences in a row that a run which did not end in order has left out."""
    unsure: tuple[Cursor, Cursor] | None = None
    """`given` when such a run ended, and the newest sequence that its client may have seen, until that comes back."""
    detached: float | None
    """When it lost its client, for people; None while it has one."""
    left: float | None = None
    """The same by the node's own time, which counts: nobody sets that clock, and it stands still while no node runs."""
    channels: list[str]
    granted: list[str] = []
    """Those of them that it hears through its grant alone."""
    grant: tuple[list[str], dict[str, Any]] | None = None
    """Channels and metadata that its latest grant gave, so that the next one can take them away."""
    metadata: dict[str, Any]
    data: Any = None
    """What its protocol remembers."""


class EventRecord(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One event that somebody has not got. Its number is the key of the row.

    `holders` has the sequence of the event in each session, by id; and 0 by the name of the channel where it waits for
    the first receiver. A session's cursors say whether it keeps the event.
    `logs` has its position in each away log, by name; and up to which one events had given way there by then.
    """

    channel: str
    name: str
    data: msgspec.Raw
    at: float
    holders: dict[str, Cursor]
    logs: dict[str, tuple[Cursor, Cursor]] = {}
    one: bool = False
    realm: str = ""
    protocol: str = ""


encode = msgspec.json.Encoder().encode
decode_session = msgspec.json.Decoder(SessionRecord).decode
decode_event = msgspec.json.Decoder(EventRecord).decode
