"""Auth from the configuration alone: open, or static secrets and tokens compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from gatewayd.auth.auth import Auth
from gatewayd.core.grant import Claim, Grant

GRANTED = Grant(granted=True)
WRONG_SECRET = Grant(granted=False, reason="wrong secret")
WRONG_TOKEN = Grant(granted=False, reason="wrong token")


class OpenAuth(Auth):
    """Believes every claim. For development, and for networks that are closed by other means."""

    async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
        """Always granted."""
        return GRANTED


class StaticAuth(Auth):
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

    async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
        """Whether the token is one of the secrets, or the subject's own; every candidate is compared."""
        token = (claim.token or "").encode(errors="surrogatepass")
        if claim.kind == "secret":
            candidates = self._secrets
        else:
            candidates = (self._tokens[claim.kind].get(claim.subject or "", b""),)
        # No short cut: how long this takes must not tell which secret came close.
        if sum(hmac.compare_digest(token, candidate) and candidate != b"" for candidate in candidates):
            return GRANTED
        return WRONG_SECRET if claim.kind == "secret" else WRONG_TOKEN


def _encoded(tokens: Mapping[str, str] | None) -> dict[str, bytes]:
    return {subject: token.encode() for subject, token in (tokens or {}).items()}
