"""The generated blocks of the pages: tables of a protocol, payloads that its own code encodes, the state diagram.

A page is its own template. A block stands between `<!-- NAME -->` and `<!-- /NAME -->`; `filled` puts what the code
says now between the two, and leaves the rest of the page alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Set
from functools import partial
from pathlib import Path

from docs.samples import SAMPLES
from gatewayd.core import events as e
from gatewayd.core.close import Disconnect
from gatewayd.core.encode import TEXT
from gatewayd.core.protocol import Protocol
from gatewayd.protocols import describe
from gatewayd.protocols.registry import PROTOCOLS
from man.keys import keys

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- ([\w-]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def markdown(table: describe.Table) -> str:
    """A table as Markdown, its numbers and bars as they are."""
    head, rows = table.head, [tuple(cell.replace("|", "\\|") for cell in row) for row in table.rows]
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def sent(protocol: Protocol, what: e.ServerEvent | Disconnect, sequence: int = 1) -> dict[str, object]:
    """The payload that a client receives: encoded by the protocol's own wire value, and read back.

    `sequence` is that of an event, where clients see it.
    """
    wire = protocol.wire
    if isinstance(what, Disconnect):
        build = wire.ending(what.cause).payload
        assert build is not None
        what = e.Problem(build(what))
    frame = wire.frame(what, TEXT, sequence) if isinstance(what, e.Event) else wire.encode(what, TEXT)
    assert frame is not None
    payload: dict[str, object] = json.loads(frame[2:] if frame[1] < 126 else frame[4:])
    return payload


def _shown(payload: object) -> str:
    return f"`{json.dumps(payload, ensure_ascii=False, separators=(',', ':'))}`"


def opcodes(protocol: Protocol) -> str:
    """Every opcode."""
    return markdown(describe.opcodes(protocol))


def from_client(protocol: Protocol) -> str:
    """What a client may send; every example is decoded by the code first."""
    rows = []
    for words, payload in SAMPLES[protocol.name].client:
        protocol.wire.decode(payload)
        rows.append((str(payload[protocol.wire.opcode_field]), words, _shown(payload)))
    return markdown(describe.Table((protocol.wire.opcode_field, "what", "example"), rows))


def from_daemon(protocol: Protocol) -> str:
    """What the daemon sends; every example is encoded by the code."""
    rows, sequence = [], 0
    for words, what in SAMPLES[protocol.name].daemon:
        sequence += isinstance(what, e.Event)
        payload = sent(protocol, what, sequence)
        rows.append((str(payload[protocol.wire.opcode_field]), words, _shown(payload)))
    return markdown(describe.Table((protocol.wire.opcode_field, "what", "example"), rows))


def endings(protocol: Protocol) -> str:
    """How a connection ends, and whether its session is kept for the resume window."""
    table = describe.endings(protocol)
    kept = {cause.value: "kept" if cause.detaches else "ends" for cause, _ in describe.causes(protocol)}
    rows = [(cause, code, "goes on" if code == "-" else kept[cause], reason) for cause, code, reason in table.rows]
    return markdown(describe.Table(("cause", "close", "session", "reason"), rows))


def options(protocol: Protocol) -> str:
    """The keys of `[listeners.options]`."""
    rows = [(f"`{key.name}`", key.kind, f"`{key.default}`", key.text) for key in keys(protocol.options)]
    return markdown(describe.Table(("option", "kind", "default", "meaning"), rows))


def states(name: str) -> str:
    """The state machine, which GitHub draws."""
    return f"```mermaid\n{describe.diagram(name)}\n```\n"


BLOCKS: Mapping[str, Callable[[Protocol], str]] = {
    "opcodes": opcodes,
    "from-client": from_client,
    "from-daemon": from_daemon,
    "timings": lambda protocol: markdown(describe.timings(protocol)),
    "endings": endings,
    "options": options,
    "states": lambda protocol: states(protocol.name),
}
"""The blocks of a protocol's page."""

PAGES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    DOCS / "protocols" / f"{name}.md": {block: partial(make, protocol) for block, make in BLOCKS.items()}
    for name, protocol in PROTOCOLS.items()
} | {DOCS / "architecture.md": {"states": partial(states, "every protocol")}}


def filled(path: Path, made: Mapping[str, Callable[[], str]] | None = None) -> str:
    """The page as it should be now. Raises KeyError for a block that it cannot have."""
    blocks = PAGES[path] if made is None else made
    return BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]()}{found[3]}", path.read_text())


def missing(path: Path) -> Set[str]:
    """The blocks that the page should have, and has not."""
    return PAGES[path].keys() - {found[2] for found in BLOCK.finditer(path.read_text())}
