"""Fan-out to bots, plain and in compressed streams: CPU and bytes of a frame, memory of a client.

The load generator counts the frames of all clients but one. That one is a Python client that reads the stream to its
end: every event has to be there, once and in order.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import zstandard

from bench.bodies import encoded, messages, plain
from bench.clients import connect, frame
from bench.measure import Figures, Work, generator
from bench.publish import Requests, drive
from bench.servers import SECRET, serve
from bench.tools import Tools

FANOUT = ("rooms", "discord", "discord, batched")
"""Protocols, and the durability of a journal where there is one."""
ROWS = ("no compression", "zlib-stream", "zstd-stream")
BEAT = "period=41.25"
"""Seconds between two heartbeats of a client, as Discord asks for."""
PATH = "/?v=10&encoding=json&compress={}"
FLUSHED = b"\x00\x00\xff\xff"


def _inflate(compress: str) -> Callable[[bytes], bytes]:
    if compress == "zlib-stream":
        return zlib.decompressobj().decompress
    decompress: Callable[[bytes], bytes] = zstandard.ZstdDecompressor().decompressobj().decompress
    return decompress


class Reader:
    """One client that keeps what comes, and reads it when all is over, so that it is in nobody's way."""

    def __init__(self, port: int, compress: str) -> None:
        self._compress = compress
        self._got = bytearray()
        self._sock = connect(port, PATH.format(compress))
        self._sock.sendall(frame({"op": 2, "d": {"token": SECRET, "intents": 33281, "properties": {}}}))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        while len(list(self._frames())) < 2:  # hello and READY
            if not self._thread.is_alive():
                raise RuntimeError(f"the reader was refused: {bytes(self._got[:200])!r}")
            time.sleep(0.01)

    def _read(self) -> None:
        while more := self._sock.recv(1 << 16):
            self._got += more

    def _frames(self) -> Iterator[bytes]:
        """The payloads that have come whole."""
        stop = self._got.find(b"\r\n\r\n")
        at, got = stop + 4, self._got
        while stop >= 0 and at + 4 <= len(got):
            size, start = got[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(got[at + 2 : at + 4], "big"), at + 4
            if start + size > len(got):
                return
            if got[at] != 0x82:
                raise RuntimeError(f"not a whole binary frame: {got[at]:#x}")
            yield bytes(got[start : start + size])
            at = start + size

    def check(self, events: int) -> None:
        """READY and so many events, each in a message of its own, in order."""
        time.sleep(0.2)  # the last of them is still on its way
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        inflate, numbers = _inflate(self._compress), []
        for payload in self._frames():
            if self._compress == "zlib-stream" and not payload.endswith(FLUSHED):
                raise RuntimeError("a message that does not end in a flush")
            said = json.loads(inflate(payload))
            if said["op"] == 0:
                numbers.append(said["s"])
        if numbers != list(range(1, events + 2)):
            raise RuntimeError(f"{len(numbers)} numbers up to {numbers[-1]} came of {events} events and READY")


def fanout(row: str, tools: Tools, work: Work) -> Figures:
    """One protocol's fan-out without compression, of events whose frames are equally long."""
    protocol, _, kept = row.partition(", ")
    work = replace(work, protocol=protocol)
    name = f"gatewayd, {kept}" if kept else "gatewayd"
    with serve(name, protocol, tools) as server, generator(tools, server, work) as load:
        return drive(server, load, work, Requests([encoded(plain(protocol, 0))]))


def streams(name: str, tools: Tools, work: Work) -> Figures:
    """A server's fan-out in compressed streams; kb: what a client has added to its memory after all events."""
    return _streams(name, tools, work, "zlib-stream")


def alone(row: str, tools: Tools, work: Work) -> Figures:
    """The daemon's own, by the way of compression."""
    return _streams("gatewayd", tools, work, None if row == ROWS[0] else row)


def _streams(name: str, tools: Tools, work: Work, compress: str | None) -> Figures:
    if compress is not None:
        work = replace(work, extras=(*work.extras, f"compress={compress}"))
    requests = Requests([encoded(item) for item in messages()])
    with serve(name, work.protocol, tools) as server:
        before = server.rss()
        reader = None if compress is None else Reader(server.port, compress)
        with generator(tools, server, work) as load:
            figures = drive(server, load, work, requests)
            figures["kb"] = (server.rss() - before) / work.clients
        if reader is not None:
            reader.check(int(figures["events"]))
    return figures
