"""One client's way out over a real pair of sockets: order, bounds, what the kernel does not take, and the end."""

from __future__ import annotations

import socket
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from gatewayd.core import events as e
from gatewayd.core.backlog import Backlog
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.machine import State
from gatewayd.core.observer import Observer
from gatewayd.core.outbox import Outbox
from gatewayd.core.session import Session
from gatewayd.core.settings import Settings
from gatewayd.net import frames
from gatewayd.net.tick import Tick
from gatewayd.net.transport import SocketTransport
from gatewayd.net.writer import Writer
from gatewayd.protocols import utilbot
from tests.core.test_session import session


class Pair(Observer):
    """A writer on one end of a socket pair, and the peer's end."""

    def __init__(self, tick: Tick, **settings: Any) -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        values = {"interval": 60.0, "patience": 65.0, "identify_timeout": None, "resume_window": 60.0, **settings}
        self.settings = Settings(**values)
        self.backlog = Backlog(max_events=10, max_bytes=100_000)
        self.writer = Writer(SocketTransport(near, "test"), self.settings, tick, 10.0, self._connect, self)
        self.connection = self.writer.connection
        self.connection.session = session(self.connection)
        self.connection.outbox.attach(self.backlog)
        self.connection.state = State.READY
        self.far = far
        self.told: list[str] = []
        """What the writer tells of the session."""

    def _connect(self, outbox: Outbox) -> Connection:
        return Connection(utilbot.WIRE, self.settings, trio.current_time(), outbox=outbox)

    def behind(self, session: Session) -> None:
        self.told.append("behind")

    def advanced(self, session: Session) -> None:
        self.told.append(f"wrote up to {self.backlog.written}")

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *exc: object) -> None:
        self.writer.socket.abort()
        self.far.close()

    def event(self, size: int) -> bytes:
        """Say an event of about this size; its frame."""
        event = e.Event("user:a", "E", "x" * size, 0.0)
        assert self.connection.deliver(event, trio.current_time())
        return utilbot.WIRE.frame(event, self.connection.variant)

    async def heard(self, size: int) -> bytes:
        """So many bytes at the peer's end."""
        got = b""
        with trio.fail_after(5):
            while len(got) < size:
                await trio.lowlevel.wait_readable(self.far)
                got += self.far.recv(65536)
        return got

    def nothing(self) -> bool:
        """Whether nothing has come to the peer."""
        try:
            self.far.recv(1)
        except BlockingIOError:
            return True
        return False


async def test_a_lone_frame_leaves_at_once_and_what_follows_in_the_turn_is_one_write() -> None:
    with Tick() as tick, Pair(tick) as pair:
        said = pair.event(10)
        assert pair.far.recv(65536) == said
        pair.writer.send_control(frames.control(frames.PONG, b"p"))
        said = b"\x8a\x01p" + pair.event(20)
        assert pair.nothing()
        await trio.lowlevel.checkpoint()
        assert pair.far.recv(65536) == said
        said = pair.event(5)  # another tick
        assert pair.far.recv(65536) == said


async def test_in_a_turn_that_is_held_all_is_one_write() -> None:
    with Tick() as tick, Pair(tick) as pair, Pair(tick) as other:
        pair.writer.hold()
        said = pair.event(10) + pair.event(20)
        other.event(1)
        assert pair.nothing()
        assert other.nothing()
        await trio.lowlevel.checkpoint()
        assert pair.far.recv(65536) == said
        assert not other.nothing()
        said = pair.event(5)  # the next tick is not held
        assert pair.far.recv(65536) == said


async def test_a_frame_that_goes_half_is_still_taken_back_by_nobody() -> None:
    """Its rest goes out before anything else, and its event is not said again."""
    with Tick() as tick, Pair(tick) as pair:
        said = pair.event(50_000)
        unsent = pair.event(7)
        pair.connection.outbox.cut()
        assert [event.data for _, event in pair.backlog.entries(pair.backlog.written)] == ["x" * 50_000, "x" * 7]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.writer.flush)
            assert await pair.heard(len(said)) == said
        await trio.lowlevel.checkpoint()
        assert pair.nothing(), unsent


async def test_what_goes_out_after_it_was_taken_back_is_not_said_again() -> None:
    with Tick() as tick, Pair(tick) as pair:
        said = pair.event(50_000)
        pair.connection.end(Disconnect(Cause.HEARTBEAT_MISSED))
        pair.connection.outbox.cut()
        assert (len(pair.backlog), pair.backlog.given, pair.backlog.written) == (1, 1, 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.writer.flush)
            assert await pair.heard(len(said)) == said
        assert (len(pair.backlog), pair.backlog.given, pair.backlog.written) == (0, 1, 1)


async def test_nothing_follows_a_close_frame() -> None:
    with Tick() as tick, Pair(tick) as pair:
        pair.writer.send_close(frames.close(1000))
        pair.writer.send_control(frames.control(frames.PONG, b""))
        pair.writer.send_close(frames.close(1001))
        pair.event(5)
        await trio.lowlevel.checkpoint()
        assert pair.far.recv(65536) == b"\x88\x02\x03\xe8"


async def test_what_the_kernel_does_not_take_is_written_by_a_task_that_ends_with_it() -> None:
    with Tick() as tick, Pair(tick) as pair:
        async with trio.open_nursery() as nursery:
            pair.writer.use(nursery)
            said = b"".join(pair.event(50_000) for _ in range(5))
            await trio.lowlevel.checkpoint()
            said += pair.event(7)  # behind the rest, though nothing was waiting in this tick
            assert await pair.heard(len(said)) == said
            said = pair.event(3)  # and now there is a tick again
            await trio.lowlevel.checkpoint()
            assert await pair.heard(len(said)) == said
        assert len(pair.connection.outbox) == 0


async def test_a_peer_that_is_gone_ends_the_client() -> None:
    with Tick() as tick, Pair(tick) as pair:
        pair.far.close()
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                pair.writer.use(nursery)
                pair.connection.serve(nursery.cancel_scope.cancel, pair.connection.pings)
                pair.event(5)
                await trio.sleep(60)
        verdict = pair.connection.verdict
        assert verdict is not None
        assert verdict.cause is Cause.PEER_GONE


async def test_a_peer_that_does_not_read_is_a_slow_consumer() -> None:
    with Tick() as tick, Pair(tick, outbox_age=0.1) as pair:
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                pair.writer.use(nursery)
                pair.connection.serve(nursery.cancel_scope.cancel, pair.connection.pings)
                for _ in range(10):
                    pair.event(50_000)
                await trio.sleep(60)
        verdict = pair.connection.verdict
        assert verdict is not None
        assert verdict.cause is Cause.SLOW_CONSUMER


async def test_a_client_that_is_leaving_starts_no_task() -> None:
    """Its nursery may be closing: who says goodbye writes the rest."""
    with Tick() as tick, Pair(tick) as pair:
        async with trio.open_nursery() as nursery:
            pair.writer.use(nursery)
        pair.writer.use(None)
        said = b"".join(pair.event(50_000) for _ in range(5))
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.writer.flush)
            assert await pair.heard(len(said)) == said


async def test_whoever_follows_an_event_is_told_when_the_kernel_has_the_whole_of_it() -> None:
    with Tick() as tick, Pair(tick) as pair:
        async with trio.open_nursery() as nursery:
            pair.writer.use(nursery)
            said = pair.event(50_000)
            said += pair.event(7)
            await wait_all_tasks_blocked()
            assert pair.told == ["behind"]
            assert await pair.heard(len(said)) == said
        assert (pair.told[0], pair.told[-1]) == ("behind", "wrote up to 2")


async def test_the_journal_is_told_of_what_went_out_after_all() -> None:
    """Taken back while it was half out: its session has it after all, and whoever keeps the session has to look."""
    with Tick() as tick, Pair(tick) as pair:
        said = pair.event(50_000)
        pair.connection.outbox.cut()
        pair.connection.end(Disconnect(Cause.SHUTDOWN))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.writer.flush)
            assert await pair.heard(len(said)) == said
        assert pair.told == ["wrote up to 1"]
