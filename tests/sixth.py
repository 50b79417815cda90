"""A sixth protocol, as somebody else would write it: `ticker`, prices by symbol. One file, and one line in a registry.

server {"type": "hello", "every": seconds}      client {"type": "hi", "name": .., "token": ..}
server {"type": "welcome", "back": bool}        client {"type": "beat"} -> {"type": "beaten"}
client {"type": "watch", "symbol": ..} -> {"type": "watching", "symbol": ..}
server {"type": "price", ..}                    from channel `symbol:<symbol>`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Behaviour, Claim
from gatewayd.core.close import Cause, Disconnect, Ending
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.rate import Rate
from gatewayd.core.wire import Opcode, Wire, need

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.session import Session

REFUSED = Ending(4400)

WIRE = Wire(
    name="ticker",
    opcode_field="type",
    opcodes=(
        Opcode("hello", "hello", "server"),
        Opcode("hi", "identify", "client", e.Identify),
        Opcode("welcome", "ready", "server"),
        Opcode("beat", "heartbeat", "client", lambda payload: e.Heartbeat()),
        Opcode("beaten", "heartbeat acknowledgement", "server"),
        Opcode("watch", "subscribe", "client", lambda payload: e.Command("watch", "watch", payload.get("symbol"))),
        Opcode("watching", "subscribed", "server"),
        Opcode("price", "event", "server"),
    ),
    encoders={
        e.Hello: lambda hello: {"type": "hello", "every": hello.interval},
        e.Ready: lambda ready: {"type": "welcome", "back": ready.resumed},
        e.BeatAck: {"type": "beaten"},
        e.Reply: lambda reply: {"type": "watching", "symbol": reply.data},
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
    },
)


@frozen(kw_only=True)
class Options:
    """`most`: symbols that one session may watch."""

    most: int = 3


class Ticker(Behaviour[Options]):
    """Who is who, and who watches what; all else is given."""

    own = ("symbols",)

    async def identify(self, connection: Connection, identify: e.Identify) -> Admission:
        need(identify.claim, {"name": (str,), "token": (str,)})
        grant = await self.port.verify(Claim("secret", identify.claim["token"]), connection.address)
        if not grant:
            raise Disconnect(Cause.AUTH_FAILED)
        return Admission(identity=identify.claim["name"], grant=grant)

    async def command(self, connection: Connection, session: Session | None, command: e.Command) -> None:
        assert session is not None
        watched: list[Any] = session.metadata.setdefault("symbols", [])
        if type(command.data) is not str or len(watched) >= self.options.most:
            raise Disconnect(Cause.INVALID_PAYLOAD, f"a symbol is a string, and there are at most {self.options.most}")
        watched.append(command.data)
        self.port.subscribe(session, f"symbol:{command.data}")
        self.reply(connection, command, command.data)


PROTOCOL = Protocol(
    name="ticker",
    wire=WIRE,
    timing=Timing(
        interval=10.0, patience=lambda i: i * 3, identify_timeout=5.0, resume_window=30.0, rate_limit=Rate(20, 10.0)
    ),
    options=Options,
    behaviour=Ticker,
)
