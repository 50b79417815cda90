"""Publishing over the API: what each event is answered, what is refused and counted, and waiting for the clients."""

from __future__ import annotations

import json
import socket
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from gatewayd.admin.idempotency import Remembered
from gatewayd.admin.publishing import TimeSlice, TimeSlices
from gatewayd.config.limits import ApiLimits, HubLimits
from gatewayd.config.model import ApiToken
from gatewayd.config.values import Secret
from gatewayd.core.record import Key, Store, Table
from gatewayd.net.clock import SteadyClock
from gatewayd.protocols import dmod, utilbot
from tests.admin.served import Api, api, bot
from tests.playbook import Person, Playbook

LIMITS = ApiLimits()


async def test_publish_one_a_list_and_ndjson(tmp_path: Path) -> None:
    async with api(tmp_path, bots=2) as node:
        one, two = node.talk.people
        event = {"channel": "service:bot", "event": "E", "data": {"n": 1}}
        assert await node.ask("POST", "/v1/publish", event) == (
            200, {"delivered": 2, "buffered": 0, "dropped": 0, "number": 1},
        )  # fmt: skip
        assert one.heard() == two.heard() == [{"op": 0, "t": "E", "d": {"n": 1}}]
        status, answers = await node.ask(
            "POST",
            "/v1/publish",
            [{**event, "except": one.session.id}, {"channel": 1}, {"channel": "user:b0", "event": "F"}],
        )
        assert status == 200
        assert [answer.get("delivered") for answer in answers] == [1, None, 1]
        assert answers[1]["error"]["message"] == "channel is of the wrong type: expected a string"
        assert one.heard() == [{"op": 0, "t": "F", "d": {}}]
        lines = b"\n".join(json.dumps({**event, "data": n}).encode() for n in range(120)) + b"\n\nnot json\n"
        status, answers = await node.ask("POST", "/v1/publish", lines, content_type="application/x-ndjson")
        assert [answer.get("delivered") for answer in answers] == [2] * 120 + [None]
        assert [payload["d"] for payload in one.heard()] == list(range(120))


async def test_the_same_id_publishes_once(tmp_path: Path) -> None:
    async with api(tmp_path, bots=1) as node:
        event = {"channel": "user:b0", "event": "E", "id": "one"}
        for _ in range(2):
            assert (await node.ask("POST", "/v1/publish", event))[1]["delivered"] == 1
        assert len(node.talk.people[0].heard()) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"\xff", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"channel": "x", "event": "x", "data": ' + b"[" * 500 + b"]" * 500 + b"}", "bad_json"),
        (b"1", "bad_request"),
        (b"{}", "bad_request"),
        ({"channel": "x"}, "bad_request"),
        ({"channel": "", "event": "x"}, "bad_request"),
        ({"channel": "a\nb", "event": "x"}, "bad_request"),
        ({"channel": "x" * 600, "event": "x"}, "bad_request"),
        ({"channel": "x", "event": "x", "more": 1}, "bad_request"),
        ({"channel": "room:1", "event": "nope"}, "unpublishable"),
        ({"channel": "x", "event": "x", "id": "ä" * 129}, "bad_request"),
    ],
)
async def test_bad_events(tmp_path: Path, body: Any, code: str) -> None:
    async with api(tmp_path) as node:
        status, value = await node.ask("POST", "/v1/publish", body)
        assert (status, value["error"]["code"]) == (400, code)


@pytest.mark.parametrize("lines", [False, True])
async def test_a_list_is_worked_off_in_turns(tmp_path: Path, lines: bool) -> None:
    """Others are served between any two events; order and answers are kept."""
    events: list[Any] = [{"channel": "user:b0", "event": "E", "data": {"n": n}} for n in range(300)]
    events[7] = 1
    body: Any = b"\n\n".join(json.dumps(event).encode() for event in events) + b"\n \n" if lines else events
    kind = "application/x-ndjson" if lines else "application/json"
    async with api(tmp_path, bots=1, limits=ApiLimits(slice_seconds=0.0)) as node:
        seen = [0]

        async def look() -> None:
            while True:
                seen.append(node.talk.hub.totals.published)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            _, answers = await node.ask("POST", "/v1/publish", body, content_type=kind)
            nursery.cancel_scope.cancel()
        assert max(after - before for before, after in pairwise(seen)) <= 2  # Trio's order within a round is random
        assert [("error" in answer, answer.get("number")) for answer in answers] == [
            (n == 7, None if n == 7 else n + 1 - (n > 7)) for n in range(300)
        ]
        assert [said["d"] for said in node.talk.people[0].heard()][:2] == [{"n": 0}, {"n": 1}]
        assert await node.ask("POST", "/v1/publish", b"" if lines else [], content_type=kind) == (200, [])


async def test_a_list_to_many_leaves_in_few_writes(tmp_path: Path) -> None:
    """Given way to others after every event, a list to a thousand clients took three times as long."""
    async with api(tmp_path, bots=1) as node:
        held: list[int] = []
        node.node.hold = lambda: held.append(node.talk.hub.totals.published)
        event = {"channel": "user:b0", "event": "E", "data": {}}
        await node.ask("POST", "/v1/publish", event)
        assert held == []  # a lone event goes out at once
        await node.ask("POST", "/v1/publish", [event] * 3)
        assert held == [1]
        node.slices.seconds = 0.0
        await node.ask("POST", "/v1/publish", [event] * 3)
        assert held == [1, 4, 5, 6, 7]  # in each tick anew


def test_a_turn_ends_though_the_clock_of_the_daemon_stands_still_within_it() -> None:
    async def work() -> list[str]:
        seen: list[str] = []

        async def other() -> None:
            seen.append("other")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            time_slice, until = TimeSlice(TimeSlices(0.005)), time.perf_counter() + 10.0
            while not seen and time.perf_counter() < until:
                if time_slice.over:
                    await time_slice.give_way()
            seen.append("mine")
        return seen

    assert trio.run(work, clock=SteadyClock()) == ["other", "mine"]


def test_many_requests_share_one_turn() -> None:
    """24 long lists at once held everybody up for half a second."""
    slices = TimeSlices(0.006)
    with TimeSlice(slices), TimeSlice(slices):
        assert slices.share == 0.003
        with pytest.raises(ZeroDivisionError), TimeSlice(slices):
            assert slices.share == 0.002
            raise ZeroDivisionError
        assert slices.share == 0.003
    assert slices.share == 0.006


async def test_the_bodies_of_one_publisher_have_a_bound_together(tmp_path: Path) -> None:
    """256 connections with 8 MiB each were more than the machine may have."""
    large = [{"channel": "user:b0", "event": "E", "data": "x" * LIMITS.large_body_bytes}]
    async with api(tmp_path, bots=1, limits=ApiLimits(bodies_bytes=100_000)) as node:
        async with trio.open_nursery() as nursery:
            async with node.slices.parsing:
                nursery.start_soon(node.ask, "POST", "/v1/publish", large)
                with trio.fail_after(5):
                    while not node.slices.parsing.statistics().tasks_waiting:
                        await trio.sleep(0.01)
                status, value = await node.ask("POST", "/v1/publish", large)
                assert (status, value["error"]["code"]) == (503, "busy")
                small = [{"channel": "user:b0", "event": "E"}]
                assert (await node.ask("POST", "/v1/publish", small))[0] == 200
        for _ in range(3):
            assert (await node.ask("POST", "/v1/publish", large))[0] == 200
        assert node.node.refused == {"busy": 1}


async def test_large_bodies_are_taken_apart_one_in_a_turn(tmp_path: Path) -> None:
    small = [{"channel": "user:b0", "event": "E", "data": "x"}]
    large = [{"channel": "user:b0", "event": "E", "data": "x" * LIMITS.large_body_bytes}]
    async with api(tmp_path, bots=1) as node:
        parsing = node.slices.parsing
        async with trio.open_nursery() as nursery:
            async with parsing:
                nursery.start_soon(node.ask, "POST", "/v1/publish", large)
                with trio.fail_after(5):
                    while not parsing.statistics().tasks_waiting:
                        await trio.sleep(0.01)
                assert (await node.ask("POST", "/v1/publish", small))[0] == 200
        assert not parsing.locked()
        assert node.talk.hub.totals.published == 2


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_a_body_cannot_have_more_events_than_could_be_right(tmp_path: Path, kind: str) -> None:
    """Each would be answered by an error of many times its size."""
    count = LIMITS.events + 2
    body = b"1\n" * count if "nd" in kind else b"[1" + b",1" * count + b"]"
    async with api(tmp_path) as node:
        status, value = await node.ask("POST", "/v1/publish", body, content_type=kind)
        assert (status, value["error"]["code"], value["error"]["limit"]) == (413, "too_large", LIMITS.events)


async def test_the_longest_id(tmp_path: Path) -> None:
    async with api(tmp_path, bots=1) as node:
        event = {"channel": "user:b0", "event": "E", "id": "ä" * 128}
        assert await node.ask("POST", "/v1/publish", event) == await node.ask("POST", "/v1/publish", event)
        assert (await node.get("/v1/status"))["events"]["published"] == 1


async def test_notify(tmp_path: Path) -> None:
    async with api(tmp_path, bots=1) as node:
        for user, delivered, buffered in (("b0", 1, 0), ("nobody", 0, 1)):
            status, value = await node.ask("POST", "/v1/notify", {"user": user, "data": [1]})
            assert (status, value["delivered"], value["buffered"]) == (200, delivered, buffered)
        assert node.talk.people[0].heard() == [{"op": 0, "t": "NOTIFICATION", "d": [1]}]
        assert (await node.ask("POST", "/v1/notify", {"user": "x"}))[0] == 400
        assert (await node.ask("POST", "/v1/notify", {"user": "x" * 507, "data": 1}))[0] == 200
        assert (await node.ask("POST", "/v1/notify", {"user": "x" * 508, "data": 1}))[0] == 400


async def refused(node: Api) -> Any:
    return (await node.get("/v1/status"))["api"]["refused"]


async def test_why_something_was_dropped(tmp_path: Path) -> None:
    talk = Playbook(utilbot.PROTOCOL, resume_events=1, resume_bytes=1000)
    async with api(tmp_path, bots=1, talk=talk) as node:
        talk.people[0].leave()
        event = {"channel": "user:b0", "event": "E"}
        for data, buffered, dropped, reasons in (
            (1, 1, 0, None),
            (2, 1, 1, {"resume_buffer_full": 1}),
            ("x" * 2000, 0, 1, {"too_big": 1}),
        ):
            _, counts = await node.ask("POST", "/v1/publish", {**event, "data": data})
            assert counts.pop("number") > 0
            expected: dict[str, Any] = {"delivered": 0, "buffered": buffered, "dropped": dropped}
            assert counts == (expected if reasons is None else {**expected, "reasons": reasons})
        events = (await node.get("/v1/status"))["events"]
        assert (events["dropped"], events["reasons"]) == (2, {"resume_buffer_full": 1, "too_big": 1})


async def test_a_channel_that_nobody_hears_is_no_error(tmp_path: Path) -> None:
    async with api(tmp_path) as node:
        event = {"channel": "user:nobody", "event": "E"}
        for query in ("", "?wait=written", "?wait=acknowledged&timeout=30s"):
            status, counts = await node.ask("POST", f"/v1/publish{query}", event)
            assert (status, counts.pop("number") > 0) == (200, True)
            assert set(counts.values()) == {0}
        assert (await node.get("/v1/status"))["events"]["unheard"] == 3
        assert await refused(node) == {}


async def test_data_too_big_is_refused_with_the_limit(tmp_path: Path) -> None:
    talk = Playbook(utilbot.PROTOCOL, outbox_bytes=5000)
    async with api(tmp_path, bots=1, talk=talk, limits=ApiLimits(body_bytes=20_000)) as node:
        event = {"channel": "user:b0", "event": "E", "data": "x" * 6000}
        status, value = await node.ask("POST", "/v1/publish", event)
        assert (status, value["error"]["code"], value["error"]["limit"]) == (413, "event_too_big", 5000)
        assert "outbox of main" in value["error"]["message"]
        status, values = await node.ask("POST", "/v1/publish", [event, {**event, "data": 1}])
        assert (status, values[0]["error"]["code"], values[1]["delivered"]) == (200, "event_too_big", 1)
        status, value = await node.ask("POST", "/v1/publish", {**event, "data": "x" * 30_000})
        assert (status, value["error"]["code"], value["error"]["limit"]) == (413, "too_large", 20_000)
        assert talk.people[0].closed is None
        assert await refused(node) == {"event_too_big": 2, "too_large": 1}


async def test_a_wrong_scope_is_told_what_is_missing_and_counted(tmp_path: Path) -> None:
    tokens = [
        ApiToken(name="reader", token=Secret("r"), scopes=("read",)),
        ApiToken(name="backend", token=Secret("p"), scopes=("publish",)),
    ]
    async with api(tmp_path, tokens=tokens, bots=1) as node:
        event = {"channel": "user:b0", "event": "E"}
        for query in ("", "?wait=written"):
            status, value = await node.ask("POST", f"/v1/publish{query}", event, authorization="Bearer r")
            assert (status, value["error"]["code"], value["error"]["scope"]) == (403, "forbidden", "publish")
            assert value["error"]["message"] == "token reader has no scope publish"
            assert (await node.ask("POST", f"/v1/publish{query}", event, authorization="Bearer p"))[0] == 200
        session = node.talk.people[0].session.id
        status, value = await node.ask("GET", f"/v1/sessions/{session}", authorization="Bearer p")
        assert (status, value["error"]["scope"]) == (403, "read")
        assert (await node.ask("POST", "/v1/publish", event))[0] == 401
        _, value = await node.ask("GET", "/v1/status", authorization="Bearer r")
        assert value["api"]["refused"] == {"forbidden": 3, "unauthorized": 1}
        assert value["events"]["published"] == 2


# --- how far it has got -------------------------------------------------------------------------------------


def page(talk: Playbook) -> Person:
    person = talk.connect()
    person.say({"op": 1, "d": {"token": "seven", "uid": "7"}})
    person.heard()
    return person


async def waits(node: Api, count: int = 1) -> None:
    """Until so many publishers wait."""
    with trio.fail_after(5):
        while len(node.talk.hub.progress) != count or (count and not node.talk.hub.progress.sessions):
            await trio.sleep(0.001)


async def test_how_far_a_session_has_got(tmp_path: Path) -> None:
    talk = Playbook(dmod.PROTOCOL)
    bots = Playbook(utilbot.PROTOCOL, hub=talk.hub, listener="bots")
    async with api(tmp_path, talk=talk) as node:
        person, other = page(talk), bot(bots, "b")

        async def progress(person: Person) -> list[Any]:
            shown = await node.get(f"/v1/sessions/{person.session.id}")
            assert shown["sequence"] == person.session.lifecycle_sequence
            return [shown["given"], shown["written"], shown["acknowledged"]]

        assert await progress(person) == [0, 0, 0]
        event = {"channel": "user:7", "event": "E"}
        for _ in range(2):
            await node.ask("POST", "/v1/publish", event)
        assert await progress(person) == [2, 2, 0]
        talk.advance(30)
        person.reads = False
        await node.ask("POST", "/v1/publish", event)
        person.say({"op": 4})
        assert await progress(person) == [3, 2, 2]
        person.leave()
        assert await progress(person) == [3, 2, 2]
        await node.ask("POST", "/v1/publish", {"channel": "user:b", "event": "E"})
        assert await progress(other) == [1, 1, None]


async def test_what_a_session_has_lost_is_shown_until_its_client_is_told(tmp_path: Path) -> None:
    talk = Playbook(utilbot.PROTOCOL, resume_events=2)
    async with api(tmp_path, bots=1, talk=talk) as node:
        person = talk.people[0]

        async def shown() -> tuple[Any, ...]:
            view = await node.get(f"/v1/sessions/{person.session.id}")
            return view["given"], view["written"], view["delivered"], view["lost"], view["gaps"]

        talk.publish("user:b0", "E", 0)
        assert await shown() == (1, 1, 1, 0, {})
        person.leave()
        for number in range(5):
            talk.publish("user:b0", "E", number)
        assert await shown() == (6, 4, 1, 3, {"resume_buffer_full": 3})
        bot(talk, "b0")
        assert await shown() == (6, 6, 3, 3, {})


async def test_wait_until_it_is_written(tmp_path: Path) -> None:
    async with api(tmp_path, bots=2) as node:
        slow = node.talk.people[0]
        event = {"channel": "service:bot", "event": "E"}
        _, counts = await node.ask("POST", "/v1/publish?wait=written", event)
        assert (counts["delivered"], counts["written"]) == (2, 2)
        assert "acknowledged" not in counts
        slow.reads = False
        _, counts = await node.ask("POST", "/v1/publish?wait=written&timeout=50ms", event)
        assert (counts["delivered"], counts["written"]) == (2, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_reads_when_waited_for, node, slow)
            status, answers = await node.ask("POST", "/v1/publish?wait=written&timeout=30s", [event, {}, event])
        assert status == 200
        assert [answer.get("written") for answer in answers] == [2, None, 2]
        assert (await node.get("/v1/status"))["api"] == {"refused": {"bad_request": 1}, "waiting": 0}


async def _reads_when_waited_for(node: Api, person: Person) -> None:
    await waits(node)
    assert (await node.get("/v1/status"))["api"]["waiting"] == 1
    person.reads = True
    person.heard()


async def test_wait_for_a_client_that_is_away(tmp_path: Path) -> None:
    """The case of a push notification: it is sent when `written` is 0."""
    async with api(tmp_path, bots=1) as node:
        node.talk.people[0].leave()
        event = {"channel": "user:b0", "event": "E"}
        _, counts = await node.ask("POST", "/v1/publish?wait=written&timeout=0s", event)
        assert (counts["buffered"], counts["written"]) == (1, 0)

        async def comes_back() -> None:
            await waits(node)
            bot(node.talk, "b0")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(comes_back)
            lines = json.dumps(event).encode() + b"\n"
            _, (counts,) = await node.ask(
                "POST", "/v1/publish?wait=written&timeout=30s", lines, content_type="application/x-ndjson"
            )
        assert (counts["buffered"], counts["written"]) == (1, 1)


async def test_wait_until_it_is_acknowledged(tmp_path: Path) -> None:
    talk = Playbook(dmod.PROTOCOL)
    bots = Playbook(utilbot.PROTOCOL, hub=talk.hub, listener="bots")
    async with api(tmp_path, talk=talk) as node:
        person, _ = page(talk), bot(bots, "b")

        async def answers() -> None:
            await waits(node)
            assert [payload["op"] for payload in person.heard()] == [5, 3]
            person.say({"op": 4})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answers)
            event = {"channel": "user:7", "event": "E"}
            _, counts = await node.ask("POST", "/v1/publish?wait=acknowledged&timeout=30", event)
        assert (counts["written"], counts["acknowledged"]) == (1, 1)
        _, counts = await node.ask("POST", "/v1/publish?wait=acknowledged&timeout=20ms", event)
        assert (counts["written"], counts["acknowledged"]) == (1, 0)
        _, counts = await node.ask("POST", "/v1/publish?wait=acknowledged", {"channel": "user:b", "event": "E"})
        assert (counts["written"], counts["acknowledged"]) == (1, None)


async def test_wait_over_a_resume_until_the_new_client_has_read_it(tmp_path: Path) -> None:
    async with api(tmp_path, bots=1) as node:
        first = node.talk.people[0]
        first.reads = False

        async def comes_back() -> None:
            await waits(node)
            first.leave()
            second = bot(node.talk, "b0")
            assert node.talk.hub.progress.sessions == {}, "it reads what it had missed"
            assert second.session is first.session

        async with trio.open_nursery() as nursery:
            nursery.start_soon(comes_back)
            event = {"channel": "user:b0", "event": "E"}
            _, counts = await node.ask("POST", "/v1/publish?wait=written&timeout=30s", event)
        assert (counts["delivered"], counts["written"]) == (1, 1)


@pytest.mark.parametrize(("name", "acknowledged"), [("NOTIFICATION", 1), ("E", 0)])
async def test_wait_over_a_resume_until_it_is_acknowledged(tmp_path: Path, name: str, acknowledged: int) -> None:
    """A notification comes again until the client has shown that it has it; of anything else nobody will ever know."""
    talk = Playbook(dmod.PROTOCOL)
    async with api(tmp_path, talk=talk) as node:
        first = page(talk)
        talk.advance(30)
        first.say({"op": 4})
        first.heard()

        async def comes_back() -> None:
            await waits(node)
            first.leave()
            second = page(talk)
            assert second.session is first.session
            if acknowledged:
                assert len(node.talk.hub.progress.sessions) == 1
                talk.advance(30)
                second.say({"op": 4})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(comes_back)
            event = {"channel": "user:7", "event": name, "data": {}}
            _, counts = await node.ask("POST", "/v1/publish?wait=acknowledged&timeout=5s", event)
        assert (counts["written"], counts["acknowledged"]) == (1, acknowledged)


async def test_the_same_id_is_answered_with_what_was_waited_for(tmp_path: Path) -> None:
    async with api(tmp_path, bots=1) as node:
        event = {"channel": "user:b0", "event": "E", "id": "one"}
        first = await node.ask("POST", "/v1/publish?wait=acknowledged", event)
        assert first[1]["written"] == 1
        for query in ("", "?wait=written", "?wait=acknowledged"):
            assert await node.ask("POST", f"/v1/publish{query}", event) == first
        event["id"] = "two"
        await node.ask("POST", "/v1/publish", event)
        _, counts = await node.ask("POST", "/v1/publish?wait=written", event)
        assert (counts["written"], "acknowledged" in counts) == (None, False)
        _, counts = await node.ask("POST", "/v1/publish?wait=acknowledged", event)
        assert (counts["written"], counts["acknowledged"]) == (None, None)
        assert len(node.talk.people[0].heard()) == 2


async def test_what_was_waited_for_is_journaled_with_the_answer(tmp_path: Path) -> None:
    rows: dict[Key, bytes] = {}

    class Book(Store):
        def put(self, table: Table, key: Key, value: bytes) -> None:
            rows[key] = value

    async with api(tmp_path, bots=1) as node:
        node.node.remembered = Remembered(Book())
        await node.ask("POST", "/v1/publish?wait=written", {"channel": "user:b0", "event": "E", "id": "one"})
    assert json.loads(rows["", "one"])["answer"]["written"] == 1


@pytest.mark.parametrize("half", [False, True])
async def test_a_publisher_that_hangs_up_is_not_waited_for(tmp_path: Path, half: bool) -> None:
    async with api(tmp_path, bots=1) as node:
        node.talk.people[0].leave()
        body = json.dumps({"channel": "user:b0", "event": "E"}).encode()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "admin.sock"))
            head = (
                f"POST /v1/publish?wait=written&timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            sock.sendall(head.encode() + body)
            await waits(node)
            if half:
                sock.shutdown(socket.SHUT_WR)
                await waits(node, 0)
                assert b'"written":0' in await trio.to_thread.run_sync(sock.recv, 1000)
        await waits(node, 0)
        assert node.talk.hub.progress.sessions == {}
        assert await node.get("/healthz")


async def test_too_many_that_wait_are_refused_before_anything_is_published(tmp_path: Path) -> None:
    talk = Playbook(utilbot.PROTOCOL, limits=HubLimits(watches=1, watched_pairs=1))
    async with api(tmp_path, bots=1, talk=talk) as node:
        person = node.talk.people[0]
        person.leave()
        event = {"channel": "user:b0", "event": "E"}

        async def another() -> None:
            await waits(node)
            status, value = await node.ask("POST", "/v1/publish?wait=written", event)
            assert (status, value["error"]["code"]) == (503, "too_many_waits")
            assert (await node.ask("POST", "/v1/publish", event))[0] == 200
            bot(node.talk, "b0")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(another)
            assert (await node.ask("POST", "/v1/publish?wait=written&timeout=30s", event))[1]["written"] == 1
        assert node.talk.hub.totals.published == 2
        node.talk.people[-1].leave()
        status, answers = await node.ask("POST", "/v1/publish?wait=written&timeout=0s", [event, event])
        assert [answers[0]["buffered"], answers[1]["error"]["code"]] == [1, "too_many_waits"]
        assert (status, await refused(node)) == (200, {"too_many_waits": 2})


async def test_what_is_not_on_disk_is_said_beside_the_counts(tmp_path: Path) -> None:
    async def fails() -> bool:
        return False

    async with api(tmp_path, bots=1) as node:
        node.node.committed = fails
        event = {"channel": "user:b0", "event": "E"}
        for query in ("", "?wait=written"):
            _, answers = await node.ask("POST", f"/v1/publish{query}", [event, {}])
            assert answers[0]["durable"] is False
            assert ("written" in answers[0]) == bool(query)
            assert "durable" not in answers[1]


async def test_a_body_that_stops_is_given_up(tmp_path: Path) -> None:
    async with api(tmp_path, limits=ApiLimits(body_seconds=0.05)) as node:
        stream = await trio.open_unix_socket(str(tmp_path / "admin.sock"))
        async with stream:
            await stream.send_all(b"POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            with trio.fail_after(5):
                got = await stream.receive_some()
        assert got.startswith(b"HTTP/1.1 408")
        assert await refused(node) == {"too_slow": 1}
        stream = await trio.open_unix_socket(str(tmp_path / "admin.sock"))
        async with stream:
            await stream.send_all(b"POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            await stream.send_eof()
            with trio.fail_after(5):
                got = await stream.receive_some()
        assert got.startswith(b"HTTP/1.1 400")
        assert await refused(node) == {"too_slow": 1, "incomplete": 1}
