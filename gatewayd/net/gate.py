"""The gate: bounds on the clients of the node, a listener and an address, and on those that have not identified.

Law 1: every count is taken back by the ticket that added it, so that no path out of a client can forget one.
Law 2: one address holds only a part of the room for clients that have not identified: there is always room for others.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import define, field

from gatewayd.config.limits import NetLimits

if TYPE_CHECKING:
    from gatewayd.config.model import ListenerConfig

DRAINING = (503, "draining", "this node is shutting down: connect again in a moment")
MAX_CLIENTS = (503, "max_clients", "no room for another client now: try again later")
MAX_UNIDENTIFIED = (503, "max_unidentified", "too many clients are still identifying: try again in a moment")
MAX_CLIENTS_PER_IP = (429, "max_clients_per_ip", "too many clients from this address")
UNIDENTIFIED_PER_IP = (
    429, "max_unidentified_per_ip", "too many clients from this address are still identifying: try again in a moment",
)  # fmt: skip


class GateClosed(Exception):  # noqa: N818, RUF100
    """No ticket for this client: the HTTP status, the bound that was met, and a sentence for the client."""

    def __init__(self, status: int, bound: str, reason: str) -> None:
        super().__init__(status, bound, reason)
        self.status = status
        self.bound = bound
        self.reason = reason


@define
class Gate:
    """The node's bounds on connections; an `address_share`-th of `max_unidentified` is for one address.

    An address is what `origin.address_of` returns. None has no bounds of its own: a Unix socket, and a client behind a
    trusted proxy until its request head names its address.
    """

    max_clients: int
    max_unidentified: int
    address_share: int = NetLimits().address_share
    draining: bool = False
    clients: int = 0
    unidentified: int = 0
    by_listener: Counter[str] = field(factory=Counter)
    by_address: Counter[str] = field(factory=Counter)
    unidentified_by_listener: Counter[str] = field(factory=Counter)
    unidentified_by_address: Counter[str] = field(factory=Counter)
    refused: Counter[str] = field(factory=Counter)
    """Clients that were refused before their upgrade, by reason: a bound, or what the listener found."""

    def drain(self) -> None:
        """Refuse every client from now on, once its request was read: it would not see an earlier answer."""
        self.draining = True

    def issue(self, listener: ListenerConfig, address: str | None) -> Ticket:
        """A ticket for a connection that was accepted. Raises `GateClosed`, and counts nothing, if a bound is met."""
        name = listener.name
        if address is not None:
            self.check_address(listener, address)
        if self.clients >= self.max_clients or self.by_listener[name] >= listener.max_clients:
            raise GateClosed(*MAX_CLIENTS)
        here = self.unidentified_by_listener[name]
        if self.unidentified >= self.max_unidentified or here >= listener.max_unidentified:
            raise GateClosed(*MAX_UNIDENTIFIED)
        self.clients += 1
        self.unidentified += 1
        self.by_listener[name] += 1
        self.unidentified_by_listener[name] += 1
        ticket = Ticket(self, name)
        if address is not None:
            ticket.set_address(address)
        return ticket

    def check_address(self, listener: ListenerConfig, address: str) -> None:
        """Raise `GateClosed` if this address may have no further client."""
        if self.by_address[address] >= listener.max_clients_per_ip:
            raise GateClosed(*MAX_CLIENTS_PER_IP)
        share = min(self.max_unidentified, listener.max_unidentified) // self.address_share
        if self.unidentified_by_address[address] >= max(1, share):
            raise GateClosed(*UNIDENTIFIED_PER_IP)


@define(eq=False)
class Ticket:
    """What one connection counts for; `release` takes it back, once."""

    gate: Gate
    listener: str
    address: str | None = None
    identified: bool = False

    def set_address(self, address: str) -> None:
        """The client's address is known, and within its bounds."""
        self.address = address
        self.gate.by_address[address] += 1
        self.gate.unidentified_by_address[address] += 1

    def identify(self) -> None:
        """The client has identified."""
        if self.identified:
            return
        self.identified = True
        self.gate.unidentified -= 1
        _decrement(self.gate.unidentified_by_listener, self.listener)
        if self.address is not None:
            _decrement(self.gate.unidentified_by_address, self.address)

    def release(self) -> None:
        """The connection is over."""
        self.identify()
        self.gate.clients -= 1
        _decrement(self.gate.by_listener, self.listener)
        if self.address is not None:
            _decrement(self.gate.by_address, self.address)


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]  # a table that clients can grow holds no zeroes
