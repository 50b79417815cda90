"""The Discord bot of examples/: what the script publishes arrives. discord.py itself runs in tests/clients."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from gatewayd.config.embedded import BOT, FIRST_PORT, NAMES
from tests.daemon.test_run import running
from tests.server import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "discord"
PORT = FIRST_PORT + NAMES.index("discord")
EVENTS = {path.stem: json.loads(path.read_text()) for path in (EXAMPLE / "events").glob("*.json")}
TOKEN = "MTAw.for-development"
ALL_INTENTS = (1 << 26) - 1


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The example's daemon, on a port of its own."""
    port = free_port()
    text = (EXAMPLE / "gatewayd.toml").read_text()
    for old, new in ((f":{PORT}", f":{port}"), ('"data"', f'"{tmp_path}/data"')):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "gatewayd.toml"
    path.write_text(text + f'\n[admin]\nsocket = "{tmp_path}/admin.sock"\n')
    with running("--config", path):
        yield port


def play(folder: Path) -> list[str]:
    """What the script prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where pip puts gatewayctl
    environ = {**os.environ, "PATH": path, "GATEWAYD_SOCKET": str(folder / "admin.sock")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "play.py"), "0"],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def heard(bot: ClientConnection) -> Any:
    return json.loads(bot.recv(10))


def said(bot: ClientConnection, op: int, **data: Any) -> Any:
    """The answer to a payload with the token."""
    assert heard(bot)["op"] == 10
    bot.send(json.dumps({"op": op, "d": {"token": TOKEN, **data}}))
    return heard(bot)


def test_what_is_played_arrives_and_comes_again_to_who_has_not_read_it(port: int, tmp_path: Path) -> None:
    url = f"ws://127.0.0.1:{port}/?v=10&encoding=json"
    with connect(url, proxy=None, close_timeout=1) as bot:
        ready = said(bot, 2, intents=ALL_INTENTS, properties={})
        assert (ready["t"], ready["d"]["user"]["id"]) == ("READY", BOT)
        lines = play(tmp_path)
        played = [line.split()[4] for line in lines if line.startswith("$ ")]
        assert sorted(played) == sorted(EVENTS)
        assert sum(line.startswith("delivered 1, buffered 0, dropped 0") for line in lines) == len(played)
        expected = [{"op": 0, "s": place, "t": name, "d": EVENTS[name]} for place, name in enumerate(played, 2)]
        assert [heard(bot) for _ in played] == expected
        bot.socket.close()  # no goodbye
    with connect(url, proxy=None, close_timeout=1) as bot:
        again = said(bot, 6, session_id=ready["d"]["session_id"], seq=3)
        rest = [again, *(heard(bot) for _ in expected[3:])]
        assert rest == expected[2:]
        assert heard(bot)["t"] == "RESUMED"


def test_the_bot_connects_to_where_the_default_listens() -> None:
    text = (EXAMPLE / "bot.py").read_text()
    ast.parse(text)
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", text)) == {str(PORT)}
    assert TOKEN in text
    assert TOKEN in (EXAMPLE / "gatewayd.toml").read_text()


def test_the_guild_of_the_example_has_the_bot_of_its_token() -> None:
    guild = EVENTS["GUILD_CREATE"]
    assert BOT in {member["user"]["id"] for member in guild["members"]}
    assert {data["guild_id"] for data in EVENTS.values() if "guild_id" in data} == {guild["id"]}
