"""Each floor imports only what is below it; trio and the WebSocket library stay where they belong."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "gatewayd"
FLOORS = {
    "core": 0,
    "protocols": 1, "config": 1, "describe": 1,
    "journal": 2, "backend": 2, "hub": 3,  # the hub keeps its stores; a port will stand between them with the journal
    "net": 4, "admin": 5,  # the API is served over the sockets of net
    "log": 0, "sdnotify": 0, "clock": 0, "stopping": 0,  # leaves: they import nothing of ours
    "parts": 6,  # of the daemon
    "keeping": 6, "sockets": 6, "upkeep": 6, "descriptors": 6,
    "daemon": 7,
    "__main__": 8, "ctl": 8,
}  # fmt: skip
IMPURE = {"trio", "socket", "time", "datetime", "os", "pathlib", "threading", "asyncio", "h11", "starlette"}


def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} if node.module != "gatewayd" else {f"gatewayd.{alias.name}" for alias in node.names}
    return found


def test_floors() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for name in imports(path):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if (
                top == "gatewayd"
                and other
                and other != part
                and other != "__version__"
                and FLOORS[other] >= FLOORS[part]
            ):
                wrong.append(f"{path}: {name}")
            if part == "core" and top in IMPURE:
                wrong.append(f"{path}: {name} is not pure")
            if top == "trio" and part not in (
                "net",
                "admin",
                "backend",
                "journal",
                "keeping",
                "upkeep",
                "daemon",
                "sdnotify",
                "clock",
                "__main__",
            ):
                wrong.append(f"{path}: {name}")
            if top in ("trio_websocket", "wsproto") and path.name != "slow_lane.py":
                wrong.append(f"{path}: {name}")
            if any(step.startswith("_") and not step.startswith("__") for step in name.split(".")):
                wrong.append(f"{path}: {name} is private")
    assert not wrong, "\n".join(wrong)


def test_no_file_over_300_lines() -> None:
    assert not [path for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 300]
