"""Who is asking: the browser's origin against the listener's rule, and the client's address behind a proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def allowed(origin: str | None, host: str, listed: Sequence[str] | None) -> bool:
    """Whether a request may upgrade: no browser, a page of the same host and port, or an origin that is listed.

    The scheme is not compared: behind a proxy that ends TLS, a page of https: speaks to a listener of ws:.
    """
    if origin is None:
        return True
    if listed is not None and any(origin.lower() == entry.lower() for entry in listed):
        return True
    try:
        page = urlsplit(origin)
        page_port = page.port or DEFAULT_PORTS.get(page.scheme)
        here = urlsplit(f"//{host}")
        here_port = here.port or DEFAULT_PORTS.get(page.scheme)
    except ValueError:
        return False
    return page.hostname is not None and (page.hostname, page_port) == (here.hostname, here_port)


def remote(peer: str, headers: Mapping[str, str], trusted: Sequence[str]) -> str:
    """The client's address as text: the peer's, or the last one in X-Forwarded-For that no trusted proxy wrote.

    Only what a trusted proxy says is believed; a client that sends the header itself gains nothing.
    """
    networks = [ipaddress.ip_network(entry, strict=False) for entry in trusted]
    forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
    found = peer
    while forwarded and _is_trusted(found, networks):
        candidate = forwarded.pop()
        if _parse(candidate) is None:
            break
        found = candidate
    return found


def host_of(remote: str) -> str:
    """The address without its port."""
    parsed = _parse(remote)
    return remote if parsed is None else str(parsed)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_trusted(text: str, networks: Sequence[Network]) -> bool:
    address = _parse(text)
    return address is not None and any(address in network for network in networks)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address with or without a port, IPv6 in brackets where it has one."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
