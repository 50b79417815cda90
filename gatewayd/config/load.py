"""The configuration file becomes one `Config`, or one `ConfigError` with every mistake in it.

Laws: no mistake depends on anything outside the files named in the text, and the environment for credentials; paths
are relative to the working directory; a mistake in one place never hides a mistake in another.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from gatewayd.config import auth_tables, backend
from gatewayd.config.auth import AuthConfig
from gatewayd.config.lines import Where, index_lines, line_of
from gatewayd.config.listener import crossed, fill
from gatewayd.config.misplaced import with_owner
from gatewayd.config.mistakes import InvalidValue, Mistake, kind_of, never_right, suggestion, too_deep, unknown_keys
from gatewayd.config.model import (
    OPEN,
    AdminConfig,
    ApiConfig,
    BackendConfig,
    Config,
    GatewayConfig,
    LimitsConfig,
    ListenerConfig,
)
from gatewayd.config.spec import ProtocolSpec
from gatewayd.config.structure import Structurer, keys_of
from gatewayd.config.warn import Seen, warnings

T = TypeVar("T")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_AT_LINE = re.compile(r"\s*\(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")
_HUGE_NUMBER = re.compile(r"[0-9_]{4300,}")  # where int() itself gives up


class ConfigError(Exception):
    """A configuration cannot be used.  `mistakes` holds one line for each reason, in the order of the file."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


def load(path: Path, protocols: Mapping[str, ProtocolSpec], *, environ: Mapping[str, str] | None = None) -> Config:
    """Read a file and `parse` it; raises ConfigError, also where the file cannot be read."""
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ConfigError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8 text"]) from None
    return parse(text, str(path), protocols, environ=environ, path=path)


def parse(
    text: str,
    filename: str,
    protocols: Mapping[str, ProtocolSpec],
    *,
    environ: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Config:
    """The configuration that a TOML text says, with what is probably not meant as its `warnings`.

    `filename` only stands in the mistakes; `path` is the file that the text came from, if any.  `protocols` are those
    that listeners may speak, by name.  `environ` (default: the process's) has $CREDENTIALS_DIRECTORY.  Raises
    ConfigError.
    """
    data = _read_toml(text, filename)
    if mistakes := too_deep(data):
        raise ConfigError(_written(mistakes, text, filename))
    reader = _Reader(data, protocols, os.environ if environ is None else environ)
    config = reader.config()
    if reader.mistakes:
        placed = [with_owner(mistake, protocols) for mistake in reader.mistakes]
        raise ConfigError(_written(placed, text, filename))
    seen = Seen(config=config, data=data, protocols=protocols, environ=reader.environ, path=path)
    return attrs.evolve(config, warnings=tuple(_written(warnings(seen), text, filename, kind="warning: ")))


def _read_toml(text: str, filename: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = found[1] if found and found[1] else text.rstrip().count("\n") + 1
        raise ConfigError([f"{filename}:{line}: not TOML: {_AT_LINE.sub('', str(error))}"]) from None
    except RecursionError:
        raise ConfigError([f"{filename}:1: nested too deeply"]) from None
    except ValueError:  # int() refuses thousands of digits; tomllib lets that through
        number = _HUGE_NUMBER.search(text)
        line = text.count("\n", 0, number.start() if number else 0) + 1
        raise ConfigError([f"{filename}:{line}: the number is too large"]) from None


def _written(mistakes: list[Mistake], text: str, filename: str, kind: str = "") -> list[str]:
    lines = index_lines(text)
    ordered = sorted(dict.fromkeys(mistakes), key=lambda mistake: line_of(lines, mistake.where))
    return [f"{filename}:{line_of(lines, m.where)}: {kind}{_path(m.where)}: {m.text}" for m in ordered]


def _path(where: Where) -> str:
    """A place as people write it: listeners[0].bind; keys that need quotes have them."""
    text = ""
    for part in where:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # As JSON, a key cannot bring control characters to the terminal.
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{key}" if text else key
    return text


class _Reader:
    """Goes through the tables of one file and gathers the mistakes of all of them."""

    def __init__(self, data: dict[str, Any], protocols: Mapping[str, ProtocolSpec], environ: Mapping[str, str]) -> None:
        self.data = data
        self.protocols = protocols
        self.environ = environ
        self.structurer = Structurer(environ)
        self.mistakes: list[Mistake] = unknown_keys(data, keys_of(Config))

    def config(self) -> Config:
        """What the file says; only worth something if `mistakes` is empty afterwards."""
        limits = self.take(("limits",), self.data.get("limits", {}), LimitsConfig) or LimitsConfig()
        config = Config(
            gateway=self.take(("gateway",), self.data.get("gateway", {}), GatewayConfig) or GatewayConfig(),
            admin=self.take(("admin",), self.data.get("admin", {}), AdminConfig) or AdminConfig(),
            api=self.take(("api",), self.data["api"], ApiConfig) if "api" in self.data else None,
            limits=limits,
            auth=self.auth(),
            backend=self.backend(),
            listeners=self.listeners(limits),
        )
        self.mistakes += [*crossed(self.data), *_strange_realms(config.api, self.data.get("listeners"))]
        return config

    def take(self, where: Where, value: object, kind: type[T]) -> T | None:
        """The value as `kind`; None once its mistakes are noted."""
        try:
            return self.structurer.structure(value, kind)
        except InvalidValue as refused:
            self.mistakes += refused.under(*where)
            return None

    def auth(self) -> dict[str, AuthConfig]:
        tables = self.data.get("auth", {})
        if not isinstance(tables, dict):
            self.mistakes.append(Mistake(("auth",), "expected tables such as [auth.NAME]"))
            return {}
        self.mistakes += [mistake.under("auth") for mistake in never_right(dict.fromkeys(tables, ""))]
        taken: dict[str, AuthConfig] = {}
        for name, table in tables.items():
            try:
                taken[name] = auth_tables.read(table, self.structurer)
            except InvalidValue as refused:
                self.mistakes += refused.under("auth", name)
        return taken

    def backend(self) -> BackendConfig | None:
        if "backend" not in self.data:
            return None
        table = self.data["backend"]
        taken = self.take(("backend",), table, BackendConfig)
        if isinstance(table, dict):
            self.mistakes += InvalidValue(backend.crossed(table, taken)).under("backend")
        return taken

    def listeners(self, limits: LimitsConfig) -> tuple[ListenerConfig, ...]:
        tables = self.data.get("listeners", [])
        if not isinstance(tables, list):
            text = f"expected tables under [[listeners]], in double brackets, got one {kind_of(tables)}"
            self.mistakes.append(Mistake(("listeners",), text))
            return ()
        if not tables:
            self.mistakes.append(Mistake(("listeners",), "at least one [[listeners]] is needed"))
        taken = [self.listener(("listeners", index), table, limits) for index, table in enumerate(tables)]
        return tuple(listener for listener in taken if listener is not None)

    def listener(self, where: Where, table: object, limits: LimitsConfig) -> ListenerConfig | None:
        if not isinstance(table, dict):
            self.mistakes.append(Mistake(where, f"expected table, got {kind_of(table)}"))
            return None
        protocol = self.protocol(where, table)
        options: object = None
        if protocol is not None:
            options = self.take((*where, "options"), table.get("options", {}), protocol.options)
        timing = None if protocol is None else protocol.timing
        filled, mistakes = fill(table, limits, timing, self.environ)
        self.mistakes += [mistake.under(*where) for mistake in mistakes]
        return self.take(where, {**filled, "options": options}, ListenerConfig)

    def protocol(self, where: Where, table: Mapping[str, object]) -> ProtocolSpec | None:
        """The protocol that a listener names; None also where it names none, which structuring it will say."""
        name = table.get("protocol")
        if not isinstance(name, str):
            return None
        if name not in self.protocols:
            text = f"unknown protocol {name!r}{suggestion(name, self.protocols)}"
            self.mistakes.append(Mistake((*where, "protocol"), text))
            return None
        return self.protocols[name]


def _strange_realms(api: ApiConfig | None, listeners: object) -> Iterator[Mistake]:
    """Tokens of [api] that name realms without a listener; `listeners` as they stand in the file, mistakes and all."""
    tables = [table for table in listeners if isinstance(table, dict)] if isinstance(listeners, list) else []
    there = list(dict.fromkeys(str(table.get("realm", table.get("auth", OPEN))) for table in tables))
    for place, token in enumerate(() if api is None else api.tokens):
        for index, name in enumerate(token.realms or ()):
            if there and name not in there:
                hint = suggestion(name, there) or f"; there are {', '.join(there)}"
                yield Mistake(("api", "tokens", place, "realms", index), f"no listener is in realm {name!r}{hint}")
