"""What each path of the admin API does."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response

from gatewayd.admin import views
from gatewayd.admin.http import ApiError, answer, fields, json_of, number
from gatewayd.admin.listing import STATES, page
from gatewayd.admin.node import ListenerView, NodeView, answer_durably
from gatewayd.admin.reach import Reach, realm_of
from gatewayd.admin.services import services
from gatewayd.core.behaviour import Unpublishable
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.events import LONGEST_NAME
from gatewayd.core.ports import Resource
from gatewayd.core.session import Session
from gatewayd.core.text import printable
from gatewayd.core.wire import FIGURE, LONGEST_LINK
from gatewayd.hub.realm import Realm

TEXT = (str,)
ROOM_STATE = {
    "chatLocked": (bool,),
    "roomLocked": (bool,),
    "maxParticipants": (int,),
    "discordWebhookLink": (str, type(None)),
}
DEFAULT_REASON = "kicked by an operator"


class Routes:
    """The endpoints of one node."""

    def __init__(self, node: NodeView) -> None:
        self.node = node
        self.hub = node.hub
        self.limits = node.limits

    # --- reading --------------------------------------------------------------------------------------------

    async def status(self, request: Request) -> Response:
        """The node at a glance; a caller that is limited to realms gets what concerns those alone."""
        hub, node, reach = self.hub, self.node, Reach.of(request, self.hub)
        totals, sessions = hub.totals, reach.sessions()
        seen: dict[str, Any] = {
            "node": node.node,
            "version": node.version,
            "started": views.moment(node.started_wall),
            "uptime": round(time.time() - node.started_wall, 3),
            "draining": node.draining(),
            "clients": node.clients()
            if reach.limit is None
            else sum(item.clients() for item in self._listeners(reach)),
            "sessions": {
                "total": len(sessions),
                "by_state": Counter(item.state for item in sessions),
                "by_protocol": Counter(item.protocol for item in sessions),
                "by_realm": Counter(item.realm for item in sessions),
            },
        }
        if reach.limit is not None:
            return answer({**seen, "realms": reach.limit})
        return answer(
            {
                **seen,
                "pid": os.getpid(),
                "events": {
                    "published": totals.published,
                    "delivered": totals.delivered,
                    "buffered": totals.buffered,
                    "dropped": totals.dropped,
                    "reasons": totals.reasons,
                    "unheard": totals.unheard,
                },
                "api": {"refused": node.refused, "waiting": len(hub.progress)},
                "totals": {"opened": totals.opened, "resumed": totals.resumed, "ended": totals.ended},
                "closed": totals.closed,
                "forgiven": totals.forgiven,
                "refused": node.refused_clients,
                "wrong_keys": node.wrong_keys(),
                "auth": node.auth(),
                "faults": totals.faults,
                "backend": None if node.backend is None else node.backend(),
                "journal": None if node.journal is None else node.journal(),
                "writes": node.writes(),
                "loop": node.loop(),
                "memory": {"rss": _rss()},
            }
        )

    def _listeners(self, reach: Reach) -> list[ListenerView]:
        return [item for item in self.node.listeners if reach.limit is None or item.realm in reach.limit]

    async def listeners(self, request: Request) -> Response:
        """Every listener."""
        reach = Reach.of(request, self.hub)
        realms = reach.named(realm_of(request))
        counts = Counter(session.listener for session in reach.sessions())
        rows = [
            {
                "name": item.name,
                "protocol": item.protocol,
                "realm": item.realm,
                "address": item.address,
                "url": item.url,
                "tls": item.tls,
                "clients": item.clients(),
                "sessions": counts.get(item.name, 0),
                **item.settings,
            }
            for item in self.node.listeners
            if realms is None or item.realm in realms
        ]
        return answer({"listeners": rows, "cursor": None})

    async def sessions(self, request: Request) -> Response:
        """A page of sessions."""
        reach = Reach.of(request, self.hub)
        reach.named(request.query_params.get("realm"))
        there = self._listeners(reach)
        known = {
            "listener": list(dict.fromkeys(item.name for item in there)),
            "protocol": list(dict.fromkeys(item.protocol for item in there)),
            "state": STATES,
        }
        rows, cursor = await page(request, reach.sessions(), known, self.limits.rows_in_a_row)
        return answer({"sessions": await self._views(rows), "cursor": cursor})

    async def _views(self, rows: list[Session]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        in_a_row = self.limits.rows_in_a_row
        for start in range(0, len(rows), in_a_row):
            made += [views.session(item, self.hub.clock()) for item in rows[start : start + in_a_row]]
            await trio.lowlevel.checkpoint()
        return made

    async def session(self, request: Request) -> Response:
        """Everything known of one session; DELETE ends it. A prefix of its id is enough."""
        session = Reach.of(request, self.hub).session(request.path_params["id"], self.limits)
        if request.method == "DELETE":
            reason = request.query_params.get("reason", DEFAULT_REASON)
            self.hub.end(session, Disconnect(Cause.KICKED, printable(reason, 120)))
            return await answer_durably(self.node, {"ended": session.id})
        return answer(views.session(session, self.hub.clock(), whole=True))

    async def channels(self, request: Request) -> Response:
        """Every channel with subscribers, by name; one row for a name in several realms, with a count for each."""
        realms = Reach.of(request, self.hub).realms(realm_of(request, "limit", "prefix", "cursor"))
        limit = number(request, "limit", 1000, 10_000)
        prefix, after = request.query_params.get("prefix", ""), request.query_params.get("cursor", "")
        found: Counter[str] = Counter()
        for realm in realms:
            for name, subscribers in realm.channels.items():
                if name > after and name.startswith(prefix):
                    found[name] += len(subscribers)
        names = sorted(found)
        rows = [
            {
                "name": name,
                "subscribers": found[name],
                "realms": {realm.name: len(realm.channels[name]) for realm in realms if name in realm.channels},
            }
            for name in names[:limit]
        ]
        return answer({"channels": rows, "cursor": names[limit - 1] if len(names) > limit else None})

    async def channel(self, request: Request) -> Response:
        """The subscribers of one channel."""
        name, realms = request.path_params["name"], Reach.of(request, self.hub).realms(realm_of(request))
        found = [session for realm in realms for session in realm.subscribers(name)]
        return answer({"name": name, "subscribers": await self._views(found)})

    async def services(self, request: Request) -> Response:
        """Every type of service, with its sessions and what they report of themselves."""
        realms, sessions = Reach.of(request, self.hub).realms(realm_of(request)), list(self.hub.sessions.values())
        rows = await services(realms, sessions, self.limits.rows_in_a_row)
        return answer({"services": rows, "cursor": None})

    def _home(self, request: Request, resource: Resource) -> Realm:
        return Reach.of(request, self.hub).home(resource, realm_of(request))

    # --- documents and rooms --------------------------------------------------------------------------------

    async def document(self, request: Request) -> Response:
        """GET, PUT or DELETE one document; the body is the value itself."""
        key, documents = request.path_params["key"], self._home(request, Resource.DOCUMENTS).documents
        if request.method == "PUT":
            if not documents.put(key, await json_of(request, self.limits)):
                raise ApiError(507, "full", "there is no room for more documents")
            return await answer_durably(self.node, {"key": key})
        if key not in documents:
            raise ApiError(404, "not_found", f"there is no document {key!r}")
        if request.method == "DELETE":
            documents.delete(key)
            return await answer_durably(self.node, {"deleted": key})
        return answer(documents.get(key))

    async def rooms(self, request: Request) -> Response:
        """Create a room."""
        item = fields(await json_of(request, self.limits), {"id": TEXT, "realm": TEXT, **ROOM_STATE}, ("id",))
        name, realm = item.pop("id"), Reach.of(request, self.hub).home(Resource.ROOMS, item.pop("realm", None))
        if not name or len(f"room:{name}") > LONGEST_NAME:
            most = f"id must not be empty, and with room: it has at most {LONGEST_NAME} characters"
            raise ApiError(400, "bad_request", most)
        _check_room(item)
        if realm.rooms.state(name) is not None:
            raise ApiError(
                409,
                "exists",
                f"room {name!r} is there already; change it with PUT /v1/rooms/{{id}} (gatewayctl room set)",
            )
        if not realm.rooms.create(name, item, stays=True):
            raise ApiError(507, "full", "there are too many rooms")
        return await answer_durably(self.node, views.room(realm, name), 201)

    async def room(self, request: Request) -> Response:
        """GET a room's state, PUT changes, DELETE closes it; its participants are notified."""
        name, realm = request.path_params["id"], self._home(request, Resource.ROOMS)
        if realm.rooms.state(name) is None:
            raise ApiError(404, "not_found", f"there is no room {name!r}")
        if request.method == "DELETE":
            self._post_to_room(realm, name, "room_close", {})
            realm.rooms.close(name)
            return await answer_durably(self.node, {"closed": name})
        if request.method == "PUT":
            changes = fields(await json_of(request, self.limits), ROOM_STATE, ())
            _check_room(changes)
            self._post_to_room(realm, name, "room_update", changes)
            realm.rooms.update(name, changes)  # without a listener that speaks rooms, nothing else did
            return await answer_durably(self.node, views.room(realm, name))
        return answer(views.room(realm, name))

    def _post_to_room(self, realm: Realm, name: str, event: str, data: dict[str, Any]) -> None:
        try:
            self.hub.post(f"room:{name}", event, data, realms=(realm.name,))
        except Unpublishable as exc:
            raise ApiError(400, "unpublishable", str(exc)) from None

    # --- health ---------------------------------------------------------------------------------------------

    async def healthz(self, request: Request) -> Response:
        """The event loop runs: any response says so."""
        return answer({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether new clients are accepted."""
        draining = self.node.draining()
        return answer({"status": "draining" if draining else "ready"}, 503 if draining else 200)


def _rss(statm: Path = Path("/proc/self/statm")) -> int:
    """Resident memory in bytes; 0 where /proc cannot be read."""
    try:
        return int(statm.read_text().split()[1]) * 4096
    except OSError:
        return 0


def _check_room(state: dict[str, Any]) -> None:
    """Check what the types of a room's state do not. Raises `ApiError`."""
    if not 0 <= state.get("maxParticipants", 0) < FIGURE:
        raise ApiError(400, "bad_request", "maxParticipants is out of range")
    if len(state.get("discordWebhookLink") or "") > LONGEST_LINK:
        raise ApiError(400, "bad_request", f"discordWebhookLink has more than {LONGEST_LINK} characters")
