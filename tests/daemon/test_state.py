"""The daemon with a journal, as a process: killed, stopped, started again, on good disks and bad ones."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.backend.conftest import SECRET, Backend
from tests.site import Site, heard, until

BACKEND = '[backend]\nurl = "{url}"\nsecret = "' + SECRET + '"\nretry_min = "20ms"\nretry_max = "50ms"\n'


@pytest.fixture(name="backend")
def _backend(tmp_path: Path) -> Any:
    made = Backend(tmp_path / "told")
    made.start()
    yield made
    made.stop()


def told_by(backend: Backend) -> list[tuple[str, str]]:
    """Kind and cause of each lifecycle event; each is said at least once."""
    return list({event["n"]: (event["kind"], event["cause"]) for event in backend.heard()}.values())


# --- killed and started again ---------------------------------------------------------------------------------


def test_after_a_kill_clients_resume_as_if_only_the_network_had_gone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.listen("rooms", "rooms")
    site.listen("pages", "dmod")
    query = "gateway?roomId=r&token=s3cret&participantId="
    with site.run():
        there, _ = site.bot("a")
        away, _ = site.bot("b")
        site.lose(away)
        assert site.publish("user:b", 1, id="once") == {"delivered": 0, "buffered": 1, "dropped": 0, "number": 1}
        assert site.publish("service:bot", 2) == {"delivered": 1, "buffered": 1, "dropped": 0, "number": 2}
        site.ask("PUT", "/v1/documents/guild:1", {"name": "x"})
        site.ask("POST", "/v1/notify", {"user": "7", "data": {"n": 1}})
        site.ask("POST", "/v1/rooms", {"id": "r", "maxParticipants": 1})
        site.connect("rooms", query + "in")
        ban = {"userId": "out", "banned": True}
        site.ask("POST", "/v1/publish", {"channel": "room:r", "event": "participant_update", "data": ban})
        site.written()
        site.kill()
        with pytest.raises(ConnectionClosed):
            for _ in range(10):
                there.recv(5)
    with site.run() as daemon:
        assert site.sessions() == {"a": "detached", "b": "detached", "r/in": "detached"}
        assert site.publish("user:b", 1, id="once") == {"delivered": 0, "buffered": 1, "dropped": 0, "number": 1}
        site.publish("service:bot", 3)
        client, told = site.bot("b")
        assert told["d"] == {"id": "b", "resumed": True}
        assert heard(client, 3) == [1, 2, 3]
        other, told = site.bot("a")
        assert told["d"] == {"id": "a", "resumed": True}
        assert heard(other, 1) == [3]
        assert site.ask("GET", "/v1/documents/guild:1") == {"name": "x"}
        page = site.connect("pages")
        page.recv(5)
        page.send(json.dumps({"op": 1, "d": {"token": "seven", "uid": "7"}}))
        assert json.loads(page.recv(5))["d"]["missed_notifications"] == [{"n": 1}]
        for name, status in (("out", 403), ("another", 403)):
            with pytest.raises(InvalidStatus) as refused:
                site.connect("rooms", query + name)
            assert refused.value.response.status_code == status
        again = site.connect("rooms", query + "in")
        again.recv(5)
        code, log = daemon.stop()
        assert (code, "Traceback" in log) == (0, False)
        assert "3 sessions of the last run, 3 of them can be resumed" in log


def test_numbers_of_events_go_on_after_a_restart_though_nothing_waited(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.run() as daemon:
        assert [site.publish("user:nobody", 1)["number"] for _ in range(3)] == [1, 2, 3]
        assert daemon.stop()[0] == 0
    with site.run():
        assert site.publish("user:nobody", 1)["number"] == 4
        site.kill()
    with site.run():
        assert site.publish("user:nobody", 1)["number"] > 4


def test_a_slow_reader_loses_nothing_in_a_kill(tmp_path: Path) -> None:
    """What was acknowledged, it hears: from the kernel, or after it has resumed; in order, and hardly anything twice."""
    site = Site(tmp_path)
    with site.run():
        slow, _ = site.bot("a", max_queue=1)
        for number in range(400):
            answer = site.publish("user:a", [number, "x" * 20_000])
            assert "durable" not in answer
        assert site.rows("events")
        site.kill()
        before = []
        with pytest.raises(ConnectionClosed):
            while True:
                before.append(json.loads(slow.recv(10))["d"][0])
    with site.run():
        client, told = site.bot("a")
        assert told["d"]["resumed"]
        site.publish("user:a", ["last"])
        after = []
        while (data := heard(client, 1)[0]) != ["last"]:
            after.append(data[0])
        lost = told["d"].get("lost", 0)
        assert before == list(range(len(before)))
        assert after == list(range(after[0], 400))
        assert lost + after[0] >= len(before)
        assert len(after) + len(before) + lost >= 400
        site.written()
        until(lambda: site.rows("events") == [])


def test_batched_keeps_all_but_the_last_moment(tmp_path: Path) -> None:
    site = Site(tmp_path, durability="batched")
    with site.run():
        client, _ = site.bot()
        site.lose(client)
        site.publish("user:a", 1)
        until(lambda: site.rows("events"))
        site.kill()
    with site.run():
        client, told = site.bot()
        assert told["d"] == {"id": "a", "resumed": True}
        assert heard(client, 1) == [1]


def test_always_means_that_the_answer_comes_after_the_commit(tmp_path: Path) -> None:
    site = Site(tmp_path, interval="60s")
    with site.run():
        client, _ = site.bot()
        site.lose(client)
        for number in range(3):
            site.publish("user:a", number)
            assert [row["data"] for row in site.rows("events")] == list(range(number + 1))
        site.ask("PUT", "/v1/documents/d", 1)
        assert site.rows("documents") == [1]
        site.ask("POST", "/v1/notify", {"user": "x", "data": 1})
        assert site.rows("notifications") == [1]
        site.kill()
    with site.run():
        client, _ = site.bot()
        assert heard(client, 3) == [0, 1, 2]


def test_none_keeps_no_session_and_tells_the_backend_so(tmp_path: Path, backend: Backend) -> None:
    site = Site(tmp_path, durability="none", more=BACKEND.format(url=backend.url))
    site.listen("kept", "utilbot")
    with site.run() as daemon:
        site.bot()
        site.publish("user:a", 1)
        site.written()
        assert site.rows("sessions") == []
        assert daemon.stop()[0] == 0
    with site.run():  # what the stop had no time to deliver comes now
        _, told = site.bot()
        assert told["d"] == {"id": "a", "resumed": False}
        until(lambda: len(told_by(backend)) >= 4)
    assert told_by(backend)[:4] == [("opened", ""), ("detached", "shutdown"), ("ended", "shutdown"), ("opened", "")]


def test_a_clean_stop_keeps_what_clients_had_not_read(tmp_path: Path) -> None:
    site = Site(tmp_path, durability="batched", interval="60s")
    with site.run() as daemon:
        site.bot()
        other, _ = site.bot("b")
        site.lose(other)
        site.publish("user:b", 1)
        code, log = daemon.stop()
        assert (code, "Traceback" in log) == (0, False)
    with site.run() as daemon:
        assert site.sessions() == {"a": "detached", "b": "detached"}
        other, _ = site.bot("b")
        assert heard(other, 1) == [1]
        assert daemon.stop(signal.SIGINT)[0] == 0


# --- the backend is told of every end, once -------------------------------------------------------------------


def of(backend: Backend) -> dict[str, list[tuple[int, str, str]]]:
    """What the backend has heard by session, each entry once, in the order of their first arrival."""
    told: dict[str, dict[int, tuple[int, str, str]]] = {}
    for event in backend.heard():
        told.setdefault(event["session"], {}).setdefault(
            event["sequence"], (event["sequence"], event["kind"], event["cause"])
        )
    return {session: list(entries.values()) for session, entries in told.items()}


def test_every_session_ends_once_whatever_is_killed(tmp_path: Path, backend: Backend) -> None:
    site = Site(tmp_path, more=BACKEND.format(url=backend.url))
    site.listen("services", "oxyl")
    site.extra["bots"] = 'resume_window = "30s"\n'
    clients = []
    with site.run():
        clients += [site.bot(name)[0] for name in "abc"]
        service = site.connect("services")
        service.recv(5)
        service.send(json.dumps({"op": 0, "d": {"type": "feeds", "compress": False, "secret": "s3cret"}}))
        service.recv(5)
        clients.append(service)
        until(lambda: len(of(backend)) == 4)
        backend.stop()
        site.lose(clients[0])
        clients += [site.bot("d")[0]]
        site.publish("user:a", 1)
        site.kill()
    with site.run():  # the backend is still away
        assert site.sessions() == dict.fromkeys("abcd", "detached")
        client, _ = site.bot("a")
        assert heard(client, 1) == [1]
        clients.append(client)
        site.publish("user:a", 2)
        site.kill()
    backend.start()
    with site.run() as daemon:
        for row in site.ask("GET", "/v1/sessions")["sessions"]:
            site.ask("DELETE", f"/v1/sessions/{row['id']}")
        until(lambda: sum(entries[-1][1] == "ended" for entries in of(backend).values()) == 5)
        assert daemon.stop()[0] == 0
    told = of(backend)
    assert len(told) == 5
    for entries in told.values():
        assert [sequence for sequence, _, _ in entries] == list(range(1, len(entries) + 1))
        assert Counter(kind for _, kind, _ in entries)["ended"] == 1
        assert entries[-1][1] == "ended"
    kinds = sorted([(kind, cause) for _, kind, cause in entries] for entries in told.values())
    assert [("opened", ""), ("detached", "node_down"), ("ended", "node_down")] in kinds
    assert [
        ("opened", ""), ("detached", "peer_gone"), ("resumed", ""), ("detached", "node_down"), ("ended", "kicked"),
    ] in kinds  # fmt: skip
    with site.run():
        site.written()
        assert (site.rows("sessions"), site.rows("events"), site.rows("lifecycle")) == ([], [], [])


@pytest.mark.parametrize("change", ["removed", "auth", "protocol", "durability", "window"])
def test_a_listener_that_is_not_what_it_was(tmp_path: Path, backend: Backend, change: str) -> None:
    site = Site(tmp_path, more=BACKEND.format(url=backend.url))
    with site.run():
        client, _ = site.bot()
        site.lose(client)
        site.publish("user:a", 1)
        site.ask("POST", "/v1/notify", {"user": "a", "data": 2})
        site.kill()
    match change:
        case "removed":
            site.listen("others", "utilbot")
            del site.listeners["bots"]
        case "protocol":
            site.listen("bots", "discodo")
        case "durability":
            site.listen("bots", "utilbot", "none")
        case "window":
            site.listen("bots", "utilbot", extra='resume_window = "0s"\n')
    site.write((lambda text: text.replace("fleet", "renamed")) if change == "auth" else lambda text: text)
    with site.run() as daemon:
        assert site.sessions() == {}
        until(lambda: of(backend) and next(iter(of(backend).values()))[-1][1] == "ended")
        site.written()
        assert (site.rows("sessions"), site.rows("events"), site.rows("notifications")) == ([], [], [2])
        code, log = daemon.stop()
        assert (code, "Traceback" in log) == (0, False)
    ((*_, last),) = of(backend).values()
    assert last == (3, "ended", "node_down")
