"""Kinds of what a realm keeps beside its sessions, and the errors of who has to name a realm."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Resource(StrEnum):
    """A kind of what a realm keeps. Its value is the name of the journal's table."""

    DOCUMENTS = "documents"
    NOTIFICATIONS = "notifications"
    ROOMS = "rooms"


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
