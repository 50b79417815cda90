"""Every state x event pair: where it leads, or whose fault it is."""

from __future__ import annotations

import itertools

import pytest

from gatewayd.core import events as e
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.machine import FAULTS, TABLE, IllegalMove, State, step

CLIENT_EVENTS = (e.Identify, e.Heartbeat, e.Ping, e.Command, e.Query)
SERVER_EVENTS = (
    e.Hello, e.Ready, e.Resumed, e.Refusal, e.Beat, e.BeatRequest, e.BeatAck, e.Reply, e.Problem, e.Event,
    e.Closing, e.Closed,
)  # fmt: skip


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, SERVER_EVENTS + CLIENT_EVENTS)))
def test_every_pair_leads_somewhere_or_is_somebodys_fault(state: State, event: type) -> None:
    after, fault = TABLE[state].get(event), FAULTS.get(state, {}).get(event)
    assert after is None or fault is None
    if after is not None:
        assert step(state, event) is after
    elif fault is not None:
        assert event in CLIENT_EVENTS
        with pytest.raises(Disconnect) as verdict:
            step(state, event)
        assert verdict.value.cause is fault
    else:
        with pytest.raises(IllegalMove, match=f"{event.__name__} is not possible in state {state.value}"):
            step(state, event)


def test_the_life_cycle() -> None:
    state = State.OPENED
    for event in (e.Hello, e.Identify, e.Ready, e.Event, e.Resumed, e.Event, e.Closing, e.Closed):
        state = step(state, event)
    assert state is State.CLOSED


def test_a_client_cannot_fault_itself_into_a_crash_once_greeted() -> None:
    """From hello to closing, every client event is a move or a fault with a cause."""
    for state in (State.GREETED, State.IDENTIFYING, State.READY, State.RESUMED):
        for event in CLIENT_EVENTS:
            try:
                step(state, event)
            except Disconnect as verdict:
                assert verdict.cause in (Cause.NOT_IDENTIFIED, Cause.ALREADY_IDENTIFIED)


def test_terminal_states_stand_in_the_table() -> None:
    assert TABLE[State.CLOSED] == {}
    assert set(TABLE) == set(State)
