"""The protocols by name: a new one is one file, and one line here or an entry point of `gatewayd.protocols`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from gatewayd.core.protocol import Protocol
from gatewayd.protocols import discodo, discord, dmod, oxyl, rooms, utilbot

PROTOCOLS: Mapping[str, Protocol] = {
    "oxyl": oxyl.PROTOCOL,
    "rooms": rooms.PROTOCOL,
    "dmod": dmod.PROTOCOL,
    "discodo": discodo.PROTOCOL,
    "utilbot": utilbot.PROTOCOL,
    "discord": discord.PROTOCOL,
}


def installed(points: Callable[..., Iterable[EntryPoint]] = entry_points) -> Mapping[str, Protocol]:
    """The built-in protocols and those that other packages bring; a built-in name cannot be taken over."""
    others = {point.name: point.load() for point in points(group="gatewayd.protocols")}
    return {**others, **PROTOCOLS}
