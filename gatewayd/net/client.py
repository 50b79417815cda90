"""One client's life: its reader, heartbeat deadline and writer in the connection's nursery; one verdict, and one close.

Whatever happens to a client ends that client alone; only cancellation leaves `Client.serve`.
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
from gatewayd.net.alarms import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gatewayd.config.limits import ClientLimits
    from gatewayd.core.behaviour import Behaviour, Handshake
    from gatewayd.core.connection import Connection
    from gatewayd.core.events import Identify
    from gatewayd.core.sampled import Sampled
    from gatewayd.hub.hub import Hub
    from gatewayd.net.alarms import Alarms
    from gatewayd.net.gate import Ticket
    from gatewayd.net.websocket import WebSocket
    from gatewayd.net.writer import Writer

DEADLINE = "deadline"
"""The name of the task."""

log = logging.getLogger("gatewayd.client")


class Client:
    """An upgraded client, served by one task after the other: `serve`, `close`, `release`.

    `claim` is an identify that the request carried, or the verdict on it.
    """

    __slots__ = (
        "_alarm", "_opening", "_websocket", "_writer", "behaviour", "connection", "hub", "limits", "lines", "remote",
        "ticket",
    )  # fmt: skip

    def __init__(
        self, hub: Hub, behaviour: Behaviour[Any], writer: Writer, websocket: WebSocket, handshake: Handshake,
        claim: Identify | Disconnect | None, ticket: Ticket, remote: str, lines: Sampled, limits: ClientLimits,
        alarms: Alarms,
    ) -> None:  # fmt: skip
        self.hub = hub
        self.behaviour = behaviour
        self.connection = writer.connection
        self._writer = writer
        self._websocket = websocket
        self._alarm = Alarm(alarms)
        self._opening: tuple[Handshake, Identify | Disconnect | None] | None = (handshake, claim)
        self.ticket = ticket
        self.remote = remote
        self.lines = lines
        self.limits = limits

    # --- its life -------------------------------------------------------------------------------------------

    async def serve(self, tasks: trio.Nursery) -> None:
        """Read, beside the heartbeat deadline and the writer, until one of them, or another part of the daemon, has the
        verdict.
        """
        connection, writer, websocket = self.connection, self._writer, self._websocket
        connection.serve(tasks.cancel_scope.cancel, websocket.controls)
        writer.use(tasks)
        try:
            await self.greet()
            has_unread = writer.socket.has_unread
            tasks.start_soon(watch, connection, has_unread, self.limits, self._alarm, name=DEADLINE)
            on_message = self.on_message_logged if log.isEnabledFor(logging.DEBUG) else self.on_message
            await websocket.read(tasks, on_message)
        except Disconnect as verdict:
            self._end(verdict, tasks)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end(Disconnect(Cause.PEER_GONE), tasks)
        except Exception:  # noqa: BLE001  # a bug of ours must end this client alone, and be seen
            self.on_fault()
            self._end(Disconnect(Cause.INTERNAL), tasks)
        finally:
            writer.use(None)

    def _end(self, verdict: Disconnect, tasks: trio.Nursery) -> None:
        """The reader has ended: pass the verdict at once, since events may be published until all tasks have ended."""
        connection = self.connection
        if all(task.name == DEADLINE for task in tasks.child_tasks):  # it ends by itself: to be cancelled costs more
            connection.serve(self._alarm.stop, self._websocket.controls)
            connection.end(verdict)
            self._alarm.stop()
        else:
            connection.end(verdict)
            tasks.cancel_scope.cancel()

    def on_fault(self) -> None:
        """Log a bug of ours, which ends this client alone."""
        self.hub.totals.faults += 1
        served = session_of(self.connection)
        session, where = "none" if served is None else served.id, self.behaviour.listener
        self.lines.log(log, logging.ERROR, "fault while serving session %s on %s", session, where, exc_info=True)
        self.connection.end(Disconnect(Cause.INTERNAL))

    async def close(self) -> None:
        """Settle the session at once, then close the connection. No task of the client's runs any more."""
        limits = self.limits
        if not await self._say_goodbye(self.connection.verdict or Disconnect(Cause.PEER_GONE)):
            await self._writer.socket.linger(limits.linger_seconds, limits.drain_bytes)

    async def _say_goodbye(self, verdict: Disconnect) -> bool:
        """False when the client may still be sending."""
        writer, websocket = self._writer, self._websocket
        code, reason = dispatch.part(self.hub, self.connection, verdict)
        if log.isEnabledFor(logging.INFO):
            cause = verdict.cause.value
            self.log("left", f"cause={cause} reason={printable(reason)}", cause)
        never_sent = verdict.cause in NEVER_SENT and websocket.controls.reply is None
        try:
            if never_sent and not writer.pending:
                return True
            with trio.move_on_after(self.limits.close_seconds):
                if websocket.controls.reply is not None:
                    writer.send_close(websocket.controls.reply)
                    await writer.flush()
                    return True
                elif never_sent:
                    await writer.flush()
                else:
                    await websocket.close(code, reason)
                return not writer.closing or websocket.answered
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return True
        return False

    def release(self) -> None:
        """The end, however it came: let go of the socket, and of everything that refers to this client."""
        connection = self.connection
        self._writer.socket.abort()
        connection.release()
        self._websocket.release()
        if connection.verdict is None:  # cancelled: the session must not wait for a client that is gone
            self.hub.left(connection, Disconnect(Cause.SHUTDOWN))

    # --- what it says ---------------------------------------------------------------------------------------

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


async def watch(connection: Connection, has_unread: Callable[[], bool], limits: ClientLimits, alarm: Alarm) -> None:
    """The heartbeat deadline: sleep until something is due, send it, or find that the client is late. It ends when the
    alarm is stopped.

    `has_unread` tells whether the client has sent what was not acted on yet: that counts before it is judged.
    """
    try:
        await alarm.sleep_until(connection.due)
        while not alarm.stopped:
            if connection.late(trio.current_time()):
                with trio.move_on_after(limits.catch_up_seconds):
                    while has_unread():  # noqa: ASYNC110  # the kernel does not tell when a socket is empty
                        await trio.sleep(limits.catch_up_pause)
            connection.tick(trio.current_time())
            await alarm.sleep_until(connection.due)
    except Disconnect as verdict:
        connection.end(verdict)
