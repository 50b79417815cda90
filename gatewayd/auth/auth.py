"""Who judges claims, and how its verdicts are counted and logged.

Law 1: a token is never logged, and never stored; what is logged of a claim is its kind and its subject.
Law 2: why a claim was refused is for the operator; the client hears its protocol's word for a failed login.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from gatewayd.core.grant import Claim, Grant
from gatewayd.core.sampled import Sampled
from gatewayd.core.text import printable

log = logging.getLogger("gatewayd.auth")


class Auth:
    """One [auth.NAME]: says what is to be thought of a claim that was made on a listener."""

    async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
        """The verdict; its `reason` and `failure` are of a fixed set of names."""
        raise NotImplementedError

    def status(self) -> Mapping[str, Any]:
        """What an operator may want to see beside the counts of verdicts."""
        return {}

    async def aclose(self) -> None:
        """Give back what it holds."""


class Counted(Auth):
    """An auth under its name, with its verdicts counted: granted, refused by reason, failed by what failed."""

    def __init__(self, name: str, kind: str, auth: Auth, lines: Sampled) -> None:
        self.name = name
        self.kind = kind
        self.auth = auth
        self._lines = lines
        self.granted = 0
        self.refused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
        """The auth's verdict, counted; a refusal is logged."""
        grant = await self.auth.verify(claim, listener, protocol, realm)
        if grant.failure:
            self.failed[grant.failure] += 1
        elif grant:
            self.granted += 1
        else:
            self.refused[grant.reason] += 1
        if not grant:
            reason, subject = grant.failure or grant.reason, printable(claim.subject or "-", 64)
            text = "auth %s: refused listener=%s kind=%s subject=%s reason=%s"
            self._lines.log(log, logging.INFO, text, self.name, listener, claim.kind, subject, reason, kind=reason)
        return grant

    def status(self) -> dict[str, Any]:
        """The counts, and what the auth itself has to tell."""
        return {
            "kind": self.kind,
            "granted": self.granted,
            "refused": dict(self.refused),
            "failed": dict(self.failed),
            **self.auth.status(),
        }

    async def aclose(self) -> None:
        """Give back what the auth holds."""
        await self.auth.aclose()
