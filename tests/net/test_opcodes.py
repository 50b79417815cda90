"""Every opcode of every protocol, in both directions, over a real WebSocket."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from gatewayd.protocols.registry import PROTOCOLS
from tests.net.test_causes import IDENTIFY, OPTIONS, PATHS, headers
from tests.server import client, serving

COMMAND = {
    "command": "ban",
    "raw": "minemidnight#0001 spamming -t 5h",
    "ids": {"message": "1", "author": "2", "channel": "3", "guild": "4", "shard": 1},
}
APPLICATION = {"uid": "000", "gid": "0001", "utokh": "user-token", "uhash": ""}
SAID: dict[str, list[Any]] = {
    "oxyl": [
        {"op": 0, "d": {"type": "sharder", "compress": False, "secret": "s3cret"}},
        {"op": 1, "d": {"heapUsed": 5, "guilds": 1}},
        {"op": 2, "t": "EXECUTE_COMMAND", "d": COMMAND},
        {"op": 5, "d": {"type": "guild", "id": "7"}},
    ],
    "rooms": [{"e": 1, "d": {}}, {"e": 2, "d": {}}],
    "dmod": [
        {"op": 1, "d": {"token": "user-token", "uid": "000"}},
        {"op": 4, "t": None, "d": None},
        {"op": 6, "cmd": "CONNECT_GUILD", "d": {"token": "guild-token", "gid": "123467"}},
        {"op": 6, "cmd": "DESCONNECT_GUILD", "d": {"gid": "123467"}},
        {"op": 7, "cmd": "APPLICATION_SESSION", "d": APPLICATION},
        {"op": 7, "cmd": "APPLICATION_SESSION_REAUTH", "d": {"utokh": "user-token", "uhash": "", "pm": "64"}},
        {"op": 7, "cmd": "APPLICATION_SESSION_END", "d": {"gid": "0001"}},
    ],
    "discodo": [
        {"op": "HEARTBEAT", "d": 0},
        {"op": "GET_STATUS"},
        {"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}},
        {"op": "DISCORD_EVENT", "d": {"t": "VOICE_SERVER_UPDATE", "d": {"guild_id": "7"}}},
        {
            "op": "DISCORD_EVENT",
            "d": {"t": "VOICE_STATE_UPDATE", "d": {"user_id": "a", "guild_id": "7", "channel_id": "8"}},
        },
        {"op": "VC_DESTROY", "d": {"guild_id": "7"}},
    ],
    "utilbot": [
        {"op": 10},
        {"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}},
        {"op": 1, "t": "send_servers", "d": {"guilds": 1000, "guildMembers": 55555, "cachedGuildMembers": 32000}},
    ],
    "discord": [
        {"op": 1, "d": None},
        {"op": 6, "d": {"token": "s3cret", "session_id": "none", "seq": 1}},
        {"op": 2, "d": {"token": "s3cret", "intents": 0}},
        *({"op": op, "d": {}} for op in (3, 4, 8, 31)),
    ],
}
PUBLISHED: dict[str, list[tuple[str, str, Any]]] = {
    "oxyl": [("service:sharder", "NEWS", {})],
    "rooms": [
        ("room:42", "message_create", {"authorId": "7", "content": "hi", "sentAt": 1}),
        ("room:42", "room_update", {"chatLocked": True}),
        ("room:42", "participant_update", {"userId": "7", "admin": True}),
        ("room:42", "participant_kick", {"userId": "8"}),
    ],
    "dmod": [("user:000", "GUILD_PRIVILEGE_UPDATE", {"id": "000", "permissions": "0"})],
    "discodo": [],
    "utilbot": [],
    "discord": [],
}
ONLY_ELSEWHERE: dict[str, set[Any]] = {
    "discodo": {"FORBIDDEN", "RESUMED"},  # a wrong password and a second connection: below
    "utilbot": {-1},  # an error, which is the end: below
    "discord": {7},  # the end: test_causes.py
}


@pytest.mark.parametrize("name", list(PROTOCOLS))
async def test_every_opcode_in_both_directions(name: str) -> None:
    wire = PROTOCOLS[name].wire
    field = wire.opcode_field
    # A short interval, so that the server's own heartbeats and probes come within the test.
    async with serving(PROTOCOLS[name], options=OPTIONS.get(name), interval=0.05, patience=30.0) as served:
        async with client(served, PATHS.get(name, "/"), **headers(name)) as person:
            owed = {op.value for op in wire.opcodes if op.sender != "client"} - ONLY_ELSEWHERE.get(name, set())
            heard = {json.loads(await person.recv())[field]}
            for payload in SAID[name]:
                await person.send(json.dumps(payload))
            spoken = {payload[field] for payload in SAID[name]}
            assert spoken >= {op.value for op in wire.opcodes if op.decode is not None}
            published = False
            while owed - heard:
                message = await person.recv()
                payload = json.loads(zlib.decompress(message) if isinstance(message, bytes) else message)
                heard.add(payload[field])
                if name == "rooms" and owed - heard == {7}:  # the one that ends it
                    served.hub.post("room:42", "room_close", {})
                if not published and any(s.channels for s in served.hub.sessions.values()):
                    published = True
                    for channel, event, data in PUBLISHED[name]:
                        served.hub.post(channel, event, data)
        assert served.hub.realms.make("main").documents.get("guild:7") == ({"id": "7"} if name == "oxyl" else None)


async def test_the_ones_that_need_another_connection() -> None:
    async with serving(PROTOCOLS["discodo"]) as served:
        async with client(served, "/ws") as stranger:
            assert json.loads(await stranger.recv())["op"] == "FORBIDDEN"
        for answer in ("IDENTIFIED", "RESUMED"):
            async with client(served, "/ws", **headers("discodo")) as node:
                await node.recv()
                await node.send(json.dumps(IDENTIFY["discodo"]))
                assert json.loads(await node.recv())["op"] == answer
                await node.send(json.dumps(IDENTIFY["discodo"]))  # forgiven, and answered
                assert "ALREADY_IDENTIFIED" in json.loads(await node.recv())["d"]["traceback"]
    async with serving(PROTOCOLS["utilbot"]) as served, client(served) as bot:
        await bot.recv()
        await bot.send(json.dumps({"op": 1, "t": "unheard", "d": {}}))  # ignored before identify
        await bot.send(json.dumps({"op": 1, "t": "identify", "d": {}}))
        error = json.loads(await bot.recv())
        assert (error["op"], error["e"]) == (-1, 4005)
        assert error["d"] == {"errors": ["Type not provided.", "Key not provided."], "data": [None, None]}
