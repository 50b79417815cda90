"""The daemon's [api], as its configuration says: tokens that are limited to realms."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from tests.daemon.test_run import finished
from tests.server import free_port
from tests.site import Site

API = """
[api]
bind = "127.0.0.1:{port}"
tokens = [
    {{ name = "all", token = "a", scopes = ["admin"] }},
    {{ name = "prod", token = "p", scopes = ["admin"], realms = ["fleet"] }},
]
"""


def test_a_token_of_one_tenant(tmp_path: Path) -> None:
    port = free_port()
    site = Site(tmp_path, more=API.format(port=port))
    site.listen("staging", "utilbot", extra='realm = "test"\n')

    def ask(token: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Authorization": f"Bearer {token}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told

    with site.run():
        site.bot("b")
        site.bot("b", listener="staging")
        assert [row["realm"] for row in ask("a", "GET", "/v1/sessions?sort=realm")[1]["sessions"]] == ["fleet", "test"]
        (own,) = ask("p", "GET", "/v1/sessions")[1]["sessions"]
        assert own["realm"] == "fleet"
        assert ask("p", "GET", f"/v1/sessions/{own['id'][:6]}")[1]["id"] == own["id"]
        assert [row["name"] for row in ask("p", "GET", "/v1/listeners")[1]["listeners"]] == ["bots"]
        event = {"channel": "service:bot", "event": "E", "data": 1}
        assert [ask(token, "POST", "/v1/publish", event)[1]["delivered"] for token in "ap"] == [2, 1]
        for realm in ("test", "nowhere"):
            status, told = ask("p", "POST", "/v1/publish", {**event, "realm": realm})
            assert (status, told["error"]["realms"]) == (403, ["fleet"])
        assert ask("p", "POST", "/v1/drain")[0] == 403


def test_a_token_for_a_realm_without_a_listener_stops_the_start(tmp_path: Path) -> None:
    site = Site(tmp_path, more=API.format(port=free_port()).replace('["fleet"]', '["fleeet"]'))
    site.write()
    code, _, errors = finished("run", "--config", site.path, cwd=tmp_path)
    assert code == 2
    assert """no listener is in realm 'fleeet', did you mean "fleet"?""" in errors
