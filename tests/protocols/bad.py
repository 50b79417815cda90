"""Bad inputs that every protocol meets, and what each is called."""

from __future__ import annotations

from typing import Any

from gatewayd.core.close import Cause

NOT_JSON: list[Any] = [
    "", "x", "{", b'{"op": 1}', "\ufeff{}", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', '{"a": ' + "1" * 5000 + "}",
    "[" * 100_000, '{"a": 1} {}',
]  # fmt: skip
NO_OBJECT: list[Any] = ['"x"', "[]", "1", "null", "true"]


def bad_opcodes(field: str) -> list[Any]:
    """Values that are no opcode, whatever they equal."""
    values: list[Any] = [True, 1.0, "1", None, [], {}, 2**64, -5, 99]
    return [{field: value} for value in values]


def cases(field: str) -> list[tuple[Any, Cause]]:
    """Every bad message that does not depend on the protocol, with its cause."""
    return [
        *((message, Cause.NOT_JSON) for message in NOT_JSON),
        *((message, Cause.INVALID_PAYLOAD) for message in NO_OBJECT),
        ({}, Cause.NO_OPCODE),
        *((message, Cause.UNKNOWN_OPCODE) for message in bad_opcodes(field)),
    ]


def name(value: Any) -> str | None:
    """A short test id."""
    return repr(value)[:24] if not isinstance(value, Cause) else value.value
