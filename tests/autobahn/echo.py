"""Our own transport as an echo server: a protocol with no payloads, which says again whatever it hears.

`python -m tests.autobahn.echo` prints its URL on one line, and serves until it is interrupted. All of gatewayd/net is
under it; only what a client does is replaced, since that is about JSON. Bounds that the suite is meant to exceed
(message size, fragments of a message, bytes of a stranger) are lifted.
"""

from __future__ import annotations

import contextlib
import math

import trio

from gatewayd.config.limits import ClientLimits, NetLimits
from gatewayd.core.behaviour import Behaviour
from gatewayd.core.protocol import Protocol, Timing
from gatewayd.core.quota import Intake
from gatewayd.core.wire import Wire
from gatewayd.net.client import Client
from tests.server import serving

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
UNBOUNDED = 1 << 50
"""Bytes and messages: nobody identifies here, and group 9 sends as fast as it can."""
MAX_FRAGMENTS = 1 << 20
"""Group 9 sends 4 MiB in fragments of 64 bytes."""


class Options:
    """It has none."""


class Echo(Behaviour[Options]):
    """It decides nothing."""


def frame(message: str | bytes) -> bytes:
    """One unmasked frame (RFC 6455 §5.2)."""
    opcode, payload = (1, message.encode()) if isinstance(message, str) else (2, message)
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes((0x80 | opcode,)) + length + payload


class EchoClient(Client):
    """Says each message again, text as text and binary as binary."""

    __slots__ = ()

    def on_message(self, message: str | bytes) -> None:
        self.connection.outbox.push(frame(message), trio.current_time(), free=True)


PROTOCOL = Protocol(
    name="echo",
    wire=Wire(name="echo", opcode_field="", opcodes=(), encoders={}, endings={}),
    timing=Timing(interval=3600.0, patience=lambda i: math.inf, identify_timeout=None, resume_window=1.0),
    options=Options,
    behaviour=Echo,
)


async def main() -> None:
    """Serve on a free loopback port."""
    limits = NetLimits(client=ClientLimits(fragments=MAX_FRAGMENTS))
    async with serving(
        PROTOCOL, limits=limits, new_client=EchoClient, max_message_bytes=MAX_MESSAGE_BYTES, outbox_age=math.inf,
        unidentified_messages=UNBOUNDED, intake=Intake(UNBOUNDED, UNBOUNDED, UNBOUNDED),
    ) as served:  # fmt: skip
        print(served.url(), flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(main)
