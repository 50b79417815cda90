"""A socket as a stream: what leaves at once, and what waits for the bytes that follow it."""

from __future__ import annotations

import socket

import pytest
import trio

from gatewayd.net.transport import SocketTransport


def connected() -> tuple[SocketTransport, socket.socket]:
    """A transport over TCP, and its peer; neither waits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        sock, _ = listening.accept()
    for end in (sock, peer):
        end.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SocketTransport(sock, "test"), peer


async def test_what_is_followed_by_more_leaves_with_it() -> None:
    transport, peer = connected()
    with peer:
        assert transport.write_first(b"101 ") == 4
        with pytest.raises(BlockingIOError):
            peer.recv(100)
        assert transport.write_some(b"hello") == 5
        assert peer.recv(100) == b"101 hello"
        assert transport.write_first(b"101 ") == 4
        transport.abort()
        assert peer.recv(100) == b"101 "


async def test_a_first_write_fails_like_any() -> None:
    transport, peer = connected()
    with peer:
        while transport.write_first(b"x" * 65536):
            pass
        transport.abort()
        with pytest.raises(trio.ClosedResourceError):
            transport.write_first(b"x")


async def test_what_is_here_is_read_without_waiting() -> None:
    transport, peer = connected()
    assert transport.receive_now(100) is None
    peer.send(b"abc")
    assert transport.receive_now(2) == b"ab"
    peer.close()
    assert [transport.receive_now(2) for _ in range(2)] == [b"c", b""]
    transport.abort()
    assert transport.receive_now(2) is None
