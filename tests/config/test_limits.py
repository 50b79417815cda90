"""Bounds that are no keys: each has its reason, all are frozen, and the TOML cannot set them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType

import attrs
import pytest

from gatewayd.config import limits as module
from gatewayd.config.limits import ApiLimits, NetLimits
from gatewayd.config.load import ConfigError, load
from gatewayd.config.model import LimitsConfig
from gatewayd.config.show import plain
from tests.config.fakes import PROTOCOLS


def without_reason(source: ModuleType) -> list[str]:
    """The fields that no sentence stands below."""
    found = []
    for cls in ast.parse(inspect.getsource(source)).body:
        if isinstance(cls, ast.ClassDef):
            for field, below in zip(cls.body, [*cls.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign) and not (
                    isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                ):
                    found.append(f"{cls.name}.{ast.unparse(field.target)}")
    return found


def test_every_bound_has_a_default_and_a_reason() -> None:
    nested = (
        "NetLimits.socket",
        "NetLimits.head",
        "NetLimits.tls",
        "NetLimits.client",
        "NetLimits.forward",
        "AuthLimits.wrong_keys",
        "HubLimits.first_receiver",
        "HubLimits.rooms",
        "HubLimits.notifications",
    )
    assert set(without_reason(module)) == set(nested)  # whose reasons are those of their classes
    assert NetLimits() == NetLimits()
    assert ApiLimits() == ApiLimits()


@pytest.mark.parametrize("part", [field.name for field in attrs.fields(LimitsConfig) if field.metadata])
def test_the_toml_can_neither_set_nor_show_them(tmp_path: Path, part: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f"[limits.{part}]\nlinger_seconds = 2.0\n")
    with pytest.raises(ConfigError) as caught:
        load(path, PROTOCOLS, environ={})
    assert f"limits.{part}: unknown key" in caught.value.mistakes[0]
    assert part not in plain(LimitsConfig())


def test_they_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        NetLimits().client.close_seconds = 1.0  # type: ignore[misc]
