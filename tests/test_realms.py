"""Production and staging in one daemon, over real sockets, by the default that who shares secrets shares the world."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.daemon.test_run import running
from tests.server import free_port

CONFIG = '[admin]\nsocket = "{admin}"\n[api]\nbind = "127.0.0.1:{api}"\ntokens = [{{ name = "x", token = "t0ken", scopes = ["admin"] }}]\n'
TENANT = """
[auth.{name}]
kind = "static"
secrets = ["{name}"]
[[listeners]]
name = "{name}"
protocol = "oxyl"
bind = "127.0.0.1:{port}"
auth = "{name}"
"""
COMMAND = {
    "command": "ping", "raw": "!ping",
    "ids": {"message": "1", "author": "2", "channel": "3", "guild": "4", "shard": "0"},
}  # fmt: skip


@contextmanager
def service(port: int, secret: str, kind: str) -> Iterator[tuple[ClientConnection, Any]]:
    with connect(f"ws://127.0.0.1:{port}", proxy=None) as client:
        client.recv(5)
        client.send(json.dumps({"op": 0, "d": {"type": kind, "compress": False, "secret": secret}}))
        yield client, json.loads(client.recv(5))["d"]


def test_production_and_staging_do_not_hear_each_other(tmp_path: Path) -> None:
    api, prod, staging = free_port(), free_port(), free_port()
    path = tmp_path / "gatewayd.toml"
    tenants = TENANT.format(name="prod", port=prod) + TENANT.format(name="staging", port=staging)
    path.write_text(CONFIG.format(admin=tmp_path / "admin.sock", api=api) + tenants)

    def ask(method: str, url: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", api, timeout=10)
        connection.request(method, url, json.dumps(body), {"Authorization": "Bearer t0ken"})
        answer = connection.getresponse()
        said = answer.status, json.loads(answer.read())
        connection.close()
        return said

    with (
        running("--config", path) as daemon,
        service(staging, "staging", "commands") as (other, _),
        service(staging, "staging", "sharder") as (_, theirs),
        service(prod, "prod", "sharder") as (sharder, ours),
        service(prod, "prod", "commands") as (worker, _),
    ):
        assert ours == theirs == {"shards": [0]}
        for number in range(4):
            sharder.send(json.dumps({"op": 2, "t": "EXECUTE_COMMAND", "d": {**COMMAND, "raw": str(number)}}))
        assert [json.loads(worker.recv(5))["d"]["raw"] for _ in range(4)] == ["0", "1", "2", "3"]
        with pytest.raises(TimeoutError):
            other.recv(0.2)
        assert {row["realm"] for row in ask("GET", "/v1/sessions")[1]["sessions"]} == {"prod", "staging"}
        status, said = ask("PUT", "/v1/documents/guild:7", {"name": "x"})
        assert (status, said["error"]["code"], said["error"]["realms"]) == (409, "several_realms", ["prod", "staging"])
        assert ask("PUT", "/v1/documents/guild:7?realm=prod", {"name": "x"})[0] == 200
        assert ask("GET", "/v1/documents/guild:7?realm=staging")[0] == 404
        publish = {"channel": "service:commands", "event": "NEWS", "data": 1}
        assert ask("POST", "/v1/publish", publish)[1]["delivered"] == 2
        assert ask("POST", "/v1/publish", {**publish, "realm": "prod"})[1]["delivered"] == 1
        assert daemon.stop()[0] == 0
