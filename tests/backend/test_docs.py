"""The examples of docs/backend.md: each protocol's is run as it stands, through the daemon's own parts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from websockets.sync.client import connect

from gatewayd.backend.lifecycle import MemoryQueue, Recorder
from gatewayd.backend.service import Service
from gatewayd.config.backend import BackendConfig
from gatewayd.core.events import Command
from gatewayd.hub.effects import apply
from gatewayd.protocols.registry import PROTOCOLS
from gatewayd.webhook.signature import sign
from tests.daemon.test_run import CONFIG, identify, running
from tests.playbook import Person, Playbook
from tests.server import free_port

DOCS = Path(__file__).parents[2] / "docs" / "backend.md"
COMMON, *SECTIONS = re.split(r"^### (?=\w+$)", DOCS.read_text(), flags=re.MULTILINE)
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
SERVER, *BLOCKS = BLOCK.findall(COMMON)
OF_A_PROTOCOL = {section.split("\n", 1)[0]: BLOCK.findall(section) for section in SECTIONS}


def examples(protocol: str = "") -> dict[str, Any]:
    """What the examples define: those for all, and those of a protocol."""
    names: dict[str, Any] = {}
    for block in [*BLOCKS, *OF_A_PROTOCOL.get(protocol, ())]:
        exec(block, names)  # noqa: S102, RUF100 - our own pages
    return names


def test_there_is_one_for_each_protocol() -> None:
    assert set(OF_A_PROTOCOL) == set(PROTOCOLS)
    assert all(OF_A_PROTOCOL.values())


async def served(nursery: trio.Nursery, protocol: str, **more: Any) -> Playbook:
    app = examples(protocol)["app"]
    config, queue = BackendConfig(handlers="a:b"), MemoryQueue(10)
    talk = Playbook(PROTOCOLS[protocol], observers=[Recorder(queue, config.lifecycle.names)], **more)
    service = Service(config, partial(apply, talk.hub), node=talk.hub, app=app, queue=queue)
    await nursery.start(service.run)
    talk.ask = service.ask
    return talk


async def command(talk: Playbook, person: Person, op: int | str, name: str, data: Any) -> list[Any]:
    person.heard()
    await talk.behaviour.command(person.connection, person.session, Command(op, name, data))
    return person.heard()


def test_the_whole_backend(tmp_path: Path) -> None:
    port, bind = free_port(), f"127.0.0.1:{free_port()}"
    config = tmp_path / "gatewayd.toml"
    config.write_text(
        CONFIG.format(admin=tmp_path / "admin.sock", bind=bind) + f'[backend]\nurl = "http://127.0.0.1:{port}/"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER.replace("8000", str(port))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        with running("--config", config) as daemon:
            with connect(f"ws://{bind}", proxy=None) as bot:
                identify(bot)
                assert process.stdout is not None
                assert process.stdout.readline() == "a opened \n"  # sent again until the backend was there
                bot.send('{"op": 1, "t": "whoami", "d": {}}')
                assert json.loads(bot.recv(5)) == {"op": 0, "t": "whoami", "d": {"id": "a"}}
            assert process.stdout.readline() == "a ended client_closed\n"
            daemon.stop()
    finally:
        process.kill()
        process.communicate()


async def test_utilbot(nursery: trio.Nursery) -> None:
    talk = await served(nursery, "utilbot")
    bot = talk.connect()
    bot.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "my-bot"}})
    assert await command(talk, bot, 1, "whoami", {}) == [{"op": 0, "t": "whoami", "d": {"id": "my-bot", "type": "bot"}}]


async def test_discodo(nursery: trio.Nursery) -> None:
    talk = await served(nursery, "discodo")
    node = talk.connect("/ws", headers={"authorization": "s3cret"})
    node.say({"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}})
    assert await command(talk, node, "putSource", "putSource", {"guild_id": "3"}) == [
        {"op": "putSource", "d": {"guild_id": "3", "index": 0}},
        {"op": "SOURCE_START", "d": {"guild_id": "3"}},
    ]


async def test_dmod(nursery: trio.Nursery) -> None:
    talk = await served(nursery, "dmod")
    page = talk.connect()
    page.say({"op": 1, "d": {"token": "user-token", "uid": "000"}})
    data = {"guild": {"id": "123467", "count": 100}, "user": {"id": "000"}}
    assert await command(talk, page, 6, "CONNECT_GUILD", {"token": "guild-token", "gid": "123467"}) == [
        {"op": 7, "t": None, "d": {"for": "CONNECT_GUILD", "data": data}}
    ]


async def test_rooms(nursery: trio.Nursery) -> None:
    talk = await served(nursery, "rooms", options={"ad_hoc": True})
    ann = talk.connect("/gateway", {"roomId": "42", "participantId": "ann", "token": "s3cret"})
    await wait_all_tasks_blocked()
    assert [payload["d"].get("content") for payload in ann.heard()] == [None, "ann is here"]


async def test_oxyl(nursery: trio.Nursery) -> None:
    talk = await served(nursery, "oxyl")
    panel, sharder = talk.connect(), talk.connect()
    for service, kind in ((panel, "panel"), (sharder, "sharder")):
        service.say({"op": 0, "d": {"type": kind, "compress": False, "secret": "s3cret"}})
    panel.heard()
    sharder.say({"op": 99})
    with trio.fail_after(5):
        while not (heard := panel.heard()):
            await trio.sleep(0.01)
    assert heard == [{"op": 2, "t": "SHARDER_GONE", "d": {"shards": [0]}}]


async def test_discord(nursery: trio.Nursery) -> None:
    talk = await served(nursery, "discord")
    bot = talk.connect()
    bot.say({"op": 2, "d": {"token": "s3cret", "intents": 1, "properties": {}}})
    await wait_all_tasks_blocked()
    _, ready, guild = bot.heard()
    assert (ready["t"], guild["t"], guild["d"]["id"]) == ("READY", "GUILD_CREATE", "41")
    asked = {"guild_id": "41", "query": "", "limit": 0}
    chunk = {"guild_id": "41", "members": [], "chunk_index": 0, "chunk_count": 1, "nonce": None}
    assert await command(talk, bot, 8, "REQUEST_GUILD_MEMBERS", asked) == [
        {"op": 0, "s": 3, "t": "GUILD_MEMBERS_CHUNK", "d": chunk}
    ]


@pytest.mark.parametrize(
    ("secret", "shift", "fine"), [("s", 0, True), ("x", 0, False), ("s", -400, False), ("s", 400, False)]
)
def test_the_check_of_a_signature(secret: str, shift: int, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001, RUF100
    names = examples()
    monkeypatch.setattr(names["time"], "time", lambda: 1000.0 + shift)
    headers = {"X-Gatewayd-Timestamp": "1000", "X-Gatewayd-Signature": sign(secret, 1000, b"body")}
    assert names["is_ours"]("s", headers, b"body") is fine
