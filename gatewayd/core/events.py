"""What a client and the daemon say to each other, as values: the alphabet of the state machine.

A protocol's decoders turn payloads into the first group, its encoders turn the second group into payloads. Those that
are made once a message, and that no protocol has kinds of its own of, are made by msgspec: it costs a fifth of attrs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import define, field, frozen

from gatewayd.core.grant import Grant

LONGEST_NAME = 512
"""Characters of a channel's or an event's name; whose identity would need a longer one is not let in."""


@frozen
class Identify:
    """Who the client claims to be. `grant` is auth's verdict on its request; `only_proof`: who it is, it says later."""

    claim: Any
    grant: Grant | None = None
    only_proof: bool = False


class Heartbeat(msgspec.Struct, frozen=True):
    """A sign of life, with `data`. `acked` is False where no answer is due; `seen` is the sequence it has all up to."""

    data: Any = None
    acked: bool = True
    seen: int | None = None


class Ping(msgspec.Struct, frozen=True):
    """The client asks whether we are alive (rooms, `heartbeat_ack` from the client), and so shows that it is."""


@frozen
class Command:
    """Anything else a client asks. `op` is the opcode it came with, so that a reply can name it."""

    op: int | str
    name: str
    data: Any = None


@frozen
class Query(Command):
    """A command that is answered before identify as well."""


class Hello(msgspec.Struct, frozen=True):
    """The first payload; `interval` is the heartbeat interval in seconds, `extra` the protocol's own fields."""

    interval: float
    extra: Mapping[str, Any] = {}


class Ready(msgspec.Struct, frozen=True):
    """The client is identified. `gaps` counts by reason the events it will never get; 0 is an unknown number."""

    data: Any = None
    resumed: bool = False
    gaps: Mapping[str, int] = {}

    @property
    def lost(self) -> int:
        """How many events it will never get."""
        return sum(self.gaps.values())


class Resumed(msgspec.Struct, frozen=True):
    """All that was missed has been said again, up to `sequence`; `gaps` as in `Ready`."""

    sequence: int = 0
    gaps: Mapping[str, int] = {}


class Refusal(msgspec.Struct, frozen=True):
    """An identify that was refused while the client may try again."""


class Beat(msgspec.Struct, frozen=True):
    """The daemon's own heartbeat (rooms, dmod), or the answer to the client's `Ping`."""


class BeatRequest(msgspec.Struct, frozen=True):
    """The daemon asks for a heartbeat now."""


class BeatAck(msgspec.Struct, frozen=True):
    """A heartbeat came; `data` is what came with it."""

    data: Any = None


class Reply(msgspec.Struct, frozen=True):
    """The answer to a `Command`."""

    to: Command
    data: Any = None


class Problem(msgspec.Struct, frozen=True):
    """A message that was refused while the client stays; `payload` is ready for the wire."""

    payload: Any


@frozen
class Closing:
    """The verdict is said; a close frame follows, and then nothing."""


@frozen
class Closed:
    """The transport is gone."""


@define(eq=False)
class Event:
    """Name and data addressed to a channel; encoded once per (protocol, variant), however many receive it."""

    channel: str
    name: str
    data: Any
    at: float
    one: bool = False
    number: int = 0
    """Grows with every event of the node, restarts included where it has a journal; 0 where nobody counts."""
    realm: str = ""
    """The realm in which a receiver is looked for, where `one` is set."""
    protocol: str = ""
    """The only protocol whose sessions may get it, where `one` is set; "" lets any."""
    body: msgspec.Raw = field(init=False)
    frames: dict[tuple[str, str], bytes] = field(init=False, factory=dict, repr=False)
    size: int = field(init=False)
    """Bytes that count against a resume buffer: name and encoded data."""

    def __attrs_post_init__(self) -> None:
        # Encoded here, once: an unencodable value is the publisher's error and never reaches a client's turn.
        body = msgspec.json.encode(self.data)
        self.body = msgspec.Raw(body)
        self.size = len(self.name) + len(body)


ClientEvent = Identify | Heartbeat | Ping | Command
ServerEvent = (
    Hello | Ready | Resumed | Refusal | Beat | BeatRequest | BeatAck | Reply | Problem | Event | Closing | Closed
)
