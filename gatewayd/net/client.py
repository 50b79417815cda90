"""One client's life: a nursery with its reader, heartbeat deadline and writer; one verdict, and one close.

Whatever happens to a client ends that client alone; only cancellation leaves `serve_client`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from gatewayd.core.close import NEVER_SENT, Cause, Disconnect
from gatewayd.core.machine import IDENTIFIED
from gatewayd.core.session import session_of
from gatewayd.core.text import printable
from gatewayd.core.wire import loads
from gatewayd.hub import dispatch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gatewayd.config.limits import ClientLimits
    from gatewayd.core.behaviour import Behaviour, Handshake
    from gatewayd.core.connection import Connection
    from gatewayd.core.events import Identify
    from gatewayd.core.sampled import Sampled
    from gatewayd.hub.hub import Hub
    from gatewayd.net.gate import Ticket
    from gatewayd.net.websocket import WebSocket
    from gatewayd.net.writer import Writer

log = logging.getLogger("gatewayd.client")


class Client:
    """What the tasks of one client share. `claim` is an identify that the request carried, or the verdict on it."""

    __slots__ = ("_opening", "behaviour", "connection", "hub", "limits", "lines", "remote", "ticket")

    def __init__(
        self, hub: Hub, behaviour: Behaviour[Any], connection: Connection, handshake: Handshake,
        claim: Identify | Disconnect | None, ticket: Ticket, remote: str, lines: Sampled, limits: ClientLimits,
    ) -> None:  # fmt: skip
        self.hub = hub
        self.behaviour = behaviour
        self.connection = connection
        self._opening: tuple[Handshake, Identify | Disconnect | None] | None = (handshake, claim)
        self.ticket = ticket
        self.remote = remote
        self.lines = lines
        self.limits = limits

    async def greet(self) -> None:
        """Send hello, or raise the verdict on the request."""
        if self.ticket.gate.draining:
            raise Disconnect(Cause.SHUTDOWN)
        assert self._opening is not None, "a client is greeted once"
        handshake, claim = self._opening
        self._opening = None  # it holds the request's headers
        if isinstance(claim, Disconnect):
            raise claim
        realm = self.behaviour.port.realm
        self.hub.open(self.connection, self.behaviour.listener, realm, self.remote)
        await dispatch.greet(self.hub, self.behaviour, self.connection, handshake, claim)
        self._check_identified()

    def on_message(self, message: str | bytes) -> Coroutine[Any, Any, None] | None:
        """Act on one message; returns a coroutine for what cannot be done at once."""
        later = dispatch.hear(self.hub, self.behaviour, self.connection, message)
        return None if later is None else self._finish(later)

    async def _finish(self, later: Coroutine[Any, Any, None]) -> None:
        await later
        self._check_identified()

    def _check_identified(self) -> None:
        if not self.ticket.identified and self.connection.state in IDENTIFIED:
            self.ticket.identify()
            self.log("connected", f"state={self.connection.state.value}", "")

    def log(self, what: str, more: str, cause: str) -> None:
        """Log what a client did, with its identity once it has identified."""
        if not log.isEnabledFor(logging.INFO):
            return
        session, identified, limits = session_of(self.connection), self.ticket.identified, self.limits
        who = printable(session.identity or "-", 64) if identified and session is not None else "-"
        self.lines.log(
            log, logging.INFO, "%s listener=%s session=%s identity=%s remote=%s %s",
            what, self.behaviour.listener, session.id if session else "-", who, printable(self.remote), more,
            kind=f"{what} {cause} {identified}", first=limits.identified_lines if identified else limits.stranger_lines,
        )  # fmt: skip

    def on_message_logged(self, message: str | bytes) -> Coroutine[Any, Any, None] | None:
        """As `on_message`, with a log line on the message and the change of state; never on its content."""
        before = self.connection.state
        try:
            return self.on_message(message)
        finally:
            log.debug(
                "heard listener=%s remote=%s kind=%s bytes=%d opcode=%s state=%s->%s",
                self.behaviour.listener, printable(self.remote), "text" if isinstance(message, str) else "binary",
                len(message.encode() if isinstance(message, str) else message), self._opcode(message), before.value,
                self.connection.state.value,
            )  # fmt: skip

    def _opcode(self, message: str | bytes) -> str:
        wire = self.connection.wire
        try:
            payload = loads(message, binary=wire.binary)
        except Disconnect:
            return "none"
        return printable(str(payload.get(wire.opcode_field)), 40)


async def watch(connection: Connection, has_unread: Callable[[], bool], limits: ClientLimits) -> None:
    """The heartbeat deadline: sleep until something is due, send it, or find that the client is late.

    `has_unread` tells whether the client has sent what was not acted on yet: that counts before it is judged.
    """
    try:
        while True:
            await trio.sleep_until(connection.due)
            if connection.late(trio.current_time()):
                with trio.move_on_after(limits.catch_up_seconds):
                    while has_unread():  # noqa: ASYNC110  # the kernel does not tell when a socket is empty
                        await trio.sleep(limits.catch_up_pause)
            connection.tick(trio.current_time())
    except Disconnect as verdict:
        connection.end(verdict)


async def serve_client(client: Client, writer: Writer, websocket: WebSocket) -> None:
    """Serve one upgraded client to its last byte. The socket is closed when this returns."""
    try:
        verdict = await _serve(client, writer, websocket)
        if not await _close(client, writer, websocket, verdict):
            await writer.socket.linger(client.limits.linger_seconds, client.limits.drain_bytes)
    finally:
        writer.socket.abort()
        client.connection.release()
        websocket.release()
        if client.connection.verdict is None:  # cancelled: the session must not wait for a client that is gone
            client.hub.left(client.connection, Disconnect(Cause.SHUTDOWN))


async def _serve(client: Client, writer: Writer, websocket: WebSocket) -> Disconnect:
    """Run reader, heartbeat deadline and writer until one of them, or another part of the daemon, has the verdict."""
    connection = client.connection
    verdict: Disconnect | None = None
    try:
        async with trio.open_nursery() as tasks:
            connection.serve(tasks.cancel_scope.cancel, websocket.controls)
            writer.use(tasks)
            try:
                await client.greet()
                tasks.start_soon(watch, connection, writer.socket.has_unread, client.limits)
                on_message = client.on_message_logged if log.isEnabledFor(logging.DEBUG) else client.on_message
                await websocket.read(tasks, on_message)
            except Disconnect as exc:
                connection.end(exc)  # at once: events may be published until all tasks have ended
            finally:
                writer.use(None)
    except* Disconnect as group:
        verdict = _first(group)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        verdict = Disconnect(Cause.PEER_GONE)
    except* Exception:  # noqa: BLE001  # a bug of ours must end this client alone, and be seen
        client.hub.totals.faults += 1
        served = session_of(connection)
        session = "none" if served is None else served.id
        where = client.behaviour.listener
        client.lines.log(log, logging.ERROR, "fault while serving session %s on %s", session, where, exc_info=True)
        verdict = Disconnect(Cause.INTERNAL)
    return connection.verdict or verdict or Disconnect(Cause.PEER_GONE)


def _first(group: BaseExceptionGroup[Disconnect]) -> Disconnect:
    """The first verdict in a group, at any depth."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Disconnect)
    return found


async def _close(client: Client, writer: Writer, websocket: WebSocket, verdict: Disconnect) -> bool:
    """Settle the session at once, then close the connection; False when the client may still be sending."""
    code, reason = dispatch.part(client.hub, client.connection, verdict)
    cause = verdict.cause.value
    client.log("left", f"cause={cause} reason={printable(reason)}", cause)
    try:
        with trio.move_on_after(client.limits.close_seconds):
            if websocket.controls.reply is not None:
                writer.send_close(websocket.controls.reply)
                await writer.flush()
                return True
            elif verdict.cause not in NEVER_SENT:
                await websocket.close(code, reason)
            else:
                await writer.flush()
            return not writer.closing or websocket.answered
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return True
    return False
