"""What `gatewayd protocols` prints: opcodes, timings, close codes and the state diagram, from the code's own tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gatewayd.core.close import COMMON_ENDINGS, Cause, Disconnect, Ending
from gatewayd.core.machine import diagram
from gatewayd.core.protocol import Protocol


def overview(protocols: Mapping[str, Protocol]) -> str:
    """One line a protocol."""
    return columns(("PROTOCOL", "WHAT IT IS"), [(name, spec.summary) for name, spec in protocols.items()])


def describe(protocol: Protocol, *, with_diagram: bool = False) -> str:
    """Everything a client developer needs of one protocol."""
    if with_diagram:
        return diagram(protocol.name)
    timing = protocol.timing
    times = [
        ("heartbeat interval", f"{timing.interval:g} s"),
        ("dead after silence of", f"{timing.patience(timing.interval):g} s"),
        ("heartbeats are judged", timing.heartbeat),
        ("identify within", "-" if timing.identify_timeout is None else f"{timing.identify_timeout:g} s"),
        ("resume window", f"{timing.resume_window:g} s"),
    ]
    if timing.rate_limit is not None:
        times.append(("rate limit", f"{timing.rate_limit.count} messages in {timing.rate_limit.period:g} s"))
    if timing.max_message_bytes is not None:
        times.append(("largest message", f"{timing.max_message_bytes} bytes"))
    if timing.bytes_per_second is not None:
        times.append(("most from a client", f"{timing.bytes_per_second} bytes a second"))
    codes = [(str(op.value), op.name, op.sender) for op in protocol.wire.opcodes]
    causes = [(cause.value, *_told(cause, ending)) for cause, ending in _endings(protocol)]
    return "\n\n".join(
        (
            f"{protocol.name}: {protocol.summary}",
            columns((protocol.wire.opcode_field.upper(), "NAME", "SENT BY"), codes),
            columns(("TIMING", "DEFAULT"), times),
            columns(("CAUSE", "CLOSE", "REASON"), causes),
        )
    )


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


def _endings(protocol: Protocol) -> Iterable[tuple[Cause, Ending]]:
    table = {**COMMON_ENDINGS, **protocol.wire.endings}
    return [(cause, table[cause]) for cause in Cause if cause in table]


def _told(cause: Cause, ending: Ending) -> tuple[str, str]:
    payload = "" if ending.payload is None else " after an error payload"
    if ending.code is None:
        return "-", "ignored" if ending.payload is None else "error reply, the client stays"
    example = Disconnect(cause).reason
    return str(ending.code), f"{ending.reason or example}{payload}"


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain columns, each as wide as its widest cell."""
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )
