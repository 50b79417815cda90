"""One epoll for all: what is dealt with at once, what wakes the reader, and what happens to a socket that goes."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from attrs import define

from gatewayd.config.limits import NetLimits
from gatewayd.net.epoll import Epoll
from gatewayd.net.transport import SocketTransport


@define
class Wire:
    """A socket pair: the listened end, and the peer's."""

    near: SocketTransport
    far: socket.socket


@asynccontextmanager
async def polling() -> AsyncIterator[Callable[[], Wire]]:
    """A epoll that runs for as long as the block, and a way to make sockets that are heard by it."""
    wires: list[Wire] = []
    with Epoll() as epoll:

        def pair() -> Wire:
            near, far = socket.socketpair()
            near.setblocking(False)
            transport = SocketTransport(near, "test")
            transport.join(epoll)
            wires.append(Wire(transport, far))
            return wires[-1]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(epoll.run)
            yield pair
            nursery.cancel_scope.cancel()
    for wire in wires:
        wire.near.abort()
        wire.far.close()


async def listen(wire: Wire, heard: list[bytes], *, until: bytes = b"") -> None:
    """Hear piece after piece until that one."""

    def take(data: bytes) -> bool:
        heard.append(data)
        return data != until

    assert wire.near.reader is not None
    with trio.fail_after(5):
        await wire.near.reader.read(take)


async def test_pieces_are_heard_without_waking_the_reader_until_it_is_needed() -> None:
    async with polling() as pair:
        wire, heard = pair(), list[bytes]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: listen(wire, heard, until=b"three"))
            for said in (b"one", b"two", b"three"):
                wire.far.send(said)
                with trio.fail_after(5):
                    while heard[-1:] != [said]:
                        await trio.lowlevel.checkpoint()
        assert heard == [b"one", b"two", b"three"]
        # What comes while nobody waits stays where it is, and the loop does not spin on it.
        wire.far.send(b"four")
        with trio.testing.assert_checkpoints():
            await trio.testing.wait_all_tasks_blocked(0.01)
        await listen(wire, heard, until=b"four")
        wire.far.close()
        await listen(wire, heard)
        assert heard[3:] == [b"four", b""]


async def test_what_goes_wrong_goes_wrong_in_the_reader_and_nowhere_else() -> None:
    def fail(data: bytes) -> bool:
        raise ValueError(data)

    async with polling() as pair:
        bad, good, heard = pair(), pair(), list[bytes]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: listen(good, heard, until=b"end"))
            bad.far.send(b"x")
            assert bad.near.reader is not None
            with pytest.raises(ValueError, match="x"), trio.fail_after(5):
                await bad.near.reader.read(fail)
            good.far.send(b"end")
        assert heard == [b"end"]


async def test_a_lost_connection_is_a_broken_resource() -> None:
    with Epoll() as epoll:
        listener = socket.create_server(("127.0.0.1", 0))
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
        near.setblocking(False)
        transport = SocketTransport(near, "test")
        reader = transport.join(epoll)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()  # a reset
        async with trio.open_nursery() as nursery:
            nursery.start_soon(epoll.run)
            with pytest.raises(trio.BrokenResourceError), trio.fail_after(5):
                await reader.read(bool)
            nursery.cancel_scope.cancel()
        transport.abort()
        listener.close()


async def test_a_reader_that_is_cancelled_hears_nothing_more() -> None:
    async with polling() as pair:
        wire, heard = pair(), list[bytes]()
        with trio.move_on_after(0.01):
            await listen(wire, heard)
        wire.far.send(b"late")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert heard == []


async def test_a_reader_may_be_ended_by_what_it_hears() -> None:
    async with polling() as pair:
        wire = pair()
        assert wire.near.reader is not None
        for error in (None, ValueError("too late")):
            with trio.CancelScope() as scope:

                def take(data: bytes, scope: trio.CancelScope = scope, error: Exception | None = error) -> bool:
                    scope.cancel()
                    if error is not None:
                        raise error
                    return False

                wire.far.send(b"x")
                await wire.near.reader.read(take)
            assert scope.cancelled_caught


async def test_a_socket_that_is_closed_is_not_heard_for_the_one_that_gets_its_number() -> None:
    async with polling() as pair:
        first, heard = pair(), list[bytes]()
        first.far.send(b"one")
        await listen(first, heard, until=b"one")
        assert first.near.reader is not None
        number = first.near.reader._number
        first.near.abort()
        second = pair()
        assert second.near.reader is not None
        assert second.near.reader._number == number
        second.far.send(b"two")
        first.near.reader.close()  # again: it must not take the other one out
        await listen(second, heard, until=b"two")
        assert heard == [b"one", b"two"]


async def test_whether_something_lies_in_a_socket() -> None:
    async with polling() as pair:
        wire, heard = pair(), list[bytes]()
        assert SocketTransport(wire.near.sock, "in its handshake").has_unread() is False
        assert wire.near.has_unread()  # nobody waits: what was said last is being acted on
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(listen, wire, heard, until=b"end"))
            await trio.testing.wait_all_tasks_blocked()
            assert not wire.near.has_unread()
            wire.far.send(b"one")
            assert wire.near.has_unread()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not wire.near.has_unread()
            assert heard == [b"one"]  # to look takes nothing away
            wire.far.send(b"end")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(listen, wire, heard, until=b""))
            await trio.testing.wait_all_tasks_blocked()
            wire.far.close()
            assert wire.near.has_unread()


async def test_a_reset_that_was_not_heard_yet() -> None:
    with Epoll() as epoll:  # which does not run
        listener = socket.create_server(("127.0.0.1", 0))
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
        near.setblocking(False)
        transport = SocketTransport(near, "test")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.join(epoll).read, bool)
            await trio.testing.wait_all_tasks_blocked()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            far.close()
            assert transport.has_unread()
            nursery.cancel_scope.cancel()
        transport.abort()
        listener.close()


async def test_caught_up_means_that_everything_was_heard() -> None:
    async with polling() as pair:
        wires, heard = [pair() for _ in range(2 * NetLimits().sockets_in_a_row + 1)], list[bytes]()
        async with trio.open_nursery() as nursery:
            for wire in wires:
                nursery.start_soon(partial(listen, wire, heard, until=b"end"))
            await trio.testing.wait_all_tasks_blocked()
            assert wires[0].near.reader is not None
            epoll = wires[0].near.reader._epoll
            with trio.fail_after(5):
                await epoll.caught_up()  # at once: there is nothing
                for wire in wires:
                    wire.far.send(b"x")
                async with trio.open_nursery() as several:
                    several.start_soon(epoll.caught_up)
                    several.start_soon(epoll.caught_up)
                assert len(heard) == len(wires)
            for wire in wires:
                wire.far.send(b"end")


async def test_a_poll_that_is_over_has_nothing_to_catch_up() -> None:
    with trio.fail_after(1):
        await Epoll().caught_up()


async def test_more_sockets_than_one_round_hears() -> None:
    async with polling() as pair:
        wires, heard = [pair() for _ in range(2 * NetLimits().sockets_in_a_row + 1)], list[bytes]()
        for wire in wires:
            wire.far.send(b"x")
        async with trio.open_nursery() as nursery:
            for wire in wires:
                nursery.start_soon(partial(listen, wire, heard, until=b"x"))
        assert len(heard) == len(wires)
