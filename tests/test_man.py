"""The manual pages agree with the parsers and the configuration, and say something of everything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gatewayd.config.auth import KINDS
from gatewayd.protocols.registry import PROTOCOLS
from man.keys import TABLES, keys
from man.pages import PAGES
from man.roff import Page

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="seen with the argparse of Python 3.11 to 3.13 alone")
@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert (ROOT / "man" / name).read_text() == PAGES[name](), "write the pages anew: python -m man"


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_say(name: str) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff here")
    page = str(ROOT / "man" / name)
    done = subprocess.run([groff, "-man", "-Tutf8", "-ww", page], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_the_unit_names_the_pages() -> None:
    unit = (ROOT / "systemd" / "gatewayd.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("Documentation="))
    named = line.removeprefix("Documentation=").split()
    assert named == [f"man:{name[:-2]}({name[-1]})" for name in ("gatewayd.1", "gatewayctl.1", "gatewayd.toml.5")]
    assert {f"{page[4:-3]}.{page[-2]}" for page in named} == set(PAGES)


CLASSES = {cls.__name__: cls for tables in TABLES.values() for _, cls, _ in tables}
OPTIONS = {name: protocol.options for name, protocol in PROTOCOLS.items()}


@pytest.mark.parametrize("cls", (CLASSES | OPTIONS).values(), ids=CLASSES | OPTIONS)
def test_every_key_is_explained(cls: type) -> None:
    assert [key.name for key in keys(cls) if not key.text] == []


def test_every_kind_of_auth_and_every_protocol_is_told() -> None:
    page = PAGES["gatewayd.toml.5"]()
    assert all(f'.SS "kind = \\(dq{kind}\\(dq"' in page for kind in KINDS)
    assert all(f'.SS "{name}"' in page for name in PROTOCOLS)
    for name in ("token, token_file, file", "secret, secret_file", "tls\\_key", "ad_hoc"):
        assert f"\\fB{name.replace(chr(92), '')}\\fR" in page


def test_whatever_is_put_into_a_page_is_shown_as_it_is() -> None:
    page = Page("x", 1, "0", "x")
    page.section("Name", ".nf is `--no` \\request", "'nor this…")
    page.verbatim(".x\n-y")
    text = page.text()
    assert "\n\\&.nf is \\fB\\-\\-no\\fR \\erequest\n" in text
    assert "\n\\&'nor this\\[u2026]\n" in text
    assert "\n\\&.x\n\\-y\n" in text
