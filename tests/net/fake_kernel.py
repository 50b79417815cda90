"""The kernel's side of io_uring over a file in memory, which does wrong what a test asks for."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
from array import array
from collections.abc import Callable

from gatewayd.net.uring import SQES, Kernel

Fault = Callable[["FakeKernel", int], int]
"""Takes the place of one `enter`: what it returns for so many entries to submit, or raises."""
SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL = 0, 64, 128, 192
ARRAY = 256


class FakeKernel(Kernel):
    """Sends at once, in order. `entries` of its rings, whose counters begin at `first`."""

    def __init__(self, entries: int = 128, first: int = 0) -> None:
        super().__init__()
        self.entries = entries
        self.first = first
        self.faults: list[Fault] = []
        """For the next calls of `enter`, one for each."""
        self.refused: dict[int, int] = {}
        """Descriptors whose sends fail, with the errno."""
        self.entered = self.paused = 0
        self.features = 1
        self.late: list[tuple[int, int]] = []
        """Completions that come with the next call."""
        self.reverse = False
        """Completions are in the wrong order."""

    def setup(self, entries: int, params: array[int]) -> int:
        """A file whose pages are the ring."""
        number = os.memfd_create("ring")
        os.ftruncate(number, SQES + 64 * self.entries)
        self._cqes = ARRAY + 4 * self.entries
        self._queues = mmap.mmap(number, self._cqes + 32 * self.entries)
        self._sqes = mmap.mmap(number, 64 * self.entries, offset=SQES)
        for offset in (SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL):
            self._put(offset, self.first)
        params[0], params[1], params[5] = self.entries, 2 * self.entries, self.features
        params[10:17] = array("I", [SQ_HEAD, SQ_TAIL, 0, 0, 0, 0, ARRAY])
        params[20:26] = array("I", [CQ_HEAD, CQ_TAIL, 0, 0, 0, self._cqes])
        return number

    def enter(self, descriptor: int, submit: int, flags: int) -> int:
        """As the next fault says; else as a kernel does."""
        self.entered += 1
        late, self.late = self.late, []
        for completion in late:
            self.complete(*completion)
        return (self.faults.pop(0) if self.faults else FakeKernel.do)(self, submit)

    def pause(self, descriptor: int) -> None:
        """No time passes."""
        self.paused += 1

    def do(self, submit: int) -> int:
        """Send all of it, and complete it."""
        found = [self.take() for _ in range(submit)]
        for completion in reversed(found) if self.reverse else found:
            self.complete(*completion)
        return submit

    def take(self) -> tuple[int, int]:
        """Take the next entry and do it: its number, and the result."""
        head = self._get(SQ_HEAD)
        assert head != self._get(SQ_TAIL), "there is none"
        slot = self._get(ARRAY + 4 * (head % self.entries))
        operation, _, _, number, _, address, size, flags, index = struct.unpack_from(
            "=BBHiQQIIQ", self._sqes, 64 * slot
        )
        self._put(SQ_HEAD, (head + 1) & 0xFFFFFFFF)
        assert operation == 26
        assert flags == socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        return index, self.send(number, ctypes.string_at(address, size))

    def send(self, number: int, data: bytes) -> int:
        """The result of a send."""
        if number in self.refused:
            return -self.refused[number]
        try:
            with socket.socket(fileno=os.dup(number)) as sock:
                return sock.send(data, socket.MSG_DONTWAIT)
        except OSError as exc:
            return -(exc.errno or 0)

    def complete(self, index: int, result: int) -> None:
        """Say how one ended."""
        tail = self._get(CQ_TAIL)
        struct.pack_into("=QiI", self._queues, self._cqes + 16 * (tail % (2 * self.entries)), index, result, 0)
        self._put(CQ_TAIL, (tail + 1) & 0xFFFFFFFF)

    def skip(self, count: int) -> None:
        """Say that more entries were taken than there are."""
        self._put(SQ_HEAD, (self._get(SQ_HEAD) + count) & 0xFFFFFFFF)

    def _get(self, offset: int) -> int:
        value: int = struct.unpack_from("=I", self._queues, offset)[0]
        return value

    def _put(self, offset: int, value: int) -> None:
        struct.pack_into("=I", self._queues, offset, value)


def fails(number: int, taken: int = 0) -> Fault:
    """The call fails, though so many were sent."""

    def fault(kernel: FakeKernel, submit: int) -> int:
        kernel.do(min(taken, submit))
        raise OSError(number, os.strerror(number))

    return fault


def takes(most: int) -> Fault:
    """Fewer are sent than were asked for."""
    return lambda kernel, submit: kernel.do(min(most, submit))


def completes_late(first: int, count: int = 1) -> Fault:
    """The completions of some come with the next call."""

    def fault(kernel: FakeKernel, submit: int) -> int:
        found = [kernel.take() for _ in range(submit)]
        kernel.late = found[first : first + count]
        for completion in found[:first] + found[first + count :]:
            kernel.complete(*completion)
        return submit

    return fault


def forgets(first: int, count: int = 1) -> Fault:
    """The completions of some, which were sent, never come."""

    def fault(kernel: FakeKernel, submit: int) -> int:
        completes_late(first, count)(kernel, submit)
        kernel.late = []
        return submit

    return fault


def invents(index: int) -> Fault:
    """A completion comes for something that was not asked for, or for the second time."""

    def fault(kernel: FakeKernel, submit: int) -> int:
        done = kernel.do(submit)
        kernel.complete(index, 1)
        return done

    return fault
