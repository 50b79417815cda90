"""Bounds and times of gatewayctl, which reads no configuration: frozen values that each part is given.

A `NamedTuple`, so that a command that is typed a hundred times a day imports nothing for it.
"""

from typing import NamedTuple


class CtlLimits(NamedTuple):
    """Sizes in bytes, times in seconds."""

    timeout: float = 5.0
    """For each of connect, send and receive: a daemon that works answers in milliseconds."""
    page: int = 50
    """Sessions that are listed, unless --limit says otherwise: a screen."""
    page_of_all: int = 500
    """The same with --all. The daemon writes a list in chunks of so many: larger pages gain nothing."""
    refusals_shown: int = 10
    """Lines of a file that were refused, and are told one by one: more would hide the first."""
    piece_bytes: int = 256 * 1024
    """Read of a file or a pipe at a time: one request of a bulk publish carries about as much."""
