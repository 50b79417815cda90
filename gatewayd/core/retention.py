"""What a protocol keeps of the events that its sessions were given: a policy of their backlogs."""

from __future__ import annotations

from enum import Enum

from attrs import Factory, frozen

from gatewayd.core.events import Event


class Retention(Enum):
    """Until when an event is kept."""

    WRITTEN = "written"
    """Until a socket has taken it whole."""
    ACKNOWLEDGED = "acknowledged"
    """Until the client has shown that it has it, within the resume bounds."""
    LATEST = "latest"
    """For as long as the resume bounds allow: the client says itself from where it goes on."""


@frozen
class Policy:
    """What a protocol keeps of what its sessions were given, beyond what is not written."""

    retention: Retention = Retention.WRITTEN
    names: frozenset[str] | None = None
    """Events of these names alone; None is all."""
    acknowledges: bool = Factory(lambda self: self.retention is Retention.ACKNOWLEDGED, takes_self=True)
    """Clients show what they have, whatever is kept for it."""

    @property
    def keeps_all(self) -> bool:
        """Whether every event stays when it is written."""
        return self.retention is not Retention.WRITTEN and self.names is None

    def tells_apart(self, name: str) -> bool:
        """Whether it keeps events of this name, and not those of others."""
        return self.names is not None and name in self.names

    def keeps(self, event: Event) -> bool:
        """Whether an event stays when it is written."""
        return self.retention is not Retention.WRITTEN and (self.names is None or event.name in self.names)


UNTIL_WRITTEN = Policy()
