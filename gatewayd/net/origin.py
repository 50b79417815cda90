"""Where a request comes from, and where to: the browser's origin, judged by the listener's rule; the address behind a
proxy; the URL that the client used.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from gatewayd.net.request_head import HOST

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
"""The WebSocket's scheme for what X-Forwarded-Proto says."""


def allowed(origin: str | None, host: str, listed: Sequence[str] | None) -> bool:
    """Whether a request may upgrade: it is of no browser, of a page of the same host and port, or of a listed origin.

    Schemes are not compared: behind a proxy that ends TLS, a page of https: connects to a listener of ws:.
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


def networks(trusted: Sequence[str]) -> tuple[Network, ...]:
    """The proxies that a listener trusts."""
    return tuple(ipaddress.ip_network(entry, strict=False) for entry in trusted)


def remote(peer: str, headers: Mapping[str, str], trusted: Sequence[Network]) -> str:
    """The client's address as text: the peer's, or the last one in X-Forwarded-For that is no trusted proxy.

    The header counts only if a trusted proxy sent it; a client that sends it itself gains nothing.
    """
    if not trusted:
        return peer
    forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
    found = peer
    while forwarded and is_trusted(found, trusted):
        candidate = forwarded.pop()
        if _parse(candidate) is None:
            break
        found = candidate
    return found


def is_trusted(remote: str, trusted: Sequence[Network]) -> bool:
    """Whether this is a trusted proxy's own address."""
    address = _parse(remote) if trusted else None
    return address is not None and any(address in network for network in trusted)


def base_url(headers: Mapping[str, str], *, tls: bool, proxied: bool) -> str:
    """The URL that the client used, without a path. `proxied`: a trusted proxy sent the request, and knows better.

    A proxy that does not tell the scheme is taken to end TLS. Of several values the first is the client's own.
    """
    host, scheme = headers["host"], "wss" if tls else "ws"
    if proxied:
        scheme = SCHEMES.get(_first(headers, "x-forwarded-proto").lower(), "wss")
        told = _first(headers, "x-forwarded-host")
        host = told if HOST.fullmatch(told.encode()) else host
    return f"{scheme}://{host}"


def _first(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip()


def host_of(remote: str) -> str | None:
    """The address without its port; None if there is no address, as on a Unix socket."""
    address = _parse(remote)
    return None if address is None else str(address)


def address_of(remote: str) -> str | None:
    """What the bounds per address count: an IPv4 address, or the /64 of an IPv6 one, since one customer has at least
    that (RFC 6177); None if there is no address, as on a Unix socket.
    """
    return _counted(_host(remote))


@lru_cache(maxsize=1024)  # many come from few addresses
def _counted(host: str) -> str | None:
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return sys.intern(str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64))))
    return None if address is None else sys.intern(str(address))  # one text for all clients of an address


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address with or without a port (then IPv6 is in brackets); IPv4 that is mapped into IPv6 is IPv4."""
    return _address(_host(text))


def _host(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


@lru_cache(maxsize=1024)  # each client is looked up more than once
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    wrapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return wrapped or address
