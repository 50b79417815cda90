"""Realms over the API: what is meant where none is named, and tokens that are limited to some of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gatewayd.admin.node import ListenerView
from gatewayd.config.model import ApiToken
from gatewayd.config.values import Secret
from gatewayd.protocols import dmod, oxyl, rooms, utilbot
from tests.admin.served import Api, api, bot
from tests.playbook import Playbook

TOKENS = [
    ApiToken(name="all", token=Secret("all"), scopes=("admin",)),
    ApiToken(name="one", token=Secret("one"), scopes=("admin",), realms=("prod",)),
    ApiToken(name="two", token=Secret("two"), scopes=("admin",), realms=("prod", "test")),
]
ALL, ONE, TWO = ({"authorization": f"Bearer {name}"} for name in ("all", "one", "two"))
EVENT = {"channel": "service:bot", "event": "E", "data": 1}


@asynccontextmanager
async def tenants(tmp_path: Path) -> AsyncIterator[Api]:
    """Realms `prod`, with utilbot, rooms and dmod, and `test`, with utilbot, rooms and oxyl; a bot `b0` in each."""
    talk = Playbook(utilbot.PROTOCOL, realm="prod")
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other", realm="test")
    Playbook(rooms.PROTOCOL, beside=talk, listener="rooms2", realm="test", options={"ad_hoc": True})
    Playbook(dmod.PROTOCOL, beside=talk, listener="dmod", realm="prod")
    Playbook(oxyl.PROTOCOL, beside=talk, listener="oxyl", realm="test")
    bot(other, "b0")
    async with api(tmp_path, tokens=TOKENS, bots=1, talk=talk) as node:
        node.node.listeners = [
            *node.node.listeners,
            ListenerView(
                name="other", protocol="utilbot", address="a:2", url="u", tls=False, realm="test", settings={}, clients=lambda: 3
            ),
        ]  # fmt: skip
        yield node


def refusal(answer: tuple[int, Any]) -> tuple[int, str, Any]:
    error = answer[1]["error"]
    return answer[0], error["code"], error.get("realms")


SEVERAL = (409, "several_realms", ["prod", "test"])
STRANGE = (404, "no_such_realm", ["prod", "test"])
FOREIGN = (403, "forbidden", ["prod"])


async def test_a_publish_goes_wherever_it_is_heard_or_where_it_is_told_to(tmp_path: Path) -> None:
    async with tenants(tmp_path) as node:
        for realm, caller, delivered in (
            (None, ALL, 2),
            ("prod", ALL, 1),
            (None, ONE, 1),
            (None, TWO, 2),
            ("test", TWO, 1),
        ):
            body = EVENT if realm is None else {**EVENT, "realm": realm}
            status, counts = await node.ask("POST", "/v1/publish", body, **caller)
            assert (status, counts["delivered"]) == (200, delivered)
        assert refusal(await node.ask("POST", "/v1/publish", {**EVENT, "realm": "prd"}, **ALL)) == STRANGE
        _, answers = await node.ask("POST", "/v1/publish", [{**EVENT, "realm": "prd"}, EVENT], **ALL)
        assert (answers[0]["error"]["code"], answers[1]["delivered"]) == ("no_such_realm", 2)
        assert (await node.ask("POST", "/v1/publish", {**EVENT, "realm": 1}, **ALL))[0] == 400
        for name in ("test", "nowhere"):
            assert refusal(await node.ask("POST", "/v1/publish", {**EVENT, "realm": name}, **ONE)) == FOREIGN


async def test_an_id_is_remembered_for_what_was_meant(tmp_path: Path) -> None:
    """By the realms of the token, and the realm that was named: none of these is the other's repetition."""
    async with tenants(tmp_path) as node:
        means = ((ALL, None), (ALL, "prod"), (ONE, None), (ONE, "prod"), (TWO, None), (TWO, "prod"), (TWO, "test"))
        for number, (caller, realm) in enumerate(means):
            body = {**EVENT, "id": "x"} if realm is None else {**EVENT, "id": "x", "realm": realm}
            for _ in range(2):
                await node.ask("POST", "/v1/publish", body, **caller)
            assert node.talk.hub.totals.published == number + 1


async def test_what_is_kept_is_kept_in_one_realm(tmp_path: Path) -> None:
    async with tenants(tmp_path) as node:
        path, room = "/v1/documents/guild:1", "/v1/rooms/r"
        note = {"user": "7", "data": {}}
        assert (await node.ask("POST", "/v1/notify", note, **ALL))[0] == 200  # dmod's realm is meant
        assert list(node.talk.hub.realms.make("prod").notifications.waiting("7").notes)
        for method in ("GET", "PUT", "DELETE"):
            assert refusal(await node.ask(method, path, 1, **ALL)) == SEVERAL
            assert refusal(await node.ask(method, room, {}, **ALL)) == SEVERAL
            assert refusal(await node.ask(method, f"{path}?realm=x", 1, **ALL)) == STRANGE
            for name in ("test", "nowhere"):
                assert refusal(await node.ask(method, f"{path}?realm={name}", 1, **ONE)) == FOREIGN
                assert refusal(await node.ask(method, f"{room}?realm={name}", {}, **ONE)) == FOREIGN
            assert (await node.ask(method, f"{path}?relam=prod", 1, **ALL))[0] == 400
        assert refusal(await node.ask("POST", "/v1/rooms", {"id": "r"}, **ALL)) == SEVERAL
        assert refusal(await node.ask("POST", "/v1/rooms", {"id": "r", "realm": "test"}, **ONE)) == FOREIGN
        assert refusal(await node.ask("POST", "/v1/notify", {**note, "realm": "test"}, **ONE)) == FOREIGN

        assert (await node.ask("PUT", path, "prod's", **ONE))[0] == 200
        assert (await node.ask("PUT", f"{path}?realm=test", "test's", **ALL))[0] == 200
        assert (await node.ask("GET", f"{path}?realm=prod", **ALL))[1] == "prod's"
        assert (await node.ask("DELETE", path, **ONE))[0] == 200
        assert (await node.ask("GET", f"{path}?realm=test", **TWO))[1] == "test's"
        assert (await node.ask("POST", "/v1/rooms", {"id": "r", "realm": "test", "maxParticipants": 3}, **ALL))[
            0
        ] == 201
        assert (await node.ask("GET", room, **ONE))[0] == 404
        assert (await node.ask("PUT", f"{room}?realm=test", {"roomLocked": True}, **TWO))[1]["state"] == {
            "maxParticipants": 3, "roomLocked": True,
        }  # fmt: skip
        assert (await node.ask("DELETE", f"{room}?realm=test", **ALL))[0] == 200


async def test_a_limited_token_sees_its_realms_alone(tmp_path: Path) -> None:
    async with tenants(tmp_path) as node:

        async def get(path: str, caller: Any) -> Any:
            status, value = await node.ask("GET", path, **caller)
            assert status == 200, value
            return value

        mine, foreign = (
            node.talk.people[0].session,
            next(s for s in node.talk.hub.sessions.values() if s.realm == "test"),
        )
        assert [row["realm"] for row in (await get("/v1/sessions?sort=realm", ALL))["sessions"]] == ["prod", "test"]
        assert [row["id"] for row in (await get("/v1/sessions?realm=test", ALL))["sessions"]] == [foreign.id]
        assert [row["id"] for row in (await get("/v1/sessions", ONE))["sessions"]] == [mine.id]
        assert (await get(f"/v1/sessions/{foreign.id}", ALL))["realm"] == "test"
        for method in ("GET", "DELETE"):
            assert (await node.ask(method, f"/v1/sessions/{foreign.id}", **ONE))[0] == 404
        assert refusal(await node.ask("GET", "/v1/sessions?realm=x", **ALL)) == STRANGE
        assert refusal(await node.ask("GET", "/v1/sessions?realm=test", **ONE)) == FOREIGN
        status, value = await node.ask("GET", "/v1/sessions?listener=other", **ONE)
        assert (status, "there are main" in value["error"]["message"]) == (404, True)

        assert [row["name"] for row in (await get("/v1/listeners", ONE))["listeners"]] == ["main"]
        assert [row["sessions"] for row in (await get("/v1/listeners", ALL))["listeners"]] == [1, 1]
        assert [row["name"] for row in (await get("/v1/listeners?realm=test", ALL))["listeners"]] == ["other"]
        assert refusal(await node.ask("GET", "/v1/listeners?realm=test", **ONE)) == FOREIGN
        assert refusal(await node.ask("GET", "/v1/listeners?realm=x", **ALL)) == STRANGE
        assert {row["name"]: row["subscribers"] for row in (await get("/v1/channels?prefix=s", ONE))["channels"]} == {
            "service:bot": 1, f"session:{mine.id}": 1,
        }  # fmt: skip
        assert (await get("/v1/channels?prefix=service", ALL))["channels"] == [
            {"name": "service:bot", "subscribers": 2, "realms": {"prod": 1, "test": 1}}
        ]
        assert len((await get("/v1/channels?realm=test", ALL))["channels"]) == 4
        assert len((await get("/v1/channels/service:bot", ALL))["subscribers"]) == 2
        assert [row["realm"] for row in (await get("/v1/channels/service:bot?realm=test", TWO))["subscribers"]] == [
            "test"
        ]
        assert refusal(await node.ask("GET", "/v1/channels/service:bot?realm=test", **ONE)) == FOREIGN

        status = await get("/v1/status", ONE)
        assert (status["clients"], status["sessions"]["total"], status["realms"]) == (7, 1, ["prod"])
        assert status["sessions"]["by_realm"] == {"prod": 1}
        assert not {"events", "auth", "backend", "journal", "memory", "closed", "refused"} & set(status)
        assert (await get("/v1/status", TWO))["clients"] == 10
        assert (await get("/v1/status", ALL))["sessions"]["by_realm"] == {"prod": 1, "test": 1}

        # To leave out a session that one cannot see leaves out nobody; nor can it be spoken to.
        for body in ({**EVENT, "except": foreign.id}, {**EVENT, "channel": f"session:{mine.id}"}):
            assert (await node.ask("POST", "/v1/publish", body, **ONE))[1]["delivered"] == 1
        told = await node.ask("POST", "/v1/publish", {**EVENT, "channel": f"session:{foreign.id}"}, **ONE)
        assert told[1]["delivered"] == 0


@pytest.mark.parametrize(
    "path", ["/v1/reload", "/v1/drain", "/v1/upgrade", "/v1/log", "/metrics", "/v2/status", "/v1", "/"]
)
async def test_what_concerns_the_whole_node_is_closed_to_a_limited_token(tmp_path: Path, path: str) -> None:
    async with tenants(tmp_path) as node:
        for method in ("GET", "POST"):
            assert refusal(await node.ask(method, path, **ONE)) == FOREIGN
            assert (await node.ask(method, path, **ALL))[0] in (404, 405)


async def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(tmp_path: Path) -> None:
    async with tenants(tmp_path) as node:
        sessions = node.talk.hub.sessions
        mine, foreign = sorted(sessions.values(), key=lambda session: session.realm)
        for session, name in ((mine, "abcdef0000000001"), (foreign, "abcdef0000000002")):
            sessions[name] = sessions.pop(session.id)
            session.id = name
        assert (await node.ask("GET", "/v1/sessions/abcdef", **ONE))[1]["id"] == mine.id  # of those that it sees
        status, value = await node.ask("DELETE", "/v1/sessions/abcdef", **ALL)
        assert (status, value["error"]["code"]) == (409, "ambiguous")
        assert value["error"]["candidates"] == [mine.id, foreign.id]
        status, value = await node.ask("GET", "/v1/sessions/abcde", **ONE)
        assert (status, value["error"]["message"]) == (
            404, "there is no session of this id; an id can be shortened to 6 characters, not to fewer",
        )  # fmt: skip
        assert (await node.ask("GET", "/v1/sessions/abcdefg", **ALL))[0] == 404
        done = await node.ask("DELETE", f"/v1/sessions/{mine.id[:-1]}", **ONE)
        assert done == (200, {"ended": mine.id})
        assert list(sessions) == [foreign.id]


async def test_where_nobody_uses_a_thing_only_an_only_realm_is_meant(tmp_path: Path) -> None:
    note = {"user": "7", "data": {}}
    talk = Playbook(utilbot.PROTOCOL, realm="prod")
    async with api(tmp_path, talk=talk) as node:
        assert (await node.ask("POST", "/v1/notify", note))[0] == 200
    Playbook(utilbot.PROTOCOL, beside=talk, listener="other", realm="test")
    async with api(tmp_path, talk=talk) as node:
        assert refusal(await node.ask("POST", "/v1/notify", note)) == SEVERAL
        assert (await node.ask("POST", "/v1/notify", {**note, "realm": "test"}))[0] == 200
        assert refusal(await node.ask("PUT", "/v1/documents/x", 1)) == SEVERAL
