"""The kinds of [auth.NAME]: how clients prove who they are. One class a kind, so that no key is without effect.

Annotations are read at run time (the loader goes by them), so this file does not postpone them.
"""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import attrs

from gatewayd.config.checks import LOADED, Field, not_empty, not_negative, positive
from gatewayd.config.keys import ALGORITHMS, Key
from gatewayd.config.mistakes import suggestion
from gatewayd.config.values import Secret
from gatewayd.core.rate import Seconds


def _algorithms(instance: object, attribute: Field, value: tuple[str, ...]) -> None:
    for name in value:
        if name not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {name!r}, expected some of: {', '.join(ALGORITHMS)}")


def _url(instance: object, attribute: Field, value: str) -> None:
    parts = urlsplit(value)  # raises ValueError itself for a bad IPv6 address
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isascii() or not value.isprintable():
        raise ValueError('expected a URL such as "http://127.0.0.1:8000/auth"')
    if parts.username is not None or parts.fragment:
        # It would be shown wherever the URL is.
        raise ValueError("the URL must not hold a user, a password or a fragment")
    if " " in value or parts.port == 0:
        raise ValueError('expected a URL such as "http://127.0.0.1:8000/auth"')


def _kind(instance: object, attribute: Field, value: str) -> None:
    if value not in KINDS:
        known = [f'"{kind}"' for kind in KINDS]
        raise ValueError(f"expected {', '.join(known[:-1])} or {known[-1]}, got {value!r}{suggestion(value, KINDS)}")


@attrs.frozen(kw_only=True)
class AuthConfig:
    """What every kind has."""

    kind: str = attrs.field(validator=_kind)
    """How clients prove who they are."""


@attrs.frozen(kw_only=True)
class OpenConfig(AuthConfig):
    """Everybody may connect."""


@attrs.frozen(kw_only=True)
class StaticConfig(AuthConfig):
    """Secrets and tokens in the configuration."""

    secrets: tuple[Secret, ...] = ()
    """Any of these admits a client; after loading also those of `secrets_file`."""
    secrets_file: str | None = attrs.field(default=None, validator=not_empty)
    """A file with more of them, one per line; refused if others can read it."""
    users: Mapping[str, Secret] = attrs.field(factory=dict)
    """dmod: the token of each user, by its uid."""
    guilds: Mapping[str, Secret] = attrs.field(factory=dict)
    """dmod: the token of each guild, by its gid."""


@attrs.frozen(kw_only=True)
class JwtConfig(AuthConfig):
    """Tokens signed by an issuer; one of the two files holds the key or keys to verify them."""

    key_file: str | None = attrs.field(default=None, validator=not_empty)
    """A public key in PEM, or one line of text: the secret of HS256."""
    jwks_file: str | None = attrs.field(default=None, validator=not_empty)
    """A JWK set; a token names its key by `kid`."""
    algorithms: tuple[str, ...] = attrs.field(default=(), validator=_algorithms)
    """The allowed ones; by default those that fit the keys."""
    audience: str | None = attrs.field(default=None, validator=not_empty)
    """What `aud` must be; None admits only tokens without an audience."""
    issuer: str | None = attrs.field(default=None, validator=not_empty)
    """What `iss` must be; None admits any."""
    leeway: Seconds = attrs.field(default=Seconds(0.0), validator=not_negative)
    """How far the clocks may differ."""
    require_exp: bool = True
    """Whether a token must have an expiry."""
    keys: tuple[Key, ...] = attrs.field(default=(), repr=False, metadata={LOADED: True})

    def __attrs_post_init__(self) -> None:
        if (self.key_file is None) == (self.jwks_file is None):
            raise ValueError("needs either key_file or jwks_file")


@attrs.frozen(kw_only=True)
class HttpConfig(AuthConfig):
    """Your application decides; it is asked by POST."""

    url: str = attrs.field(validator=_url)
    """Where a claim is sent."""
    timeout: Seconds = attrs.field(default=Seconds(2.0), validator=positive)
    """For the whole answer, waiting for a free connection included."""
    cache_ttl: Seconds = attrs.field(default=Seconds(0.0), validator=not_negative)
    """How long an answer is reused; 0 asks every time."""
    cache_size: int = attrs.field(default=10_000, validator=positive)
    """How many answers are remembered."""
    on_failure: Literal["refuse", "allow"] = "refuse"
    """What happens to a claim that the application did not answer."""
    breaker_failures: int = attrs.field(default=5, validator=positive)
    """After so many failures in a row the application is not asked for a while."""
    breaker_pause: Seconds = attrs.field(default=Seconds(10.0), validator=positive)
    """How long it is not asked then."""
    secret: Secret | None = None
    """Signs the requests."""
    max_connections: int = attrs.field(default=32, validator=positive)
    """Connections to the application at a time."""
    max_waiting: int = attrs.field(default=2000, validator=positive)
    """Different claims that may wait for an answer; one more fails."""


KINDS: Mapping[str, type[AuthConfig]] = {
    "open": OpenConfig,
    "static": StaticConfig,
    "jwt": JwtConfig,
    "http": HttpConfig,
}
