"""Runs the parts of a node, and takes them down in order.

Down means: refuse newcomers, tell every client, give them the grace, and only then cut.
"""

from __future__ import annotations

import logging
import math
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from gatewayd.admin import server as admin
from gatewayd.admin.app import App
from gatewayd.auth.make import closing
from gatewayd.backend.service import Service
from gatewayd.core.close import Cause, Disconnect
from gatewayd.daemon import stopping, systemd, upkeep
from gatewayd.daemon.build import Node, StartError
from gatewayd.daemon.sockets import Sockets
from gatewayd.daemon.stopping import STOP_SIGNALS, told_to_stop
from gatewayd.daemon.view import node_view
from gatewayd.journal.pinned import JournalError
from gatewayd.net.accept import Acceptor
from gatewayd.net.bind import BindError
from gatewayd.net.listener import Listener

log = logging.getLogger("gatewayd")


class Daemon:
    """Serves one node. `prepare` binds everything or raises `StartError`; `run` serves until told to stop."""

    def __init__(self, node: Node, admin_socket: Path) -> None:
        self.node = node
        self._limits = node.config.limits.daemon
        self.admin_path = admin_socket
        self.sockets = Sockets(node.config.limits.net.socket)
        self._view = node_view(node, started=time.time())
        self._deadline = math.inf

    def prepare(self, environ: Mapping[str, str]) -> None:
        """Bind everything; nothing is served yet."""
        try:
            self.sockets.bind(self.node.config, self.admin_path, environ)
        except BindError as exc:
            self.release()
            raise StartError(str(exc)) from exc

    def release(self) -> None:
        """Close what `prepare` bound, and the journal if it is still open."""
        self.sockets.release()
        if self.node.state is not None:
            self.node.state.journal.close()

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self, announce: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT. `announce` is called when everything is ready, before the first accept.

        Raises `StartError` before that.
        """
        node = self.node
        try:
            self._take_up()
            with node.fan, node.tick, node.epoll, trio.open_signal_receiver(*STOP_SIGNALS) as signals:
                stopping.release()
                told = aiter(signals)
                async with (
                    closing(node.auths, node.config.limits.auth.close_seconds),
                    self._outlive_clients(told),
                    trio.open_nursery() as keep,
                ):
                    keep.start_soon(node.epoll.run)
                    keep.start_soon(node.alarms.run)
                    keep.start_soon(upkeep.run_timers, node.hub, node.epoll, self._limits)
                    if node.backend is not None:
                        await keep.start(node.backend.run)
                    announce()
                    await self._serve_clients(told)
                    keep.cancel_scope.cancel()
        except stopping.Stopped:
            log.info("stopped while the journal was read")
        finally:
            self.release()

    def _take_up(self) -> None:
        """What the last run has left. Raises `StartError` when the journal cannot be read as a whole."""
        node = self.node
        if node.state is not None:
            settings = {listener.config.name: listener.settings for listener in node.listeners}
            try:
                node.state.read(settings, stopping.check)
            except JournalError as exc:
                raise StartError(str(exc)) from exc
            node.clock.excuse()

    async def _serve_clients(self, signals: AsyncIterator[int]) -> None:
        node = self.node
        async with trio.open_nursery() as watching:
            async with trio.open_nursery() as clients:
                async with trio.open_nursery() as accepting:
                    for listener, sock in self._bound():
                        accepting.start_soon(listener.serve, self._acceptor(listener, sock), clients)
                    systemd.notify("READY=1", f"STATUS={self._state()}")
                    watching.start_soon(systemd.beat, self._state, self._limits.status_seconds)
                    signal_name = await told_to_stop(signals)
                    log.info("%s: stopping, %d clients are told", signal_name, node.gate.clients)
                    node.gate.drain()
                    systemd.notify("STOPPING=1", f"STATUS={self._state()}")
                    self._turn_away(watching)
                    accepting.cancel_scope.cancel()  # closes the sockets
                self._tell_all()
                grace = node.config.gateway.shutdown_grace
                self._deadline = trio.current_time() + grace
                # Of the grace, some is left for the backend to be told in, whatever the clients do.
                parting = 0.0 if node.backend is None else min(self._limits.parting_seconds, grace / 4)
                clients.cancel_scope.deadline = self._deadline - parting
                watching.start_soon(self._hurry, signals, clients.cancel_scope)
            watching.cancel_scope.cancel()

    def _bound(self) -> Iterator[tuple[Listener, socket.socket]]:
        listeners = {listener.config.name: listener for listener in self.node.listeners}
        return ((listeners[name], sock) for name, sock in self.sockets.clients)

    def _acceptor(self, listener: Listener, sock: socket.socket) -> Acceptor:
        node = self.node
        return Acceptor(listener.config.name, sock, node.lines, node.gate.refused, node.config.limits.net.socket)

    def _turn_away(self, nursery: trio.Nursery) -> None:
        """Answer who comes from now on with 503, except where another process takes the clients of this socket."""
        for listener, sock in self._bound():
            if listener.config.bind.kind != "systemd" and not listener.config.reuse_port:
                try:
                    acceptor = self._acceptor(listener, sock.dup())
                except OSError:
                    continue  # no descriptor is left: the port is closed early
                nursery.start_soon(listener.serve, acceptor, nursery)

    def _state(self) -> str:
        """The line that `systemctl status` shows."""
        node = self.node
        doing = "Stopping" if node.gate.draining else "Serving"
        return (
            f"{doing}: {node.gate.clients} clients, {len(node.hub.sessions)} sessions, {len(node.listeners)} listeners"
        )

    @asynccontextmanager
    async def _outlive_clients(self, signals: AsyncIterator[int]) -> AsyncIterator[None]:
        """What outlives the clients: the API answers and the journal is written until the backend knows of the end."""
        state, backend = self.node.state, self.node.backend
        async with trio.open_nursery() as writing:
            if state is not None:
                await writing.start(state.journal.run, state)
                await state.journal.committed()  # no event gets a number that the next run might give again
            async with trio.open_nursery() as serving:
                serving.start_soon(self._serve_admin)
                yield
                if backend is not None:
                    async with trio.open_nursery() as parting:
                        parting.start_soon(self._hurry, signals, parting.cancel_scope)
                        await self._part_from(backend)
                        parting.cancel_scope.cancel()
                    await backend.close()
                serving.cancel_scope.cancel()
            if state is not None:
                await state.aclose()

    async def _part_from(self, backend: Service) -> None:
        """What no journal keeps ends with the process; the backend learns of it, if it is there to."""
        self.node.hub.end_all(Cause.SHUTDOWN)
        await backend.finish(max(0.0, self._deadline - trio.current_time()), journaled=self.node.state is not None)

    def _tell_all(self) -> None:
        for listener in self.node.listeners:
            listener.drain(self._limits.half_open_seconds)
        for session in tuple(self.node.hub.sessions.values()):
            if session.connection is not None:
                session.connection.end(Disconnect(Cause.SHUTDOWN))

    async def _hurry(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        """A second signal: stop now, and wait for nobody else either."""
        await told_to_stop(signals)
        log.warning("told twice: stopping now")
        self._deadline = trio.current_time()
        scope.cancel()

    async def _serve_admin(self) -> None:
        app, refused = App(self._view), self._view.refused
        lines, limits = self.node.lines, self.node.api_limits
        assert self.sockets.admin is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(admin.serve_unix, app, self.sockets.admin, refused, lines, limits)
            if self.sockets.api is not None and self.node.config.api is not None:
                tokens = self.node.config.api.tokens
                nursery.start_soon(admin.serve_tcp, app, self.sockets.api, tokens, refused, lines, limits)
