"""The keys of the configuration for the manual: name, kind, default and meaning, from the classes themselves."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import attrs

from gatewayd.config.auth import KINDS
from gatewayd.config.model import (
    AdminConfig,
    ApiConfig,
    ApiToken,
    BackendConfig,
    GatewayConfig,
    LimitsConfig,
    ListenerConfig,
)
from gatewayd.config.show import plain
from gatewayd.config.structure import fields_of, key_of, keys_of
from gatewayd.config.values import Bind, FileMode, Kinds, Secret, format_rate, format_seconds
from gatewayd.core.protocol import Protocol
from gatewayd.core.rate import Rate, Seconds

_OF_THE_NODE = ", ".join(key for key in keys_of(LimitsConfig) if key not in keys_of(ListenerConfig))
LISTENER = (
    "A listener is one socket that speaks one protocol; name, protocol and bind are needed. It may set keys of "
    "[limits] for itself."
)
TABLES: Mapping[str, tuple[tuple[str, type, str], ...]] = {
    "[gateway]": (("", GatewayConfig, "The daemon as a whole."),),
    "[admin]": (("", AdminConfig, "The Unix socket for operators and programs."),),
    "[api]": (
        ("", ApiConfig, "The same API over TCP, for holders of a token. Without this table it is not served."),
        ("tokens", ApiToken, "Each is a table; its secret is in token, or in the file that file names."),
    ),
    "[limits]": (("", LimitsConfig, f"Bounds for the node. A listener may set its own, but for: {_OF_THE_NODE}."),),
    "[auth.NAME]": tuple((f'kind = "{kind}"', cls, " ".join(str(cls.__doc__).split())) for kind, cls in KINDS.items()),
    "[backend]": (
        (
            "",
            BackendConfig,
            "Where commands go, and who is told of sessions. Exactly one of url and handlers is needed.",
        ),
    ),
    "[[listeners]]": (("", ListenerConfig, LISTENER),),
}
_WORDS = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    Seconds: "time",
    Rate: "rate",
    Bind: "address",
    Secret: "secret",
    FileMode: "octal string",
    Any: "value",
    Kinds: "boolean or array of strings",
}
_OF_THE_PROTOCOL = (
    "heartbeat",
    "heartbeat_interval",
    "heartbeat_tolerance",
    "identify_timeout",
    "resume_window",
    "rate_limit",
)


@attrs.frozen
class Key:
    """One key of a table."""

    name: str
    kind: str
    default: str | None
    text: str


def keys(cls: type[Any]) -> Iterator[Key]:
    """The keys of one table, in their order."""
    limits = keys_of(LimitsConfig) if cls is ListenerConfig else []
    texts = _texts(cls)
    for field in fields_of(cls):
        name = key_of(field)
        if name not in limits and name not in ("options", "kind"):
            names = [name, *(key for key in keys_of(cls) if key in _file_names(field))]
            yield Key(", ".join(names), _kind(field.type), _default(cls, field), texts.get(field.name, ""))


def _file_names(field: "attrs.Attribute[Any]") -> list[str]:
    one_secret = field.type is Secret or get_args(field.type) == (Secret, type(None))
    return [f"{key_of(field)}_file", field.metadata.get("file_key", "")] if one_secret else []


def _kind(kind: Any) -> str:
    inner = [part for part in get_args(kind) if part not in (type(None), ...)]
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in inner)
    if kind in _WORDS:
        return _WORDS[kind]
    if origin in (tuple, list, frozenset):
        return f"array of {_kind(inner[0])}s"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {_kind(inner[1])}s"
    return _kind(inner[0]) if inner else "table"


def _default(cls: type[Any], field: "attrs.Attribute[Any]") -> str | None:
    """As it would stand in the file; None where there is none, or where it is not the class that has it."""
    if (
        field.default is attrs.NOTHING
        or field.name == "node"
        or (cls.__name__ == "ListenerConfig" and field.name in _OF_THE_PROTOCOL)
    ):
        return None
    value: Any = field.default
    if callable(getattr(value, "factory", None)):
        value = getattr(cls(), field.name) if value.takes_self else value.factory()
    if value is None:
        return None
    one = attrs.make_class("One", {"x": attrs.field(type=field.type)})
    return _toml(plain(one(value))["x"])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return "{}" if value == {} else str(value)


def _texts(cls: type[Any]) -> dict[str, str]:
    """The sentence under each attribute of a class and of those that it extends; Python keeps none of them."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for line, below in zip(tree.body, tree.body[1:], strict=False):
            match line, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = _unset(" ".join(text.split()))
    return found


def _unset(text: str) -> str:
    """Python's None is a key that the file leaves out."""
    return re.sub(r"^None\b", "Unset", re.sub(r"(?<=\W)None\b", "unset", text))


def timings(protocol: Protocol) -> str:
    """A protocol's own defaults, as one sentence."""
    timing = protocol.timing
    said = {
        "heartbeat": f'"{timing.heartbeat}"',
        "heartbeat_interval": format_seconds(timing.interval),
        "heartbeat_tolerance": format_seconds(timing.patience(timing.interval) - timing.interval),
        "identify_timeout": None if timing.identify_timeout is None else format_seconds(timing.identify_timeout),
        "resume_window": format_seconds(timing.resume_window),
        "rate_limit": None if timing.rate_limit is None else format_rate(timing.rate_limit),
        "max_message_bytes": timing.max_message_bytes,
        "bytes_per_second": timing.bytes_per_second,
        "burst_bytes": timing.burst_bytes,
    }
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None) + "."
