"""Fifty hostile clients beside one that is well-behaved: what the latter's requests take, kind of flood by kind.

    python -m bench.flood [--quick]         the same as: python -m bench --only flood

Every flooder says what its kind says as fast as the daemon reads it, and comes again at once when it is cut off. The
victim asks for one heartbeat's reply every 10 ms; its times are in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import sys
import time

from bench.clients import connect, frame, identified
from bench.measure import Figures, Work
from bench.process import cpu_seconds
from bench.servers import serve
from bench.tools import Tools

MASK = b"\x12\x34\x56\x78"
PAUSE = 0.01
"""Seconds between the victim's requests."""
STARTING = 0.5
"""Seconds that a flood has had before the victim is measured."""


def _raw(first: int, payload: bytes = b"") -> bytes:
    """One short frame; the payload is sent as it is, since nobody will read it."""
    return bytes((first, 0x80 | len(payload))) + MASK + payload


SLOWLY = "one byte at a time"
NOTHING = "no flood"
FLOODS = {
    NOTHING: b"",
    "empty fragments": _raw(0x01) + _raw(0x00) * 20_000,
    "1-byte fragments": _raw(0x01, b"x") + _raw(0x00, b"x") * 20_000,
    "fragmented messages": (_raw(0x02) + _raw(0x00) * 500 + _raw(0x80)) * 40,
    "pings": _raw(0x89, b"x" * 100) * 2_000,
    "pongs": _raw(0x8A) * 20_000,
    "binary messages": _raw(0x82, b"x") * 20_000,
    "heartbeats": frame({"op": 10}) * 5_000,
    "bad JSON": frame("x") * 5_000,
    "reserved bits": _raw(0xF1) * 20_000,
    "lengths of 2^62": b"\x81\xff" + (1 << 62).to_bytes(8, "big") + MASK + b"x" * 100_000,
    SLOWLY: frame({"op": 10}) * 1000,
}


def _flood(port: int, kind: str, flooders: int) -> None:
    """All flooders of one kind, until they are killed."""
    selector = selectors.DefaultSelector()
    stream = FLOODS[kind]
    while not stream:
        time.sleep(3600)
    while True:
        while len(selector.get_map()) < flooders:
            try:
                new = connect(port)
            except OSError:
                break
            new.setblocking(False)
            selector.register(new, selectors.EVENT_READ | selectors.EVENT_WRITE, [0])
        for key, events in selector.select(0.01):
            sock, at = key.fileobj, key.data
            assert isinstance(sock, socket.socket)
            try:
                if events & selectors.EVENT_READ and not sock.recv(65536):
                    raise ConnectionResetError
                if events & selectors.EVENT_WRITE:
                    piece = stream[at[0] : at[0] + 1] if kind == SLOWLY else stream[at[0] :]
                    at[0] = (at[0] + sock.send(piece)) % len(stream)
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(sock)
                sock.close()


def _victim(sock: socket.socket, seconds: float) -> list[float]:
    """What its requests took, in milliseconds, sorted."""
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        sock.sendall(frame({"op": 10}))
        if not sock.recv(4096):
            raise ConnectionResetError("cut off")
        took.append((time.perf_counter() - began) * 1e3)
        time.sleep(PAUSE)
    return sorted(took)


def measure(kind: str, tools: Tools, work: Work) -> Figures:
    """A fresh daemon, `work.clients` flooders of a kind, and the victim's requests for so many seconds."""
    with serve("gatewayd", work.protocol, tools) as server:
        attack = multiprocessing.Process(target=_flood, args=(server.port, kind, work.clients), daemon=True)
        attack.start()
        try:
            time.sleep(STARTING)
            with identified(server.port, "victim") as sock:
                assert attack.pid is not None
                before = server.watch_memory()
                began, used, theirs = time.perf_counter(), server.cpu(), cpu_seconds(attack.pid)
                took = _victim(sock, work.seconds)
                wall = time.perf_counter() - began
                used, theirs = server.cpu() - used, cpu_seconds(attack.pid) - theirs
                grown = server.peak() - before
                if not attack.is_alive():
                    raise RuntimeError("the flooders gave up")
        except OSError as error:
            raise RuntimeError(f"the victim: {error}") from error
        finally:
            attack.kill()
            attack.join()
    return {
        "p50": took[len(took) // 2],
        "p99": took[int(len(took) * 0.99)],
        "max": took[-1],
        "cpu_percent": used / wall * 100,
        "mb": grown / 1024,
        "requests": len(took),
        "generator": theirs / wall * 100,
    }


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["--only", "flood", *sys.argv[1:]]))
