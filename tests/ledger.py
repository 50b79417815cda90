"""A trial protocol, as somebody else would write it: `ledger`, entries that no client may miss without being told.

server {"type": "hello", "every": seconds}
client {"type": "hi", "name": .., "token": ..}            or, to go on: {.., "seq": the newest entry that it has}
server {"type": "welcome", "back": bool, "gap": {reason: count}}
client {"type": "beat", "seq": the newest entry that it has} -> {"type": "beaten"}
server {"seq": 7, "type": "entry", "d": ..}               from channel `book:<name>`

Its clients see the sequence of each event, acknowledge with their heartbeats, and resume from their own cursor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Behaviour, Claim
from gatewayd.core.close import Cause, Disconnect, Ending
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.rate import Rate
from gatewayd.core.retention import Policy, Retention
from gatewayd.core.wire import Opcode, Wire, need

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection

REFUSED = Ending(4400)


def _sequence(payload: Mapping[str, Any]) -> int | None:
    sequence = payload.get("seq")
    if sequence is not None and type(sequence) is not int:
        raise Disconnect(Cause.INVALID_PAYLOAD, "seq is a number")
    return sequence


def _welcome(ready: e.Ready) -> object:
    return {"type": "welcome", "back": ready.resumed, "gap": ready.gaps}


WIRE = Wire(
    name="ledger",
    opcode_field="type",
    opcodes=(
        Opcode("hello", "hello", "server"),
        Opcode("hi", "identify", "client", e.Identify),
        Opcode("welcome", "ready", "server"),
        Opcode("beat", "heartbeat", "client", lambda payload: e.Heartbeat(seen=_sequence(payload))),
        Opcode("beaten", "heartbeat acknowledgement", "server"),
        Opcode("entry", "event", "server"),
    ),
    encoders={
        e.Hello: lambda hello: {"type": "hello", "every": hello.interval},
        e.Ready: _welcome,
        e.BeatAck: {"type": "beaten"},
        e.Event: lambda event: {"type": event.name, "d": event.body},
    },
    endings={
        **dict.fromkeys(
            (Cause.NO_OPCODE, Cause.UNKNOWN_OPCODE, Cause.NOT_JSON, Cause.INVALID_PAYLOAD, Cause.NOT_IDENTIFIED),
            REFUSED,
        ),
        Cause.AUTH_FAILED: Ending(4401),
        Cause.HEARTBEAT_MISSED: Ending(4402),
        Cause.KICKED: Ending(4403),
        Cause.RATE_LIMITED: Ending(4404),
        Cause.INVALID_SEQUENCE: Ending(4407),
    },
    number=b'{"seq":%d,',
)


@frozen(kw_only=True)
class Options:
    """None."""


class Ledger(Behaviour[Options]):
    """Who is who; all else is given."""

    prefixes = ("book",)
    policy = Policy(Retention.ACKNOWLEDGED, acknowledges=True)

    async def identify(self, connection: Connection, identify: e.Identify) -> Admission:
        need(identify.claim, {"name": (str,), "token": (str,)})
        grant = await self.port.verify(Claim("secret", identify.claim["token"]), connection.address)
        if not grant:
            raise Disconnect(Cause.AUTH_FAILED)
        name, cursor = identify.claim["name"], _sequence(identify.claim)
        return Admission(identity=name, channels=(f"book:{name}",), grant=grant, cursor=cursor)


PROTOCOL = Protocol(
    name="ledger",
    wire=WIRE,
    timing=Timing(
        interval=10.0, patience=lambda i: i * 3, identify_timeout=5.0, resume_window=30.0, rate_limit=Rate(20, 10.0)
    ),
    options=Options,
    behaviour=Ledger,
)
