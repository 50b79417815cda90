"""Two daemons on one port: what docs/systemd.md says that they share, and what they do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.daemon.test_run import CONFIG, finished, identify, running
from tests.server import free_port

CLIENTS = 40
"""The kernel spreads them by their ports: that all come to one daemon, one run in 10^11 would see."""


class Pair:
    """The admin APIs of both, and their port."""

    def __init__(self, sockets: list[Path], port: int) -> None:
        self.port = port
        self.admins = [
            httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://gatewayd") for path in sockets
        ]

    def status(self) -> list[int]:
        """How many sessions each has."""
        return [admin.get("/v1/status").json()["sessions"]["total"] for admin in self.admins]

    def publish(self, channel: str) -> list[int]:
        """An event to both; how many sessions of each have got it."""
        event = {"channel": channel, "event": "HELLO", "data": {}}
        return [admin.post("/v1/publish", json=event).json()["delivered"] for admin in self.admins]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    port, paths = free_port(), list[Path]()
    with ExitStack() as stack:
        for name in ("one", "two"):
            paths.append(tmp_path / f"{name}.sock")
            config = tmp_path / f"{name}.toml"
            text = CONFIG.format(admin=paths[-1], bind=f"127.0.0.1:{port}") + "reuse_port = true\n"
            config.write_text(f'[gateway]\nstate_dir = "{tmp_path / name}"\n{text}')
            stack.enter_context(running("--config", config))
        found = Pair(paths, port)
        for admin in found.admins:
            stack.enter_context(admin)
        yield found


@contextmanager
def bot(pair: Pair, name: str) -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
    """A client, and what its identify was answered by."""
    with connect(f"ws://127.0.0.1:{pair.port}/", proxy=None) as client:
        yield client, identify(client, name)


def test_each_has_its_own_clients_and_both_hear_what_is_published_to_both(pair: Pair) -> None:
    with ExitStack() as stack:
        bots = [stack.enter_context(bot(pair, f"bot{number}"))[0] for number in range(CLIENTS)]
        shares = pair.status()
        assert sum(shares) == CLIENTS
        assert all(shares)
        assert pair.publish("service:bot") == shares
        assert [json.loads(client.recv(5))["t"] for client in bots] == ["HELLO"] * CLIENTS
        for client in bots:  # once, and not by both
            with pytest.raises(TimeoutError):
                client.recv(0)


def test_an_identity_is_unique_to_each_and_a_session_is_unknown_to_the_other(pair: Pair) -> None:
    with ExitStack() as stack:
        answers = [stack.enter_context(bot(pair, "same"))[1].get("t") for _ in range(CLIENTS)]
        assert answers.count("bot_connect_success") == 2
        assert pair.status() == [1, 1]


def test_a_state_dir_is_one_daemons_alone(pair: Pair, tmp_path: Path) -> None:
    third = tmp_path / "third.toml"
    third.write_text((tmp_path / "two.toml").read_text().replace("two.sock", "third.sock"))
    code, _, err = finished("run", "--config", third)
    assert code == 1
    assert str(tmp_path / "two") in err


def test_a_port_is_shared_only_if_both_want_it(pair: Pair, tmp_path: Path) -> None:
    third = tmp_path / "third.toml"
    third.write_text(CONFIG.format(admin=tmp_path / "third.sock", bind=f"127.0.0.1:{pair.port}"))
    code, _, err = finished("run", "--config", third)
    assert code == 1
    assert f"127.0.0.1:{pair.port}" in err
