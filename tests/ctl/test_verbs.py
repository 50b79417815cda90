"""Each verb: what it asks, what it prints, how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from gatewayd.ctl import views
from gatewayd.ctl.hints import PREFIXES
from gatewayd.ctl.limits import CtlLimits
from gatewayd.protocols.registry import PROTOCOLS

from .conftest import Ctl
from .daemon import Daemon

SESSION = {"id": "s1", "listener": "bots", "protocol": "utilbot", "state": "ready", "identity": "b", "remote": "r"}
COUNTS = {"delivered": 3, "buffered": 1, "dropped": 0}
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m"


def test_status(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/status", {"node": "edge-1", "uptime": 61})
    result = ctl("status")
    assert (result.code, result.err) == (0, "")
    assert "node      edge-1, version -, up 1m01s\n" in result.out


def test_status_has_a_line_for_each_listener(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/status", {"node": "edge-1"})
    daemon.answers("GET /v1/listeners", {"listeners": [{"name": "bots", "protocol": "utilbot", "clients": 3}]})
    assert ctl("status").out.splitlines()[-1].split() == ["bots", "utilbot", "-", "3", "-"]
    assert json.loads(ctl("status", "--json").out) == {"node": "edge-1"}


def test_listeners(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/listeners", {"listeners": [{"name": "bots", "protocol": "utilbot"}], "cursor": None})
    assert ctl("listeners").out.splitlines()[1].split()[:2] == ["bots", "utilbot"]


def test_services(daemon: Daemon, ctl: Ctl) -> None:
    rows = [
        {
            "type": "sharder", "protocol": "oxyl", "realm": "prod", "sessions": [{"id": "a"}, {"id": "b"}],
            "heapUsed": 104857600, "guilds": 7, "shards": [0, 1, 2, 8, 10, 11],
        },
        {"type": "commands", "sessions": []},
    ]  # fmt: skip
    daemon.answers("GET /v1/services", {"services": rows, "cursor": None})
    head, first, second = ctl("services").out.splitlines()
    assert head.split() == ["TYPE", "PROTOCOL", "REALM", "SESSIONS", "HEAP", "GUILDS", "SHARDS"]
    assert first.split(maxsplit=7) == ["sharder", "oxyl", "prod", "2", "100.0", "MiB", "7", "0-2, 8, 10-11"]
    assert second.split() == ["commands", "-", "-", "0", "-", "-", "-"]
    assert (views.ranges([]), views.ranges(["x", 1]), views.ranges(None)) == ("-", "x, 1", "-")


def test_sessions_pass_every_filter(daemon: Daemon, ctl: Ctl) -> None:
    target = (
        "GET /v1/sessions?listener=bots&realm=prod&protocol=utilbot&state=ready&channel=room%3A4%262&identity=a%20b"
        "&remote=%3A%3A1&sort=opened&limit=7&cursor=x%2By"
    )
    daemon.answers(target, {"sessions": [SESSION], "cursor": None})
    options = [
        "--realm",
        "prod",
        "--channel",
        "room:4&2",
        "--identity",
        "a b",
        "--remote",
        "::1",
        "--limit",
        "7",
        "--cursor",
        "x+y",
    ]
    result = ctl("sessions", "--listener=bots", "--protocol=utilbot", "--state=ready", "--sort=opened", *options)
    assert daemon.asked == [target]
    assert result.out.splitlines()[1].split()[:4] == ["s1", "bots", "utilbot", "ready"]
    assert (result.code, result.err) == (0, "")


def test_sessions_in_columns_that_were_asked_for(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/sessions?sort=-age&limit=50", {"sessions": [SESSION], "cursor": None})
    assert ctl("sessions", "--sort", "-age", "--columns", "identity,id").out == "IDENTITY\tID\nb\ts1\n"


def test_one_page_says_that_there_are_more(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/sessions?limit=50", {"sessions": [SESSION], "cursor": "c\x1b1"})
    result = ctl("sessions")
    assert result.err == "gatewayctl: there are more; go on with --cursor c\\x1b1, or take --all\n"
    assert ctl("--json", "sessions").err == ""


def test_all_takes_every_page(daemon: Daemon, ctl: Ctl) -> None:
    pages = [{"sessions": [SESSION | {"id": f"s{i}"}], "cursor": f"c{i}" if i < 3 else None, "n": 3} for i in (1, 2, 3)]
    targets = [f"GET /v1/sessions?state=ready&limit=500{rest}" for rest in ("", "&cursor=c1", "&cursor=c2")]
    for target, page in zip(targets, pages, strict=True):
        daemon.answers(target, page)
    result = ctl("sessions", "--all", "--state", "ready")
    assert daemon.asked == targets
    assert [line.split()[0] for line in result.out.splitlines()] == ["ID", "s1", "s2", "s3"]
    assert result.err == ""
    whole = json.loads(ctl("sessions", "--all", "--state", "ready", "--json").out)
    assert whole == {"sessions": [SESSION | {"id": f"s{i}"} for i in (1, 2, 3)], "cursor": None, "n": 3}


def test_all_with_pages_of_ones_own(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/sessions?limit=2", {"sessions": [], "cursor": None})
    assert ctl("sessions", "--all", "--limit", "2").code == 0


def test_a_list_that_never_ends_is_refused(daemon: Daemon, ctl: Ctl) -> None:
    for target in ("GET /v1/sessions?limit=500", "GET /v1/sessions?limit=500&cursor=c"):
        daemon.answers(target, {"sessions": [SESSION], "cursor": "c"})
    result = ctl("sessions", "--all")
    assert result.code == 1
    assert "same cursor twice" in result.err


def test_show(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/sessions/s%2F1", SESSION | {"outbox": {"events": 4}})
    assert "outbox.events  4\n" in ctl("show", "s/1").out
    assert "outbox.events" in ctl.on_terminal("show", "s/1").out


def test_kick(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("DELETE /v1/sessions/s1?reason=be%20gone%26", b"", status=204)
    result = ctl("kick", "s1", "--reason", "be gone&")
    assert (result.code, result.out) == (0, "kicked s1\n")
    daemon.answers("DELETE /v1/sessions/s00001", {"ended": "s000012345"})
    assert ctl("kick", "s00001").out == "kicked s000012345\n"
    assert ctl("kick", "s2").code == 1
    assert daemon.asked[2] == "DELETE /v1/sessions/s2"
    assert ctl("kick", "s1", "--reason", "be gone&", "--json").out == ""


def test_channels(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers(
        "GET /v1/channels", {"channels": [{"name": "room:42", "subscribers": 3, "realms": {"a": 3}}], "cursor": None}
    )
    daemon.answers("GET /v1/channels/room%3A42", {"name": "room:42", "subscribers": [SESSION, "s2"]})
    assert ctl("channels").out.splitlines()[1].split() == ["room:42", "3", "a", "3"]
    assert [line.split()[0] for line in ctl("channels", "room:42").out.splitlines()] == ["ID", "s1", "s2"]


@pytest.mark.parametrize(
    ("argv", "stdin", "value"),
    [
        ([], "", {}),
        (['{"a": [1.5]}'], "", {"a": [1.5]}),
        (["-"], '\n"é"\n', "é"),
        (["null"], "", None),
        (["-5"], "", -5),
    ],
)
def test_publish(daemon: Daemon, ctl: Ctl, argv: list[str], stdin: str, value: Any) -> None:
    daemon.answers("POST /v1/publish", COUNTS)
    result = ctl("publish", "room:42", "E", *argv, stdin=stdin.encode())
    assert (result.code, result.out) == (0, "delivered 3, buffered 1, dropped 0\n")
    assert daemon.requests[0].json == {"channel": "room:42", "event": "E", "data": value}


def test_publish_with_an_id(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("POST /v1/publish", COUNTS)
    ctl("publish", "c", "E", "{}", "--id", "e1")
    assert daemon.requests[0].json == {"channel": "c", "event": "E", "data": {}, "id": "e1"}


@pytest.mark.parametrize(
    "argv",
    [
        ["publish", "c", "E", "hello"],
        ["publish", "c", "E", "-"],
        ["publish", "c"],
        ["publish"],
        ["publish", "c", "E", "--ndjson", "-"],
        ["publish", "--id", "1", "--ndjson", "-"],
        ["publish", "--realm", "a", "--ndjson", "-"],
        ["publish", "--ndjson", "/nonexistent"],
        ["room", "set", "r", "[]"],
        ["room", "set", "r", "{"],
        ["room", "set", "r", "roomLocked"],
        ["room", "set", "r", "a=1", "{}"],
        ["room", "set", "r", "=1"],
        ["notify", "u", "{"],
        ["doc", "set", "k", "hello"],
        ["room", "create", "r", "[]"],
    ],
)
def test_what_cannot_be_meant_is_2_and_nothing_is_sent(daemon: Daemon, ctl: Ctl, argv: list[str]) -> None:
    result = ctl(*argv, stdin=b"{not json")
    assert result.code == 2
    assert result.err.startswith("gatewayctl: ")
    assert result.err.count("\n") == 1
    assert daemon.requests == []


def ndjson(count: int) -> bytes:
    return b"".join(b'{"channel":"c","event":"E","data":%d}\n' % i for i in range(count))


def test_publish_ndjson_from_a_file_and_from_stdin(daemon: Daemon, ctl: Ctl, tmp_path: Path) -> None:
    daemon.answers("POST /v1/publish", [COUNTS, COUNTS])
    file = tmp_path / "events"
    file.write_bytes(ndjson(2))
    for result in (ctl("publish", "--ndjson", str(file)), ctl("publish", "--ndjson", "-", stdin=ndjson(2))):
        assert result.code == 0
        assert result.out == "published 2, refused 0, delivered 6, buffered 2, dropped 0\n"
    for request in daemon.requests:
        assert request.body == ndjson(2)
        assert request.headers["Content-Type"] == "application/x-ndjson"
    assert json.loads(ctl("--json", "publish", "--ndjson", str(file)).out) == [COUNTS, COUNTS]


def test_publish_and_wait(daemon: Daemon, ctl: Ctl) -> None:
    said = COUNTS | {"dropped": 1, "reasons": {"too_big": 1}, "number": 7, "written": 3, "acknowledged": None}
    daemon.answers("POST /v1/publish?wait=acknowledged&timeout=5s", said, [said, said])
    result = ctl("publish", "--wait", "acknowledged", "--timeout", "5s", "c", "E")
    assert result.code == 0
    assert result.out == (
        "delivered 3, buffered 1, dropped 1, reasons.too_big 1, number 7, written 3, acknowledged -\n"
    )
    result = ctl("publish", "--ndjson", "-", "--wait", "acknowledged", "--timeout", "5s", stdin=ndjson(2))
    assert result.out == "published 2, refused 0, delivered 6, buffered 2, dropped 2, too_big 2, written 6\n"
    daemon.answers("POST /v1/publish?wait=written", COUNTS)
    assert ctl("publish", "c", "E", "--wait", "written").code == 0


def test_a_publish_that_waits_is_waited_for(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("POST /v1/publish?wait=written&timeout=0.2s", COUNTS)
    daemon.takes = 0.3
    assert ctl("publish", "c", "E", "--wait", "written", "--timeout", "200ms").code == 0
    result = ctl("publish", "c", "E", "--timeout", "200ms")
    assert (result.code, "did not answer within 0.2 s" in result.err) == (3, True)


def test_an_object_is_due(daemon: Daemon, ctl: Ctl) -> None:
    assert ctl("room", "set", "r", "-", stdin=b"[1]").code == 2


def test_publish_ndjson_names_the_lines_that_were_refused(daemon: Daemon, ctl: Ctl) -> None:
    no = {"error": {"code": "bad", "message": f"no such event {HOSTILE}"}}
    daemon.answers("POST /v1/publish", [COUNTS, no])
    result = ctl("publish", "--ndjson", "-", stdin=b"\n" + ndjson(2))
    assert result.code == 1
    assert "line 3 was refused: no such event \\x1b]0;" in result.err
    assert result.out.startswith("published 1, refused 1, delivered 3")


def test_publish_ndjson_says_how_far_it_came(daemon: Daemon, ctl: Ctl) -> None:
    lines = ndjson(20_000)
    in_first = CtlLimits().piece_bytes // len(lines.splitlines()[19_999]) * [COUNTS]
    daemon.answers("POST /v1/publish", in_first, "broken")
    result = ctl("publish", "--ndjson", "-", stdin=lines)
    assert result.code == 1
    assert f"stopped; {len(in_first)} events of earlier lines were published" in result.err


NONE = {"delivered": 0, "buffered": 0, "dropped": 0}


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("usr:x", "nobody hears usr:x; did you mean user:x?"),
        ("user:x", "nobody hears user:x"),
        ("rooms:", "nobody hears rooms:; did you mean room:ID?"),
        ("guild", "nobody hears guild; did you mean guild:ID?"),
        ("alerts:7", "nobody hears alerts:7; sessions hear session:, listener:, user:, room:, guild:, service:, bot:"),
    ],
)
def test_a_publish_that_nobody_hears_is_told(daemon: Daemon, ctl: Ctl, channel: str, said: str) -> None:
    daemon.answers("POST /v1/publish", NONE)
    result = ctl("publish", channel, "E")
    assert (result.code, result.err) == (0, f"gatewayctl: {said}\n")
    assert ctl("publish", channel, "E", "--json").err == ""
    daemon.answers("POST /v1/publish", NONE | {"buffered": 1})
    assert ctl("publish", channel, "E").err == ""


def test_every_kind_of_channel_is_named() -> None:
    kinds = {kind for protocol in PROTOCOLS.values() for kind in protocol.behaviour.prefixes}
    assert {"session", "listener", *kinds} == set(PREFIXES)


def test_a_realm_is_passed_on(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("POST /v1/publish", COUNTS)
    daemon.answers("POST /v1/notify", COUNTS)
    daemon.answers("POST /v1/rooms", {})
    for line in ("GET /v1/documents/k", "PUT /v1/documents/k", "DELETE /v1/documents/k"):
        daemon.answers(f"{line}?realm=a%20b", {})
    for line in ("GET /v1/rooms/r", "PUT /v1/rooms/r", "DELETE /v1/rooms/r"):
        daemon.answers(f"{line}?realm=a%20b", {})
    for argv in (
        "publish c E", "notify u", "room create r", "doc get k", "doc set k 1", "doc delete k",
        "room show r", "room set r a=1", "room close r",
    ):  # fmt: skip
        assert ctl(*argv.split(), "--realm", "a b").code == 0, argv
    assert [request.json["realm"] for request in daemon.requests[:3]] == ["a b"] * 3
    for line in ("services", "channels", "channels/c"):
        daemon.answers(f"GET /v1/{line}?realm=a", {})
        assert ctl(*line.split("/"), "--realm", "a").code == 0
    daemon.answers("GET /v1/sessions?realm=a&limit=50", {"sessions": [], "cursor": None})
    assert ctl("sessions", "--realm", "a").code == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"code": "ambiguous", "message": "2 sessions", "candidates": ["ab1", "ab\x1b"]}, "2 sessions: ab1, ab\\x1b"),
        ({"code": "several_realms", "message": "a or b"}, "a or b (--realm REALM)"),
    ],
)
def test_a_choice_is_shown(daemon: Daemon, ctl: Ctl, error: Any, said: str) -> None:
    daemon.answers("GET /v1/sessions/ab", {"error": error}, status=409)
    assert ctl("show", "ab").err == f"gatewayctl: {said}\n"


def test_a_channel_that_nobody_hears_is_told(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/channels/usr%3Ax", {"name": "usr:x", "subscribers": []})
    daemon.answers("GET /v1/sessions?channel=usr%3Ax&limit=50", {"sessions": [], "cursor": None})
    for argv in (["channels", "usr:x"], ["sessions", "--channel", "usr:x"]):
        result = ctl(*argv)
        assert (result.code, result.err) == (0, "gatewayctl: nobody hears usr:x; did you mean user:x?\n")
        assert ctl(*argv, "--json").err == ""


def test_notify(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("POST /v1/notify", {"delivered": 0, "kept": 1})
    assert ctl("notify", "42", "-", stdin=b'{"text": "hi"}').out == "delivered 0, kept 1\n"
    assert ctl("notify", "42").code == 0
    assert [r.json for r in daemon.requests] == [{"user": "42", "data": {"text": "hi"}}, {"user": "42", "data": {}}]


def test_documents(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("GET /v1/documents/guild%3A7", '{"name":"x","n":1.10}')
    daemon.answers("PUT /v1/documents/guild%3A7", b"", status=204)
    daemon.answers("DELETE /v1/documents/guild%3A7", b"", status=204)
    assert ctl("doc", "get", "guild:7").out == '{"name":"x","n":1.10}\n'
    assert ctl("doc", "set", "guild:7", "-", stdin=b"[null]").out == "stored guild:7\n"
    assert ctl("doc", "delete", "guild:7").out == "deleted guild:7\n"
    assert [request.body for request in daemon.requests] == [b"", b"[null]", b""]
    assert ctl.on_terminal("doc", "get", "guild:7").out == '{\n  "name": "x",\n  "n": 1.1\n}\n'


def test_rooms(daemon: Daemon, ctl: Ctl) -> None:
    daemon.answers("POST /v1/rooms", {"id": "42"}, status=201)
    daemon.answers("GET /v1/rooms/42", {"id": "42", "maxParticipants": 5})
    daemon.answers("DELETE /v1/rooms/42", b"", status=204)
    assert ctl("room", "create", "42", '{"maxParticipants": 5}').out == "created 42\n"
    assert ctl("room", "create", "42").out == "created 42\n"
    assert [request.json for request in daemon.requests] == [{"id": "42", "maxParticipants": 5}, {"id": "42"}]
    assert "maxParticipants  5\n" in ctl("room", "show", "42").out
    assert ctl("room", "close", "42").out == "closed 42\n"


@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        (['{"roomLocked": true}'], {"roomLocked": True}),
        (["-"], {"chatLocked": False}),
        (['  {"chatLocked": true}'], {"chatLocked": True}),
        (
            ["roomLocked=true", "maxParticipants=5", "discordWebhookLink=https://a/b?c=d"],
            {"roomLocked": True, "maxParticipants": 5, "discordWebhookLink": "https://a/b?c=d"},
        ),
        (["discordWebhookLink=null"], {"discordWebhookLink": None}),
        (["discordWebhookLink="], {"discordWebhookLink": ""}),
    ],
)
def test_a_room_is_changed(daemon: Daemon, ctl: Ctl, argv: list[str], changes: Any) -> None:
    daemon.answers("PUT /v1/rooms/42", {"id": "42"})
    assert ctl("room", "set", "42", *argv, stdin=b'{"chatLocked": false}').out == "changed 42\n"
    assert daemon.requests[0].json == changes


@pytest.mark.parametrize(
    "argv",
    [
        "show x",
        "kick x",
        "channels x",
        "doc get x",
        "doc delete x",
        "room show x",
        "room close x",
        "room set x a=1",
        "publish c E",
    ],
)
def test_a_refusal_is_1_with_the_daemons_sentence(daemon: Daemon, ctl: Ctl, argv: str) -> None:
    result = ctl(*argv.split())
    assert (result.code, result.out, result.err) == (1, "", "gatewayctl: no such thing\n")
    result = ctl("--json", *argv.split())
    assert (result.code, result.err) == (1, "gatewayctl: no such thing\n")
    assert json.loads(result.out) == {"error": {"code": "not_found", "message": "no such thing"}}


@pytest.mark.parametrize(
    ("argv", "request_line"),
    [
        ("status", "GET /v1/status"),
        ("listeners", "GET /v1/listeners"),
        ("services", "GET /v1/services"),
        ("sessions", "GET /v1/sessions?limit=50"),
        ("show s1", "GET /v1/sessions/s1"),
        ("kick s1", "DELETE /v1/sessions/s1"),
        ("channels", "GET /v1/channels"),
        ("channels c", "GET /v1/channels/c"),
        ("publish c E", "POST /v1/publish"),
        ("notify u", "POST /v1/notify"),
        ("doc get k", "GET /v1/documents/k"),
        ("doc set k 1", "PUT /v1/documents/k"),
        ("doc delete k", "DELETE /v1/documents/k"),
        ("room create r", "POST /v1/rooms"),
        ("room show r", "GET /v1/rooms/r"),
        ("room close r", "DELETE /v1/rooms/r"),
        ("room set r {}", "PUT /v1/rooms/r"),
    ],
)
def test_json_is_what_the_api_said(daemon: Daemon, ctl: Ctl, argv: str, request_line: str) -> None:
    said = '{"z":1.10,"a":[12345678901234567890,1e400,"\\u001b\\ud800é"],"sessions":[{"id":"s"}],"cursor":"c"}'
    daemon.answers(request_line, said)
    result = ctl(*argv.split(), "--json")
    assert (result.code, result.out, result.err) == (0, said + "\n", "")
    on_terminal = ctl.on_terminal("--json", *argv.split())
    assert json.loads(on_terminal.out) == json.loads(said)
    assert on_terminal.out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("argv", "target"),
    [
        ("sessions", "GET /v1/sessions?limit=50"),
        ("show s1", "GET /v1/sessions/s1"),
        ("listeners", "GET /v1/listeners"),
        ("services", "GET /v1/services"),
        ("channels", "GET /v1/channels"),
        ("channels c", "GET /v1/channels/c"),
        ("status", "GET /v1/status"),
        ("publish c E", "POST /v1/publish"),
        ("room show r", "GET /v1/rooms/r"),
    ],
)
def test_hostile_values_reach_no_terminal(
    daemon: Daemon, ctl: Ctl, monkeypatch: pytest.MonkeyPatch, argv: str, target: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    bad = SESSION | {
        "type": HOSTILE,
        "identity": HOSTILE,
        "name": HOSTILE,
        "url": HOSTILE,
        HOSTILE: HOSTILE,
        "metadata": [[HOSTILE]],
    }
    daemon.answers(
        target,
        bad | {"sessions": [bad], "subscribers": [bad], "listeners": [bad], "services": [bad], "channels": [bad]},
    )
    for result in (ctl(*argv.split()), ctl.on_terminal(*argv.split())):
        assert result.code == 0
        assert "\\x1b" in result.out
        assert result.out.replace("\n", "").replace("\t", "").isprintable()
    for line in ctl.on_terminal(*argv.split()).out.splitlines():
        assert len(line) <= 80 or argv.startswith("publish")


def test_a_hostile_refusal_reaches_no_terminal(daemon: Daemon, ctl: Ctl) -> None:
    daemon.refuses("GET /v1/sessions/x", 409, f"not {HOSTILE}")
    result = ctl("show", "x")
    assert result.err == "gatewayctl: not \\x1b]0;owned\\x07\\x1b[2J\\r\\n\\x9b31m\n"
    daemon.answers("GET /v1/sessions/x", '{"error":{"message":"\x9b"}}', status=409)
    assert '"\\u009b"' in ctl.on_terminal("--json", "show", "x").out


def test_colour_on_a_terminal_only(daemon: Daemon, ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.answers("GET /v1/sessions?limit=50", {"sessions": [SESSION], "cursor": None})
    assert "\x1b" not in ctl("sessions").out
    assert "\x1b[32mready" in ctl.on_terminal("sessions").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in ctl.on_terminal("sessions").out


def test_an_answer_nested_too_deeply_to_draw_is_no_traceback(daemon: Daemon, ctl: Ctl) -> None:
    for depth in range(850, 1000):
        daemon.answers("GET /v1/sessions/s", '{"a":' + "[" * depth + "]" * depth + "}")
        assert ctl("show", "s").code in (0, 1)
