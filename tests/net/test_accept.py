"""Accepting survives every error of the kernel's."""

from __future__ import annotations

import errno
import logging
import os
import socket
from typing import Any

import pytest
import trio
import trio.testing

from gatewayd.net.accept import Acceptor
from gatewayd.net.bind import bind_tcp, bind_unix


class Failing:
    """A listening socket whose first accepts fail; where an error is 0, that one does not."""

    def __init__(self, sock: socket.socket, *errors: int) -> None:
        self._sock = sock
        self.errors = list(errors)

    def accept(self) -> Any:
        if self.errors and (code := self.errors.pop(0)):
            raise OSError(code, os.strerror(code))
        return self._sock.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.EINVAL, errno.ENOMEM, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE]
)
async def test_no_error_ends_it(code: int, caplog: pytest.LogCaptureFixture) -> None:
    """Rows 76 to 79."""
    sock = bind_tcp("127.0.0.1", 0)
    full = code in (errno.EMFILE, errno.ENFILE)
    errors = [code] if full else [code, code]
    acceptor = Acceptor("main", Failing(sock, *errors))  # type: ignore[arg-type]
    stream = await trio.open_tcp_stream(*sock.getsockname())
    with caplog.at_level(logging.ERROR), trio.fail_after(5):
        if full:
            with trio.move_on_after(1):
                (await acceptor.accept()).abort()
            # The one that could not be served was told so with the reserve descriptor.
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 503 ")
            assert acceptor.refused == {"no_descriptors": 1}
        else:
            accepted = await acceptor.accept()
            assert accepted.remote.startswith("127.0.0.1:")
            accepted.abort()
    assert len(caplog.records) == (0 if code == errno.ECONNABORTED else 1)  # a repeated trouble is logged once
    await stream.aclose()
    await acceptor.aclose()
    sock.close()


async def test_a_crowd_is_accepted_in_batches_and_an_error_in_one_loses_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sock = bind_tcp("127.0.0.1", 0)
    acceptor = Acceptor("main", Failing(sock, 0, 0, 0, 0, errno.EIO))  # type: ignore[arg-type]
    streams = [await trio.open_tcp_stream(*sock.getsockname()) for _ in range(7)]
    accepted = [await acceptor.accept_some(3) for _ in range(3)]
    assert [len(batch) for batch in accepted] == [3, 1, 3]
    remotes = [f"127.0.0.1:{stream.socket.getsockname()[1]}" for stream in streams]
    assert [client.remote for batch in accepted for client in batch] == remotes
    with trio.move_on_after(1):
        await acceptor.accept_some(3)
        raise AssertionError("there is nobody left")
    for client in (client for batch in accepted for client in batch):
        client.abort()
    for stream in streams:
        await stream.aclose()
    await acceptor.aclose()


async def test_a_closed_listener_says_so() -> None:
    acceptor = Acceptor("main", bind_tcp("127.0.0.1", 0))
    async with trio.open_nursery() as nursery:

        async def accepting() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await acceptor.accept()

        nursery.start_soon(accepting)
        await trio.testing.wait_all_tasks_blocked()
        await acceptor.aclose()
    await acceptor.aclose()


async def test_remotes_as_text(tmp_path: Any) -> None:
    acceptor = Acceptor("main", bind_unix(tmp_path / "a.sock"))
    stream = await trio.open_unix_socket(str(tmp_path / "a.sock"))
    accepted = await acceptor.accept()
    assert accepted.remote == "unix"
    await accepted.aclose()
    await stream.aclose()
    await acceptor.aclose()


async def test_a_crowd_that_comes_without_descriptors_is_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """One client in each pause of up to a second was, and the others waited."""
    sock = bind_tcp("127.0.0.1", 0)
    full = Failing(sock, *[errno.EMFILE, 0] * 30)
    acceptor = Acceptor("main", full)  # type: ignore[arg-type]
    streams = [await trio.open_tcp_stream(*sock.getsockname()) for _ in range(20)]
    with trio.move_on_after(1):
        await acceptor.accept()
    for stream in streams:
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 503 ")
        await stream.aclose()
    assert acceptor.refused == {"no_descriptors": 20}
    assert len(full.errors) == 18  # it waits for the next client, and does not ask again and again
    await acceptor.aclose()


async def test_a_reserve_that_was_lost_is_taken_again(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock = bind_tcp("127.0.0.1", 0)
    acceptor = Acceptor("main", Failing(sock, errno.EMFILE, 0, errno.EMFILE, errno.EMFILE, 0, errno.EMFILE, 0))  # type: ignore[arg-type]
    streams = [await trio.open_tcp_stream(*sock.getsockname()) for _ in range(2)]
    opened, failures = os.open, [errno.EMFILE, errno.EMFILE]

    def failing(*args: Any) -> int:
        if failures:
            raise OSError(failures.pop(), "Too many open files")
        return opened(*args)

    monkeypatch.setattr(os, "open", failing)
    with trio.move_on_after(5):
        await acceptor.accept()
    for stream in streams:
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 503 ")
        await stream.aclose()
    assert acceptor.refused == {"no_descriptors": 2}
    await acceptor.aclose()
