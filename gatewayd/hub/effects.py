"""What a backend's answer does to the node: the reply, subscriptions, events, the session's end, in this order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gatewayd.backend.answer import Answer
from gatewayd.backend.errors import INVALID, BackendError
from gatewayd.core.behaviour import Unpublishable
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.ports import NoSuchRealm
from gatewayd.core.session import Session
from gatewayd.core.text import printable
from gatewayd.hub.hub import Hub

log = logging.getLogger("gatewayd.backend")


def apply(hub: Hub, session: Session, answer: Answer, reply: Callable[[Any], None] | None) -> int:
    """Do what the answer says, and tell how many of its events could not be said.

    `reply` is None where the client that asked has gone. A session that has ended meanwhile gets nothing; events are
    for others as well, and are published in any case: in the session's realm where they name no other. Raises
    `BackendError`, with nothing done, when a realm is named that nobody has; and the `Disconnect` of a client that
    cannot take the reply, when all the rest is done.
    """
    for index, said in enumerate(answer.events):
        if said.realm is not None and said.realm not in hub.realms.served:
            raise BackendError(INVALID, f"events[{index}].realm: {NoSuchRealm(said.realm, hub.realms.served)}")
    overrun: Disconnect | None = None
    if session.ended is None:
        if reply is not None:
            try:
                reply(answer.reply)
            except Disconnect as verdict:
                overrun = verdict
        for channel in answer.subscribe:
            hub.subscribe(session, channel)
        for channel in answer.unsubscribe:
            hub.unsubscribe(session, channel)
        if answer.subscribe:
            hub.drain_waiting(session)
    unpublishable = 0
    for said in answer.events:
        try:
            hub.post(said.channel, said.event, said.data, realms=(said.realm or session.realm,))
        except Unpublishable as exc:
            unpublishable += 1
            log.warning("an answer to session %s has an event that cannot be said: %s", session.id, exc)
    if answer.disconnect is not None:
        hub.end(session, Disconnect(Cause.KICKED, printable(answer.disconnect, 120)))
    if overrun is not None:
        raise overrun
    return unpublishable
