"""The application behind a listener of bots: it answers their commands, and their REST calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field

from tests.clients.bots.payloads import AUTHOR, MEMBER, message


@define
class Application:
    """`commands` has what the daemon asked, `calls` the REST calls that it forwarded: path, token, body."""

    url: str = ""
    commands: list[dict[str, Any]] = field(factory=list)
    calls: list[tuple[str, str | None, dict[str, Any]]] = field(factory=list)

    def answer(self, path: str, token: str | None, body: dict[str, Any]) -> Any:
        """Of `/backend` a command or an event of a session, of all others a message that is sent."""
        if path != "/backend":
            self.calls.append((path, token, body))
            sent = message("0", 0, body["content"]) | {"author": AUTHOR | {"bot": True}}
            return {key: value for key, value in sent.items() if key not in ("guild_id", "member")}
        if body["type"] != "command":
            return {}
        self.commands.append(body)
        asked = body["data"]
        if body["command"] != "REQUEST_GUILD_MEMBERS":
            return {}
        told = {
            "guild_id": str(asked["guild_id"]),
            "members": [MEMBER],
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [],
        }
        return {"reply": told | ({"nonce": asked["nonce"]} if "nonce" in asked else {})}


@contextmanager
def application() -> Iterator[Application]:
    """One that runs."""
    made = Application()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = json.dumps(made.answer(self.path, self.headers["Authorization"], body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()
