"""House rules that a program can check."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def ours(path: Path) -> list[str]:
    """The places where a test file patches something of gatewayd."""
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "gatewayd":
            names |= {alias.asname or alias.name for alias in node.names}
    found = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("setattr", "patch")
        ):
            target = node.args[0] if node.args else None
            while isinstance(target, ast.Attribute):
                target = target.value
            named = isinstance(target, ast.Name) and target.id in names
            if named or (isinstance(target, ast.Constant) and str(target.value).startswith("gatewayd")):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_no_test_patches_our_own_names() -> None:
    """What a test wants to be otherwise is a value, or a part, that it passes in."""
    found = [line for path in TESTS.rglob("*.py") for line in ours(path)]
    assert not found, "\n".join(found)
