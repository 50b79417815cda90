"""What the text points to is there: links between pages with their headings, and files that code and pages name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "bench", "config", "docs", "examples", "gatewayd", "man", "systemd", "tests")
KINDS = (".py", ".md", ".toml", ".service", ".cjs", ".html", ".c", ".1", ".5")
TEXTS = [
    path
    for path in (*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")))
    if path.is_file() and path.suffix in KINDS
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(
    r"(?<![\w./-])(?:docs|config|systemd|examples|bench|tests|man)/[\w./-]*\w\.(?:md|py|toml|cjs|json|png|svg|service)\b"
)
OWN = re.compile(
    r"(?<![\w./-])(?:admin|auth|backend|config|core|ctl|daemon|hub|journal|net|protocols|webhook)/\w+\.py\b"
)
"""Files of the package, as its own text names them."""
ELSEWHERE = re.compile(r"\bRow \d+\b|\brow \d+:|\bseeds? \d{3}|\bseed's\b")


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The headings of a page, as GitHub names them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(path: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    for target in LINK.findall(prose(path.read_text())):
        name, _, anchor = target.partition("#")
        if ":" in name:
            continue  # somebody else's page
        other = (path.parent / name) if name else path
        if not other.exists() or (anchor and anchor not in anchors(other)):
            yield f"{path.name}: {target}"


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [path for path in TEXTS if path.suffix == ".md"]
    assert len(pages) > 10
    assert [line for path in pages for line in broken(path)] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title, `x`\n[a](page.md#a-title-x) [b](#no) [c](none.md) `[d](none.md)` [e](https://e.example/#x)\n"
    )
    assert anchors(page) == {"a-title-x"}
    assert list(broken(page)) == ["page.md: #no", "page.md: none.md"]


def test_every_file_that_is_named_is_there() -> None:
    lost = []
    for path in TEXTS:
        if path.name == "CHANGELOG.md":
            continue  # what it names was there then
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "github.com" not in line and "://" not in line:
                lost += [f"{path}:{number}: {name}" for name in NAMED.findall(line) if not (ROOT / name).exists()]
    assert lost == []


def test_every_file_that_the_package_names_of_itself_is_there() -> None:
    lost = []
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "gatewayd").rglob("*.py")):
        if path.name != "CHANGELOG.md":
            named = OWN.findall(path.read_text())
            lost += [f"{path}: {name}" for name in named if not (ROOT / "gatewayd" / name).exists()]
    assert lost == []


def test_nothing_points_to_papers_that_are_not_here() -> None:
    here = Path(__file__)
    assert [str(path) for path in TEXTS if path != here and ELSEWHERE.search(path.read_text())] == []
