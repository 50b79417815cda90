"""What systemd is told, and when."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from gatewayd.daemon import systemd


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket at which systemd would listen."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def lines(sock: socket.socket) -> list[str]:
    """All that has been said since the last look."""
    said = []
    while True:
        try:
            said.append(sock.recv(1000).decode())
        except BlockingIOError:
            return said


def fill() -> None:
    """Say more than systemd's queue takes."""
    for _ in range(10_000):
        if not systemd.notify("STATUS=" + "x" * 1000, timeout=0.01):
            return
    pytest.fail("nothing was ever dropped")


def test_what_is_said_arrives(told: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert systemd.notify("READY=1", "STATUS=ü")
    assert lines(told) == ["READY=1\nSTATUS=ü"]
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not systemd.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not systemd.notify("READY=1")


def test_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0gatewayd-test-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@gatewayd-test-{os.getpid()}")
        assert systemd.notify("READY=1")
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        ("30000000", None, 30.0),
        ("30000000", os.getpid(), 30.0),
        ("30000000", os.getpid() + 1, None),  # meant for the process that started us
        ("0", None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdog_of_the_unit(
    microseconds: str, pid: int | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(pid))
    assert systemd.watchdog_seconds() == seconds


async def test_a_loop_that_turns_says_so(
    told: socket.socket, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("WATCHDOG_USEC", "6000000")
    figures = iter(range(100))
    nursery.start_soon(systemd.beat, lambda: f"Serving: {next(figures)} clients", 5.0)
    await trio.sleep(6.5)
    assert lines(told) == [f"WATCHDOG=1\nSTATUS=Serving: {number} clients" for number in range(3)]


async def test_without_a_watchdog_there_is_still_a_status(
    told: socket.socket, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    nursery.start_soon(systemd.beat, lambda: "Serving", 5.0)
    await trio.sleep(11)
    assert lines(told) == ["WATCHDOG=1\nSTATUS=Serving"] * 2


async def test_without_systemd_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    await systemd.beat(lambda: "Serving", 5.0)


def test_a_systemd_that_does_not_read_holds_nobody_up(told: socket.socket) -> None:
    fill()


async def test_a_loop_does_not_wait_for_a_systemd_that_does_not_read(
    told: socket.socket, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    fill()
    began = time.monotonic()
    nursery.start_soon(systemd.beat, lambda: "Serving", 5.0)
    await trio.sleep(16)  # three of them
    assert time.monotonic() - began < 1.0
