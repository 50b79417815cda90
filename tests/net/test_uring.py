"""The system calls as they are, and the memory of a ring."""

from __future__ import annotations

import ctypes
import errno
import os
import time

import pytest

from gatewayd.net.uring import PAUSE, Kernel, Ring
from tests.net.fake_kernel import FakeKernel


def test_an_address_is_where_the_bytes_are() -> None:
    for data in (b"x", b"some bytes\0and more", bytes(100_000)):
        assert ctypes.string_at(Kernel().address(data), len(data)) == data


def test_a_call_that_fails_raises_with_its_errno() -> None:
    with pytest.raises(OSError, match=r"Errno \d+") as caught:
        Kernel().enter(-1, 1, 0)
    assert caught.value.errno in (errno.EBADF, errno.ENOSYS, errno.EPERM)
    assert caught.value.strerror == os.strerror(caught.value.errno or 0)


def test_a_pause_ends_with_a_completion_or_in_time() -> None:
    reader, writer = os.pipe()
    try:
        started = time.monotonic()
        Kernel().pause(reader)
        assert time.monotonic() - started >= PAUSE / 2
        os.write(writer, b"x")
        Kernel().pause(reader)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_ring_is_closed_once() -> None:
    ring = Ring(FakeKernel())
    ring.close()
    number = os.open("/dev/null", os.O_RDONLY)  # takes the number that was closed
    ring.close()
    os.close(number)
