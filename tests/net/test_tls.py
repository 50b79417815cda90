"""A client behind TLS: the same promises as on a plain socket."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trustme

from gatewayd.config.limits import TlsLimits
from gatewayd.net import frames
from gatewayd.net.epoll import Epoll
from gatewayd.net.tls import RECORD_BYTES, TlsHandshakes, TlsTransport
from gatewayd.net.transport import SocketTransport
from gatewayd.protocols import utilbot
from tests.net.test_gate import connected
from tests.net.test_listener import GOOD, masked
from tests.server import Served, serving

IDENTIFY = masked(b'{"op":1,"t":"identify","d":{"type":"t","key":"s3cret","id":"a"}}')


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and a client's that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return server, trusting


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
Secured = trio.SSLStream[trio.SocketStream]


@asynccontextmanager
async def secured(served: Served, context: ssl.SSLContext) -> AsyncIterator[Secured]:
    stream = trio.SSLStream(await served.raw(), context, server_hostname="127.0.0.1", https_compatible=True)
    async with stream:
        yield stream


async def read(stream: Secured, until: bytes = b"") -> bytes:
    """What comes until there is this in it, or to the end."""
    got = b""
    with trio.fail_after(8):
        while not until or until not in got:
            data = bytes(await stream.receive_some())
            if not data:
                assert not until, got
                break
            got += data
    return got


async def test_what_is_pipelined_is_answered_in_order_and_so_is_the_close(contexts: Contexts) -> None:
    server, trusting = contexts
    async with serving(utilbot.PROTOCOL, tls=server) as served, secured(served, trusting) as stream:
        said = GOOD + IDENTIFY + masked(b'{"op":10}') + masked(b"p", 9) + masked(b"\x0f\xa0bye", 8)
        for at in range(0, len(said), 7):  # records of 7 bytes
            await stream.send_all(said[at : at + 7])
        got = await read(stream)
        places = [got.index(part) for part in (b'"heartbeat"', b"connect_success", b'{"op":11}', b"\x8a\x01p")]
        assert places == sorted(places)
        assert got.endswith(frames.close(4000))


async def test_who_comes_while_the_daemon_stops_is_told_to_come_again(contexts: Contexts) -> None:
    server, trusting = contexts
    async with serving(utilbot.PROTOCOL, tls=server) as served:
        served.gate.drain()
        async with secured(served, trusting) as stream:
            await stream.send_all(GOOD)
            assert (await read(stream)).startswith(b"HTTP/1.1 503 ")


async def test_a_slow_reader_gets_frames_larger_than_a_record_whole_and_in_order(contexts: Contexts) -> None:
    server, trusting = contexts
    async with serving(utilbot.PROTOCOL, tls=server) as served, secured(served, trusting) as stream:
        await stream.send_all(GOOD + IDENTIFY)
        await read(stream, b"connect_success")
        for number in range(40):
            served.hub.publish(
                served.hub.realms.make("main"), "user:a", "E", {"number": number, "pad": "x" * (RECORD_BYTES + 3000)}
            )
        session = served.hub.find("main", "utilbot", "a")[0]
        assert session.connection is not None
        while not session.connection.outbox.events:
            await trio.sleep(0.01)
        served.hub.publish(served.hub.realms.make("main"), "user:a", "LAST", {})
        got = await read(stream, b'"LAST"')
        numbers = [int(part.split(b",")[0]) for part in got.split(b'"number":')[1:]]
        assert numbers == list(range(40))
        assert got.count(b"x" * (RECORD_BYTES + 3000)) == 40


async def test_a_client_that_is_cut_off_is_told_between_two_frames(contexts: Contexts) -> None:
    """What was taken back leaves no half frame in front of the close."""
    server, trusting = contexts
    async with (
        serving(utilbot.PROTOCOL, tls=server, outbox_bytes=300_000) as served,
        secured(served, trusting) as stream,
    ):
        await stream.send_all(GOOD + IDENTIFY)
        await read(stream, b"connect_success")
        said = 0
        while not served.hub.publish(served.hub.realms.make("main"), "user:a", "E", {"pad": "x" * 20_000}).buffered:
            said += 1
            assert said < 1000
        got = await read(stream)
        at = 0
        while (size := int.from_bytes(got[at + 2 : at + 4], "big")) and got[at] == 0x81:
            at += 4 + size
        assert got[at : at + 1] == b"\x88"
        assert got[at + 2 : at + 4] == (4010).to_bytes(2, "big")


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b""])
async def test_who_speaks_no_tls_is_let_go(contexts: Contexts, junk: bytes) -> None:
    async with serving(utilbot.PROTOCOL, tls=contexts[0]) as served:
        stream = await served.raw()
        async with stream:
            await stream.send_all(junk)
            await stream.send_eof()
            with trio.fail_after(5):
                while await stream.receive_some():
                    pass
        await served.settled()


async def test_garbage_between_records_ends_that_client(contexts: Contexts) -> None:
    server, trusting = contexts
    async with serving(utilbot.PROTOCOL, tls=server) as served, secured(served, trusting) as stream:
        await stream.send_all(GOOD + IDENTIFY)
        await read(stream, b"connect_success")
        await stream.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + b"?" * 32)
        await served.settled()
        assert served.hub.totals.closed["peer_gone"] == 1


@pytest.mark.parametrize("behind", [b"", masked(b'{"op":10}')])
async def test_a_peer_that_says_it_is_over_is_gone(contexts: Contexts, behind: bytes) -> None:
    """A close_notify is an end like a FIN, whether or not the connection is closed behind it."""
    server, trusting = contexts
    async with serving(utilbot.PROTOCOL, tls=server) as served:
        raw = await served.raw()
        async with raw:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

            async def until(act: Callable[[], object]) -> object:
                while True:
                    try:
                        done = act()
                    except ssl.SSLWantReadError:
                        await raw.send_all(outgoing.read())
                        incoming.write(await raw.receive_some())
                    else:
                        await raw.send_all(outgoing.read())
                        return done

            with trio.fail_after(5):
                await until(tls.do_handshake)
                await until(lambda: tls.write(GOOD + IDENTIFY))
                heard = b""
                while b"connect_success" not in heard:
                    heard += bytes(await until(lambda: tls.read(65536)))  # type: ignore[call-overload]
                if behind:
                    tls.write(behind)
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.unwrap()
                await raw.send_all(outgoing.read())
                await served.settled()
        assert served.hub.totals.closed["peer_gone"] == 1


async def test_a_peer_that_asks_and_does_not_read_is_let_go(contexts: Contexts) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    transport = TlsTransport(SocketTransport(near, "test"), contexts[0], 65536)
    with Epoll() as epoll, near, far:
        transport.join(epoll)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with pytest.raises(trio.BrokenResourceError, match="more than it reads"):
            for _ in range(100):
                transport._out.write(b"x" * 5000)
                transport._answer()


async def test_a_write_to_a_closed_socket_is_an_os_error_and_the_transport_holds_nothing(contexts: Contexts) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    transport = TlsTransport(SocketTransport(near, "test"), contexts[0], 65536)
    with Epoll() as epoll:
        transport.join(epoll)
        transport.abort()
        transport.abort()
        far.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            transport.send(b"x")
        with pytest.raises(trio.ClosedResourceError):
            transport.write_some(b"x")


async def half_open(served: Served, source: str, said: bytes = b"\x16\x03\x01") -> trio.SocketStream:
    """A client that begins a handshake and says no more."""
    return trio.SocketStream(trio.socket.from_stdlib_socket(connected(served, source, said)))


async def comes_in(served: Served, context: ssl.SSLContext, source: str) -> None:
    stream = trio.SSLStream(
        await half_open(served, source, b""), context, server_hostname="127.0.0.1", https_compatible=True
    )
    async with stream:
        await stream.send_all(GOOD)
        assert b"101 Switching" in await read(stream, b"heartbeat")


async def test_an_address_has_few_handshakes_at_a_time_and_others_have_theirs(contexts: Contexts) -> None:
    server, trusting = contexts
    async with serving(
        utilbot.PROTOCOL, tls=server, handshakes=TlsHandshakes(8, TlsLimits(handshake_seconds=1.0))
    ) as served:
        async with await half_open(served, "127.0.0.2") as silent:
            await comes_in(served, trusting, "127.0.0.1")
            assert not served.gate.refused  # the silent one still has its place
            await comes_in(served, trusting, "127.0.0.2")
            assert served.gate.refused == {"tls": 1}  # and had to lose it first
            assert await silent.receive_some() == b""
        await served.settled()
        assert served.gate.refused == {"tls": 1}


async def test_whoever_finds_no_place_hurries_the_oldest(contexts: Contexts) -> None:
    server, trusting = contexts
    async with serving(
        utilbot.PROTOCOL,
        tls=server,
        handshakes=TlsHandshakes(1, TlsLimits(handshake_seconds=60.0, crowded_seconds=0.1)),
    ) as served:
        async with await half_open(served, "127.0.0.2") as silent:
            await trio.sleep(0.05)
            with trio.fail_after(5):
                await comes_in(served, trusting, "127.0.0.1")
                assert await silent.receive_some() == b""


async def test_many_handshakes_leave_the_loop_to_others(contexts: Contexts) -> None:
    """Each costs a millisecond: 512 clients that came at once held everybody up for half a second."""
    server, trusting = contexts
    ticks, computed = 0, Counter[int]()

    class Counted(ssl.SSLObject):
        def do_handshake(self) -> None:
            computed[ticks] += 1
            super().do_handshake()

    async def count_turns() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await trio.lowlevel.checkpoint()

    server.sslobject_class, before = Counted, server.sslobject_class
    try:
        async with serving(utilbot.PROTOCOL, tls=server) as served, trio.open_nursery() as nursery:
            nursery.start_soon(count_turns)
            async with trio.open_nursery() as clients:
                for number in range(20):
                    clients.start_soon(comes_in, served, trusting, f"127.0.0.{number + 2}")
            nursery.cancel_scope.cancel()
    finally:
        server.sslobject_class = before
    assert sum(computed.values()) >= 40
    assert max(computed.values()) <= 2  # one in a tick, which is counted somewhere within it


async def test_a_handshake_has_a_bound_in_bytes_and_leaves_nothing_behind(contexts: Contexts) -> None:
    server, _ = contexts
    gc.collect()
    gc.disable()
    try:
        async with serving(utilbot.PROTOCOL, tls=server) as served:
            record = b"\x16\x03\x01\x40\x00"  # of 16 KiB, the first of a hello of nearly 128 KiB
            hello = record + b"\x01\x01\xff\xff" + b"\0" * 16380 + (record + b"\0" * 16384) * 7
            async with await half_open(served, "127.0.0.1", hello[:40_000]) as stream:
                with contextlib.suppress(trio.BrokenResourceError), trio.fail_after(5):
                    assert await stream.receive_some() == b""
            await served.settled()
            assert served.gate.refused == {"tls": 1}
        assert not [item for item in gc.get_objects() if isinstance(item, TlsTransport)]
    finally:
        gc.enable()
