"""The admin API over a real Unix socket, and over TCP with tokens."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gatewayd.admin.routes import _rss
from gatewayd.config.limits import ApiLimits, HubLimits, RoomLimits
from gatewayd.config.model import ApiToken
from gatewayd.config.values import Secret
from gatewayd.core.behaviour import Grant
from gatewayd.core.codec import ZlibStream
from gatewayd.protocols import utilbot
from tests.admin.served import api
from tests.playbook import Playbook


async def test_status_and_listeners_and_health(tmp_path: Path) -> None:
    async with api(tmp_path, bots=2) as node:
        status = await node.get("/v1/status")
        assert (status["node"], status["version"], status["clients"]) == ("edge", "1", 2)
        assert status["sessions"] == {
            "total": 2,
            "by_state": {"ready": 2},
            "by_protocol": {"utilbot": 2},
            "by_realm": {"main": 2},
        }
        assert status["memory"]["rss"] > 1_000_000
        assert (status["auth"], status["refused"]) == ({}, {})
        node.node.refused_clients = {"max_clients": 1}
        assert (await node.get("/v1/status"))["refused"] == {"max_clients": 1}
        node.node.auth = lambda: {"fleet": {"granted": 1}}
        assert (await node.get("/v1/status"))["auth"] == {"fleet": {"granted": 1}}
        (listener,) = (await node.get("/v1/listeners"))["listeners"]
        assert listener == {
            "name": "main", "protocol": "utilbot", "realm": "main", "address": "a:1", "url": "ws://a:1", "tls": False, "clients": 7, "sessions": 2, "x": 1,
        }  # fmt: skip
        assert await node.get("/healthz") == {"status": "ok"}
        assert await node.get("/readyz") == {"status": "ready"}
        node.draining = True
        assert await node.ask("GET", "/readyz") == (503, {"status": "draining"})


async def test_sessions_filtered_sorted_and_paged(tmp_path: Path) -> None:
    async with api(tmp_path, bots=5) as node:
        node.talk.people[0].leave()
        everyone = (await node.get("/v1/sessions"))["sessions"]
        assert [row["identity"] for row in everyone] == ["b0", "b1", "b2", "b3", "b4"]
        assert {"id", "listener", "protocol", "state", "identity", "remote", "opened"} <= set(everyone[0])
        for query, names in (
            ("state=detached", ["b0"]),
            ("identity=b3&listener=main&protocol=utilbot", ["b3"]),
            ("channel=user:b2", ["b2"]),
            ("remote=127.0.0.1&sort=-identity&limit=2", ["b4", "b3"]),
            ("remote=192.0.2.1", []),
        ):
            rows = (await node.get(f"/v1/sessions?{query}"))["sessions"]
            assert [row["identity"] for row in rows] == names
        for sort in ("identity", "-identity", "opened", "outbox", "latency", "-age"):
            seen, cursor = [], ""
            while True:
                page = await node.get(f"/v1/sessions?sort={sort}&limit=2{cursor}")
                seen += [row["identity"] for row in page["sessions"]]
                if page["cursor"] is None:
                    break
                cursor = f"&cursor={page['cursor']}"
            assert sorted(seen) == ["b0", "b1", "b2", "b3", "b4"]


@pytest.mark.parametrize(
    "query",
    ["nope=1", "sort=nope", "limit=0", "limit=x", "limit=1001", "cursor=nope", "sort=identity&cursor=WyJpZCIsMSwiMiJd"],
)
async def test_bad_questions_are_told_what_there_is(tmp_path: Path, query: str) -> None:
    async with api(tmp_path) as node:
        status, value = await node.ask("GET", f"/v1/sessions?{query}")
        assert (status, value["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("state=redy", 400, "there is no state 'redy', did you mean \"ready\"?"),
        (
            "state=foo",
            400,
            "there is no state 'foo'; there are opened, greeted, identifying, ready, resumed, closing, closed, detached",
        ),
        ("protocol=utlbot", 400, "there is no protocol 'utlbot', did you mean \"utilbot\"?"),
        ("listener=nope", 404, "there is no listener 'nope'; there are main"),
        ("listener=mian", 404, "there is no listener 'mian', did you mean \"main\"?"),
        ("sort=aeg", 400, "there is no sort 'aeg', did you mean \"age\"?"),
        ("stat=ready", 400, "there is no parameter 'stat', did you mean \"state\"?"),
    ],
)
async def test_a_name_that_does_not_exist_is_not_nobody(tmp_path: Path, query: str, status: int, message: str) -> None:
    async with api(tmp_path) as node:
        said, value = await node.ask("GET", f"/v1/sessions?{query}")
        assert (said, value["error"]["message"]) == (status, message)


async def test_show_and_kick(tmp_path: Path) -> None:
    async with api(tmp_path, bots=2) as node:
        person, other = node.talk.people
        shown = await node.get(f"/v1/sessions/{person.session.id}")
        assert shown["channels"] == sorted(["user:b0", "service:bot", "listener:main", f"session:{person.session.id}"])
        assert shown["metadata"] == {"type": "bot"}
        assert [shown["client"][name] for name in ("variant", "codec", "codec_bytes")] == ["text", None, 0]
        person.connection.codec = codec = ZlibStream(6, 12)
        shown = await node.get(f"/v1/sessions/{person.session.id}")
        assert [shown["client"][name] for name in ("codec", "codec_bytes")] == ["zlib-stream", codec.memory]
        person.connection.codec = None
        other.leave()
        shown = await node.get(f"/v1/sessions/{other.session.id}")
        assert shown["client"] is None
        assert shown["expires_in"] == 60
        assert shown["login_expires_in"] is None
        other.session.grant = Grant(granted=True)
        assert (await node.get(f"/v1/sessions/{other.session.id}"))["login_expires_in"] is None
        other.session.grant = Grant(granted=True, expires=30.0, given=node.talk.now)
        assert (await node.get(f"/v1/sessions/{other.session.id}"))["login_expires_in"] == 30
        node.talk.hub.totals.forgiven["not_json"] += 1
        assert (await node.get("/v1/status"))["forgiven"] == {"not_json": 1}
        done = await node.ask("DELETE", f"/v1/sessions/{person.session.id}?reason=bad%0Abot")
        assert done == (200, {"ended": person.session.id})
        assert person.closed == (4008, "bad\\nbot")
        for method in ("GET", "DELETE"):
            assert (await node.ask(method, f"/v1/sessions/{person.session.id}"))[0] == 404


async def test_channels(tmp_path: Path) -> None:
    async with api(tmp_path, bots=3) as node:
        listed = await node.get("/v1/channels?prefix=user:&limit=2")
        rows = [{"name": f"user:b{n}", "subscribers": 1, "realms": {"main": 1}} for n in range(2)]
        assert listed == {"channels": rows, "cursor": "user:b1"}
        assert (await node.get("/v1/channels?prefix=user:&cursor=user:b1"))["cursor"] is None
        assert len((await node.get("/v1/channels/service:bot"))["subscribers"]) == 3
        assert (await node.get("/v1/channels/room%3Aa%2Fb"))["name"] == "room:a/b"


async def test_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api(tmp_path) as node:
        assert await node.ask("PUT", "/v1/documents/guild%3A7%2Fx", [1, None]) == (200, {"key": "guild:7/x"})
        assert await node.ask("GET", "/v1/documents/guild:7/x") == (200, [1, None])
        assert await node.ask("DELETE", "/v1/documents/guild:7/x") == (200, {"deleted": "guild:7/x"})
        for method in ("GET", "DELETE"):
            assert (await node.ask(method, "/v1/documents/guild:7/x"))[0] == 404
        node.node.hub.realms.make("main").documents._max_count = 0
        assert (await node.ask("PUT", "/v1/documents/x", 1))[0] == 507


async def test_rooms(tmp_path: Path) -> None:
    talk = Playbook(utilbot.PROTOCOL, limits=HubLimits(rooms=RoomLimits(rooms=1)))
    async with api(tmp_path, talk=talk) as node:
        made = {"id": "a/b", "state": {"maxParticipants": 2}, "participants": [], "bans": []}
        assert await node.ask("POST", "/v1/rooms", {"id": "a/b", "maxParticipants": 2}) == (201, made)
        assert (await node.ask("POST", "/v1/rooms", {"id": "a/b"}))[0] == 409
        bad: list[Any] = [{"id": ""}, {"id": "x", "roomLocked": 1}, {}, [], {"id": "x", "other": 1}]
        bad += [{"id": "x", "maxParticipants": figure} for figure in (-1, 2**63, 10**4000)]
        bad += [{"id": "x" * 508}, {"id": "x", "discordWebhookLink": "h" * 2049}]
        for body in bad:
            assert (await node.ask("POST", "/v1/rooms", body))[0] == 400
        assert (await node.ask("PUT", "/v1/rooms/a%2Fb", {"roomLocked": True}))[1]["state"]["roomLocked"] is True
        assert (await node.ask("PUT", "/v1/rooms/a%2Fb", {"nope": True}))[0] == 400
        assert (await node.ask("PUT", "/v1/rooms/a%2Fb", {"discordWebhookLink": "h" * 2049}))[0] == 400
        assert await node.get("/v1/rooms/a%2Fb") == {**made, "state": {"maxParticipants": 2, "roomLocked": True}}
        assert await node.ask("DELETE", "/v1/rooms/a%2Fb") == (200, {"closed": "a/b"})
        assert (await node.ask("GET", "/v1/rooms/a%2Fb"))[0] == 404
        assert node.node.hub.realms.make("main").rooms.is_closed("a/b")
        assert (await node.ask("POST", "/v1/rooms", {"id": "x"}))[0] == 201
        assert (await node.ask("POST", "/v1/rooms", {"id": "y"}))[0] == 507


async def test_unknown_paths_methods_and_bodies_too_large(tmp_path: Path) -> None:
    async with api(tmp_path, limits=ApiLimits(body_bytes=1000)) as node:
        assert (await node.ask("GET", "/nope"))[1]["error"]["code"] == "not_found"
        assert (await node.ask("DELETE", "/v1/status"))[0] == 405
        status, value = await node.ask("PUT", "/v1/documents/x", "x" * 2000)
        assert (status, value["error"]["code"]) == (413, "too_large")


async def test_a_value_of_countless_arrays_is_not_made(tmp_path: Path) -> None:
    many = b"[" + b"[]," * (ApiLimits().nested - 2) + b"[]]"
    padded = b'"' + b"x" * 2 * ApiLimits().nested + b'"]'
    async with api(tmp_path) as node:
        assert (await node.ask("PUT", "/v1/documents/a", many[:-1] + b"," + padded))[0] == 200
        status, value = await node.ask("PUT", "/v1/documents/a", many[:-1] + b",{}," + padded)
        assert (status, value["error"]["code"], value["error"]["limit"]) == (413, "too_large", ApiLimits().nested)


async def test_a_fault_of_ours_is_500_and_the_next_request_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [ZeroDivisionError]

    def loop() -> dict[str, Any]:
        if faults:
            raise faults.pop()
        return {}

    async with api(tmp_path, loop=loop) as node:
        with caplog.at_level(logging.CRITICAL + 1):
            status, value = await node.ask("GET", "/v1/status")
        assert (status, value["error"]["code"]) == (500, "internal")
        assert await node.get("/v1/status")


async def test_changes_are_logged_with_who_made_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with api(tmp_path) as node:
        with caplog.at_level(logging.INFO, "gatewayd.admin"):
            await node.ask("PUT", "/v1/documents/a%0Ab", 1)
            await node.get("/v1/status")
        lines = [record.getMessage() for record in caplog.records if record.name == "gatewayd.admin"]
        assert len(lines) == 1
        assert lines[0].endswith("PUT /v1/documents/a\\nb")
        assert "uid=0" in lines[0] or "uid=" in lines[0]


async def test_tokens_and_their_scopes(tmp_path: Path) -> None:
    tokens = [
        ApiToken(name="reader", token=Secret("r"), scopes=("read",)),
        ApiToken(name="backend", token=Secret("p"), scopes=("publish",)),
        ApiToken(name="boss", token=Secret("a"), scopes=("admin",)),
    ]
    async with api(tmp_path, tokens=tokens) as node:
        event = {"channel": "user:x", "event": "E"}
        for token, read, publish, change in (
            ("r", 200, 403, 403),
            ("p", 403, 200, 403),
            ("a", 200, 200, 200),
            ("", 401, 401, 401),
        ):
            bearer = {"authorization": f"Bearer {token}"} if token else {}
            assert (await node.ask("GET", "/v1/status", **bearer))[0] == read
            assert (await node.ask("POST", "/v1/publish", event, **bearer))[0] == publish
            assert (await node.ask("PUT", "/v1/documents/x", 1, **bearer))[0] == change
        assert (await node.ask("GET", "/v1/status", authorization="Basic r"))[0] == 401
        assert (await node.ask("GET", "/healthz"))[0] == 200
        bearer = {"authorization": "Bearer r", "host": "evil.example"}
        assert (await node.ask("GET", "/v1/status/", **bearer))[0] == 404  # and no way to elsewhere


def test_memory_is_0_where_it_cannot_be_read(tmp_path: Path) -> None:
    assert _rss(tmp_path / "nowhere") == 0
