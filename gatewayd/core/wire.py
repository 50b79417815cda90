"""How a protocol looks: a frozen value that translates, and never decides; and what its decoders are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from attrs import field, frozen

from gatewayd.core import events as e
from gatewayd.core.close import COMMON_ENDINGS, LIKE, AnyCause, Cause, Disconnect, Ending
from gatewayd.core.codec import Codec
from gatewayd.core.depth import SHALLOW, TOO_DEEP, too_deep
from gatewayd.core.encode import TEXT, ZLIB, encode, json, packed
from gatewayd.core.frame import frame

SHARED = (TEXT, ZLIB)
"""Variants that many clients have."""
Decoder = Callable[[Mapping[str, Any]], e.ClientEvent]
Encoder = Callable[[Any], object | None] | Mapping[str, Any]
"""A payload that never changes stands for itself, and is encoded once."""


@frozen
class Opcode:
    """One row of a protocol's opcode table; `decode` is None where only the daemon sends it."""

    value: int | str
    name: str
    sender: str
    decode: Decoder | None = None


@frozen(kw_only=True, eq=False)
class Wire:
    """How one protocol looks on the wire. It translates, and never decides."""

    name: str
    opcode_field: str
    opcodes: tuple[Opcode, ...]
    encoders: Mapping[type, Encoder]
    endings: Mapping[AnyCause, Ending]
    other: Decoder | None = None
    """Decodes string opcodes that stand in no table (discodo names its operations)."""
    before_identify: frozenset[int] | None = None
    """A client that sends any other opcode before it has identified is told so, whatever comes with it. None: any may
    be judged."""
    beats: bool = False
    """The daemon sends a heartbeat every interval."""
    beats_early: float = 0.0
    """Seconds before the interval is over, but at most a twentieth of it: a client may wait exactly that long."""
    probes: bool = False
    """The daemon asks for a heartbeat at one interval of silence."""
    answers_beats: bool = False
    """A client's heartbeat is nothing but the answer to the daemon's: it has read what was said before that."""
    shown: Callable[[e.Event, str], object] | None = None
    """Where an event looks different to some clients: its payload for a variant, in the place of a row of `encoders`.
    There may be as many variants as clients, and nothing is kept of any but `TEXT` and `ZLIB`."""
    number: bytes | None = None
    """Where clients see the sequence of each event: how its JSON object begins, as `b'{"s":%d,'`. The rest is encoded
    once, however many receive it."""
    any_message_is_life: bool = False
    binary: bool = False
    """JSON is taken in a binary message too."""
    goodbyes: frozenset[int] = frozenset({1000})
    """The close codes with which a client ends its session; any other leaves it to be resumed."""
    decoders: Mapping[int | str, Decoder] = field(init=False)

    # Of what never changes, by whether it is compressed: there may be a variant for each client.
    _fixed: dict[tuple[type, bool], bytes] = field(init=False, factory=dict)
    _keys: dict[str, tuple[str, str]] = field(init=False, factory=dict)

    @decoders.default
    def _decoders(self) -> Mapping[int | str, Decoder]:
        return {op.value: op.decode for op in self.opcodes if op.decode is not None}

    def beats_every(self, interval: float) -> float:
        """Seconds between two heartbeats of the daemon's."""
        return interval - min(self.beats_early, interval / 20)

    def may_precede_identify(self, payload: Mapping[str, Any]) -> bool:
        """Whether a faulty payload is judged though its client has not identified."""
        if self.before_identify is None or self.opcode_field not in payload:
            return True
        op = payload[self.opcode_field]
        return type(op) is int and op in self.before_identify

    def decode(self, payload: Mapping[str, Any]) -> e.ClientEvent:
        """One client payload as an event; `Disconnect` with its cause where it is none."""
        op = payload.get(self.opcode_field)
        # type(), not isinstance: True == 1 and 1.0 == 1, and neither is an opcode.
        if type(op) is int or type(op) is str:
            decoder = self.decoders.get(op)
            if decoder is not None:
                return decoder(payload)
            if self.other is not None and type(op) is str and all(op != known.value for known in self.opcodes):
                return self.other(payload)
        elif self.opcode_field not in payload:
            raise Disconnect(Cause.NO_OPCODE, f"no {self.opcode_field!r} in the payload")
        raise Disconnect(Cause.UNKNOWN_OPCODE)

    def encode(self, event: e.ServerEvent, variant: str, codec: Codec | None = None) -> bytes | None:
        """The frame for what we say, events apart; None where the protocol has no payload for it."""
        kind, compressed = type(event), variant == ZLIB
        fixed = self._fixed.get((kind, compressed)) if codec is None else None
        if fixed is not None:
            return fixed
        if type(event) is e.Problem:
            return encode(event.payload, variant, codec)
        encoder = self.encoders.get(kind)
        if encoder is not None and not callable(encoder):
            made = encode(encoder, variant, codec)
            if codec is None:
                self._fixed[kind, compressed] = made
            return made
        payload = encoder(event) if encoder is not None else None
        return None if payload is None else encode(payload, variant, codec)

    def own(self, codec: Codec | None) -> bool:
        """Whether frames are each client's own: what is found in `Event.frames` is then no more than their JSON."""
        return self.number is not None or codec is not None

    def key(self, variant: str, *, own: bool = False) -> tuple[str, str]:
        """Under which an event's frame, or its JSON, is in `Event.frames`; one value for all connections."""
        kind = f"{variant if self.shown is not None else ''} own" if own else variant
        return self._keys.setdefault(kind, (self.name, kind)) if variant in SHARED else (self.name, kind)

    def make(self, event: e.Event, variant: str, *, own: bool) -> bytes:
        """What is the same for all clients of a variant, made once however many receive it."""
        if self.shown is not None:
            payload = self.shown(event, variant)
        else:
            encoder = self.encoders[e.Event]
            assert callable(encoder)
            payload = encoder(event)
        made = json(payload) if own else encode(payload, variant)
        if self.number is not None:
            made = made[1:]  # `number` goes before it, with its own "{"
        if variant in SHARED:
            event.frames[self.key(variant, own=own)] = made
        return made

    def finish(self, made: bytes, variant: str, sequence: int, codec: Codec | None) -> bytes:
        """One client's own frame, of what is the same for all."""
        if self.number is not None:
            made = self.number % sequence + made
        return frame(made) if codec is None and variant != ZLIB else packed(made, variant, codec)

    def frame(self, event: e.Event, variant: str, sequence: int = 0, codec: Codec | None = None) -> bytes:
        """The frame of an event for one client."""
        own = self.own(codec)
        made = event.frames.get(self.key(variant, own=own)) or self.make(event, variant, own=own)
        return self.finish(made, variant, sequence, codec) if own else made

    def ending(self, cause: AnyCause) -> Ending:
        """The cell of the causes table; a cause that has none here ends as a fault of ours would."""
        found = self.endings.get(cause) or self.endings.get(LIKE.get(cause, cause))
        return found or COMMON_ENDINGS.get(cause) or Ending(1008)


_decode_json = msgspec.json.Decoder().decode


def loads(message: str | bytes, *, binary: bool = False) -> dict[str, Any]:
    """A client's message as a JSON object; what is `binary` only where that is allowed. NaN, 1e999, lone surrogates and
    deep nesting are refused.
    """
    if not isinstance(message, str):
        if not binary:
            raise Disconnect(Cause.NOT_JSON, "expected JSON text, got a binary message")
        try:
            message = message.decode()
        except UnicodeDecodeError:
            raise Disconnect(Cause.NOT_JSON, "not JSON: its bytes are not UTF-8") from None
    if len(message) > SHALLOW and too_deep(message):
        raise Disconnect(Cause.INVALID_PAYLOAD, TOO_DEEP)
    try:
        payload = _decode_json(message)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise Disconnect(Cause.NOT_JSON, f"not JSON: {exc}") from None
    except RecursionError:
        raise Disconnect(Cause.NOT_JSON, "not JSON: its brackets do not match") from None
    if type(payload) is not dict:
        raise Disconnect(Cause.INVALID_PAYLOAD, "a payload must be a JSON object")
    return payload


LONGEST_LINK = 2048
"""Characters of a URL that is kept."""
FIGURE = 2**63
"""A number that is kept or summed is at least 0 and less than this: JSON may write thousands of digits."""


def need(data: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]], *, figures: bool = False) -> None:
    """Demand fields of given JSON types, all mistakes at once; `bool` is no number. `figures` are numbers in `FIGURE`.

    Raises `Disconnect(INVALID_PAYLOAD)` with parallel `errors` ("Type not provided.") and `data` (what stood there).
    """
    errors, values = [], []
    for name, kinds in fields.items():
        value: Any = data.get(name)
        if type(value) in kinds and (value is not None or name in data) and not (figures and not 0 <= value < FIGURE):
            continue
        label = name[:1].upper() + name[1:]
        if name not in data or value is None:
            errors.append(f"{label} not provided.")
        elif type(value) not in kinds:
            errors.append(f"{label} is of the wrong type.")
        else:
            errors.append(f"{label} is out of range.")
        values.append(value)
    if errors:
        raise Disconnect(Cause.INVALID_PAYLOAD, " ".join(errors), errors=tuple(errors), data=tuple(values))
