"""What happens between a client's message and its session: identify, replay, heartbeats, commands, forgiven faults."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gatewayd.core import events as e
from gatewayd.core.behaviour import Admission, Behaviour, Clash, Handshake
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.machine import step
from gatewayd.core.ports import BackendFailed
from gatewayd.core.session import session_of
from gatewayd.hub.hub import Hub


async def greet(
    hub: Hub, behaviour: Behaviour[Any], connection: Connection, handshake: Handshake, claim: e.Identify | None
) -> None:
    """Say hello; a claim that the request itself made counts as identify right after it."""
    behaviour.greeting(connection, handshake)
    connection.greet(hub.clock(), behaviour.hello())
    if claim is not None:
        session = session_of(connection)
        assert session is not None
        session.grant = claim.grant
        if not claim.only_proof:
            connection.state = step(connection.state, e.Identify)
            await enter(hub, behaviour, connection, claim)


def part(hub: Hub, connection: Connection, verdict: Disconnect) -> tuple[int, str]:
    """The client ends with the first verdict that was passed on it: settle its session, and say its farewell."""
    first = connection.judge(verdict)
    hub.left(connection, first)
    return connection.farewell(first, hub.clock())


def hear(
    hub: Hub, behaviour: Behaviour[Any], connection: Connection, message: str | bytes
) -> Coroutine[Any, Any, None] | None:
    """Act on one client message; what may have to wait is returned, to be awaited before the next one.

    Raises the `Disconnect` that its protocol does not forgive.
    """
    later = None
    try:
        event = connection.receive(message, hub.clock())
        session = session_of(connection)
        if event is None or session is None:
            pass
        elif type(event) is e.Heartbeat:  # by far the most frequent, and it never waits
            if behaviour.policy.acknowledges:
                hub.observers.advanced(session)
            behaviour.heartbeat(connection, session, event)
            if event.acked:
                behaviour.acknowledge(connection, event)
        elif isinstance(event, e.Identify):
            later = enter(hub, behaviour, connection, event)
        elif isinstance(event, e.Command):
            later = behaviour.command(connection, session, event)
        else:
            connection.answer(hub.clock())
    except Disconnect as verdict:
        _forgive(hub, connection, verdict)
    if later is not None:
        connection.busy(hub.clock())
        return _finish(hub, connection, later)
    connection.said = None
    return None


async def _finish(hub: Hub, connection: Connection, later: Coroutine[Any, Any, None]) -> None:
    """Act on what may have to wait for a backend; that one's failure ends as its protocol's table says."""
    try:
        await later
    except BackendFailed as failed:
        _forgive(hub, connection, Disconnect(Cause.BACKEND_FAILED, failed.words))
    except Disconnect as verdict:
        _forgive(hub, connection, verdict)
    finally:
        connection.said = None
        connection.listen(hub.clock())


def _forgive(hub: Hub, connection: Connection, verdict: Disconnect) -> None:
    """Answer a fault that the client's protocol forgives, or raise it again."""
    verdict.said = connection.said
    if connection.verdict is not None or not connection.stays(verdict, hub.clock()):
        connection.said = None
        raise verdict
    hub.totals.forgiven[verdict.cause.value] += 1


async def enter(hub: Hub, behaviour: Behaviour[Any], connection: Connection, identify: e.Identify) -> None:
    """Identify a client: give it its session, say so, and say again what it missed before anything newer."""
    admission = await behaviour.identify(connection, identify)
    for channel in admission.channels:
        if len(channel) > e.LONGEST_NAME:  # nobody could publish to it, and it would be kept for the whole window
            kind = channel.partition(":")[0]
            raise Disconnect(Cause.INVALID_PAYLOAD, f"the name of its {kind} has more than {e.LONGEST_NAME} characters")
    await _settle_clash(hub, connection, admission)
    if connection.verdict is not None:  # passed while auth or the older client was asked: the session may have ended
        raise connection.verdict
    # No await from here to Resumed: nothing newer can come between a session and what it missed.
    gaps = hub.claim(connection, admission)
    session = session_of(connection)
    assert session is not None
    data = behaviour.ready(session, resumed=gaps is not None)
    connection.welcome(e.Ready(data, gaps is not None, gaps or {}), hub.clock())
    if gaps is not None:
        for sequence, event in session.backlog.entries(session.backlog.written):
            connection.replay(sequence, event, hub.clock())
        hub.observers.advanced(session)
        connection.send(e.Resumed(session.backlog.given, gaps), hub.clock())
    hub.drain_waiting(session)
    behaviour.entered(session, resumed=gaps is not None)


async def _settle_clash(hub: Hub, connection: Connection, admission: Admission) -> None:
    """Refuse a newcomer whose identity is in use by a client that gives a sign of life; cut off one that does not."""
    if admission.clash is not Clash.REFUSE or admission.identity is None:
        return
    fresh = session_of(connection)
    assert fresh is not None
    realm, protocol = fresh.realm, fresh.protocol
    for older in hub.find(realm, protocol, admission.identity):
        client = older.connection
        if client is None or not client.open:
            continue
        if await client.pings.alive(hub.limits.probe_seconds):
            raise Disconnect(Cause.IDENTITY_IN_USE)
        if older.connection is client:
            client.end(Disconnect(Cause.HEARTBEAT_MISSED, "no sign of life when another client came with its identity"))
            hub.detach(older)
    others = [other.connection for other in hub.find(realm, protocol, admission.identity)]
    if any(other is not None and other.open for other in others):  # somebody else came in while we waited
        raise Disconnect(Cause.IDENTITY_IN_USE)
