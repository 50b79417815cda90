"""What a connection to the admin API may cost: times, sizes and numbers of places, with the reason of each default."""

from __future__ import annotations

from attrs import evolve, frozen


@frozen(kw_only=True)
class Bounds:
    """Times in seconds, sizes in bytes."""

    head_bytes: int = 16 * 1024
    """A request's head: twice what a gateway client may send, since tokens and query parameters can be long."""
    headers: int = 100
    """In a request: clients and proxies send some twenty."""
    head_seconds: float = 10.0
    """From the connection, or a later request's first byte, to the end of the head."""
    idle_seconds: float = 120.0
    """Between two requests: longer than the pools of common clients keep a connection (up to 90 s), so that a client
    closes it, and never sends into one that is being closed."""
    body_seconds: float = 15.0
    """For the next part of a body to come."""
    chunks: int = 300_000
    """Of one body: one for each event of the longest list. Each costs 15 microseconds; 8 MiB could have 8 million."""
    bodies_bytes: int = 64 * 1024 * 1024
    """Of one uid or token, in all requests that are being read or worked on: eight of the largest. With events and
    answers they take some five times as much memory."""
    write_seconds: float = 10.0
    """For each 64 KiB of an answer."""
    read_ahead: int = 64 * 1024
    """What is kept of later requests while one is being answered."""
    linger_seconds: float = 1.0
    linger_bytes: int = 16 * 1024 * 1024
    """What is still read, and thrown away, of a client that was answered before it had said everything; a close with
    unread bytes would be a reset that overtakes the answer. A body of 8 MiB is refused in words."""
    each: int = 256
    """Connections of one uid to the Unix socket, and of one token from one address."""
    most: int = 1024
    """Connections in all, to either."""
    strangers_each: int = 16
    """Connections from one address that have not shown a valid token."""
    strangers: int = 64
    """In all; enough for health checks and for whoever is about to show its token."""
    stranger_seconds: float = 10.0
    """After which such a connection ends."""
    unauthorized_seconds: float = 0.1
    """Before a request without a valid token is answered, the first health check of a connection excepted: one address
    has at most 160 such answers in a second."""
    refused: int = 64
    """Connections that are being told that there is no room."""

    @property
    def connections(self) -> int:
        """All that there may be at one door."""
        return self.most + self.strangers + self.refused

    def within(self, connections: int) -> Bounds:
        """The same for a door that has no more connections than these; at the very least one of each kind."""
        if connections >= self.connections:
            return self
        few = max(1, connections // 8)
        strangers, refused = min(self.strangers, few), min(self.refused, few)
        most = max(1, connections - strangers - refused)
        return evolve(
            self, each=min(self.each, max(1, most // 2)), most=most, strangers=strangers, refused=refused,
            strangers_each=min(self.strangers_each, max(1, strangers // 4)),
        )  # fmt: skip
