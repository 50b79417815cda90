"""utilbot as its document has it: identify, errors, the guild-count sum, IDs and their clashes."""

from __future__ import annotations

from typing import Any

import pytest

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.ports import BackendFailed
from gatewayd.protocols import utilbot
from tests.playbook import Person, Playbook
from tests.protocols import bad

HELLO = {"op": 5, "d": {"heartbeat": 60000}}
REPORT = {"guilds": 1000, "guildMembers": 55555, "cachedGuildMembers": 32000}


def book(**more: Any) -> Playbook:
    return Playbook(utilbot.PROTOCOL, **more)


def client_event(name: str, **data: Any) -> dict[str, Any]:
    return {"op": 1, "t": name, "d": data}


def error(code: int, words: str, errors: list[str] | None = None, data: list[Any] | None = None) -> dict[str, Any]:
    return {"op": -1, "e": code, "d": {"errors": errors or [], "data": data or []}, "m": words}


def bot(talk: Playbook, name: str = "a", kind: str = "bot") -> Person:
    person = talk.connect()
    assert person.heard() == [HELLO]
    person.say(client_event("identify", type=kind, key="s3cret", id=name))
    return person


def ready(talk: Playbook, name: str = "a", kind: str = "bot") -> Person:
    person = bot(talk, name, kind)
    assert person.heard()[0]["t"] == "bot_connect_success"
    return person


def test_heartbeats() -> None:
    talk = book()
    person = ready(talk)
    talk.advance(64.9)
    person.say({"op": 10})
    assert person.heard() == [{"op": 11}]
    talk.advance(64.9)
    assert person.closed is None
    talk.advance(0.1)
    assert person.heard() == [error(4006, "No heartbeat in 65 s.")]
    assert person.closed == (4006, "no heartbeat in 65 s")


def test_identify_with_and_without_an_id() -> None:
    talk = book()
    assert bot(talk).heard() == [{"op": 0, "d": {"id": "a", "resumed": False}, "t": "bot_connect_success"}]
    person = talk.connect()
    person.say(client_event("identify", type="bot", key="s3cret"))
    made = person.heard()[1]["d"]["id"]
    assert made == person.session.identity
    assert len(made) == 16


def test_the_documents_own_error() -> None:
    person = book().connect()
    person.say(client_event("identify"))
    assert person.heard()[1] == error(
        4005, "Malformed data.", ["Type not provided.", "Key not provided."], [None, None]
    )
    assert person.closed is not None
    assert person.closed[0] == 4005


@pytest.mark.parametrize(
    ("claim", "errors", "data"),
    [
        ([], ["Type not provided.", "Key not provided."], [None, None]),
        ({"type": 1, "key": "s3cret"}, ["Type is of the wrong type."], [1]),
        ({"type": "bot", "key": "s3cret", "id": 7}, ["Id is of the wrong type."], [7]),
        ({"type": "bot", "key": "s3cret", "id": None}, ["Id not provided."], [None]),
    ],
)
def test_wrong_types(claim: Any, errors: list[str], data: list[Any]) -> None:
    person = book().connect()
    person.say({"op": 1, "t": "identify", "d": claim})
    assert person.heard()[1] == error(4005, "Malformed data.", errors, data)


def test_a_wrong_key_and_twice_and_too_late() -> None:
    person = book().connect()
    person.say(client_event("identify", type="bot", key="wrong"))
    assert person.heard()[1] == error(4001, "The key is wrong or expired.")
    assert person.closed == (4001, "the key is wrong or expired")
    person = ready(book())
    person.say(client_event("identify", type="bot", key="s3cret"))
    assert person.heard() == [error(4005, "Malformed data.")]
    talk = book()
    person = talk.connect()
    talk.advance(20)
    assert person.closed == (4001, "identify came too late")


def test_before_identify_client_events_are_ignored_and_the_rest_is_not() -> None:
    person = book().connect()
    person.say(client_event("send_servers", **REPORT))
    for payload in (client_event("anything"), {"op": 1}, {"op": 1, "t": 5}, {"op": 1, "t": "x", "d": []}):
        person.say(payload)
    assert person.heard() == [HELLO]
    assert person.closed is None
    person.say({"op": 5})
    assert person.heard() == [error(4004, "Unknown or wrong opcode.")]


@pytest.mark.parametrize(("message", "cause"), bad.cases("op"), ids=bad.name)
@pytest.mark.parametrize("identified", [False, True])
def test_bad_input(message: Any, cause: Cause, identified: bool) -> None:  # noqa: FBT001, RUF100
    codes = {Cause.NOT_JSON: 4005, Cause.INVALID_PAYLOAD: 4005, Cause.NO_OPCODE: 4003, Cause.UNKNOWN_OPCODE: 4004}
    person = ready(book()) if identified else book().connect()
    person.say(message)
    assert person.heard()[-1]["e"] == codes[cause]
    assert person.closed is not None
    assert person.closed[0] == codes[cause]


@pytest.mark.parametrize("payload", [{"op": 1}, {"op": 1, "t": 1}, {"op": 1, "t": "x", "d": []}, {"op": 1, "t": "x"}])
def test_bad_client_events(payload: Any) -> None:
    person = ready(book())
    person.say(payload)
    assert person.closed is not None
    assert person.closed[0] == 4005


@pytest.mark.parametrize(
    ("query", "required", "fine"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"v": "1"}, True, True),
        ({"v": "2"}, False, False),
        ({"v": ""}, False, False),
    ],
)
def test_the_version(query: dict[str, str], required: bool, fine: bool) -> None:  # noqa: FBT001, RUF100
    person = book(options={"require_version": required}).connect(query=query)
    if fine:
        assert person.heard() == [HELLO]
        return
    assert person.heard()[0]["e"] == 4000
    assert person.closed == (4000, "this gateway speaks version 1: connect with ?v=1")


@pytest.mark.parametrize("query", [{"compression": "zlib"}, {"encoding": "zlib"}])
def test_everything_after_hello_is_compressed(query: dict[str, str]) -> None:
    talk = book()
    person = talk.connect(query=query)
    person.say({"op": 10})
    person.say(client_event("identify", type="bot", key="s3cret", id="a"))
    person.say({"op": 99})
    assert [variant for variant, _ in person.heard_raw()] == ["text", "zlib", "zlib", "zlib"]


def test_an_id_in_use_by_a_client_that_lives() -> None:
    talk = book()
    one, two = ready(talk), bot(talk)
    assert two.heard() == [error(4002, "Identity is in use.")]
    assert two.closed == (4002, "identity is in use")
    assert one.closed is None


def test_an_id_whose_client_gives_no_sign_of_life() -> None:
    talk = book()
    one = ready(talk)
    one.alive = one.reads = False
    talk.publish("user:a", "X", 1)
    two = bot(talk)
    assert two.heard() == [
        {"op": 0, "d": {"id": "a", "resumed": True}, "t": "bot_connect_success"},
        {"op": 0, "d": 1, "t": "X"},
    ]
    assert one.closed is not None
    assert one.closed[0] == 4006


def test_resume_with_what_was_lost() -> None:
    talk = book(resume_events=1)
    ready(talk).leave()
    talk.publish("user:a", "X", 1)
    talk.publish("user:a", "X", 2)
    assert bot(talk).heard() == [
        {"op": 0, "d": {"id": "a", "resumed": True, "lost": 1}, "t": "bot_connect_success"},
        {"op": 0, "d": 2, "t": "X"},
    ]


def counted(*figures: int) -> dict[str, Any]:
    return {"op": 0, "d": dict(zip(utilbot.SUMS, figures, strict=True)), "t": "GLOBAL_GUILD_COUNT"}


def test_the_guild_count_is_the_sum_of_the_latest_reports_at_most_once_a_second() -> None:
    talk = book()
    one, two, watcher = ready(talk, "a"), ready(talk, "b"), ready(talk, "c", "dashboard")
    one.say(client_event("send_servers", **REPORT))
    assert one.heard() == two.heard() == [counted(1000, 55555, 32000)]
    two.say(client_event("send_servers", guilds=1, guildMembers=2, cachedGuildMembers=3))
    one.say(client_event("send_servers", guilds=10, guildMembers=20, cachedGuildMembers=30))
    talk.advance(0.9)
    assert two.heard() == []
    talk.advance(0.1)
    assert two.heard() == [counted(11, 22, 33)]
    one.say(client_event("send_servers", guilds=10, guildMembers=20, cachedGuildMembers=30))
    talk.advance(5)
    assert two.heard() == []  # the sum did not change
    one.leave()
    talk.advance(50)
    assert two.heard() == []  # a detached bot still counts
    two.say({"op": 10})
    watcher.say({"op": 10})
    talk.advance(10)
    assert two.heard() == [{"op": 11}, counted(1, 2, 3)]
    assert watcher.heard() == [{"op": 11}]


def test_a_bot_that_joins_is_told_the_present_sum() -> None:
    talk = book()
    first = bot(talk)
    assert [payload["t"] for payload in first.heard()] == ["bot_connect_success"]  # nobody has reported
    first.say(client_event("send_servers", **REPORT))
    second = bot(talk, "b")
    assert second.heard()[1:] == [counted(1000, 55555, 32000)]
    assert bot(talk, "c", "dashboard").heard()[1:] == []
    second.leave()
    talk.advance(5)
    assert bot(talk, "b").heard()[1:] == []  # it has heard all sums
    for person in (first, *talk.people):
        person.leave(Cause.CLIENT_CLOSED)
    talk.advance(120)
    assert bot(talk, "d").heard()[1:] == [counted(0, 0, 0)]


@pytest.mark.parametrize("name", utilbot.SUMS)
@pytest.mark.parametrize("figure", ["many", True, None, 1.0, -1, 2**63, int("9" * 4300)], ids=bad.name)
def test_a_bad_report_changes_nothing_for_others(name: str, figure: Any) -> None:
    talk = book()
    one, two = ready(talk), ready(talk, "b")
    one.say(client_event("send_servers", **{**REPORT, name: figure}))
    (answer,) = one.heard()
    assert (answer["e"], answer["d"]["data"]) == (4005, [figure])
    two.say(client_event("send_servers", **REPORT))
    assert two.heard() == [counted(1000, 55555, 32000)]


def test_a_report_without_figures() -> None:
    person = ready(book())
    person.say(client_event("send_servers"))
    assert person.closed is not None
    assert person.closed[0] == 4005


def test_figures_up_to_the_bound_are_summed() -> None:
    talk = book()
    most = dict.fromkeys(utilbot.SUMS, 2**63 - 1)
    for name in ("a", "b"):
        ready(talk, name).say(client_event("send_servers", **most))
    talk.advance(1)
    assert talk.people[0].heard()[-1] == counted(*[2**64 - 2] * 3)


def test_other_client_events_are_the_backends() -> None:
    person = ready(book(answers={"hello": {"you": 1}}))
    person.say(client_event("hello"))
    assert person.heard() == [{"op": 0, "d": {"you": 1}, "t": "hello"}]
    person.say(client_event("unheard"))
    assert person.heard() == [error(4005, "Malformed data.")]


def test_a_failing_backend_is_an_unknown_error_and_the_bot_may_come_back() -> None:
    talk = book(answers={"hello": BackendFailed("timeout", "no answer in time")})
    person = ready(talk)
    session = person.session
    person.say(client_event("hello"))
    assert person.heard() == [error(1000, "No answer in time.")]
    assert person.closed == (1000, "no answer in time")
    assert session.state == "detached"


def test_causes_from_outside() -> None:
    codes = {Cause.RATE_LIMITED: 4009, Cause.SLOW_CONSUMER: 4010, Cause.SHUTDOWN: 1001, Cause.TOO_BIG: 1009}
    for cause, code in codes.items():
        person = ready(book())
        person.connection.end(Disconnect(cause))
        assert person.closed == (code, cause.words)
    person = ready(book())
    person.connection.end(Disconnect(Cause.INTERNAL))
    assert person.heard() == [error(1000, "Unknown error.")]
    assert person.closed == (1000, "fault of the server")
    person = ready(book())
    person.book.hub.end(person.session, Disconnect(Cause.KICKED, "bye"))
    assert person.closed == (4008, "bye")
