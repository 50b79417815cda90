"""Plays a short server to every bot, and takes what bots say, until Ctrl-C.

Each event of `events/` is published with gatewayctl, one a second; `python play.py 0` does not wait. gatewayd forwards
the REST calls of bots to here: a message that a bot sends is published like anybody's, and all else is 404.
"""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread

PORT = int(os.environ.get("PLAY_PORT", "8000"))  # `rest` in gatewayd.toml
EVENTS = Path(__file__).parent / "events"
PLAY = (
    "GUILD_CREATE",
    "CHANNEL_CREATE",
    "GUILD_MEMBER_ADD",
    "TYPING_START",
    "MESSAGE_CREATE",
    "MESSAGE_UPDATE",
    "MESSAGE_REACTION_ADD",
    "INTERACTION_CREATE",
    "MESSAGE_DELETE",
    "GUILD_MEMBER_REMOVE",
)
BOT = {"id": "100", "username": "bot", "discriminator": "0000", "global_name": None, "avatar": None, "bot": True}
MESSAGES = re.compile(r"/api/v10/channels/([0-9]+)/messages")
ids = count(900000000000000100)


def publish(name: str, data: bytes) -> None:
    print(f"$ gatewayctl publish bot:all {name} -", flush=True)
    subprocess.run(["gatewayctl", "publish", "bot:all", name, "-"], input=data, check=True)


class Rest(BaseHTTPRequestHandler):
    """What gatewayd forwards; it has checked the token."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        channel = MESSAGES.fullmatch(self.path)
        if self.command == "POST" and channel:
            message = json.loads((EVENTS / "MESSAGE_CREATE.json").read_bytes())
            message |= {"id": str(next(ids)), "channel_id": channel[1], "author": BOT, **json.loads(asked)}
            publish("MESSAGE_CREATE", json.dumps(message).encode())
            self.answer(200, message)
        else:
            self.answer(404, {"message": "404: Not Found", "code": 0})

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def play(pause: float) -> None:
    for name in PLAY:
        publish(name, (EVENTS / f"{name}.json").read_bytes())
        time.sleep(pause)


with suppress(KeyboardInterrupt), ThreadingHTTPServer(("127.0.0.1", PORT), Rest) as server:
    Thread(target=play, args=(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0,), daemon=True).start()
    server.serve_forever()
