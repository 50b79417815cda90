"""Values that are text in the TOML: what is read, what is refused, and that reading and writing agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.config.values import (
    Bind,
    Secret,
    format_mode,
    format_rate,
    format_seconds,
    parse_mode,
    parse_rate,
    parse_seconds,
)
from gatewayd.core.rate import Rate


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30),
        ("500ms", 0.5),
        ("5m", 300),
        ("1h", 3600),
        ("1.5s", 1.5),
        ("0s", 0),
        ("-5s", -5),
        (30, 30),
        (0.25, 0.25),
    ],
)
def test_durations(value: str | float, seconds: float) -> None:
    got = parse_seconds(value)
    assert got == seconds
    assert type(got) is float


@pytest.mark.parametrize(
    "value", ["", "30", "s", "30 s", "30sec", "1m30s", "½s", "٣s", "1e3s", "nans", "9" * 13 + "s", "30s\n", " 30s"]
)
def test_bad_durations(value: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_seconds(value)


@pytest.mark.parametrize("value", ["8785h", 10**400, -(10**400), float("inf"), float("nan")])
def test_endless_durations(value: str | float) -> None:
    with pytest.raises(ValueError, match="at most 366 days"):
        parse_seconds(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30.0, "30s"), (0.5, "500ms"), (1.0, "1s"), (0.0, "0s"), (1.5, "1.5s"), (100.0, "100s"), (1 / 3, "333.333333ms")],
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.integers(0, 366 * 86400 * 1000))
def test_a_written_duration_reads_the_same(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_seconds(format_seconds(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_rates() -> None:
    assert parse_rate("120/60s") == Rate(120, 60.0)
    assert parse_rate("1/1s") == Rate(1, 1.0)
    assert parse_rate("5/500ms") == Rate(5, 0.5)
    assert format_rate(Rate(120, 60.0)) == "120/60s"


@pytest.mark.parametrize("text", ["120", "120/", "/60s", "120/60", "x/60s", "-1/60s", "1/2/3s", "1.5/1s"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["0/60s", "1/0s", "1/-5s"])
def test_rates_of_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="must be more than 0"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("600", 0o600), ("0000", 0)])
def test_modes(text: str, mode: int) -> None:
    assert parse_mode(text) == mode
    assert parse_mode(format_mode(mode)) == mode


@pytest.mark.parametrize("value", ["0680", "66", "06600", "1660", "rw-", "", 660, 0o660, None])
def test_bad_modes(value: object) -> None:
    with pytest.raises(ValueError, match="octal file mode"):
        parse_mode(value)


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("0.0.0.0:7105", Bind(kind="tcp", host="0.0.0.0", port=7105)),
        ("localhost:0", Bind(kind="tcp", host="localhost", port=0)),
        ("[::1]:80", Bind(kind="tcp", host="::1", port=80)),
        ("unix:/run/x.sock", Bind(kind="unix", path="/run/x.sock")),
        ("unix:relative:sock", Bind(kind="unix", path="relative:sock")),
        ("systemd:bots.socket", Bind(kind="systemd", name="bots.socket")),
    ],
)
def test_binds(text: str, bind: Bind) -> None:
    assert Bind.parse(text) == bind
    assert str(bind) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected"),
        ("7105", "expected"),
        ("host:", "expected"),
        ("host:http", "expected"),
        ("host:-1", "expected"),
        ("host:٣", "expected"),
        ("h:99999", "port 99999"),
        (":80", "not a host"),
        ("a b:80", "not a host"),
        ("a/b:80", "not a host"),
        ("::1:80", "brackets"),
        ("[nonsense]:80", "nonsense"),
        ("[127.0.0.1]:80", "127.0.0.1"),
        ("999.0.0.1:80", "999"),
        ("1.2.3:80", "4 octets"),
        ("unix:", "path of a Unix socket"),
        ("unix:a\0b", "path of a Unix socket"),
        ("unix:/" + "ü" * 54, "at most 107 bytes"),
        ("systemd:", "FileDescriptorName"),
        ("systemd:a:b", "FileDescriptorName"),
        ("systemd:a b", "FileDescriptorName"),
    ],
)
def test_bad_binds(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Bind.parse(text)


def test_the_longest_socket_path_is_taken() -> None:
    assert Bind.parse("unix:" + "x" * 107).path == "x" * 107


def test_a_secret_shows_itself_to_nobody_but_reveal() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    for text in (str(secret), repr(secret), f"{secret}", f"{secret!r:>20}", f"{[secret]} {{{secret}}}"):
        assert "hunter2" not in text
        assert "********" in text


def test_secrets_compare_by_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
