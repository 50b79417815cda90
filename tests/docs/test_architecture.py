"""docs/architecture.md names floors, files and functions that are there."""

from __future__ import annotations

import ast
import re

from docs.blocks import DOCS
from tests.test_floors import FLOORS, PACKAGE

PAGE = (DOCS / "architecture.md").read_text()
FILE = re.compile(r"`((?:\w+/)+\w+\.py)`")
NAME = re.compile(r"`(\w+(?:\.\w+)?)\(\)`")


def defined(path: str) -> set[str]:
    """The functions, classes and methods of a file: `name`, and `Class.name`."""
    found = set()
    for node in ast.parse((PACKAGE / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


def unknown(text: str) -> list[str]:
    """The files that are not there, and in each line the names that none of its files defines."""
    lost = []
    for line in text.splitlines():
        files = FILE.findall(line)
        there = [name for name in files if (PACKAGE / name).is_file() or (PACKAGE.parent / name).is_file()]
        lost += [name for name in files if name not in there]
        names = set().union(*(defined(name) for name in there if (PACKAGE / name).is_file()))
        lost += [f"{name}() in {', '.join(there)}" for name in NAME.findall(line) if name not in names]
    return lost


def test_every_file_and_every_function_is_there() -> None:
    assert unknown(PAGE) == []


def test_what_is_not_there_is_found() -> None:
    line = "| `net/client.py` | `watch()`, `Client.on_message()`, `Client.dance()`, `act()` |"
    assert unknown(line) == ["Client.dance() in net/client.py", "act() in net/client.py"]
    assert unknown("`net/none.py`") == ["net/none.py"]


def test_the_floors_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d) \| (.*?) \|", PAGE.partition("## Floors")[2].partition("\n## ")[0], re.MULTILINE)
    told = {part: int(floor) for floor, parts in rows for part in re.findall(r"`(\w+)`", parts)}
    assert told == {part: floor for part, floor in FLOORS.items() if part != "__init__"}
