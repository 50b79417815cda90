"""Rooms of a realm: lock, cap, bans, and which names are closed. Every table here has a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gatewayd.config.limits import RoomLimits
from gatewayd.core.record import Key, Row, Store, Table, encode


class RoomRecord(msgspec.Struct, frozen=True):
    """One room as it is kept; `closed` is its place in the order of closing, from 1; 0 while open."""

    state: dict[str, Any] | None = None
    bans: list[str] = []
    closed: int = 0
    stays: bool = False


NO_ROOM = RoomRecord()
_decode = msgspec.json.Decoder(RoomRecord).decode


class Rooms:
    """State by room name; a state is a plain mapping of `room_update`'s fields."""

    def __init__(self, store: Store | None = None, limits: RoomLimits | None = None) -> None:
        self.store: Store = store or Store()
        self._limits = limits or RoomLimits()
        self._states: dict[str, dict[str, Any]] = {}
        self._bans: dict[str, OrderedDict[str, None]] = {}
        self._closed: OrderedDict[str, int] = OrderedDict()
        """By name, its place in the order of closing, from 1."""
        self._staying: set[str] = set()

    def state(self, room: str) -> Mapping[str, Any] | None:
        """The room's state, or None where there is no such room."""
        return self._states.get(room)

    def bans(self, room: str) -> list[str]:
        """Who may not come back, oldest ban first."""
        return list(self._bans.get(room, ()))

    def is_closed(self, room: str) -> bool:
        """Whether the name belonged to a room that was closed, and not created again since."""
        return room in self._closed

    def is_banned(self, room: str, participant: str) -> bool:
        """Whether the participant may not come back."""
        return participant in self._bans.get(room, ())

    def create(self, room: str, state: Mapping[str, Any], *, stays: bool = False) -> bool:
        """Create a room, or open it again; False when there are too many. One that `stays` is never discarded."""
        if room not in self._states and len(self._states) >= self._limits.rooms:
            return False
        self._closed.pop(room, None)
        if stays:
            self._staying.add(room)
        self._states[room] = dict(state)
        self._changed(room)
        return True

    def update(self, room: str, changes: Mapping[str, Any]) -> None:
        """Change some of its state; a room that is not there is created by it, unless its name is closed."""
        if room in self._states:
            self._states[room].update(changes)
            self._changed(room)
        elif room not in self._closed:
            self.create(room, changes)

    def ban(self, room: str, participant: str, banned: bool) -> None:  # noqa: FBT001, RUF100
        """Forbid or allow a participant to come back."""
        if banned and room not in self._bans and len(self._bans) >= self._limits.rooms:
            forgotten = next(iter(self._bans))
            del self._bans[forgotten]
            self._changed(forgotten)
        bans = self._bans.setdefault(room, OrderedDict())
        if banned:
            bans[participant] = None
            if len(bans) > self._limits.bans:
                bans.popitem(last=False)
        else:
            bans.pop(participant, None)
        if not bans:
            del self._bans[room]
        self._changed(room)

    def discard(self, room: str) -> None:
        """Forget a room that need not stay, and that nobody is in and nobody has given a state or a ban."""
        if self._states.get(room) == {} and room not in self._bans and room not in self._staying:
            del self._states[room]
            self._changed(room)

    def close(self, room: str) -> None:
        """The room is gone; its name is remembered as closed."""
        self._states.pop(room, None)
        self._bans.pop(room, None)
        self._staying.discard(room)
        last = next(reversed(self._closed.values()), 0)
        self._closed.pop(room, None)
        self._closed[room] = last + 1
        self._changed(room)
        if len(self._closed) > self._limits.closed_names:
            self._changed(self._closed.popitem(last=False)[0])

    def _changed(self, room: str) -> None:
        record = self._record(room)
        if record == NO_ROOM:
            self.store.delete(Table.ROOMS, room)
        else:
            self.store.put(Table.ROOMS, room, encode(record))

    def _record(self, room: str) -> RoomRecord:
        return RoomRecord(self._states.get(room), self.bans(room), self._closed.get(room, 0), room in self._staying)

    def rows(self) -> Iterator[Row]:
        """All rows there have to be."""
        for room in {**self._states, **self._bans, **self._closed}:
            yield Table.ROOMS, room, encode(self._record(room))

    def restore(self, rows: Iterable[tuple[Key, bytes]]) -> int:
        """Fill these rooms from the journal; all rows can be taken."""
        closed: dict[str, int] = {}
        for key, value in rows:
            room, kept = str(key), _decode(value)
            if kept.state is not None:
                self._states[room] = kept.state
            if kept.bans:
                self._bans[room] = OrderedDict.fromkeys(kept.bans)
            if kept.closed:
                closed[room] = kept.closed
            if kept.stays:
                self._staying.add(room)
        self._closed = OrderedDict(sorted(closed.items(), key=lambda item: item[1]))
        return 0
