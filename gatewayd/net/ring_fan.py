"""Writes to many sockets through an io_uring where there is one, and with `os.write` everywhere else.

Law 1: the ring is believed only once it has sent: to a socket that takes it, to one that is full, and to one whose peer
is gone. Whatever is odd then, or refused, means `os.write`.
Law 2: a ring that fails is given up for good, in the middle of a write. What it had not begun is written with
`os.write`. A socket of which nobody knows what it took is shut down: to write on would repeat bytes, or skip some.
"""

from __future__ import annotations

import errno
import logging
import socket
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import accumulate
from typing import Literal

from gatewayd.net import sandbox
from gatewayd.net.fan import Fan
from gatewayd.net.uring import Kernel, Ring

FEWEST = 64
"""Sockets from which on the ring is cheaper: of the CPU that `os.write` takes, it takes 0.83 with 1,000, 0.85 with 64,
1.0 with 40 and 1.4 with 10."""
PROBE = b"sent to try the ring"

log = logging.getLogger("gatewayd")


def make_fan(setting: Literal["auto", "off"]) -> Fan:
    """What `[gateway] io_uring` asks for."""
    return RingFan() if setting == "auto" else Fan()


class RingFan(Fan):
    """Writes to `fewest` sockets and more through a ring. `kernel` is called at the start; it may raise `OSError`."""

    def __init__(self, kernel: Callable[[], Kernel] = sandbox.kernel, fewest: int = FEWEST) -> None:
        self._new_kernel = kernel
        self._fewest = max(1, fewest)
        self._ring: Ring | None = None
        self._why = "not started"
        self._unknown: list[bytes] = []
        """What the kernel may still be reading."""

    @property
    def way(self) -> str:
        """How it writes; the reason, where it is not the ring."""
        return "io_uring" if self._ring is not None else f"os.write (io_uring: {self._why})"

    def __enter__(self) -> RingFan:
        try:
            self._ring = Ring(self._new_kernel())
            why = _probe(self._ring)
        except Exception as exc:  # noqa: BLE001  # however odd it is, the daemon starts without it
            why = exc.strerror if isinstance(exc, OSError) and exc.strerror else repr(exc)
        if why:
            self._give_up(why)
            log.info("io_uring is not used: %s", why)
        return self

    def __exit__(self, *exc: object) -> None:
        self._give_up("stopped")

    def write(self, descriptors: array[int], data: bytes) -> list[int] | None:
        """See `Fan.write`."""
        count = len(descriptors)
        if self._ring is None or count < self._fewest:
            return super().write(descriptors, data)
        addresses, sizes = array("Q", [self._ring.address(data)]) * count, array("I", [len(data)]) * count
        taken = self._send(self._ring, descriptors, data, addresses, sizes)
        if taken is None or (done := len(taken)) == count:
            return taken
        return taken + (super().write(descriptors[done:], data) or sizes[done:].tolist())

    def write_each(self, descriptors: array[int], frames: Sequence[bytes]) -> list[int] | None:
        """See `Fan.write_each`."""
        count = len(descriptors)
        if self._ring is None or count < self._fewest:
            return super().write_each(descriptors, frames)
        data, sizes = b"".join(frames), array("I", map(len, frames))
        addresses = array("Q", accumulate(sizes, initial=self._ring.address(data)))
        taken = self._send(self._ring, descriptors, data, addresses, sizes)
        if taken is None or (done := len(taken)) == count:
            return taken
        return taken + (super().write_each(descriptors[done:], frames[done:]) or sizes[done:].tolist())

    def _send(
        self, ring: Ring, descriptors: array[int], data: bytes, addresses: array[int], sizes: array[int]
    ) -> list[int] | None:
        """What each took; a shorter list if the ring failed, of those that are settled. `data` is what is sent."""
        taken: list[int] | None = None
        at, count = 0, len(descriptors)
        with memoryview(descriptors) as to, memoryview(addresses) as where, memoryview(sizes) as lengths:
            while at < count and not ring.failure:
                end = at + ring.room(count - at)
                results = ring.send(to[at:end], where[at:end], lengths[at:end])
                if results is None:
                    if taken is not None:
                        taken += lengths[at:end].tolist()
                else:
                    taken = lengths[:at].tolist() if taken is None else taken
                    taken += (0 if result is None else max(0, result) for result in results)
                    for descriptor, result in zip(to[at:end], results, strict=False):
                        if result is None:
                            _cut(descriptor)
                            self._unknown = [data]
                at = end
        if ring.failure:
            self._give_up(ring.failure)
            log.warning("io_uring failed, and is not used any more: %s", ring.failure)
        return taken

    def _give_up(self, why: str) -> None:
        ring, self._ring, self._why = self._ring, None, why
        if ring is not None:
            ring.close()


def _cut(descriptor: int) -> None:
    """Shut a connection down: its own task meets the end of it."""
    try:
        sock = socket.socket(fileno=descriptor)
    except (OSError, ValueError):  # ValueError: of -1
        return  # there is no socket, so that nothing can follow
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # nor a connection
    finally:
        sock.detach()


def _probe(ring: Ring) -> str:
    """Send what clients will be sent; what is wrong with the outcome, or nothing."""
    with ExitStack() as stack:
        pairs = [[stack.enter_context(end) for end in socket.socketpair()] for _ in range(3)]
        for end in (end for pair in pairs for end in pair):
            end.setblocking(False)
        (plain, receiver), (full, reader), (left, gone) = pairs
        gone.close()
        _fill(full)
        addresses, sizes = array("Q", [ring.address(PROBE)]) * 3, array("I", [len(PROBE)]) * 3
        descriptors = array("i", [plain.fileno(), full.fileno(), left.fileno()])
        with memoryview(descriptors) as to, memoryview(addresses) as where, memoryview(sizes) as lengths:
            results = ring.send(to, where, lengths)
        if ring.failure:
            return ring.failure
        if results != [len(PROBE), -errno.EAGAIN, -errno.EPIPE]:
            return f"sends are not what they should be: {results}"
        # Nothing was sent twice, and nothing is sent later that was refused.
        return "" if _received(receiver) == PROBE and PROBE not in _received(reader) else "it sends other bytes"


def _fill(sock: socket.socket) -> None:
    try:
        while True:
            sock.send(bytes(65536))
    except BlockingIOError:
        return


def _received(sock: socket.socket) -> bytes:
    data = b""
    try:
        while True:
            data += sock.recv(65536)
    except BlockingIOError:
        return data
