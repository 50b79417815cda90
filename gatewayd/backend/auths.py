"""An auth for each kind of [auth.NAME]."""

from __future__ import annotations

from gatewayd.backend.auth import Auth, Counted
from gatewayd.backend.jwt import JwtAuth
from gatewayd.backend.static import OpenAuth, StaticAuth
from gatewayd.config.auth import AuthConfig, JwtConfig, StaticConfig


def make(name: str, config: AuthConfig) -> Counted:
    """The auth that a configuration describes, under its name."""
    return Counted(name, config.kind, _make(name, config))


def _make(name: str, config: AuthConfig) -> Auth:
    match config:
        case StaticConfig():
            return StaticAuth(
                secrets=[secret.reveal() for secret in config.secrets],
                users={subject: secret.reveal() for subject, secret in config.users.items()},
                guilds={subject: secret.reveal() for subject, secret in config.guilds.items()},
            )
        case JwtConfig():
            return JwtAuth(config)
    return OpenAuth()
