"""From an accepted connection to a served client: bounds, TLS, request head, origin, and the protocol's decision."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from gatewayd.config.limits import NetLimits
from gatewayd.core.behaviour import Answer, Handshake
from gatewayd.core.close import Cause, Disconnect, Refused
from gatewayd.core.connection import Connection
from gatewayd.core.encode import json
from gatewayd.core.events import Hello
from gatewayd.core.sampled import Sampled
from gatewayd.core.text import printable
from gatewayd.net import origin
from gatewayd.net.accept import Acceptor
from gatewayd.net.client import Client
from gatewayd.net.gate import DRAINING, Gate, GateClosed, Ticket
from gatewayd.net.request_head import WEBSOCKET, BadHead, Head, HeadReader, response, switching_protocols
from gatewayd.net.request_target import redacted
from gatewayd.net.tls import NotTls, TlsHandshakes
from gatewayd.net.transport import SocketTransport
from gatewayd.net.websocket import WebSocket
from gatewayd.net.writer import Writer

if TYPE_CHECKING:
    from gatewayd.config.model import ListenerConfig
    from gatewayd.core.behaviour import Behaviour
    from gatewayd.core.events import Identify
    from gatewayd.core.outbox import Outbox
    from gatewayd.core.settings import Settings
    from gatewayd.core.wire import Wire
    from gatewayd.hub.hub import Hub
    from gatewayd.hub.timers import Due
    from gatewayd.net.alarms import Alarms
    from gatewayd.net.epoll import Epoll, Reader
    from gatewayd.net.forward import Forwarder
    from gatewayd.net.tick import Tick

ORIGIN_REFUSED = "this origin is not allowed: add it to the listener's origins"
RETRY = (("Retry-After", "5"),)

log = logging.getLogger("gatewayd.listener")


class Listener:
    """One bound socket that speaks one protocol. `tls` is the server context, or None."""

    def __init__(
        self, *, config: ListenerConfig, settings: Settings, wire: Wire, behaviour: Behaviour[Any], hub: Hub,
        gate: Gate, tick: Tick, epoll: Epoll, alarms: Alarms, lines: Sampled, tls: ssl.SSLContext | None,
        handshakes: TlsHandshakes, fast_lane: bool = True, forwarder: Forwarder | None = None,
        limits: NetLimits = NetLimits(), new_client: Callable[..., Client] = Client,
    ) -> None:  # fmt: skip
        self.config = config
        self.settings = settings
        self.wire = wire
        self.behaviour = behaviour
        self.hub = hub
        self.gate = gate
        self.tick = tick
        self.epoll = epoll
        self.alarms = alarms
        self.lines = lines
        self.tls = tls
        self.handshakes = handshakes
        self.fast_lane = fast_lane
        self.forwarder = forwarder
        self.limits = limits
        self._new_client = new_client
        self._says_hello = Hello in wire.encoders
        self._proxies = origin.networks(config.trusted_proxies)
        self._opening: dict[trio.CancelScope, tuple[float, Due]] = {}  # until when each handshake may take

    async def serve(self, acceptor: Acceptor, clients: trio.Nursery) -> None:
        """Accept until cancelled; clients live in a nursery of their own, so that they outlive the acceptor."""
        async with acceptor:
            while True:
                for socket in await acceptor.accept_some(self.limits.socket.accepted_in_a_row):
                    clients.start_soon(self._contain, socket, name="client")

    def drain(self, seconds: float) -> None:
        """Clients in the handshake have so long to send the rest of it, and get a 503 then."""
        latest = trio.current_time() + seconds
        for scope, (when, due) in self._opening.items():
            if latest < when:
                due.cancel()
                self._opening[scope] = latest, self.alarms.at(latest, scope.cancel)

    async def _contain(self, socket: SocketTransport) -> None:
        """Whatever goes wrong on a connection ends that connection alone."""
        try:
            ticket = self._issue(socket)
            if ticket is not None:
                try:
                    await self._serve(socket, ticket)
                finally:
                    ticket.release()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it went away in the handshake
        except* Exception:  # noqa: BLE001  # a bug of ours must end this connection alone, and be seen
            self.hub.totals.faults += 1
            self.lines.log(log, logging.ERROR, "fault in the handshake on %s", self.config.name, exc_info=True)
        finally:
            socket.abort()

    def _issue(self, socket: SocketTransport) -> Ticket | None:
        """Check the bounds first: before a byte is read from a client that there is no room for."""
        proxied = origin.is_trusted(socket.remote, self._proxies)
        try:
            return self.gate.issue(self.config, None if proxied else origin.address_of(socket.remote))
        except GateClosed as refused:
            self._count(refused.bound, socket.remote, refused.status, refused.reason)
            # No task waits until it has read the answer; under TLS there is no answer that it could read.
            answer = b"" if self.tls is not None else _closed(refused)
            socket.reject(answer, self.limits.socket.dismissed_bytes)
            return None

    async def _serve(self, socket: SocketTransport, ticket: Ticket) -> None:
        """One nursery for the connection: its handshake, then the client's tasks; what ends these is one verdict."""
        client: Client | None = None
        try:
            try:
                async with trio.open_nursery() as tasks:
                    client = await self._open(socket, ticket, tasks.cancel_scope)
                    if client is not None:
                        await client.serve(tasks)
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                if client is None:
                    raise
            except* Exception:
                if client is None:
                    raise
                client.on_fault()  # in one of its tasks
            if client is not None:
                await client.close()
            elif tasks.cancel_scope.cancelled_caught:
                self._count("handshake_timeout", socket.remote, 0, "the handshake took too long")
        finally:
            if client is not None:
                client.release()

    async def _open(self, socket: SocketTransport, ticket: Ticket, scope: trio.CancelScope) -> Client | None:
        """Bound the handshake in time. Returns the client that is to be served, if it is one."""
        latest = trio.current_time() + self.config.handshake_timeout
        self._opening[scope] = latest, self.alarms.at(latest, scope.cancel)
        try:
            ready = await self._handshake(socket, ticket)
        finally:
            self._opening.pop(scope)[1].cancel()
        if ready is None or isinstance(ready, Client):
            return ready
        await ready()
        return None

    async def _handshake(
        self, socket: SocketTransport, ticket: Ticket
    ) -> Client | Callable[[], Awaitable[None]] | None:
        """Everything up to the 101, within the handshake's time. Returns whom to serve, or what to run, behind it; None
        if it was refused.
        """
        transport = socket
        if self.tls is not None:
            try:
                transport = await self.handshakes.run(socket, self.tls, ticket.address)
            except NotTls as exc:
                self._count("tls", socket.remote, 0, str(exc))
                raise
        source = transport.join(self.epoll)
        reader = HeadReader(self.limits.head, plain=self.behaviour.plain)
        try:
            head = await _read_head(transport, source, reader, self.limits.head.head_bytes)
        except BadHead as bad:
            if bad.status != 200:
                self._count("bad_request", socket.remote, bad.status, bad.reason)
            elif self.gate.draining:  # a proxy's probe
                await self._refuse(transport, _closed(GateClosed(*DRAINING)))
                return None
            await self._refuse(transport, response(bad.status, bad.reason, headers=bad.headers))
            return None
        if head is None:
            return None
        remote = origin.remote(socket.remote, head.headers, self._proxies)
        url = origin.base_url(
            head.headers, tls=self.tls is not None, proxied=origin.is_trusted(socket.remote, self._proxies)
        )
        if log.isEnabledFor(logging.DEBUG):
            target, agent = printable(redacted(head.target)), printable(head.user_agent or "-")
            log.debug(
                "head listener=%s remote=%s target=%s agent=%s", self.config.name, printable(remote), target, agent
            )
        try:
            handshake = self._handshake_of(ticket, head, remote, url)
            if not head.upgrades:
                answer = await self._admit_plain(head, handshake)
                if answer is not None:
                    return partial(self._answer, transport, head, answer, remote)
                if self.forwarder is None:
                    raise Refused(404, "nothing answers this request here", Cause.NOT_ALLOWED)
                ticket.identify()
                return partial(self._forward, self.forwarder, transport, head, reader.pipelined, remote)
            claim = await self._admit(head, handshake)
        except GateClosed as refused:
            self._count(refused.bound, remote, refused.status, refused.reason)
            await self._refuse(transport, _closed(refused))
            return None
        except Refused as refused:
            self._count(refused.cause.value, remote, refused.status, refused.reason, head.target)
            headers = (WEBSOCKET,) if refused.status == 426 else ()
            await self._refuse(
                transport, response(refused.status, refused.reason, headers=headers, plain=not head.upgrades)
            )
            return None
        limits = self.limits.client
        writer = Writer(
            transport, self.settings, self.tick, limits.write_seconds, partial(self._connection, handshake.address),
            self.hub.observers,
        )  # fmt: skip
        transport.wake = writer.wake
        websocket = WebSocket(
            source, writer, writer.connection, limits, pipelined=reader.pipelined, fast=self.fast_lane
        )
        client = self._new_client(
            self.hub,
            self.behaviour,
            writer,
            websocket,
            handshake,
            claim,
            ticket,
            remote,
            self.lines,
            limits,
            self.alarms,
        )
        await self._switch(transport, switching_protocols(head))
        return client

    async def _switch(self, transport: SocketTransport, answer: bytes) -> None:
        """Send the 101, without waiting where the kernel takes it; hello follows, where the protocol has one."""
        sent = transport.write_first(answer) if self._says_hello else transport.write_some(answer)
        if sent < len(answer):
            await transport.send_all(answer[sent:])

    def _connection(self, address: str | None, outbox: Outbox) -> Connection:
        return Connection(self.wire, self.settings, trio.current_time(), address, outbox=outbox)

    async def _forward(
        self, forwarder: Forwarder, transport: SocketTransport, head: Head, pipelined: bytes, remote: str
    ) -> None:
        failed = await forwarder.answer(transport, head, pipelined, remote)
        if failed is not None:
            self._count(failed.cause, remote, failed.status, failed.reason, head.target)

    async def _answer(self, transport: SocketTransport, head: Head, answer: Answer, remote: str) -> None:
        """Send the protocol's own answer, and close. Nothing waits for the request's body."""
        if answer.cause is not None:
            self._count(answer.cause.value, remote, answer.status, answer.cause.words, head.target)
        body = json(answer.body)
        sent = response(answer.status, "", headers=RETRY if answer.status == 503 else (), body=body)
        limits = self.limits.forward  # a client may send all of its body before it reads
        await transport.answer_and_linger(
            sent.removesuffix(body) if head.method == "HEAD" else sent, limits.linger_seconds, limits.refused_bytes
        )

    async def _admit_plain(self, head: Head, handshake: Handshake) -> Answer | None:
        """The protocol's answer to a plain request; None to forward it. Raises `Refused`."""
        if not origin.allowed(head.origin, head.host, self.config.origins):
            raise Refused(403, ORIGIN_REFUSED, Cause.ORIGIN_REFUSED)
        return await self.behaviour.admit_plain(handshake)

    async def _admit(self, head: Head, handshake: Handshake) -> Identify | Disconnect | None:
        """The protocol's decision on the request: a claim, a verdict to be sent in band, or nothing yet."""
        if not origin.allowed(head.origin, head.host, self.config.origins):
            verdict = Disconnect(Cause.ORIGIN_REFUSED, ORIGIN_REFUSED)
            if Cause.ORIGIN_REFUSED in self.wire.endings:
                return verdict
            raise Refused(403, verdict.reason, Cause.ORIGIN_REFUSED)
        try:
            return await self.behaviour.admit(handshake)
        except Disconnect as verdict:
            return verdict

    def _handshake_of(self, ticket: Ticket, head: Head, remote: str, url: str) -> Handshake:
        """Raises `GateClosed`: behind a trusted proxy only the head names the address whose bounds are judged."""
        if self.gate.draining:
            raise GateClosed(*DRAINING)
        if ticket.address is None and (address := origin.address_of(remote)) is not None:
            self.gate.check_address(self.config, address)
            ticket.set_address(address)
        # If a proxy does not name its client, one client's wrong keys must not delay the others.
        blamed = None if origin.is_trusted(remote, self._proxies) else ticket.address
        return Handshake(head.path, head.query, head.headers, blamed, head.method, url, head.target.partition("?")[0])

    async def _refuse(self, transport: SocketTransport, answer: bytes) -> None:
        """Answer over HTTP, and close."""
        await transport.answer_and_linger(answer, self.limits.client.linger_seconds, self.limits.client.refused_bytes)

    def _count(self, reason: str, remote: str, status: int, words: str, target: str = "-") -> None:
        """Count and log a client that is refused before its upgrade."""
        self.gate.refused[reason] += 1
        self.lines.log(
            log, logging.INFO, "refused listener=%s remote=%s status=%s target=%s cause=%s reason=%s",
            self.config.name, printable(remote), status or "-", printable(redacted(target)), reason, printable(words),
            kind=reason,
        )  # fmt: skip


def _closed(refused: GateClosed) -> bytes:
    return response(refused.status, refused.reason, headers=RETRY)


async def _read_head(transport: SocketTransport, source: Reader, reader: HeadReader, most: int) -> Head | None:
    """The request head; None if the peer closed before its end."""
    data = transport.receive_now(most)
    head: Head | None = None

    def on_data(data: bytes) -> bool:
        nonlocal head
        head = reader.feed(data) if data else None
        return bool(data) and head is None

    if data is None or on_data(data):
        await source.read(on_data, most)
    return head
