"""More daemons on one port: each listens with `reuse_port = true`, and the kernel spreads the clients over them."""

from __future__ import annotations

from bench.measure import Figures, Work, drive
from bench.servers import Tools, share

ROWS = ("1 instance", "2 instances")


def measure(row: str, tools: Tools, work: Work) -> Figures:
    """The same load against so many instances; CPU is that of all of them."""
    with share(int(row.split()[0]), work.protocol, tools) as server:
        return drive(server, tools, work)
