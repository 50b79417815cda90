"""The Discord bot of examples/: what the script publishes arrives, and so does what a bot says. discord.py itself runs in tests/clients."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest
from attrs import define, field
from websockets.sync.client import ClientConnection, connect

from gatewayd.config.embedded import BOT, FIRST_PORT, NAMES
from tests.daemon.test_run import running
from tests.server import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "discord"
PORT = FIRST_PORT + NAMES.index("discord")
EVENTS = {path.stem: json.loads(path.read_text()) for path in (EXAMPLE / "events").glob("*.json")}
TOKEN = "MTAw.for-development"
ALL_INTENTS = (1 << 26) - 1


@define
class Site:
    """The example's daemon, on ports of its own."""

    folder: Path
    port: int = field(factory=free_port)
    rest: int = field(factory=free_port)

    def configured(self) -> Path:
        text = (EXAMPLE / "gatewayd.toml").read_text()
        changes = ((f":{PORT}", f":{self.port}"), (":8000", f":{self.rest}"), ('"data"', f'"{self.folder}/data"'))
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.folder / "gatewayd.toml"
        path.write_text(text + f'\n[admin]\nsocket = "{self.folder}/admin.sock"\n')
        return path

    @contextmanager
    def playing(self) -> Iterator[None]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where pip puts gatewayctl
        socket = str(self.folder / "admin.sock")
        environ = {**os.environ, "PATH": path, "GATEWAYD_SOCKET": socket, "PLAY_PORT": str(self.rest)}
        with subprocess.Popen(
            [sys.executable, str(EXAMPLE / "play.py"), "0"], env=environ, stdout=DEVNULL, stderr=DEVNULL
        ) as process:
            try:
                yield
            finally:
                process.kill()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """What a library gets for a REST call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection):
            connection.request(method, f"/api/v10{path}", json.dumps(body), {"Authorization": f"Bot {TOKEN}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with running("--config", site.configured()):
        yield site


def heard(bot: ClientConnection) -> Any:
    return json.loads(bot.recv(10))


def said(bot: ClientConnection, op: int, **data: Any) -> Any:
    """The answer to a payload with the token."""
    assert heard(bot)["op"] == 10
    bot.send(json.dumps({"op": op, "d": {"token": TOKEN, **data}}))
    return heard(bot)


def test_what_is_played_arrives_and_comes_again_to_who_has_not_read_it(site: Site) -> None:
    url = f"ws://127.0.0.1:{site.port}/?v=10&encoding=json"
    with connect(url, proxy=None, close_timeout=1) as bot:
        ready = said(bot, 2, intents=ALL_INTENTS, properties={})
        assert (ready["t"], ready["d"]["user"]["id"]) == ("READY", BOT)
        with site.playing():
            played = [heard(bot) for _ in EVENTS]
            assert [event["s"] for event in played] == list(range(2, 2 + len(EVENTS)))
            assert {event["t"]: event["d"] for event in played} == EVENTS

            messages = "/channels/800000000000000042/messages"
            status, message = site.ask("POST", messages, {"content": "hello, Ann"})
            assert (status, message["content"], message["author"]["id"]) == (200, "hello, Ann", BOT)
            assert heard(bot) == {"op": 0, "s": 2 + len(EVENTS), "t": "MESSAGE_CREATE", "d": message}
            assert site.ask("GET", messages)[0] == 404
        bot.socket.close()  # no goodbye
    with connect(url, proxy=None, close_timeout=1) as bot:
        again = [said(bot, 6, session_id=ready["d"]["session_id"], seq=3), *(heard(bot) for _ in played[3:])]
        assert again == played[2:]
        assert [heard(bot)["t"] for _ in range(2)] == ["MESSAGE_CREATE", "RESUMED"]


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
