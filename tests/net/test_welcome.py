"""The answer to identify over a real socket: what was missed may be larger than any outbox."""

from __future__ import annotations

import pytest

from gatewayd.protocols import discodo, dmod
from tests.net.test_causes import headers
from tests.server import client, hear, say, serving


async def test_a_user_with_megabytes_of_notifications_logs_in() -> None:
    """60 of 20 KB were enough: it was cut off as a slow consumer at every login."""
    async with serving(dmod.PROTOCOL, outbox_bytes=65536) as served:
        for number in range(60):
            served.hub.notify("000", [number, "x" * 60_000])
        async with client(served, max_size=None) as page:
            assert (await hear(page))["op"] == 0
            await say(page, {"op": 1, "d": {"token": "user-token", "uid": "000"}})
            passed = await hear(page)
            assert [number for number, _ in passed["d"]["missed_notifications"]] == list(range(60))
            served.hub.post("user:000", "X", 1)
            assert (await hear(page))["ev"] == "X"


@pytest.mark.parametrize("outbox", [600, 65536])
async def test_a_client_with_many_voice_clients_resumes(outbox: int) -> None:
    login = {"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}}
    async with serving(discodo.PROTOCOL, outbox_bytes=outbox) as served:
        for resumed in (False, True):
            async with client(served, "/ws", **headers("discodo")) as node:
                assert (await hear(node))["op"] == "HELLO"
                await say(node, login)
                answer = await hear(node)
                if resumed:
                    assert len(answer["d"]["voice_clients"]) == 200
                    continue
                for number in range(200):
                    update = {"t": "VOICE_SERVER_UPDATE", "d": {"guild_id": f"guild-{number}"}}
                    await say(node, {"op": "DISCORD_EVENT", "d": update})
                    assert (await hear(node))["op"] == "VC_CREATED"
