"""The services of a node by type: their sessions, heaps, guilds and shards, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gatewayd.protocols import oxyl, utilbot
from gatewayd.protocols.registry import PROTOCOLS
from tests.admin.served import api
from tests.admin.test_realms import ALL, FOREIGN, ONE, STRANGE, TWO, refusal, tenants
from tests.playbook import Person, Playbook


def service(talk: Playbook, kind: str, **told: Any) -> Person:
    person = talk.connect()
    person.say({"op": 0, "d": {"type": kind, "compress": False, "secret": "s3cret"}})
    if told:
        person.say({"op": 1, "d": told})
    return person


def bot(talk: Playbook, name: str, kind: str, figure: int = 0) -> Person:
    person = talk.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": kind, "key": "s3cret", "id": name}})
    if figure:
        person.say({"op": 1, "t": "send_servers", "d": dict.fromkeys(utilbot.SUMS, figure)})
    return person


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its sessions and what they all have."""
    return {name: value for name, value in row.items() if name != "sessions"}


async def test_services(tmp_path: Path) -> None:
    bots = Playbook(utilbot.PROTOCOL)
    options = {"service_types": ("sharder", "commands"), "shards_total": 4, "shards_per_sharder": 2}
    fleet = Playbook(oxyl.PROTOCOL, beside=bots, listener="fleet", options=options)
    other = Playbook(oxyl.PROTOCOL, beside=bots, listener="other", options={"service_types": ()}, realm="other")
    async with api(tmp_path, talk=bots) as node:
        assert [(row["type"], row["realm"], row["sessions"]) for row in (await node.get("/v1/services"))["services"]] == [
            ("commands", "main", []), ("sharder", "main", []),
        ]  # fmt: skip
        one, two = service(fleet, "sharder", heapUsed=100, guilds=3), service(fleet, "sharder", heapUsed=1.5, guilds=4)
        service(fleet, "commands", heapUsed=7)
        bot(bots, "a", "bot", 5)
        bot(bots, "b", "bot", 6)
        bot(bots, "c", "dashboard")
        bots.connect()  # has not said who it is
        other.connect()
        rooms = Playbook(PROTOCOLS["rooms"], beside=bots, listener="talk", options={"ad_hoc": True})
        rooms.connect("/gateway", {"roomId": "1", "participantId": "2", "token": "s3cret"})
        two.leave()
        answer = await node.get("/v1/services")
        assert answer["cursor"] is None
        rows = answer["services"]
        assert [figures(row) for row in rows] == [
            {"type": "commands", "protocol": "oxyl", "realm": "main", "heapUsed": 7},
            {
                "type": "sharder", "protocol": "oxyl", "realm": "main",
                "heapUsed": 101.5, "guilds": 7, "shards": [0, 1, 2, 3],
            },
            {"type": "bot", "protocol": "utilbot", "realm": "main", **dict.fromkeys(utilbot.SUMS, 11)},
            {"type": "dashboard", "protocol": "utilbot", "realm": "main"},
        ]  # fmt: skip
        first, second = rows[1]["sessions"]
        assert first.pop("opened")
        assert first == {
            "id": one.session.id, "listener": "fleet", "identity": "sharder", "state": "ready", "remote": "127.0.0.1:5",
            "heapUsed": 100, "guilds": 3, "shards": [0, 1],
        }  # fmt: skip
        assert (second["state"], second["heapUsed"], second["shards"]) == ("detached", 1.5, [2, 3])
        assert [item["identity"] for item in rows[2]["sessions"]] == ["a", "b"]


async def test_services_of_several_realms_are_apart(tmp_path: Path) -> None:
    async with tenants(tmp_path) as node:

        async def seen(caller: dict[str, str], query: str = "") -> list[tuple[str, str, int]]:
            status, answer = await node.ask("GET", f"/v1/services{query}", **caller)
            assert status == 200
            return [(row["realm"], row["type"], len(row["sessions"])) for row in answer["services"]]

        fleet = [("test", kind, 0) for kind in sorted(oxyl.Options().service_types)]
        prod, test = [("prod", "bot", 1)], [*fleet, ("test", "bot", 1)]
        assert await seen(ALL) == await seen(TWO) == prod + test
        assert await seen(ONE) == await seen(ALL, "?realm=prod") == prod
        assert await seen(ALL, "?realm=test") == test
        assert refusal(await node.ask("GET", "/v1/services?realm=prd", **ALL)) == STRANGE
        assert refusal(await node.ask("GET", "/v1/services?realm=test", **ONE)) == FOREIGN
        assert (await node.ask("GET", "/v1/services?type=bot", **ALL))[0] == 400
