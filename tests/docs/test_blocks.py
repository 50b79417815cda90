"""The generated parts of the pages agree with the code, and show every opcode of every protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.blocks import DOCS, PAGES, filled, missing, sent
from docs.samples import SAMPLES
from gatewayd.protocols.registry import PROTOCOLS


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == filled(path), "write the pages anew: python -m docs"
    assert not missing(path)


def test_a_page_that_is_out_of_date_is_found(tmp_path: Path) -> None:
    path = DOCS / "protocols" / "utilbot.md"
    older = tmp_path / "utilbot.md"
    older.write_text(path.read_text().replace("| heartbeat interval | 60 s |", "| heartbeat interval | 59 s |"))
    assert filled(older, PAGES[path]) == path.read_text() != older.read_text()


def test_there_is_a_page_for_each_protocol() -> None:
    assert {path.stem for path in (DOCS / "protocols").glob("*.md")} == set(PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_opcode_has_an_example(name: str) -> None:
    protocol, samples = PROTOCOLS[name], SAMPLES[name]
    field = protocol.wire.opcode_field
    said = {payload[field] for _, payload in samples.client}
    heard = {sent(protocol, what)[field] for _, what in samples.daemon}
    for op in protocol.wire.opcodes:
        assert op.sender == "server" or op.value in said
        assert op.sender == "client" or op.value in heard
