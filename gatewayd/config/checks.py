"""Checks of single values, as validators of attrs fields; each raises ValueError with what stands behind the key."""

from typing import Any, TypeAlias

import attrs

Field: TypeAlias = "attrs.Attribute[Any]"

LOADED = "loaded"
"""In the metadata of a field that the TOML cannot set and does not show: the loader puts in what it read elsewhere."""


def positive(instance: object, attribute: Field, value: float) -> None:
    """More than 0."""
    if not value > 0:
        raise ValueError(f"must be more than 0, got {value:g}")


def not_negative(instance: object, attribute: Field, value: float) -> None:
    """0 or more."""
    if not value >= 0:
        raise ValueError(f"must not be negative, got {value:g}")


def named(instance: object, attribute: Field, value: str) -> None:
    """A name: it ends up in channel names, metric labels and log lines."""
    if not 1 <= len(value) <= 64 or not value.isprintable():
        raise ValueError("expected a name of 1 to 64 printable characters")


def not_empty(instance: object, attribute: Field, value: str | None) -> None:
    """Not the empty text; None is fine."""
    if value == "":
        raise ValueError("must not be empty")
