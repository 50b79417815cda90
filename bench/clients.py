"""Clients on plain blocking sockets, for what is measured without the load generator."""

from __future__ import annotations

import json
import socket

from bench.servers import SECRET

REQUEST = (
    "GET {} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(payload: object) -> bytes:
    """A client's frame of at most 125 bytes, with a mask of zeros."""
    body = json.dumps(payload).encode()
    return bytes((0x81, 0x80 | len(body))) + b"\0\0\0\0" + body


def connect(port: int, path: str = "/") -> socket.socket:
    """A client that has asked for the WebSocket, and has not waited for an answer."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(REQUEST.format(path).encode())
    return sock


def identified(port: int, identity: str) -> socket.socket:
    """A client of utilbot that has identified itself."""
    sock = connect(port)
    _until(sock, b"heartbeat")
    sock.sendall(frame({"op": 1, "t": "identify", "d": {"type": "bot", "key": SECRET, "id": identity}}))
    _until(sock, b"bot_connect_success")
    return sock


def _until(sock: socket.socket, word: bytes) -> None:
    got = b""
    while word not in got:
        more = sock.recv(4096)
        if not more:
            raise ConnectionResetError(f"closed before {word!r} came")
        got += more
