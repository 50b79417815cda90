"""An auth for each kind of [auth.NAME]."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio

from gatewayd.auth.auth import Auth, Counted
from gatewayd.auth.http import HttpAuth
from gatewayd.auth.jwt import JwtAuth
from gatewayd.auth.static import OpenAuth, StaticAuth
from gatewayd.config.auth import AuthConfig, HttpConfig, JwtConfig, StaticConfig
from gatewayd.config.limits import AuthLimits
from gatewayd.core.sampled import Sampled
from gatewayd.webhook.post import client_for


def make(name: str, config: AuthConfig, lines: Sampled, limits: AuthLimits = AuthLimits()) -> Counted:
    """The auth that a configuration describes, under its name."""
    return Counted(name, config.kind, _make(name, config, lines, limits), lines)


@asynccontextmanager
async def closing(auths: Mapping[str, Auth], seconds: float) -> AsyncIterator[None]:
    """Close them all when the block is over, cancelled or not, within so many seconds."""
    try:
        yield
    finally:
        with trio.move_on_after(seconds, shield=True):
            for auth in auths.values():
                await auth.aclose()


def _make(name: str, config: AuthConfig, lines: Sampled, limits: AuthLimits) -> Auth:
    match config:
        case StaticConfig():
            return StaticAuth(
                secrets=[secret.reveal() for secret in config.secrets],
                users={subject: secret.reveal() for subject, secret in config.users.items()},
                guilds={subject: secret.reveal() for subject, secret in config.guilds.items()},
            )
        case JwtConfig():
            return JwtAuth(config, limits=limits)
        case HttpConfig():
            return HttpAuth(name, config, client_for(config.url, config.max_connections), lines, limits=limits)
    return OpenAuth()
