"""Two listeners of one protocol that differ in a setting: each client is treated as its own listener says.

The protocols' own options have such tests beside the other tests of their protocol.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from gatewayd.config.load import parse
from gatewayd.config.model import ListenerConfig
from gatewayd.config.structure import keys_of
from gatewayd.core.rate import Rate
from gatewayd.daemon.build import build
from gatewayd.daemon.view import listener_view
from gatewayd.protocols import dmod
from gatewayd.protocols.registry import PROTOCOLS
from tests.daemon.test_run import running
from tests.playbook import Person, Playbook
from tests.server import free_port

LOGIN = {"op": 1, "d": {"token": "user-token", "uid": "000"}}
BEAT = {"op": 4, "t": None, "d": None}
SLOW = (1000, "Slow consumer")


def two(**second: Any) -> tuple[Playbook, Playbook]:
    """Two listeners of dmod in one realm; `second` are settings of the other one."""
    first = Playbook(dmod.PROTOCOL)
    return first, Playbook(dmod.PROTOCOL, beside=first, listener="other", **second)


def joined(talk: Playbook) -> Person:
    person = talk.connect()
    person.say(LOGIN)
    person.heard()
    return person


def events(person: Person) -> list[Any]:
    return [payload["d"] for payload in person.heard() if payload["op"] == 5]


def test_heartbeat_interval_and_tolerance() -> None:
    first, second = two(interval=10.0, patience=12.0)
    people = joined(first), joined(second)
    for person in people:
        person.say(BEAT)
    first.advance(10)
    assert [len(person.heard()) for person in people] == [0, 1]
    first.advance(2)
    assert [person.closed for person in people] == [None, (1000, "No heartbeat")]
    first.advance(22.9)
    assert people[0].closed is None
    first.advance(0.1)
    assert people[0].closed == (1000, "No heartbeat")


@pytest.mark.parametrize(
    ("mode", "survives"), [("off", (True, True)), ("lenient", (True, False)), ("strict", (False, False))]
)
def test_heartbeat(mode: str, survives: tuple[bool, bool]) -> None:
    """One client that never beats, and one that beats once; at the first listener, which is lenient, the same two."""
    first, second = two(heartbeat=mode)
    people = [joined(talk) for talk in (first, first, second, second)]
    people[1].say(BEAT)
    people[3].say(BEAT)
    first.advance(100)
    assert [person.closed is None for person in people] == [True, False, *survives]


def test_a_session_that_moves_is_judged_as_its_new_listener_says() -> None:
    first, second = two(heartbeat="strict")
    one = joined(first)
    one.leave()
    moved = joined(second)
    assert moved.session is one.session
    first.advance(35)
    assert moved.closed == (1000, "No heartbeat")
    back = joined(first)
    assert back.session is one.session
    first.advance(1000)
    assert back.closed is None


def test_identify_timeout() -> None:
    first, second = two(identify_timeout=5.0)
    people = first.connect(), second.connect()
    first.advance(5)
    assert [person.closed for person in people] == [None, (1000, "Authentication timeout")]


def test_resume_window() -> None:
    first, second = two(resume_window=5.0)
    people = joined(first), joined(second)
    for person in people:
        person.leave()
    first.advance(5)
    assert [person.session.state for person in people] == ["detached", "ended"]
    joined(second).leave()  # it takes the other one's session, and with it goes by its own window
    first.advance(5)
    assert people[0].session.state == "ended"


@pytest.mark.parametrize("bound", [{"resume_events": 1}, {"resume_bytes": 10}])
def test_what_is_kept_for_a_client_that_is_away(bound: dict[str, Any]) -> None:
    first, second = two(**bound)
    people = joined(first), joined(second)
    for person in people:
        person.leave()
    for number in range(3):
        first.publish("user:000", "X", f"12345{number}")
    assert [len(person.session.backlog) for person in people] == [3, 1]


@pytest.mark.parametrize("bound", [{"resume_events": 1}, {"resume_bytes": 10}])
def test_what_is_kept_for_a_session_that_has_moved(bound: dict[str, Any]) -> None:
    """The first listener's bounds held for good."""
    first, second = two(**bound)
    joined(first).leave()
    moved = joined(second)
    moved.leave()
    for number in range(3):
        first.publish("user:000", "X", f"12345{number}")
    assert len(moved.session.backlog) == 1
    back = first.connect()
    back.say(LOGIN)
    assert back.heard()[1]["d"]["lost"] == 2
    back.leave()
    for number in range(3):
        first.publish("user:000", "X", f"12345{number}")
    assert len(moved.session.backlog) == 3


def test_rate_limit() -> None:
    first, second = two(rate_limit=Rate(3, 60.0))
    people = joined(first), joined(second)
    for person in people:
        for _ in range(3):
            person.say({"op": 6, "cmd": "DESCONNECT_GUILD", "d": {"gid": "1"}})
    assert [person.closed for person in people] == [None, (1000, "Rate Limited")]


def test_unidentified_messages() -> None:
    first, second = two(unidentified_messages=1)
    people = first.connect(), second.connect()
    for person in people:
        person.say(BEAT)
        person.say(LOGIN)
    assert [person.closed for person in people] == [None, (1000, "Rate Limited")]


@pytest.mark.parametrize("bound", [{"outbox_events": 2}, {"outbox_bytes": 100}])
def test_what_may_wait_for_a_slow_client(bound: dict[str, Any]) -> None:
    first, second = two(**bound)
    people = joined(first), joined(second)
    for person in people:
        person.reads = False
    for number in range(4):
        first.publish("user:000", "X", number)
    assert [person.closed for person in people] == [None, SLOW]


def test_outbox_age() -> None:
    first, second = two(outbox_age=5.0)
    people = joined(first), joined(second)
    for person in people:
        person.reads = False
        first.hub.tell(person.session, "X", 1)
    first.advance(6)
    first.publish("user:000", "X", 2)
    assert [person.closed for person in people] == [None, SLOW]


# --- from the file --------------------------------------------------------------------------------------------

HEAD = """
[admin]
socket = "{admin}"
[auth.pages]
kind = "static"
users = {{ "000" = "user-token" }}
[auth.others]
kind = "static"
users = {{ "000" = "other-token" }}
[[listeners]]
name = "first"
protocol = "dmod"
bind = "127.0.0.1:{first}"
auth = "pages"
[[listeners]]
name = "second"
protocol = "dmod"
bind = "127.0.0.1:{second}"
"""
SECOND = """
auth = "others"
heartbeat = "strict"
heartbeat_interval = "40s"
heartbeat_tolerance = "7s"
identify_timeout = "9s"
resume_window = "8s"
resume_events = 77
resume_bytes = 777
durability = "none"
rate_limit = "7/7s"
origins = ["https://other.example.org"]
trusted_proxies = ["10.0.0.7"]
max_clients = 71
max_clients_per_ip = 72
max_unidentified = 73
handshake_timeout = "7s"
max_message_bytes = 700
outbox_bytes = 70000
outbox_events = 78
outbox_age = "6s"
"""
DEFAULTS = "[[listeners]]\nname = 'a'\nprotocol = 'dmod'\nbind = '127.0.0.1:1'\n"


def test_each_listener_has_what_its_own_table_says(tmp_path: Path) -> None:
    text = HEAD.format(admin=tmp_path / "a.sock", first=1, second=2) + SECOND
    config = parse(text, "a.toml", PROTOCOLS, environ={})
    node = build(config, PROTOCOLS)
    first, second = node.listeners
    (plain,) = build(parse(DEFAULTS, "b.toml", PROTOCOLS, environ={}), PROTOCOLS).listeners
    assert first.settings == plain.settings
    for name in (
        "interval",
        "patience",
        "heartbeat",
        "identify_timeout",
        "resume_window",
        "resume_events",
        "resume_bytes",
    ):
        assert getattr(first.settings, name) != getattr(second.settings, name), name
    for name in ("rate_limit", "max_message_bytes", "outbox_bytes", "outbox_events", "outbox_age", "durable"):
        assert getattr(first.settings, name) != getattr(second.settings, name), name
    shown = [listener_view(listener, node.gate, "").settings for listener in node.listeners]
    assert all(shown[0][name] != shown[1][name] for name in shown[0] if name != "realm")


@contextmanager
def page(port: int, **options: Any) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{port}/", proxy=None, close_timeout=2, **options) as client:
        yield client


def closed(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as gone:
        while True:
            client.recv(5)
    assert gone.value.rcvd is not None
    return gone.value.rcvd.code, gone.value.rcvd.reason


def test_two_listeners_of_one_daemon(tmp_path: Path) -> None:
    """What no playbook has: auth, origins, sizes of messages, over real sockets of one process."""
    ports = free_port(), free_port()
    path = tmp_path / "two.toml"
    path.write_text(HEAD.format(admin=tmp_path / "a.sock", first=ports[0], second=ports[1]) + SECOND)
    with running("--config", path, cwd=tmp_path):
        for place, port in enumerate(ports):
            tokens = ["user-token", "other-token"]
            with page(port) as client:
                client.send(json.dumps({"op": 1, "d": {"token": tokens[1 - place], "uid": "000"}}))
                assert closed(client) == (1000, "Invalid token")
            with page(port) as client:
                client.send(json.dumps({"op": 1, "d": {"token": tokens[place], "uid": "000"}}))
                assert [json.loads(client.recv(5))["op"] for _ in range(2)] == [0, 2]
                client.send(json.dumps({"op": 6, "cmd": "DESCONNECT_GUILD", "d": {"gid": "x" * 750}}))
                if place == 0:
                    assert json.loads(client.recv(5))["op"] == 7
                else:
                    assert closed(client)[0] == 1009
        with page(ports[0], origin="https://other.example.org") as client:
            assert closed(client) == (1000, "CORS")
        with page(ports[1], origin="https://other.example.org") as client:
            assert json.loads(client.recv(5))["op"] == 0


ELSEWHERE = {
    "name", "protocol", "bind", "options",  # what tells them apart, and the tests of each protocol
    "realm",  # tests of realms
    "tls_cert", "tls_key", "reuse_port",  # of the socket: tests/net
    "unidentified_messages", "unidentified_bytes", "burst_bytes", "bytes_per_second",  # above, and tests/net
}  # fmt: skip


def test_no_setting_is_forgotten() -> None:
    named = {line.partition(" = ")[0] for line in SECOND.strip().splitlines()}
    assert set(keys_of(ListenerConfig)) - named - ELSEWHERE == set()
