"""What auth grants to a session: channels, metadata, and a time at which it ends or is judged again.

Law 1: a session hears through a grant what its latest grant says, and no more; what its protocol subscribed stays.
Law 2: a session whose grant has expired ends, unless the same claim is granted again.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from attrs import evolve

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.grant import Grant
from gatewayd.core.session import Session

if TYPE_CHECKING:
    from gatewayd.hub.hub import Hub

log = logging.getLogger("gatewayd")

LOGIN_EXPIRED = "the login has expired"


def settle(hub: Hub, session: Session, grant: Grant) -> None:
    """Give a session what its new grant says, take away what only the older one said, and note when it expires."""
    own = hub.behaviours[session.listener].own
    old = session.grant or Grant(granted=True)
    if grant.failure:  # nobody has judged: what the last judge gave stays
        grant = evolve(grant, channels=old.channels, metadata=old.metadata)
    for channel in session.granted.difference(grant.channels):
        hub.unsubscribe(session, channel)
    for name in old.metadata:
        if name not in own:
            session.metadata.pop(name, None)
    fresh = [channel for channel in dict.fromkeys(grant.channels) if channel not in session.channels]
    for channel in fresh:
        hub.subscribe(session, channel)
    if fresh or session.granted:
        session.granted = session.granted.intersection(grant.channels).union(fresh)
    session.metadata.update({name: value for name, value in grant.metadata.items() if name not in own})
    hub.observers.changed(session)
    release(session)
    session.grant = grant
    if grant.until is not None:
        earliest = hub.clock() + hub.limits.judged_apart if grant.ask_again else grant.until
        session.expiry = hub.timers.at(max(grant.until, earliest), lambda: _expired(hub, session))


def release(session: Session) -> None:
    """Forget the grant: its claim is kept for judging it again, and for nothing else."""
    if session.expiry is not None:
        session.expiry.cancel()
    session.expiry = session.grant = None


def _expired(hub: Hub, session: Session) -> Coroutine[Any, Any, None] | None:
    """The session ends, unless auth says otherwise: who makes the hub's calls awaits the answer."""
    session.expiry = None
    if session.grant is not None and session.grant.claim is not None:
        return judge_again(hub, session)
    hub.end(session, Disconnect(Cause.AUTH_FAILED, LOGIN_EXPIRED))
    return None


async def judge_again(hub: Hub, session: Session) -> None:
    """Ask auth about the claim of an expired grant once more: a new grant, or the end of the session."""
    old = session.grant
    if old is None or old.claim is None:
        return
    cause = Cause.AUTH_FAILED
    try:
        grant = await hub.behaviours[session.listener].port.verify(old.claim, None)
        if session.grant is not old:
            return  # it ended meanwhile, or its client came again and was judged then
        if grant:
            settle(hub, session, grant)
            return
        if grant.failure:
            cause = Cause.NOT_JUDGED
    except Exception:  # a bug of ours must not stop the daemon, nor leave a login without an end
        hub.totals.faults += 1
        log.exception("fault while asking about the login of session %s again", session.id)
    hub.end(session, Disconnect(cause, LOGIN_EXPIRED))
