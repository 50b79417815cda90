"""The node on one screen of 24 lines and 80 columns: trouble first, no JSON, a line for each listener."""

import io
from collections.abc import Sequence
from typing import Any

from gatewayd.ctl.status import status
from gatewayd.ctl.tables import Screen

STATUS: dict[str, Any] = {
    "node": "edge-1",
    "version": "0.1.0",
    "pid": 4711,
    "started": "2026-11-21T15:03:06.182Z",
    "uptime": 3700.5,
    "draining": False,
    "clients": 812,
    "sessions": {"total": 830, "by_state": {"detached": 18, "ready": 812}, "by_protocol": {"utilbot": 830}},
    "events": {"published": 5, "delivered": 4, "buffered": 0, "dropped": 3, "reasons": {"too_big": 1, "not_kept": 2}},
    "api": {"refused": {}, "waiting": 0},
    "totals": {"opened": 900, "resumed": 0, "ended": 70},
    "closed": {"peer_gone": 3, "heartbeat_missed": 67},
    "auth": {"fleet": {"kind": "static", "granted": 24, "refused": {"wrong secret": 2}, "failed": {}}},
    "faults": 0,
    "backend": None,
    "journal": {"path": "/state/journal.db", "degraded": None, "pending": {"bytes": 0}, "commits": 3},
    "memory": {"rss": 58531840},
}
LISTENERS = [
    {"name": f"listener-{i:03}", "protocol": "utilbot", "url": f"ws://127.0.0.1:{i}", "clients": i, "sessions": i}
    for i in range(40)
]


def drawn(value: Any, listeners: Sequence[Any] = (), lines: int | None = 24, room: int | None = 80) -> list[str]:
    out = io.StringIO()
    status(Screen(out, room, False, lines), value, listeners)
    found = out.getvalue().splitlines()
    assert lines is None or len(found) < lines  # the prompt needs one
    assert room is None or all(len(line) <= room for line in found)
    assert "{" not in out.getvalue()
    return found


def test_what_matters_first() -> None:
    assert drawn(STATUS) == [
        "node      edge-1, version 0.1.0, pid 4711, up 1h01m",
        "clients   812",
        "sessions  830 (ready 812, detached 18)",
        "events    published 5, delivered 4, buffered 0, dropped 3",
        "dropped   not_kept 2, too_big 1",
        "memory    55.8 MiB",
        "totals    opened 900, ended 70",
        "closed    heartbeat_missed 67, peer_gone 3",
        "auth      fleet refused wrong secret 2, fleet granted 24",
        "journal   commits 3",
    ]


def test_how_many_are_written_to() -> None:
    for way in ("io_uring", "os.write", "os.write (io_uring: Operation not permitted)"):
        assert drawn(STATUS | {"writes": way, "loop": {"stalls": 0}})[-1] == f"writes    {way}"


def test_who_was_refused_is_not_hidden_by_who_was_not() -> None:
    auth: dict[str, Any] = {f"auth-{i:02}": {"granted": 10**i, "refused": {}} for i in range(9)}
    auth["auth-08"] |= {"refused": {"wrong secret": 1}, "failed": {"timeout": 7}, "cached": 9}
    (line,) = [line for line in drawn({"auth": auth}) if line.startswith("auth ")]
    assert "auth-08 failed timeout 7, auth-08 refused wrong secret 1, auth-00" in line


def test_trouble_comes_before_the_figures() -> None:
    journal = STATUS["journal"] | {"degraded": "disk full"}
    assert drawn(STATUS | {"draining": True, "faults": 2, "journal": journal})[1:4] == [
        "DRAINING  new clients are refused",
        "DEGRADED  the journal cannot be written: disk full",
        "FAULTS    2 faults of the daemon itself; its log has them",
    ]


def test_a_line_for_each_listener() -> None:
    lines = drawn(STATUS, LISTENERS[:3])
    assert lines[-4].split() == ["LISTENER", "PROTOCOL", "URL", "CLIENTS", "SESSIONS"]
    assert lines[-1].split() == ["listener-002", "utilbot", "ws://127.0.0.1:2", "2", "2"]


def test_the_busiest_where_there_is_no_room_for_all() -> None:
    lines = drawn(STATUS, LISTENERS)
    assert len(lines) == 23
    assert lines[12].split()[0] == "listener-039"
    assert lines[-1] == "and 30 less busy; gatewayctl listeners shows all"
    assert len(drawn(STATUS, LISTENERS, None, None)) == 10 + 1 + 41  # a program gets all


def test_what_a_newer_daemon_says_is_there_and_fits() -> None:
    news = {f"section-{i}": {"deep": {"er": {"and": {"deeper": i + 1}}, "list": [{}]}} for i in range(40)}
    lines = drawn(STATUS | news, LISTENERS)
    assert "section-0  deep er and deeper 1, deep list 1 items" in lines
    assert lines[-2].split()[0] == "listener-039"
    assert drawn({"realm": "main"})[-1] == "realm     main"


def test_sessions_by_realm_where_there_are_several() -> None:
    sessions = STATUS["sessions"] | {"by_realm": {"staging": 30, "prod": 800}}
    assert "realms    prod 800, staging 30" in drawn(STATUS | {"sessions": sessions})
    sessions["by_realm"] = {"prod": 830}
    assert not any(line.startswith("realms") for line in drawn(STATUS | {"sessions": sessions}))


def test_figures_that_are_none() -> None:
    assert drawn({})[:2] == ["node      -, version -, up -", "clients   -"]
    assert drawn({"auth": {"a": {"n": 1, "x": "y", "z": None, "w": 0}}})[-1] == "auth      a n 1"
