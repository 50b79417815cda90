"""discodo's voice clients: what a session remembers of them, and what they say where no backend speaks for them.

Ids are numbers or strings; they are compared as text and sent back in the type in which they came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gatewayd.core.close import Cause, Disconnect

DISCONNECTED, STOPPED = 0, 1
"""States of a player, as the clients number them."""
NO_VOICE_CLIENT = "no voice client in this guild"

LONGEST_ID = 128
"""Characters: ten thousand voice clients of a session must not take many megabytes. Discord's ids have 20."""

Id = int | str
"""An id as it came."""


class VoiceClient(msgspec.Struct, array_like=True):
    """Where the bot is in one guild. An array in the journal: a row without the last field can still be read."""

    id: int
    channel: Id | None
    guild: Id | None = None
    """The guild's id as it came; None only in a row of a version that kept ids as text."""


class Voice(msgspec.Struct):
    """One session's voice clients by guild, as text; their own ids count up."""

    user: str
    clients: dict[str, VoiceClient] = {}
    last: int = 0


def object_of(value: Any) -> Mapping[str, Any]:
    """The value, which has to be an object."""
    if not isinstance(value, dict):
        raise Disconnect(Cause.INVALID_PAYLOAD, "d must be an object")
    return value


def id_of(data: Mapping[str, Any], name: str, *, null: bool = False) -> Id | None:
    """An id as it came; None only where `null` allows it."""
    value = data.get(name)
    if not (type(value) is int or type(value) is str or (value is None and null)):
        raise Disconnect(Cause.INVALID_PAYLOAD, f"{name} must be a number or a string")
    if len(str(value)) > LONGEST_ID:
        raise Disconnect(Cause.INVALID_PAYLOAD, f"{name} has more than {LONGEST_ID} characters")
    return value


def _idle_state(client: VoiceClient) -> dict[str, Any]:
    """The state of a player that plays nothing, with the options a player of the original starts with."""
    return {
        "id": client.id,
        "channel_id": client.channel,
        "state": DISCONNECTED if client.channel is None else STOPPED,
        "current": None,
        "duration": None,
        "position": None,
        "remain": None,
        "remainQueue": 0,
        "options": {"autoplay": True, "volume": 1.0, "crossfade": 10.0, "filter": {}},
        "context": {},
    }


IDLE: Mapping[str, Callable[[VoiceClient], dict[str, Any]]] = {
    "getState": _idle_state,
    "getQueue": lambda _: {"entries": []},
}
"""What the clients ask by themselves, every five seconds, answered where no backend does: an error reply to getState
ends the process of discodo.js."""
