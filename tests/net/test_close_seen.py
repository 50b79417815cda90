"""A close frame counts from the moment it is read: what is published in that very tick waits for the next client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from gatewayd.config.limits import ClientLimits
from gatewayd.core.close import AnyCause, Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.settings import Settings
from gatewayd.net.websocket import WebSocket
from gatewayd.protocols import utilbot
from tests.net.test_lanes import Said, frame

CLOSE = frame(8, (4000).to_bytes(2, "big") + b"bye")
TEXT = frame(1, b"{}")


class Poll:
    """Hands over one read, and notes how things stand before any task runs."""

    def __init__(self, data: bytes, connection: Connection) -> None:
        self.data = data
        self.connection = connection
        self.seen: list[AnyCause] | None = None

    async def read(self, on_data: Callable[[bytes], bool]) -> None:
        data, self.data = self.data, b""
        goes_on = on_data(data)
        if self.seen is None:
            verdict = self.connection.verdict
            self.seen = [] if verdict is None else [verdict.cause]
        await trio.lowlevel.checkpoint()
        assert not goes_on, "somebody has to deal with the close"


async def seen(data: bytes) -> tuple[list[AnyCause] | None, AnyCause]:
    """What was known of the end as soon as the bytes were read, and how it ended."""
    said: Any = Said()
    settings = Settings(interval=1.0, patience=1.0, identify_timeout=None, resume_window=0.0)
    connection = Connection(utilbot.WIRE, settings, trio.current_time())
    poll: Any = Poll(data, connection)
    socket = WebSocket(poll, said, connection, ClientLimits(), pipelined=b"", fast=True)
    async with trio.open_nursery() as nursery:
        with pytest.raises(Disconnect) as verdict:
            await socket.read(nursery, lambda message: None)
        nursery.cancel_scope.cancel()  # the library lives there, once it was asked
    return poll.seen, verdict.value.cause


@pytest.mark.parametrize("before", [b"", TEXT, TEXT * 3])
async def test_a_close_is_known_as_soon_as_it_is_read(before: bytes) -> None:
    assert await seen(before + CLOSE) == ([Cause.CLIENT_LEFT], Cause.CLIENT_LEFT)


async def test_half_of_a_close_is_none_yet() -> None:
    assert await seen(CLOSE[:-1]) == ([], Cause.PEER_GONE)


async def test_a_close_that_is_no_close_is_left_to_the_library() -> None:
    assert await seen(frame(8, (999).to_bytes(2, "big"))) == ([], Cause.PROTOCOL_ERROR)
