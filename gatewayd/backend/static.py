"""Auth from the configuration: open, or static secrets and tokens compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Protocol

from gatewayd.core.behaviour import Claim


class Auth(Protocol):
    """Who judges claims. Another issue's kinds (tokens to be verified, a backend to be asked) fit here."""

    async def verify(self, claim: Claim) -> bool:
        """Whether the claim is true."""


class OpenAuth:
    """Believes every claim. For development, and for networks that are closed by other means."""

    async def verify(self, claim: Claim) -> bool:
        """Always True."""
        return True


class StaticAuth:
    """Shared `secrets`, and tokens by `users` and `guilds`."""

    def __init__(
        self,
        *,
        secrets: Iterable[str] = (),
        users: Mapping[str, str] | None = None,
        guilds: Mapping[str, str] | None = None,
    ) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets)
        self._tokens = {"user": _encoded(users), "guild": _encoded(guilds)}

    async def verify(self, claim: Claim) -> bool:
        """Whether the token is one of the secrets, or the subject's own; every candidate is compared."""
        token = (claim.token or "").encode(errors="surrogatepass")
        if claim.kind == "secret":
            candidates = self._secrets
        else:
            candidates = (self._tokens[claim.kind].get(claim.subject or "", b""),)
        # No short cut: how long this takes must not tell which secret came close.
        return bool(sum(hmac.compare_digest(token, candidate) and candidate != b"" for candidate in candidates))


def _encoded(tokens: Mapping[str, str] | None) -> dict[str, bytes]:
    return {subject: token.encode() for subject, token in (tokens or {}).items()}
