"""What a protocol says of itself, as tables: opcodes, timings, close codes. `gatewayd protocols` and the pages under
docs/protocols/ show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from gatewayd.core.close import COMMON_ENDINGS, AnyCause, Cause, Disconnect, Ending
from gatewayd.core.machine import TABLE
from gatewayd.core.protocol import Protocol


@frozen
class Table:
    """A heading for each column, and the rows."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def overview(protocols: Mapping[str, Protocol]) -> str:
    """One line a protocol."""
    return columns(("PROTOCOL", "WHAT IT IS"), [(name, spec.summary) for name, spec in protocols.items()])


def describe(protocol: Protocol, *, with_diagram: bool = False) -> str:
    """Everything a client developer needs of one protocol."""
    if with_diagram:
        return diagram(protocol.name)
    tables = (opcodes(protocol), timings(protocol), endings(protocol))
    shown = (columns([title.upper() for title in table.head], table.rows) for table in tables)
    return "\n\n".join((f"{protocol.name}: {protocol.summary}", *shown))


def diagram(name: str) -> str:
    """The table as a Mermaid state diagram, moves that change nothing left out."""
    lines = [f"%% {name}", "stateDiagram-v2", "    [*] --> opened"]
    for state, moves in TABLE.items():
        lines += [
            f"    {state.value} --> {to.value}: {event.__name__}" for event, to in moves.items() if to is not state
        ]
    return "\n".join([*lines, "    closed --> [*]"])


def opcodes(protocol: Protocol) -> Table:
    """Every opcode, its name, and who sends it."""
    rows = [(str(op.value), op.name, op.sender) for op in protocol.wire.opcodes]
    return Table((protocol.wire.opcode_field, "name", "sent by"), rows)


def timings(protocol: Protocol) -> Table:
    """The times and bounds that a listener of this protocol has unless its configuration says otherwise."""
    timing = protocol.timing
    rows = [
        ("heartbeat interval", f"{timing.interval:g} s"),
        ("dead after silence of", f"{timing.patience(timing.interval):g} s"),
        ("heartbeats are judged", timing.heartbeat),
        ("identify within", "-" if timing.identify_timeout is None else f"{timing.identify_timeout:g} s"),
        ("resume window", f"{timing.resume_window:g} s"),
    ]
    if timing.rate_limit is not None:
        rows.append(("rate limit", f"{timing.rate_limit.count} messages in {timing.rate_limit.period:g} s"))
    if timing.max_message_bytes is not None:
        rows.append(("largest message", f"{timing.max_message_bytes} bytes"))
    if timing.bytes_per_second is not None:
        rows.append(("most from a client", f"{timing.bytes_per_second} bytes a second"))
    return Table(("timing", "default"), rows)


def endings(protocol: Protocol) -> Table:
    """What a client is told for every cause that can end it."""
    rows = [(cause.value, *_told(cause, ending)) for cause, ending in causes(protocol)]
    return Table(("cause", "close", "reason"), rows)


def causes(protocol: Protocol) -> list[tuple[AnyCause, Ending]]:
    """Every cause that is said on the wire, with what the protocol makes of it."""
    table = {**COMMON_ENDINGS, **protocol.wire.endings}
    if protocol.wire.number is None:  # its clients never see a sequence
        table.pop(Cause.INVALID_SEQUENCE, None)
    own = (cause for cause in table if not isinstance(cause, Cause))
    return [(cause, table[cause]) for cause in (*Cause, *own) if cause in table]


def realms(listeners: Iterable[tuple[str, str, str]]) -> list[str]:
    """Who shares what: a line for each realm, from (realm, name, protocol) of each listener."""
    found: dict[str, dict[str, list[str]]] = {}
    for realm, name, protocol in listeners:
        found.setdefault(realm, {}).setdefault(protocol, []).append(name)
    lines = []
    for realm, protocols in found.items():
        rows = (f"{' + '.join(names)} ({protocol})" for protocol, names in protocols.items())
        lines.append(f"realm {realm}: {', '.join(rows)}")
    if any(len(names) > 1 for protocols in found.values() for names in protocols.values()):
        lines.append("Listeners with a + between them share everything.")
    if any(len(protocols) > 1 for protocols in found.values()):
        lines.append("Protocols in one realm share users, guilds, documents and notifications.")
    return lines


def _told(cause: AnyCause, ending: Ending) -> tuple[str, str]:
    if ending.code is None:
        return "-", "ignored" if ending.payload is None else "answered, the client stays"
    reasons = " or ".join((ending.reason or Disconnect(cause).reason, *ending.words))
    return str(ending.code), reasons if ending.payload is None else f"{reasons}, after a payload that says so"


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain columns, each as wide as its widest cell."""
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )
