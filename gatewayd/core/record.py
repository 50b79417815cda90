"""What outlives the process: the tables, and sessions and events as rows of them. JSON, so that people can read it.

Times are wall clock here, since a monotonic clock means nothing to the next process.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

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


class Store(Protocol):
    """Where rows go. Nothing here waits or fails; what is said between two awaits becomes durable together."""

    def put(self, table: Table, key: Key, value: bytes) -> None:
        """Keep a value under a key."""

    def delete(self, table: Table, key: Key) -> None:
        """Keep it no more."""

    def delete_group(self, table: Table, group: Key) -> None:
        """Keep none of the keys any more of which this is all but the last part."""

    def stir(self) -> None:
        """There is something that the next commit has to ask for."""


class Nowhere:
    """The store of a node without a journal."""

    def put(self, table: Table, key: Key, value: bytes) -> None:
        """Nothing is kept."""

    def delete(self, table: Table, key: Key) -> None:
        """Nothing was kept."""

    def delete_group(self, table: Table, group: Key) -> None:
        """Nothing was kept."""

    def stir(self) -> None:
        """Nobody asks."""


@frozen
class MissedNotifications:
    """What waits for a user, encoded, oldest first; `last` is the number of the newest, `lost` counts what gave way."""

    notes: Sequence[msgspec.Raw] = ()
    last: int = 0
    lost: int = 0


def parts(key: Key) -> tuple[str | int, ...]:
    """A key as the columns of its row."""
    return key if isinstance(key, tuple) else (key,)


class Within:
    """The part of a store that belongs to one realm: each key there begins with the realm's name."""

    def __init__(self, store: Store, realm: str) -> None:
        self._store = store
        self._realm = realm

    def put(self, table: Table, key: Key, value: bytes) -> None:
        """Keep a value under a key."""
        self._store.put(table, (self._realm, *parts(key)), value)

    def delete(self, table: Table, key: Key) -> None:
        """Keep it no more."""
        self._store.delete(table, (self._realm, *parts(key)))

    def delete_group(self, table: Table, group: Key) -> None:
        """Keep none of the keys any more of which this is all but the last part."""
        self._store.delete_group(table, (self._realm, *parts(group)))

    def stir(self) -> None:
        """There is something that the next commit has to ask for."""
        self._store.stir()


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
    sequence: int
    resumes: int
    lost: int
    untold: int = 0
    """How many of the lost ones its client has still to be told of."""
    delivered: int
    detached: float | None
    """When it lost its client, for people; None while it has one."""
    left: float | None = None
    """The same by the node's own time, which counts: nobody sets that clock, and it stands still while no node runs."""
    said: int
    """Number of the newest event that waited for it and waits no more."""
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

    `holders` are ids of sessions, and names of channels where it waits for the first receiver. A session whose `said`
    is this number or more has it already, unless it is one of `late`: to those it came behind newer events.
    """

    channel: str
    name: str
    data: msgspec.Raw
    at: float
    holders: list[str]
    late: list[str] = []
    one: bool = False
    realm: str = ""
    protocol: str = ""


encode = msgspec.json.Encoder().encode
decode_session = msgspec.json.Decoder(SessionRecord).decode
decode_event = msgspec.json.Decoder(EventRecord).decode
