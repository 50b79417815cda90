"""A table [auth.NAME] becomes the value of its kind, with what stands in the files that it names."""

from collections.abc import Mapping
from typing import Any

import attrs

from gatewayd.config import credentials
from gatewayd.config.auth import KINDS, AuthConfig, JwtConfig, StaticConfig
from gatewayd.config.keys import read_key, read_set
from gatewayd.config.mistakes import InvalidValue, Mistake
from gatewayd.config.structure import Structurer, keys_of
from gatewayd.config.values import Secret


def read(table: object, structurer: Structurer) -> AuthConfig:
    """The value that a table means; raises `InvalidValue` with every mistake in it."""
    if not isinstance(table, dict):
        return structurer.structure(table, AuthConfig)
    kind = table.get("kind")
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is not None:
        mistakes = [
            Mistake((key,), f'is of kind "{other}", and this is "{kind}"') for key, other in _foreign(table, cls)
        ]
    else:  # judged as the kind that knows the most of its keys, so that other mistakes are not hidden
        cls, mistakes = max(KINDS.values(), key=lambda some: len(table.keys() & set(keys_of(some)))), []
    foreign = dict(_foreign(table, cls))
    try:
        auth = structurer.structure({key: value for key, value in table.items() if key not in foreign}, cls)
        auth = _with_files(auth, structurer.environ)
    except InvalidValue as refused:
        raise InvalidValue(mistakes + refused.mistakes) from None
    if mistakes:
        raise InvalidValue(mistakes)
    return auth


def _foreign(table: Mapping[str, Any], cls: type[AuthConfig]) -> list[tuple[str, str]]:
    """The keys that only another kind has, each with that kind."""
    kinds = {key: kind for kind, other in KINDS.items() for key in keys_of(other)}
    return [(key, kinds[key]) for key in table if key in kinds and key not in keys_of(cls)]


def _with_files(auth: AuthConfig, environ: Mapping[str, str]) -> AuthConfig:
    """The same auth with what its files hold added to its own."""
    named = [getattr(auth, name, None) for name in ("secrets_file", "key_file", "jwks_file")]
    if any(path is not None and credentials.unchecked(path, environ) for path in named):
        return auth
    key = ""
    try:
        if isinstance(auth, StaticConfig) and auth.secrets_file is not None:
            key = "secrets_file"
            lines = credentials.read_lines(auth.secrets_file, environ)
            return attrs.evolve(auth, secrets=(*auth.secrets, *map(Secret, lines)))
        if isinstance(auth, JwtConfig) and auth.key_file is not None:
            key = "key_file"
            return _with_keys(auth, (read_key(auth.key_file, environ),))
        if isinstance(auth, JwtConfig) and auth.jwks_file is not None:
            key = "jwks_file"
            return _with_keys(auth, read_set(auth.jwks_file, environ))
    except ValueError as error:
        raise InvalidValue([Mistake((key,), str(error))]) from None
    return auth


def _with_keys(auth: JwtConfig, keys: tuple[Any, ...]) -> JwtConfig:
    allowed = tuple(key for key in keys if not auth.algorithms or key.algorithm in auth.algorithms)
    if not allowed:
        kinds = ", ".join(sorted({key.algorithm for key in keys}))
        raise ValueError(f"only has keys for {kinds}, which algorithms does not name")
    return attrs.evolve(auth, keys=allowed)
