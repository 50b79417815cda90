"""The daemon with auth by tokens and by a backend: who comes in, what they get, how it ends, what is counted."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from gatewayd.config.load import parse
from gatewayd.core.backlog import Backlog
from gatewayd.core.behaviour import Claim, Grant
from gatewayd.core.session import Session
from gatewayd.daemon.build import build
from gatewayd.hub.grants import LOGIN_EXPIRED, settle
from gatewayd.protocols.registry import PROTOCOLS
from tests.backend.answers import Backend, backend, say
from tests.daemon.test_run import Running, finished, running
from tests.playbook import make_calls
from tests.server import free_port
from tests.tokens import pem, token

CONFIG = """
[admin]
socket = "{admin}"
[auth.signed]
kind = "jwt"
key_file = "{key}"
audience = "gatewayd"
[auth.application]
kind = "http"
url = "{url}"
secret = "hush-hush"
timeout = "2s"
[[listeners]]
name = "pages"
protocol = "dmod"
bind = "127.0.0.1:{pages}"
auth = "signed"
[[listeners]]
name = "bots"
protocol = "utilbot"
bind = "127.0.0.1:{bots}"
auth = "application"
"""


class Place:
    """A running daemon and the backend that it asks."""

    def __init__(self, daemon: Running, app: Backend, ports: dict[str, int], admin: Path) -> None:
        self.daemon = daemon
        self.app = app
        self.ports = ports
        self.admin = admin

    def status(self, path: str = "/v1/status") -> Any:
        connection = http.client.HTTPConnection("gatewayd", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.admin))
        connection.request("GET", path)
        try:
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    @contextmanager
    def page(self, text: str, uid: str = "7") -> Iterator[ClientConnection]:
        with connect(f"ws://127.0.0.1:{self.ports['pages']}/", proxy=None) as page:
            page.recv(5)
            page.send(json.dumps({"op": 1, "d": {"token": text, "uid": uid}}))
            yield page

    @contextmanager
    def bot(self) -> Iterator[ClientConnection]:
        with connect(f"ws://127.0.0.1:{self.ports['bots']}/", proxy=None) as bot:
            bot.recv(5)
            bot.send(json.dumps({"op": 1, "t": "identify", "d": {"type": "bot", "key": "t0ken", "id": "a"}}))
            yield bot


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    ports = {"pages": free_port(), "bots": free_port()}
    (tmp_path / "key.pem").write_text(pem("ES256"))
    config = tmp_path / "gatewayd.toml"
    with backend() as app:
        admin = tmp_path / "admin.sock"
        config.write_text(CONFIG.format(admin=admin, key=tmp_path / "key.pem", url=app.url, **ports))
        with running("--config", config) as daemon:
            yield Place(daemon, app, ports, admin)
            code, log = daemon.stop()
    assert code == 0
    assert "Traceback" not in log
    for secret in ("t0ken", "hush-hush", "eyJ"):
        assert secret not in log + daemon.table


def closed(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            client.recv(5)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def test_a_token_lets_its_subject_in_until_it_expires(place: Place) -> None:
    exp = int(time.time()) + 3
    good = token("ES256", sub="7", aud="gatewayd", channels=["news"], metadata={"plan": "gold"}, exp=exp)
    with place.page(good) as page:
        assert json.loads(page.recv(5))["op"] == 2
        (row,) = place.status("/v1/sessions")["sessions"]
        shown = place.status(f"/v1/sessions/{row['id']}")
        assert "news" in shown["channels"]
        assert shown["metadata"] == {"uid": "7", "plan": "gold"}
        assert 0 < shown["login_expires_in"] <= 3
        with place.page(good, "8") as other:
            assert closed(other) == (1000, "Invalid token")
        assert closed(page) == (1000, "Invalid token")
    assert time.time() > exp - 1
    time.sleep(max(0.0, exp - time.time()))  # the end counts from the turn of the loop that judged: it may be earlier
    with place.page(good) as late:
        assert closed(late) == (1000, "Invalid token")
    counts = place.status()["auth"]["signed"]
    assert counts == {"kind": "jwt", "granted": 1, "refused": {"wrong subject": 1, "expired": 1}, "failed": {}}


def test_the_backend_is_asked_and_asked_again(place: Place) -> None:
    place.app.answer = say({"allow": True, "channels": ["news"], "expires_in": 0.1})
    with place.bot() as bot:
        assert json.loads(bot.recv(5))["t"] == "bot_connect_success"
        first = place.app.question()
        assert len(first.pop("id")) == 32
        assert first == {
            "kind": "secret", "token": "t0ken", "subject": "a", "listener": "bots", "protocol": "utilbot",
            "realm": "application",
            "extra": {"type": "bot"},
        }  # fmt: skip
        assert place.app.arrived.acquire(timeout=5)
        place.app.answer = say({"allow": False})
        assert closed(bot) == (4001, "the login has expired")
    again = place.app.question(-1)
    assert again.pop("id")
    assert again == first
    place.app.answer = say({}, 500)
    with place.bot() as bot:
        assert closed(bot) == (4001, "the key is wrong or expired")
    counts = place.status()["auth"]["application"]
    assert counts.pop("granted") >= 1
    assert counts == {
        "kind": "http", "refused": {"refused by the backend": 1}, "failed": {"wrong status": 1},
        "breaker": {"open": False, "opened": 0}, "cached": 0, "asking": 0,
    }  # fmt: skip


def test_a_bad_key_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("short\n")
    (tmp_path / "key.pem").chmod(0o600)
    config = tmp_path / "gatewayd.toml"
    config.write_text(CONFIG.format(admin=tmp_path / "a", key=tmp_path / "key.pem", url="x", pages=1, bots=2))
    code, _, err = finished("run", "--config", config)
    assert code == 2
    assert re.findall(r"toml:(\d+: [a-z.]+_file|\d+: [a-z.]+url)", err) == [
        "6: auth.signed.key_file",
        "10: auth.application.url",
    ]


async def test_a_fault_while_asking_again_ends_the_session_and_not_the_daemon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = '[[listeners]]\nname = "a"\nprotocol = "utilbot"\nbind = "127.0.0.1:0"\n'
    node = build(parse(text, "x", PROTOCOLS), PROTOCOLS)
    session = Session(
        id="s", listener="a", protocol="utilbot", realm="open", remote="", opened=trio.current_time(),
        opened_wall=0.0, backlog=Backlog(max_events=1, max_bytes=1), connection=None,
    )  # fmt: skip
    node.hub.sessions["s"] = session

    async def broken(claim: Claim, address: str | None) -> Grant:
        raise ZeroDivisionError

    node.hub.behaviours["a"].port.verify = broken  # type: ignore[method-assign]
    settle(
        node.hub, session, Grant(granted=True, claim=Claim("secret", "t0ken"), expires=0.0, given=trio.current_time())
    )
    make_calls(node.hub, trio.current_time())
    assert str(session.ended) == f"auth_failed: {LOGIN_EXPIRED}"
    assert node.hub.totals.faults == 1
    assert "t0ken" not in caplog.text
