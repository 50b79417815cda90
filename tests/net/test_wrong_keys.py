"""Wrong keys over real sockets: whose they are taken for, and that whoever waits for its refusal holds nothing up."""

from __future__ import annotations

import pytest
import trio
from websockets.exceptions import InvalidStatus

from gatewayd.core.close import Cause, Disconnect
from gatewayd.protocols import rooms, utilbot
from tests.net.test_client import closed, identified
from tests.net.test_listener import answer, changed
from tests.server import client, hear, say, serving

WRONG = {"op": 1, "t": "identify", "d": {"type": "x", "key": "wrong"}}
ROOM = "/gateway?roomId=1&participantId=2&token="


async def test_an_address_is_the_peers_or_what_its_trusted_proxy_says() -> None:
    seen: list[str] = []

    async def note(address: str) -> None:
        seen.append(address)

    wrong = changed("GET /", f"GET {ROOM}wrong")
    forwarded = wrong.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 2001:db8::1\r\n\r\n")
    async with serving(rooms.PROTOCOL, hold_back=note) as served:
        for request in (wrong, forwarded):
            assert (await answer(served, request)).startswith(b"HTTP/1.1 403 ")
    assert seen == ["127.0.0.1", "127.0.0.1"]
    seen.clear()
    async with serving(rooms.PROTOCOL, hold_back=note, config={"trusted_proxies": ("127.0.0.1",)}) as served:
        for request in (wrong, forwarded):
            assert (await answer(served, request)).startswith(b"HTTP/1.1 403 ")
    assert seen == ["2001:db8::/64"]  # the proxy itself is never held back


async def test_the_eleventh_wrong_key_waits_and_a_right_one_does_not() -> None:
    async with serving(rooms.PROTOCOL, options={"ad_hoc": True}) as served:
        took = []
        for _ in range(12):
            began = trio.current_time()
            with pytest.raises(InvalidStatus, match="403"):
                async with client(served, f"{ROOM}wrong"):
                    pass
            took.append(trio.current_time() - began)
        assert took[10] > 0.1
        assert took[11] > 0.2
        began = trio.current_time()
        async with client(served, f"{ROOM}s3cret") as guest:
            await hear(guest)
            assert trio.current_time() - began < 0.4  # what the next wrong one would take


async def test_whoever_waits_for_its_refusal_is_no_hindrance_to_a_stop() -> None:
    async def forever(address: str) -> None:
        await trio.sleep_forever()

    async with serving(utilbot.PROTOCOL, hold_back=forever) as served:
        async with client(served) as rude, client(served) as polite:
            await identified(served, polite)
            await hear(rude)
            await say(rude, WRONG)
            await trio.sleep(0.05)
            assert served.gate.unidentified == 1
            await say(polite, {"op": 10})
            assert await hear(polite) == {"op": 11}
            for session in list(served.hub.sessions.values()):
                assert session.connection is not None
                session.connection.end(Disconnect(Cause.SHUTDOWN))
            assert (await closed(rude))[0] == 1001
