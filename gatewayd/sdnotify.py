"""Telling systemd how things stand: one datagram to the socket it named (sd_notify(3))."""

from __future__ import annotations

import os
import socket


def notify(*lines: str) -> bool:
    """Send lines such as "READY=1"; False when not under systemd, or nobody listened."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto("\n".join(lines).encode(), address)
    except OSError:
        return False
    return True
