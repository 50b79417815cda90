"""Which realms a request may see and change: those of its token, or all.

Law 1: a request that names no realm means all that it reaches, by the rules of `hub/realm.py`.
Law 2: a caller that is limited to realms never learns whether another one exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from attrs import frozen

from gatewayd.admin.http import ApiError
from gatewayd.core.ports import NoSuchRealm, SeveralRealms

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request

    from gatewayd.config.limits import ApiLimits
    from gatewayd.core.ports import Resource
    from gatewayd.core.session import Session
    from gatewayd.hub.hub import Hub
    from gatewayd.hub.realm import Realm

BY_REALM = ("status", "listeners", "sessions", "channels", "services", "publish", "notify", "documents", "rooms")
"""The paths under /v1/ that concern single realms; all others concern the whole node."""


@frozen
class Reach:
    """`limit` names the realms that the request may reach; None means all."""

    hub: Hub
    limit: tuple[str, ...] | None = None

    @classmethod
    def of(cls, request: Request, hub: Hub) -> Reach:
        """By the token of the request; a process that may open the Unix socket reaches everything."""
        token = request.scope["state"]["caller"].token
        return cls(hub, None if token is None else token.realms)

    def named(self, realm: str | None) -> tuple[str, ...] | None:
        """The names of the realms that are meant; None means all. Raises `ApiError`."""
        if realm is None:
            return self.limit
        if self.limit is not None and realm not in self.limit:
            names = ", ".join(self.limit)
            raise ApiError(403, "forbidden", f"this token is limited to realm {names}", realms=self.limit)
        if realm not in self.hub.realms.served:
            missing = NoSuchRealm(realm, self.hub.realms.served)
            raise ApiError(404, "no_such_realm", str(missing), realms=missing.names)
        return (realm,)

    def realms(self, realm: str | None) -> list[Realm]:
        """The realms that are meant. Raises `ApiError`."""
        names = self.named(realm)
        return [item for name, item in self.hub.realms.served.items() if names is None or name in names]

    def home(self, resource: Resource, realm: str | None) -> Realm:
        """The one realm that holds such a resource. Raises `ApiError`."""
        try:
            return self.hub.realms.home(resource, self.named(realm))
        except SeveralRealms as exc:
            raise several(exc) from None

    def scope(self, realm: str | None) -> str:
        """Keeps the ids of publishers apart that mean different realms."""
        if self.limit is None and realm is None:
            return ""
        return msgspec.json.encode([None if self.limit is None else sorted(self.limit), realm]).decode()

    def sessions(self) -> list[Session]:
        """All sessions that the caller reaches."""
        sessions = self.hub.sessions.values()
        return list(sessions) if self.limit is None else [item for item in sessions if item.realm in self.limit]

    def find(self, text: str) -> Session | None:
        """The session of this id, if the caller reaches it."""
        session = self.hub.sessions.get(text)
        return None if session is None or (self.limit is not None and session.realm not in self.limit) else session

    def session(self, text: str, limits: ApiLimits) -> Session:
        """The session of this id, or the only one whose id begins with it. Raises `ApiError`."""
        session = self.find(text)
        if session is not None:
            return session
        shortest = limits.id_prefix
        found = [item for item in self.sessions() if item.id.startswith(text)] if len(text) >= shortest else []
        if len(found) == 1:
            return found[0]
        if not found:
            hint = "" if len(text) >= shortest else f"; an id can be shortened to {shortest} characters, not to fewer"
            raise ApiError(404, "not_found", f"there is no session of this id{hint}")
        ids = sorted(item.id for item in found)[: limits.candidates]
        raise ApiError(409, "ambiguous", f"{len(found)} sessions have an id that begins with this", candidates=ids)


def several(exc: SeveralRealms) -> ApiError:
    """The error for a request that must name a realm."""
    return ApiError(409, "several_realms", str(exc), realms=exc.names)


def whole_node(path: str) -> bool:
    """Whether a path is closed to a token that is limited to realms."""
    return not path.startswith("/v1/") or path.split("/")[2] not in BY_REALM


def realm_of(request: Request, *others: str) -> str | None:
    """The realm in the query, which may have no parameters but these: a misspelt one would mean all realms."""
    known: Collection[str] = ("realm", *others)
    for name in request.query_params:
        if name not in known:
            raise ApiError(400, "bad_request", f"unknown parameter {name!r}; there are {', '.join(known)}")
    return request.query_params.get("realm")
