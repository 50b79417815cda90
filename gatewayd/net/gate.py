"""How many may come in: clients of the node, of a listener, of one address, and clients that have not identified.

Every count goes down by the same ticket that put it up, so that no path out of a client can forget one.
"""

from __future__ import annotations

from collections import Counter

from attrs import define, field


class Full(Exception):  # noqa: N818, RUF100
    """No room for this client now; `status` is the HTTP status, the text says which bound was met."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


@define
class Gate:
    """The node's bounds on connections. `draining` refuses everyone who comes."""

    max_clients: int
    max_unidentified: int
    draining: bool = False
    clients: int = 0
    unidentified: int = 0
    by_listener: Counter[str] = field(factory=Counter)
    by_address: Counter[str] = field(factory=Counter)
    refused: Counter[str] = field(factory=Counter)

    def enter(self, listener: str, limit: int) -> Ticket:
        """A connection was accepted. Raises `Full` where a bound is met."""
        if self.draining:
            raise self._full("draining", 503, "this node is shutting down: connect again in a moment")
        if self.clients >= self.max_clients or self.by_listener[listener] >= limit:
            raise self._full("max_clients", 503, "no room for another client now: try again later")
        if self.unidentified >= self.max_unidentified:
            raise self._full("max_unidentified", 503, "too many clients are still identifying: try again in a moment")
        self.clients += 1
        self.unidentified += 1
        self.by_listener[listener] += 1
        return Ticket(self, listener)

    def _full(self, bound: str, status: int, reason: str) -> Full:
        self.refused[bound] += 1
        return Full(status, reason)


@define(eq=False)
class Ticket:
    """One connection's place. `leave` gives everything back, once."""

    gate: Gate
    listener: str
    address: str | None = None
    identified: bool = False

    def locate(self, address: str, limit: int) -> None:
        """The client's address is known (a proxy may have told it). Raises `Full` where it has too many clients."""
        if self.gate.by_address[address] >= limit:
            raise self.gate._full("max_clients_per_ip", 429, "too many clients from this address")  # noqa: SLF001, RUF100
        self.gate.by_address[address] += 1
        self.address = address

    def identify(self) -> None:
        """The client has identified."""
        if not self.identified:
            self.identified = True
            self.gate.unidentified -= 1

    def leave(self) -> None:
        """The connection is over."""
        gate = self.gate
        self.identify()
        gate.clients -= 1
        _less(gate.by_listener, self.listener)
        if self.address is not None:
            _less(gate.by_address, self.address)


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]  # a table that clients can grow holds no zeroes
