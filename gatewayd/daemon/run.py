"""The composition root: builds the parts from a configuration, runs them, and takes them down in order.

Down means: stop accepting, tell every client, give them the grace, and only then cut.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from gatewayd import __version__
from gatewayd.admin import server as admin
from gatewayd.admin.app import make_app
from gatewayd.admin.bounds import Bounds
from gatewayd.admin.idempotency import Remembered
from gatewayd.admin.node import NodeView
from gatewayd.auth.brake import Brake
from gatewayd.auth.make import closing, make
from gatewayd.auth.static import OpenAuth
from gatewayd.backend.app import load
from gatewayd.backend.service import Service, no_backend
from gatewayd.config.model import Config, ListenerConfig
from gatewayd.core.close import Cause, Disconnect, Verdict
from gatewayd.core.protocol import Protocol
from gatewayd.core.sampled import Sampled
from gatewayd.daemon import descriptors, stopping, systemd, upkeep
from gatewayd.daemon.build import StartError, hub_of, listener_view, rest_of, settings_of, tls_of
from gatewayd.daemon.host import status
from gatewayd.daemon.sockets import Sockets
from gatewayd.daemon.state import Keeping
from gatewayd.daemon.stopping import STOP_SIGNALS, told_to_stop
from gatewayd.hub.answers import apply
from gatewayd.hub.port import ListenerPort
from gatewayd.journal.pinned import JournalError
from gatewayd.net.accept import Acceptor
from gatewayd.net.bind import BindError
from gatewayd.net.clock import SteadyClock
from gatewayd.net.epoll import Epoll
from gatewayd.net.gate import Gate
from gatewayd.net.listener import Listener
from gatewayd.net.tick import Tick
from gatewayd.net.tls import Handshakes

log = logging.getLogger("gatewayd")

FEW_UNIDENTIFIED = 64
"""Where clients are few, so are those that have not identified: one address holds an eighth of all places, not all."""
HALF_OPEN_SECONDS = 1.0
"""What a client in the handshake has at shutdown."""
PARTING_SECONDS = 1.0
"""What the backend has at shutdown, at the least, to be told how sessions ended; a quarter of a grace below 4 s."""


class Daemon:
    """One node. `prepare` binds everything or raises `StartError`; `run` serves until told to stop.

    `clock` is the one to run it on.
    """

    def __init__(self, config: Config, protocols: Mapping[str, Protocol], admin_socket: Path) -> None:
        self.config = config
        self.clock = SteadyClock()
        self.protocols = protocols
        self.admin_path = admin_socket
        limits = config.limits
        share = descriptors.share_for(config, descriptors.raise_limit())
        unidentified = min(limits.max_unidentified, max(FEW_UNIDENTIFIED, share.clients))
        self.gate = Gate(share.clients, unidentified, limits.net.address_share)
        self.bounds = Bounds().within(share.door)
        self.keeping = self._keeping()
        store = None if self.keeping is None else self.keeping.journal
        self.hub = hub_of(config, trio.current_time, store)
        self.lines = Sampled(trio.current_time, self.hub.timers.at)
        self.remembered = Remembered()
        self.backend = self._service()
        self.tick = Tick(self.clock)
        self.epoll = Epoll(limits.net.sockets_in_a_row)
        self.brake = Brake()
        self.handshakes = Handshakes(limits.tls_handshakes, limits.net.tls, address_share=limits.net.address_share)
        self.auths = {name: make(name, item, self.lines) for name, item in config.auth.items()}
        self.started = time.time()
        self.deadline = math.inf
        self.listeners = [self._listener(item, protocols[item.protocol]) for item in config.listeners]
        self._by_name = {listener.config.name: listener for listener in self.listeners}
        self.sockets = Sockets(limits.net.socket)

    def _keeping(self) -> Keeping | None:
        gateway = self.config.gateway
        if not gateway.state_dir:
            return None
        try:
            return Keeping(Path(gateway.state_dir), interval=gateway.journal_interval, full_sync=self._always())
        except JournalError as exc:
            raise StartError(str(exc)) from exc

    def _always(self) -> bool:
        return any(listener.durability == "always" for listener in self.config.listeners)

    def _service(self) -> Service | None:
        config = self.config.backend
        if config is None:
            return None
        try:
            app = None if config.handlers is None else load(config.handlers)
        except ImportError as exc:
            raise StartError(f"backend.handlers: {exc}") from exc
        try:
            queue = None if self.keeping is None else self.keeping.lifecycle(config.lifecycle_queue)
        except JournalError as exc:
            raise StartError(str(exc)) from exc
        service = Service(config, partial(apply, self.hub), node=self.hub, app=app, queue=queue)
        if queue is not None:
            service.recorder.last = queue.last
        self.hub.lifecycle = service.recorder
        return service

    def _listener(self, config: ListenerConfig, protocol: Protocol) -> Listener:
        auth = self.auths[config.auth] if config.auth is not None else OpenAuth()
        verify = partial(auth.verify, listener=config.name, protocol=protocol.name, realm=config.realm)
        ask = no_backend if self.backend is None else self.backend.ask
        realm = self.hub.realm(config.realm)
        port = ListenerPort(
            self.hub, realm, protocol.name, verify, ask,
            machine=status, hold_back=self.brake.hold_back, pause=trio.lowlevel.checkpoint,
        )  # fmt: skip
        behaviour = protocol.behaviour(config.name, config.options, port, config.heartbeat_interval)
        self.hub.serve(behaviour)
        return Listener(
            config=config,
            settings=settings_of(config),
            wire=protocol.wire,
            behaviour=behaviour,
            hub=self.hub,
            gate=self.gate,
            tick=self.tick,
            epoll=self.epoll,
            lines=self.lines,
            handshakes=self.handshakes,
            tls=tls_of(config),
            fast_lane=self.config.gateway.fast_lane,
            rest=rest_of(config, self.config.limits.net.forward),
            limits=self.config.limits.net,
        )

    def prepare(self, environ: Mapping[str, str]) -> None:
        """Bind everything; nothing is served yet."""
        try:
            self.sockets.bind(self.config, self.admin_path, environ)
        except BindError as exc:
            self.release()
            raise StartError(str(exc)) from exc

    def release(self) -> None:
        """Close what `prepare` bound, and the journal if it is still open."""
        self.sockets.release()
        if self.keeping is not None:
            self.keeping.journal.close()

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self, announce: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT. `announce` is called when everything is ready, before the first accept.

        Raises `StartError` before that.
        """
        try:
            self._take_up()
            with self.tick, self.epoll, trio.open_signal_receiver(*STOP_SIGNALS) as signals:
                stopping.release()
                told = aiter(signals)
                async with closing(self.auths), self._outlive_clients(told), trio.open_nursery() as keep:
                    keep.start_soon(self.epoll.run)
                    self.hub.following.soon = trio.lowlevel.current_trio_token().run_sync_soon
                    judge = upkeep.LoginJudge(self.hub).judge
                    self.hub.judge_again = lambda session: keep.start_soon(judge, session)
                    keep.start_soon(upkeep.run_timers, self.hub, self.epoll)
                    if self.backend is not None:
                        await keep.start(self.backend.run)
                    announce()
                    await self._serve_clients(told)
                    keep.cancel_scope.cancel()
        except stopping.Stopped:
            log.info("stopped while the journal was read")
        finally:
            self.release()

    def _take_up(self) -> None:
        """What the last run has left. Raises `StartError` when the journal cannot be read as a whole."""
        if self.keeping is not None:
            settings = {listener.config.name: listener.settings for listener in self.listeners}
            try:
                self.keeping.read(self.hub, settings, self.remembered, stopping.look)
            except JournalError as exc:
                raise StartError(str(exc)) from exc
            self.clock.excuse()

    async def _serve_clients(self, signals: AsyncIterator[int]) -> None:
        async with trio.open_nursery() as watching:
            async with trio.open_nursery() as clients:
                async with trio.open_nursery() as accepting:
                    for name, sock in self.sockets.clients:
                        acceptor = Acceptor(name, sock, self.lines, self.gate.refused, self.config.limits.net.socket)
                        accepting.start_soon(self._by_name[name].serve, acceptor, clients)
                    systemd.notify("READY=1", f"STATUS={self._state()}")
                    watching.start_soon(systemd.beat, self._state)
                    signal_name = await told_to_stop(signals)
                    log.info("%s: stopping, %d clients are told", signal_name, self.gate.clients)
                    self.gate.draining = True
                    systemd.notify("STOPPING=1", f"STATUS={self._state()}")
                    accepting.cancel_scope.cancel()
                self._tell_all()
                grace = self.config.gateway.shutdown_grace
                self.deadline = trio.current_time() + grace
                # Of the grace, some is left for the backend to be told in, whatever the clients do.
                parting = 0.0 if self.backend is None else min(PARTING_SECONDS, grace / 4)
                clients.cancel_scope.deadline = self.deadline - parting
                watching.start_soon(self._hurry, signals, clients.cancel_scope)
            watching.cancel_scope.cancel()

    def _state(self) -> str:
        """The line that `systemctl status` shows."""
        doing = "Stopping" if self.gate.draining else "Serving"
        clients, sessions = self.gate.clients, len(self.hub.sessions)
        return f"{doing}: {clients} clients, {sessions} sessions, {len(self.listeners)} listeners"

    @asynccontextmanager
    async def _outlive_clients(self, signals: AsyncIterator[int]) -> AsyncIterator[None]:
        """What outlives the clients: the API answers and the journal is written until the backend knows of the end."""
        async with trio.open_nursery() as writing:
            if self.keeping is not None:
                await writing.start(self.keeping.journal.run)
                await self.keeping.journal.committed()  # no event gets a number that the next run might give again
            async with trio.open_nursery() as serving:
                serving.start_soon(self._serve_admin)
                yield
                if self.backend is not None:
                    async with trio.open_nursery() as parting:
                        parting.start_soon(self._hurry, signals, parting.cancel_scope)
                        await self._part_from(self.backend)
                        parting.cancel_scope.cancel()
                    await self.backend.close()
                serving.cancel_scope.cancel()
            if self.keeping is not None:
                await self.keeping.aclose()

    async def _part_from(self, backend: Service) -> None:
        """What no journal keeps ends with the process; the backend learns of it, if it is there to."""
        self.hub.end_all(Verdict(Cause.SHUTDOWN, Cause.SHUTDOWN.words))
        await backend.finish(max(0.0, self.deadline - trio.current_time()), kept=self.keeping is not None)

    def _tell_all(self) -> None:
        for listener in self.listeners:
            listener.drain(HALF_OPEN_SECONDS)
        for session in tuple(self.hub.sessions.values()):
            if session.connection is not None:
                session.connection.end(Disconnect(Cause.SHUTDOWN))

    async def _hurry(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        """A second signal: stop now, and wait for nobody else either."""
        await told_to_stop(signals)
        log.warning("told twice: stopping now")
        self.deadline = trio.current_time()
        scope.cancel()

    async def _serve_admin(self) -> None:
        view = self._view()
        app, refused, lines, bounds = make_app(view), view.refused, self.lines, self.bounds
        assert self.sockets.admin is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(admin.serve_unix, app, self.sockets.admin, refused, lines, bounds)
            if self.sockets.api is not None and self.config.api is not None:
                tokens = self.config.api.tokens
                nursery.start_soon(admin.serve_tcp, app, self.sockets.api, tokens, refused, lines, bounds)

    def _view(self) -> NodeView:
        paths = {name: protocol.path for name, protocol in self.protocols.items()}
        views = [listener_view(item, self.gate, paths[item.config.protocol]) for item in self.listeners]
        return NodeView(
            hub=self.hub,
            node=self.config.gateway.node,
            version=__version__,
            started_wall=self.started,
            listeners=views,
            clients=lambda: self.gate.clients,
            draining=lambda: self.gate.draining,
            refused_clients=self.gate.refused,
            wrong_keys=self.brake.status,
            auth=lambda: {name: auth.status() for name, auth in self.auths.items()},
            backend=None if self.backend is None else self.backend.status,
            journal=None if self.keeping is None else self.keeping.status,
            committed=None if self.keeping is None or not self._always() else self.keeping.committed,
            remembered=self.remembered,
            loop=self.clock.status,
            hold=self.tick.hold,
        )
