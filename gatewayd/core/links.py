"""Addresses of HTTP servers, as they are written into a configuration."""

from __future__ import annotations

from urllib.parse import urlsplit


def check_url(value: str, example: str) -> None:
    """Raise ValueError, with what stands behind the key, where this is no http: or https: URL to send requests to."""
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        fine = False
    if not fine or not value.isprintable() or " " in value:
        raise ValueError(f'expected a URL such as "{example}"')  # it may hold a password: not quoted
    if "@" in parts.netloc:
        raise ValueError("a URL is shown and logged: it must not hold a password")
    if parts.fragment:
        raise ValueError("a fragment (#…) is never sent; leave it out")
