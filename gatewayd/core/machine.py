"""The one state machine of every protocol: state x event type -> state.

Law 1: what is not in the table cannot happen.
Law 2: an illegal move by the client is its fault, with the cause from `FAULTS`; an illegal move by us is `IllegalMove`.
Law 3: terminal states stand in the table with {}, so that absence is never an oversight.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from gatewayd.core import events as e
from gatewayd.core.close import Cause, Disconnect


class State(Enum):
    """Where one client's talk stands; the value is what the admin surface shows."""

    OPENED = "opened"
    GREETED = "greeted"
    IDENTIFYING = "identifying"
    READY = "ready"
    RESUMED = "resumed"
    CLOSING = "closing"
    CLOSED = "closed"

    __hash__ = object.__hash__  # Enum's own is Python code, and every event asks for it


class IllegalMove(Exception):
    """We tried to say something that the table does not allow: our bug."""


_LIFE: tuple[type, ...] = (e.Heartbeat, e.Ping, e.Beat, e.BeatRequest, e.BeatAck, e.Problem)
_TALK = (*_LIFE, e.Command, e.Query, e.Reply, e.Event)
_END: Mapping[type, State] = {e.Closing: State.CLOSING, e.Closed: State.CLOSED}

TABLE: Mapping[State, Mapping[type, State]] = {
    State.OPENED: {e.Hello: State.GREETED, e.Problem: State.OPENED, **_END},
    State.GREETED: {
        e.Identify: State.IDENTIFYING,
        **dict.fromkeys((*_LIFE, e.Query, e.Reply), State.GREETED),
        **_END,
    },
    State.IDENTIFYING: {
        e.Ready: State.READY,
        e.Refusal: State.GREETED,
        **dict.fromkeys(_LIFE, State.IDENTIFYING),
        **_END,
    },
    State.READY: {e.Resumed: State.RESUMED, **dict.fromkeys(_TALK, State.READY), **_END},
    State.RESUMED: {**dict.fromkeys(_TALK, State.RESUMED), **_END},
    State.CLOSING: {e.Closed: State.CLOSED},
    State.CLOSED: {},
}

FAULTS: Mapping[State, Mapping[type, Cause]] = {
    State.GREETED: {e.Command: Cause.NOT_IDENTIFIED},
    State.IDENTIFYING: {
        e.Identify: Cause.ALREADY_IDENTIFIED,
        e.Command: Cause.NOT_IDENTIFIED,
        e.Query: Cause.NOT_IDENTIFIED,
    },
    State.READY: {e.Identify: Cause.ALREADY_IDENTIFIED},
    State.RESUMED: {e.Identify: Cause.ALREADY_IDENTIFIED},
}

IDENTIFIED = (State.READY, State.RESUMED)  # no set: nearly always it is the first, which needs no hash
ENDED = frozenset({State.CLOSING, State.CLOSED})


def step(state: State, event: type) -> State:
    """The state after an event of that type, or the fault: `Disconnect` for a client's, `IllegalMove` for ours."""
    after = TABLE[state].get(event)
    if after is not None:
        return after
    for kind in event.__mro__:  # a protocol may have kinds of its own
        if (after := TABLE[state].get(kind)) is not None:
            return after
        if (cause := FAULTS.get(state, {}).get(kind)) is not None:
            raise Disconnect(cause)
    raise IllegalMove(f"{event.__name__} is not possible in state {state.value}")
