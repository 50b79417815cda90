"""What a protocol says of itself."""

from __future__ import annotations

from gatewayd.core.machine import TABLE
from gatewayd.protocols.describe import diagram


def test_the_diagram_is_printed_from_the_table() -> None:
    text = diagram("x")
    assert text.startswith("%% x\nstateDiagram-v2\n")
    for state, moves in TABLE.items():
        for event, to in moves.items():
            line = f"    {state.value} --> {to.value}: {event.__name__}"
            assert (line in text.splitlines()) == (to is not state)
