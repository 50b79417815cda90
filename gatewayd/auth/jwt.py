"""Auth by signed tokens: what an issuer has signed is believed, until it expires.

Law 1: a key has one algorithm, and the token has no say in it.
Law 2: nothing of a token is looked at before its size, and nothing that it claims before its signature.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from gatewayd.auth.attributes import BadAttributes, channels, metadata
from gatewayd.auth.auth import Auth
from gatewayd.config.auth import JwtConfig
from gatewayd.config.keys import Key
from gatewayd.config.limits import AuthLimits
from gatewayd.core.depth import too_deep
from gatewayd.core.grant import Claim, Grant

LATEST = 2**53
"""The latest expiry that is told from a later one: up to there a float is exact."""

GARBAGE = "not a token"
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.InvalidSignatureError, "wrong signature"),
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not yet valid"),
    (jwt.InvalidAudienceError, "wrong audience"),
    (jwt.InvalidIssuerError, "wrong issuer"),
    (BadAttributes, "bad attributes"),
)
"""PyJWT's errors, and ours, under the names that are counted. What is not here is garbage."""


class _Refused(Exception):
    """A reason that PyJWT has no error for."""


class JwtAuth(Auth):
    """Verifies tokens with the keys of one [auth.NAME]. `clock` gives seconds since the epoch."""

    def __init__(
        self, config: JwtConfig, clock: Callable[[], float] = time.time, limits: AuthLimits = AuthLimits()
    ) -> None:
        self._config = config
        self._limits = limits
        self._clock = clock
        self._keys = {key.kid: key for key in config.keys}
        self._named = config.jwks_file is not None

    async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
        """Whether the token is signed, timely and for us; and for a user or a guild, whether it is theirs."""
        try:
            return self._grant(claim)
        except _Refused as refused:
            reason = str(refused)
        except jwt.MissingRequiredClaimError as error:
            reason = f"no {error.claim}"
        # Not all that PyJWT raises for what a stranger sends is its own, least of all in its older versions: text that
        # is none, an exp without end, nesting by the thousand.
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            reason = next((name for kind, name in REASONS if isinstance(error, kind)), GARBAGE)
        return Grant(granted=False, reason=reason)

    def _grant(self, claim: Claim) -> Grant:
        said = self._verified(claim.token)
        # A shared secret says nothing of who comes with it; a token that does is good for that one only.
        names = claim.kind != "secret" or (claim.subject is not None and "sub" in said)
        if names and said.get("sub") != claim.subject:
            raise _Refused("wrong subject")
        expires = None
        if "exp" in said:
            expires = max(0.0, min(int(said["exp"]), LATEST) + self._config.leeway - self._clock())
        return Grant(
            granted=True,
            channels=channels(said.get("channels"), self._limits),
            metadata=metadata(said.get("metadata", said.get("meta")), self._limits),
            expires=expires,
            subject=None if said.get("sub") is None else str(said["sub"]),
        )

    def _verified(self, token: str | None) -> Mapping[str, Any]:
        """What the token says, once it is known to be true."""
        if not token:
            raise _Refused("no token")
        if len(token) > self._limits.token_characters:
            raise _Refused("too large")
        key = self._key(jwt.get_unverified_header(token))
        config = self._config
        said = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=config.audience,
            issuer=config.issuer,
            leeway=config.leeway,
            options={"require": ["exp"] if config.require_exp else []},
        )
        if too_deep(urlsafe_b64decode(token.split(".")[1] + "==")):
            raise _Refused("nested too deep")
        return said

    def _key(self, header: Mapping[str, Any]) -> Key:
        """The key that has to have signed a token with this header."""
        algorithm = header.get("alg")
        if not algorithm or str(algorithm).lower() == "none":
            raise _Refused("unsigned")
        key = self._keys.get(header.get("kid") if self._named else None)
        if key is None:
            raise _Refused("unknown key")
        if algorithm != key.algorithm:
            raise _Refused("wrong algorithm")
        return key
