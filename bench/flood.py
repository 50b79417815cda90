"""Fifty hostile clients beside one that is well-behaved: what the latter's requests take, kind of flood by kind.

    python bench/flood.py --seconds 5

Every flooder says what its kind says as fast as the daemon reads it, and comes again at once when it is cut off. The
victim asks for one heartbeat acknowledgement every 10 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.idle import CONFIG, REQUEST, cpu, frame, rss

FLOODERS = 50
MASK = b"\x12\x34\x56\x78"


def raw(first: int, payload: bytes = b"") -> bytes:
    """One short frame; the payload is sent as it is, since nobody will read it."""
    return bytes((first, 0x80 | len(payload))) + MASK + payload


FLOODS = {
    "nothing": b"",
    "empty fragments": raw(0x01) + raw(0x00) * 20_000,
    "fragments of one byte": raw(0x01, b"x") + raw(0x00, b"x") * 20_000,
    "whole messages in fragments": (raw(0x02) + raw(0x00) * 500 + raw(0x80)) * 40,
    "pings": raw(0x89, b"x" * 100) * 2_000,
    "pongs": raw(0x8A) * 20_000,
    "binary messages": raw(0x82, b"x") * 20_000,
    "heartbeats": frame({"op": 10}) * 5_000,
    "bad JSON": frame("x") * 5_000,
    "reserved bits": raw(0xF1) * 20_000,
    "lengths of 2^62": b"\x81\xff" + (1 << 62).to_bytes(8, "big") + MASK + b"x" * 100_000,
    "one byte at a time": b"",
}


def flood(port: int, kind: str) -> None:
    """All flooders of one kind, until they are killed."""
    selector = selectors.DefaultSelector()
    data, slowly = FLOODS[kind], kind == "one byte at a time"
    stream = frame({"op": 10}) * 1000 if slowly else data

    def enter() -> None:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(("127.0.0.1", port))
            sock.sendall(REQUEST)
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, [0])

    if kind == "nothing":
        time.sleep(3600)
    while True:
        while len(selector.get_map()) < FLOODERS:
            enter()
        for key, events in selector.select(0.01):
            sock, at = key.fileobj, key.data
            assert isinstance(sock, socket.socket)
            try:
                if events & selectors.EVENT_READ and not sock.recv(65536):
                    raise ConnectionResetError
                if events & selectors.EVENT_WRITE:
                    piece = stream[at[0] : at[0] + 1] if slowly else stream[at[0] :]
                    at[0] = (at[0] + sock.send(piece)) % len(stream)
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(sock)
                sock.close()


def victim(port: int, seconds: float) -> list[float]:
    """What its requests took, in milliseconds, sorted."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(REQUEST)
    got = b""
    while b"heartbeat" not in got:
        got += sock.recv(4096)
    sock.sendall(frame({"op": 1, "t": "identify", "d": {"type": "t", "key": "k", "id": "victim"}}))
    while b"bot_connect_success" not in got:
        got += sock.recv(4096)
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        sock.sendall(frame({"op": 10}))
        sock.recv(4096)
        took.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.01)
    return sorted(took)


def main() -> None:
    """Start a daemon, run each kind against it, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config = Path(folder, "gatewayd.toml")
        config.write_text(CONFIG.format(admin=Path(folder, "admin.sock"), port=port))
        daemon = subprocess.Popen(
            [sys.executable, "-m", "gatewayd", "run", "--config", config, "--log-level", "error"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert daemon.stdout is not None
        for line in daemon.stdout:
            if line.startswith("admin socket"):
                break
        print(f"{FLOODERS} flooders that       p50 ms    p99 ms    max ms   daemon CPU   memory MB")
        try:
            for kind in FLOODS:
                attack = multiprocessing.Process(target=flood, args=(port, kind), daemon=True)
                attack.start()
                time.sleep(0.5)
                used = cpu(daemon.pid)
                took = victim(port, args.seconds)
                load = (cpu(daemon.pid) - used) / args.seconds * 100
                attack.kill()
                attack.join()
                figures = (took[len(took) // 2], took[int(len(took) * 0.99)], took[-1])
                print(
                    f"{kind:28}" + "".join(f"{figure:7.2f}   " for figure in figures)
                    + f"{load:8.0f} %   {rss(daemon.pid) / 1024:9.1f}", flush=True,
                )  # fmt: skip
                time.sleep(0.5)
        finally:
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(15)


if __name__ == "__main__":
    main()
