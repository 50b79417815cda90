"""A backend that publishes over TCP to a daemon in its own process, and decides on a push notification."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.daemon.test_run import CONFIG, identify, running
from tests.server import free_port

API = '[api]\nbind = "127.0.0.1:{port}"\ntokens = [{{ name = "backend", token = "t0ken", scopes = ["publish"] }}]\n'


def test_a_push_notification_is_due_when_nothing_was_written(tmp_path: Path) -> None:
    port, bind = free_port(), f"127.0.0.1:{free_port()}"
    path = tmp_path / "gatewayd.toml"
    path.write_text(CONFIG.format(admin=tmp_path / "admin.sock", bind=bind) + API.format(port=port))

    def publish(data: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        body = json.dumps({"channel": "user:a", "event": "E", "data": data})
        url = "/v1/publish?wait=written&timeout=100ms"
        connection.request("POST", url, body, {"Authorization": "Bearer t0ken"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    with running("--config", path) as daemon:
        assert publish(0)["written"] == 0
        with connect(f"ws://{bind}", proxy=None) as bot:
            identify(bot)
            assert publish(1)["written"] == 1
            assert json.loads(bot.recv(5))["d"] == 1
        with connect(f"ws://{bind}", proxy=None) as bot:
            identify(bot)
            bot.socket.shutdown(2)  # gone without a goodbye, so that the session waits
        while (counts := publish(2))["delivered"]:
            pass  # the daemon has not noticed yet
        assert (counts["delivered"], counts["buffered"], counts["written"]) == (0, 1, 0)
        assert publish("x" * 2_000_000)["reasons"] == {"too_big": 1}
        assert daemon.stop()[0] == 0
