"""Where a key belongs that stands in a table which does not know it."""

from collections.abc import Iterator, Mapping

import attrs

from gatewayd.config.auth import KINDS
from gatewayd.config.mistakes import Mistake
from gatewayd.config.model import (
    AdminConfig,
    ApiConfig,
    BackendConfig,
    Config,
    GatewayConfig,
    LimitsConfig,
    ListenerConfig,
)
from gatewayd.config.spec import ProtocolSpec
from gatewayd.config.structure import keys_of

TABLES = {
    "[gateway]": GatewayConfig,
    "[admin]": AdminConfig,
    "[api]": ApiConfig,
    "[limits]": LimitsConfig,
    "[backend]": BackendConfig,
    "[[listeners]]": ListenerConfig,
}


def with_owner(mistake: Mistake, protocols: Mapping[str, ProtocolSpec]) -> Mistake:
    """The same mistake; an unknown key that another table knows is told where it belongs instead of a similar word."""
    if not mistake.unknown or not (owners := list(_owners(str(mistake.where[-1]), protocols))):
        return mistake
    return attrs.evolve(mistake, text=f"unknown key here; it is {' or '.join(owners)}")


def _owners(key: str, protocols: Mapping[str, ProtocolSpec]) -> Iterator[str]:
    if key in keys_of(Config):
        yield f"a table of its own, {f'[[{key}]]' if key == 'listeners' else f'[{key}]'}"
    if tables := [name for name, cls in TABLES.items() if key in keys_of(cls)]:
        yield f"a key of {' and '.join(tables)}"
    if kinds := [kind for kind, cls in KINDS.items() if key in keys_of(cls)]:
        yield f"a key of [auth.NAME] of kind {' or '.join(kinds)}"
    if names := [name for name, spec in protocols.items() if key in keys_of(spec.options)]:
        yield f"an option of {', '.join(names)} (under [listeners.options])"
