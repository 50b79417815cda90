"""The protocol work of the Python peers: what the daemon does for oxyl and utilbot, on no network library.

Every client message is parsed, its opcode dispatched, its fields validated, and the client's deadline moved; an event
is relayed in a payload that is encoded once.
"""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

SECRET = "bench-secret"
INTERVAL = 600.0
DETACHED_SECONDS = 60.0
BACKLOG = 1 << 20
"""Bytes that may wait for one client before it is given up as a slow consumer."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

C = TypeVar("C")


class Violation(Exception):
    """The client broke the protocol: close it with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Peer(Generic[C]):
    """One client's protocol state; `link` is what the library knows it by."""

    __slots__ = ("deadline", "identity", "kind", "link", "tell")

    def __init__(self, link: C, tell: Callable[[bytes], object]) -> None:
        self.link, self.tell = link, tell
        self.kind = self.identity = ""
        self.deadline = time.monotonic() + 2 * INTERVAL


def _need(data: Any, **fields: type | tuple[type, ...]) -> dict[str, Any]:
    if type(data) is not dict:
        raise Violation(4005, "d must be an object")
    for name, kinds in fields.items():
        if type(data.get(name)) not in (kinds if type(kinds) is tuple else (kinds,)):
            raise Violation(4005, f"{name} is missing or of the wrong type")
    return data


class Gateway(Generic[C]):
    """All clients of one server; `broadcast` is the library's best way to give one payload to many."""

    def __init__(self, protocol: str, broadcast: Callable[[Iterable[C], bytes], object]) -> None:
        self.oxyl = protocol == "oxyl"
        self.broadcast = broadcast
        self.peers: set[Peer[C]] = set()
        self.services: dict[str, dict[C, None]] = {}
        self.sessions: dict[str, Peer[C] | float] = {}
        """Identity -> its client, or until when it can be resumed."""

    def join(self, link: C, tell: Callable[[bytes], object]) -> Peer[C]:
        """A client that has just connected is told hello."""
        peer = Peer(link, tell)
        self.peers.add(peer)
        hello = {"heartbeatInterval": INTERVAL * 1000} if self.oxyl else {"heartbeat": INTERVAL * 1000}
        tell(_encode({"op": 3 if self.oxyl else 5, "d": hello}))
        return peer

    def leave(self, peer: Peer[C]) -> None:
        """The connection ended; an identity can be resumed for a while."""
        self.peers.discard(peer)
        self.services.get(peer.kind, {}).pop(peer.link, None)
        if peer.identity and self.sessions.get(peer.identity) is peer:
            self.sessions[peer.identity] = time.monotonic() + DETACHED_SECONDS

    def overdue(self) -> list[C]:
        """Who has been silent for too long; sessions that nobody came back to are forgotten."""
        now = time.monotonic()
        for identity in [key for key, until in self.sessions.items() if isinstance(until, float) and until < now]:
            del self.sessions[identity]
        return [peer.link for peer in self.peers if peer.deadline < now]

    def received(self, peer: Peer[C], text: bytes | str) -> None:
        """One message of a client."""
        try:
            payload = _decode(text)
        except (msgspec.MsgspecError, UnicodeError):
            raise Violation(4004, "not JSON") from None
        if type(payload) is not dict:
            raise Violation(4005, "a payload must be an object")
        op = payload.get("op")
        if type(op) is not int:
            raise Violation(4003, "unknown opcode")
        if self.oxyl:
            self._oxyl(peer, op, payload)
        else:
            self._utilbot(peer, op, payload)

    def _oxyl(self, peer: Peer[C], op: int, payload: dict[str, Any]) -> None:
        if op == 1:
            data = payload.get("d") or {}
            if "heapUsed" in data:
                _need(data, heapUsed=(int, float))
            peer.deadline = time.monotonic() + 2 * INTERVAL
            peer.tell(_encode({"op": 4, "d": {}}))
        elif op == 0:
            data = _need(payload.get("d"), type=str, compress=bool, secret=str)
            self._enter(peer, data["type"], data["secret"])
            peer.tell(_encode({"op": 2, "t": "IDENTIFIED", "d": {}}))
        elif op == 2:
            if peer.kind != "sharder" or payload.get("t") != "EXECUTE_COMMAND":
                raise Violation(4006, "not allowed to send this")
            data = _need(payload.get("d"), command=str, raw=str, ids=dict)
            _need(data["ids"], message=str, author=str, channel=str, guild=str, shard=(str, int))
            event = _encode({"op": 2, "t": "EXECUTE_COMMAND", "d": data})
            self.broadcast(self.services.get("commands", {}), event)
        else:
            raise Violation(4003, "unknown opcode")

    def _utilbot(self, peer: Peer[C], op: int, payload: dict[str, Any]) -> None:
        if op == 10:
            peer.deadline = time.monotonic() + INTERVAL + 5
            peer.tell(_encode({"op": 11}))
        elif op == 1 and payload.get("t") == "identify":
            data = _need(payload.get("d"), type=str, key=str, id=str)
            known = self.sessions.get(data["id"])
            if isinstance(known, Peer):
                raise Violation(4002, "bot ID used")
            self._enter(peer, data["type"], data["key"])
            peer.identity = data["id"]
            self.sessions[peer.identity] = peer
            ready = {"id": peer.identity, "resumed": known is not None}
            peer.tell(_encode({"op": 0, "d": ready, "t": "bot_connect_success"}))
        else:
            raise Violation(4004, "wrong opcode")

    def _enter(self, peer: Peer[C], kind: str, secret: str) -> None:
        if peer.kind:
            raise Violation(4002, "already identified")
        if secret != SECRET:
            raise Violation(4001, "wrong secret")
        peer.kind = kind
        self.services.setdefault(kind, {})[peer.link] = None


def arguments() -> tuple[int, str, ssl.SSLContext | None]:
    """Port and protocol from the command line, and TLS where certificate and key end it."""
    context = None
    if sys.argv[-1].endswith(".pem"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[-2:])
    return int(sys.argv[1]), sys.argv[2], context
