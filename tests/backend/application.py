"""A backend as somebody else would write it, with the standard library alone; run as a process of its own.

    python application.py PORT SECRET JOURNAL

The command's name says how it answers. Lifecycle events go to JOURNAL, a line each, unless the file JOURNAL.mode says
otherwise: an HTTP status, "slow" (twice the timeout that the tests use), or "takes" (takes them, and then fails).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT, SECRET, JOURNAL = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
MODE = JOURNAL.with_suffix(".mode")
SEEN: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        stamp, signed = self.headers["x-gatewayd-timestamp"], self.headers["x-gatewayd-signature"]
        expected = "v1=" + hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signed) or abs(int(stamp) - time.time()) > 300:
            return self.answer(401, b"{}")
        payload = json.loads(body)
        if payload["id"] in SEEN or payload["id"] != self.headers["x-gatewayd-id"]:
            return self.answer(409, b"{}")
        SEEN.add(payload["id"])
        if payload["type"] == "lifecycle":
            return self.lifecycle(payload["events"])
        return self.obey(payload)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def lifecycle(self, events: list[Any]) -> None:
        mode = MODE.read_text() if MODE.exists() else "ok"
        if mode == "slow":
            time.sleep(2)
        if mode in ("ok", "takes"):
            with JOURNAL.open("a") as file:
                file.writelines(json.dumps(event) + "\n" for event in events)
        self.answer(int(mode) if mode.isdigit() else 500 if mode == "takes" else 204, b"")

    def obey(self, payload: dict[str, Any]) -> None:
        data = payload["data"]
        match payload["command"]:
            case "echo":
                self.answer(200, json.dumps({"reply": payload, "newer": "field"}).encode())
            case "nothing":
                self.answer(204, b"")
            case "everything":
                self.answer(200, json.dumps(data).encode())
            case "unknown":
                self.answer(200, b'{"unknown": true}')
            case "status":
                self.answer(data["status"], b"{}", location="/elsewhere")
            case "html":
                self.answer(200, b"<html><h1>It works!</h1></html>", content_type="text/html")
            case "invalid":
                self.answer(200, b'{"events": "none"}')
            case "gzip":
                self.answer(200, b"\x1f\x8b\x08not for you", content_encoding="gzip")
            case "big":
                self.answer(200, b'{"reply": "' + b"x" * 10_000_000 + b'"}')
            case "endless":
                self.send_response(200)
                self.end_headers()
                for _ in range(1000):
                    self.wfile.write(b" " * 100_000)
            case "slow":
                time.sleep(data.get("seconds", 2))
                self.answer(200, json.dumps({"reply": data}).encode())
            case "trickle":
                self.send_response(200)
                self.send_header("content-length", "100")
                self.end_headers()
                for _ in range(50):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.1)
            case "hang_up":
                self.close_connection = True
            case "half":
                self.send_response(200)
                self.send_header("content-length", "100")
                self.end_headers()
                self.wfile.write(b'{"reply"')
                self.close_connection = True
            case "no_http":
                self.wfile.write(b"220 smtp.example.org ESMTP\r\n")
                self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone: as it should be, where we are too slow or too big."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", PORT), Handler)
    print("ready", flush=True)
    server.serve_forever()
