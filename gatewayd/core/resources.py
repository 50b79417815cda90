"""What a realm keeps beside its sessions, as a protocol sees it; and the errors of who has to name a realm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gatewayd.core.record import MissedNotifications


class Resource(StrEnum):
    """A kind of what a realm keeps. Its value is the name of the journal's table."""

    DOCUMENTS = "documents"
    NOTIFICATIONS = "notifications"
    ROOMS = "rooms"


class DocumentStore(Protocol):
    """JSON values under keys, bounded in number and bytes."""

    def get(self, key: str) -> Any:
        """The value, or None."""

    def put(self, key: str, value: Any) -> bool:
        """Store a value; False when there is no room."""

    def delete(self, key: str) -> bool:
        """Whether it was there."""


class NotificationStore(Protocol):
    """What waits for a user who is not there; in order, bounded."""

    def waiting(self, user: str) -> MissedNotifications:
        """All that waits."""

    def drop(self, user: str, last: int, lost: int) -> None:
        """The client has shown that it has all up to the number `last`, and knows that it lost so many."""


class RoomStore(Protocol):
    """Rooms with their state: lock, cap, bans, and which names are closed."""

    def state(self, room: str) -> Mapping[str, Any] | None:
        """The room's state, or None where there is no such room."""

    def is_closed(self, room: str) -> bool:
        """Whether the name belonged to a room that was closed, and not created again since."""

    def is_banned(self, room: str, participant: str) -> bool:
        """Whether the participant may not come back."""

    def create(self, room: str, state: Mapping[str, Any], *, stays: bool = False) -> bool:
        """Create the room, or create it again after a close; False when there are too many.

        One that `stays` is never discarded.
        """

    def discard(self, room: str) -> None:
        """Forget a room that need not stay, and that nobody is in and nobody has given a state or a ban."""

    def update(self, room: str, changes: Mapping[str, Any]) -> None:
        """Change some of its state."""

    def ban(self, room: str, participant: str, banned: bool) -> None:  # noqa: FBT001, RUF100
        """Forbid or allow a participant to come back."""

    def close(self, room: str) -> None:
        """The room is gone; its name is remembered as closed."""


class NoSuchRealm(Exception):
    """No listener is in a realm of that name; `names` are those that there are."""

    def __init__(self, name: str, names: Iterable[str]) -> None:
        self.name = name
        self.names = tuple(names)
        super().__init__(f"no listener is in realm {name!r}; there are {', '.join(self.names)}")


class SeveralRealms(Exception):
    """Any of the realms in `names` could be meant."""

    def __init__(self, what: str, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"{what} could be of several realms: name one of {', '.join(self.names)}")
