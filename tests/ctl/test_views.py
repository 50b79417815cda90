"""What answers look like to people, missing and misshapen values included."""

import io
from typing import Any

import pytest

from gatewayd.ctl import views
from gatewayd.ctl.sessions import sessions
from gatewayd.ctl.status import status
from gatewayd.ctl.tables import Screen

from .test_sessions import NOW, SESSION

NASTY: list[Any] = [None, True, 7, 2.5, float("inf"), "x" * 300, "\x1b[2J\n", [], [1], [{}], {}, {"events": "\x1b"}]


def drawn(view: Any, value: Any, room: int | None = None, colour: bool = False) -> str:
    out = io.StringIO()
    view(Screen(out, room, colour), value)
    return out.getvalue()


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("room", [None, 80])
def test_no_view_trips_over_any_value(nasty: Any, room: int | None) -> None:
    rows = [dict.fromkeys(SESSION, nasty), {}, {"id": nasty}]
    drawings = [drawn(view, rows, room) for view in (sessions, views.listeners, views.channels)]
    whole = dict.fromkeys(["node", "uptime", "clients", "sessions", "events", "memory", "new"], nasty)
    drawings += [drawn(view, value, room) for view in (status, views.session) for value in (whole, nasty, {})]
    for drawing in drawings:
        assert drawing.replace("\n", "").replace("\t", "").isprintable()
        if room:
            assert max(map(len, drawing.splitlines()), default=0) <= room


def test_listeners_show_the_url_or_else_the_address() -> None:
    rows = [
        {"name": "a", "protocol": "oxyl", "url": "ws://127.0.0.1:7101/", "heartbeat_interval": 30.0, "clients": 0},
        {"name": "b", "address": "unix:/run/b.sock", "resume_window": 300},
    ]
    lines = [line.split() for line in drawn(views.listeners, rows).splitlines()]
    assert lines[1] == ["a", "oxyl", "ws://127.0.0.1:7101/", "0", "-", "30s", "-", "-"]
    assert lines[2] == ["b", "-", "unix:/run/b.sock", "-", "-", "-", "5m00s", "-"]


def test_listeners_show_their_realm_where_there_are_several() -> None:
    rows = [{"name": "a", "realm": "prod"}, {"name": "b", "realm": "prod"}]
    assert "REALM" not in drawn(views.listeners, rows, 80)
    rows[1]["realm"] = "staging"
    assert [line.split()[-1] for line in drawn(views.listeners, rows, 80).splitlines()] == ["REALM", "prod", "staging"]


def test_channels_show_who_hears_them_in_which_realm_where_there_are_several() -> None:
    rows: list[Any] = [{"name": "service:bot", "subscribers": 3, "realms": {"prod": 3}}]
    assert "REALMS" not in drawn(views.channels, rows, 80)
    rows.append({"name": "user:7", "subscribers": 3, "realms": {"prod": 1, "staging": 2}})
    assert drawn(views.channels, rows, 80).splitlines()[2].endswith("prod 1, staging 2")
    for nasty in (7, None, "x", ["a"], {"a": {"b": 1}}):
        drawn(views.channels, [{"realms": nasty}], 80)


def test_a_url_of_listeners_is_whole_before_their_times() -> None:
    row = {"name": "services-staging", "protocol": "oxyl", "url": "ws://127.0.0.1:7112/gateway", "clients": 0}
    rows = [
        row | {"sessions": 0, "heartbeat_interval": 30, "resume_window": 60, "realm": realm}
        for realm in ("prod", "staging")
    ]
    wide, narrow = (drawn(views.listeners, rows, room) for room in (100, 80))
    assert "BEAT" in wide
    assert "BEAT" not in narrow
    assert all("ws://127.0.0.1:7112/gateway" in line for line in narrow.splitlines()[1:])
    assert narrow.splitlines()[2].endswith("staging")


def test_records_cope_with_plain_names_and_with_nothing() -> None:
    assert views.records({"channels": ["a", {"name": "b"}]}, "channels") == [{"id": "a", "name": "a"}, {"name": "b"}]
    misshapen: list[Any] = [None, [], {"channels": None}, {"channels": {"a": 1}}]
    for value in misshapen:
        assert views.records(value, "channels") == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "0.25s"), (42, "42s"), (192, "3m12s"), (18420, "5h07m"), (1_047_600, "12d03h"), ("x", "x")],
)
def test_durations(seconds: object, text: str) -> None:
    assert views.duration(seconds) == text


@pytest.mark.parametrize(
    ("opened", "text"),
    [
        ("2025-11-21T11:59:18+00:00", "42s"),
        ("2025-11-21T12:59:18.5+01:00", "41s"),
        ("2025-11-21T11:59:18", "42s"),
        ("2026-01-01T00:00:00Z", "0s"),
        ("yesterday", "yesterday"),
        (None, "-"),
        (7, "7"),
    ],
)
def test_ages(opened: object, text: str) -> None:
    assert views.age(opened, NOW) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1024**3, "1.0 GiB"), (5 * 1024**5, "5120.0 TiB"), (None, "-")],
)
def test_sizes(amount: object, text: str) -> None:
    assert views.size(amount) == text


def test_flatten_names_three_levels_and_shows_the_rest_as_json() -> None:
    value: dict[str, Any] = {"a": 1, "b": {"c": {"d": {"e": 2}, "f": []}}, "g": [1, 2]}
    assert views.flatten(value) == [("a", "1"), ("b.c.d", '{"e": 2}'), ("b.c.f", "-"), ("g", "1, 2")]


def test_one_session_for_programs_is_a_pair_a_line() -> None:
    assert "outbox.bytes   900\n" in drawn(views.session, SESSION)


def test_the_times_of_a_session_have_units_for_people_and_its_metadata_none() -> None:
    value = {"age": 3700.5, "expires_in": None, "client": {"dead_in": 33.25}, "metadata": {"age": 41}}
    shown = dict(line.split() for line in drawn(views.session, value, 80).splitlines())
    assert shown == {"age": "1h01m", "expires_in": "-", "client.dead_in": "33.2s", "metadata.age": "41"}
    assert "age             3700.5" in drawn(views.session, value)


def test_what_a_session_has_lost_stands_there_by_reason() -> None:
    value = {"acknowledged": None, "gaps": {"resume_buffer_full": 3, "too_big": 1}}
    shown = [line.split() for line in drawn(views.session, value, 80).splitlines()]
    assert shown == [["acknowledged", "-"], ["gaps.resume_buffer_full", "3"], ["gaps.too_big", "1"]]
    assert drawn(views.session, {"gaps": {}}).split() == ["gaps", "-"]


def test_one_session_on_a_terminal_is_wrapped_not_cut() -> None:
    heard = [f"guild:{i}" for i in range(100)]
    lines = drawn(views.session, SESSION | {"subscriptions": heard}, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    shown = "".join("".join(lines).split())
    assert "guild:99" in shown


def test_one_session_has_colour_only_where_it_may_and_no_markup() -> None:
    value = SESSION | {"identity": "[bold]x[/bold] :smile: \x1b[31m"}
    assert "\x1b" not in drawn(views.session, value, 80)
    coloured = drawn(views.session, value, 80, colour=True)
    assert "\x1b[32mready" in coloured
    assert "[bold]x[/bold] :smile: \\x1b[31m" in coloured
    assert "\x1b[31m" not in coloured
