"""A configuration becomes TOML text again, with the effective values and every secret masked."""

from collections.abc import Mapping
from typing import Any, get_args

import attrs
import tomli_w

from gatewayd.config.model import Config
from gatewayd.config.structure import fields_of, key_of
from gatewayd.config.values import Bind, FileMode, Kinds, Secret, format_mode, format_rate, format_seconds
from gatewayd.core.rate import Rate, Seconds


def dump(config: Config) -> str:
    """The TOML of what `config` says: durations as text, None left out, secrets as "********"."""
    return tomli_w.dumps(plain(config))


def plain(value: attrs.AttrsInstance) -> dict[str, Any]:
    """The table of one attrs value, in TOML's own types."""
    table = {}
    for field in fields_of(type(value)):
        inner = getattr(value, field.name)
        if inner is not None:
            table[key_of(field)] = _plain(inner, field.type)
    return table


def _plain(value: Any, kind: Any) -> Any:
    """One value; `kind` is its annotation, for a duration or a file mode is at run time a mere number."""
    kinds = (kind, *get_args(kind))
    if isinstance(value, (Secret, Bind)):
        return str(value)
    if isinstance(value, Kinds):
        return list(value.names)
    if isinstance(value, Rate):
        return format_rate(value)
    if attrs.has(type(value)):
        return plain(value)
    if isinstance(value, Mapping):
        inner = get_args(kind)[1] if len(get_args(kind)) > 1 else None
        return {key: _plain(item, inner) for key, item in value.items() if item is not None}
    if isinstance(value, (tuple, list, frozenset)):
        inner = get_args(kind)[0] if get_args(kind) else None
        items = [_plain(item, inner) for item in value]
        return sorted(items) if isinstance(value, frozenset) else items
    if Seconds in kinds:
        return format_seconds(value)
    return format_mode(value) if FileMode in kinds else value
