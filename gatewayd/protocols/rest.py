"""The option `rest` of protocols that forward requests: the server that answers what the listener does not."""

from __future__ import annotations

from attrs import Attribute

from gatewayd.core.text import check_url


def check_rest(instance: object, attribute: Attribute[str], value: str) -> None:
    """Raise ValueError where requests cannot be sent to this URL, with their own paths behind it; "" is none."""
    if value:
        check_url(value, "http://127.0.0.1:8000")
    if "?" in value:
        raise ValueError("a query (?…) cannot stand in front of another path; leave it out")
