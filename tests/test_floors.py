"""Each floor imports only what is below it, nothing goes round in a circle, and trio stays where it belongs."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "gatewayd"
FLOORS = {
    "__init__": 0, "core": 0,
    "protocols": 1, "config": 1, "webhook": 1,
    "auth": 2, "backend": 2, "journal": 2,
    "hub": 3,
    "net": 4,
    "admin": 5,  # the API is served over the sockets of net
    "daemon": 6,
    "__main__": 7, "ctl": 7,
}  # fmt: skip
ON_TRIO = {"webhook", "auth", "backend", "journal", "net", "admin", "daemon", "__main__"}
IMPURE = {"trio", "socket", "time", "datetime", "os", "pathlib", "threading", "asyncio", "h11", "starlette"}
MOST_LINES = 450


def name_of(path: Path) -> str:
    """A file's module."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imports(path: Path, *, typing: bool = True) -> set[str]:
    """The modules that a file imports; without `typing`, those that are only imported for annotations are left out."""
    found = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if not typing and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in names}
    return found


def part_of(module: str) -> str:
    """The part of gatewayd that a module is in."""
    return module.split(".")[1] if "." in module else "__init__"


def test_each_floor_imports_only_what_is_below_it() -> None:
    wrong = []
    for module, path in FILES.items():
        part = part_of(module)
        others = {name for name in imports(path) if name.partition(".")[0] == "gatewayd" and part_of(name) != part}
        wrong += [f"{path}: {name}" for name in others if FLOORS[part_of(name)] >= FLOORS[part]]
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_where_they_belong() -> None:
    wrong = []
    for module, path in FILES.items():
        part = part_of(module)
        for name in imports(path):
            top = name.partition(".")[0]
            if part == "core" and top in IMPURE:
                wrong.append(f"{path}: {name} is not pure")
            if top == "trio" and part not in ON_TRIO:
                wrong.append(f"{path}: {name}")
            if top in ("trio_websocket", "wsproto") and module != "gatewayd.net.slow_lane":
                wrong.append(f"{path}: {name}")
            if any(step.startswith("_") and not step.startswith("__") for step in name.split(".")):
                wrong.append(f"{path}: {name} is private")
    assert not wrong, "\n".join(wrong)


def test_no_import_goes_round_in_a_circle() -> None:
    # In core/ what is imported for annotations counts as well.
    graph = {module: imports(path, typing=part_of(module) == "core") - {module} for module, path in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None


def test_no_file_is_too_long_to_be_read() -> None:
    assert not [path for path in FILES.values() if len(path.read_text().splitlines()) > MOST_LINES]
