"""Loading: what a file says, what it leaves out, and who fills it."""

import socket
from pathlib import Path

import attrs
import pytest

from gatewayd.config.auth import StaticConfig
from gatewayd.config.load import ConfigError, load
from gatewayd.config.model import AdminConfig, GatewayConfig, LimitsConfig, ListenerConfig, ListenerLimits, Secret
from gatewayd.config.values import Bind
from gatewayd.core.rate import Rate, Seconds

from .fakes import LISTENER, PROTOCOLS, FakeOptions, Route, mistakes, read, static

LIMITS = tuple(attrs.asdict(ListenerLimits()))


def listener(protocol: str, more: str = "", before: str = "") -> ListenerConfig:
    text = f'{before}\n[[listeners]]\nname = "a"\nprotocol = "{protocol}"\nbind = "127.0.0.1:1"\n{more}'
    return read(text).listeners[0]


def test_the_shortest_file_has_every_default() -> None:
    config = read(LISTENER)
    assert config.gateway == GatewayConfig(node=socket.gethostname(), state_dir="", shutdown_grace=Seconds(10.0))
    assert config.admin == AdminConfig(socket=None, mode=config.admin.mode, group=None)
    assert config.admin.mode == 0o600
    assert config.api is None
    assert config.limits == LimitsConfig()
    assert config.auth == {}
    assert config.listeners[0].options == FakeOptions()


def test_everything_a_file_can_say() -> None:
    config = read("""
        [gateway]
        node = "edge-1"
        state_dir = "/var/lib/gatewayd"
        shutdown_grace = "2s"
        [admin]
        socket = "/run/a.sock"
        mode = "0660"
        group = "gatewayd"
        [api]
        bind = "127.0.0.1:7100"
        tokens = [{ name = "backend", token = "t", scopes = ["publish", "read"] }]
        [auth.fleet]
        kind = "static"
        secrets = ["s1", "s2"]
        users = { "000" = "u" }
        guilds = { "123467" = "g" }
        [[listeners]]
        name = "bots"
        protocol = "utilbot"
        bind = "systemd:bots"
        auth = "fleet"
        heartbeat_interval = 45
        heartbeat_tolerance = "7s"
        identify_timeout = "11s"
        resume_window = "0s"
        resume_events = 0
        resume_bytes = 10
        rate_limit = "120/60s"
        origins = ["https://example.org", "http://localhost:3000"]
        trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "::1"]
        max_clients = 3
    """)
    assert config.gateway == GatewayConfig(node="edge-1", state_dir="/var/lib/gatewayd", shutdown_grace=Seconds(2.0))
    assert (config.admin.socket, config.admin.mode, config.admin.group) == ("/run/a.sock", 0o660, "gatewayd")
    assert config.api is not None
    assert str(config.api.bind) == "127.0.0.1:7100"
    (token,) = config.api.tokens
    assert (token.name, token.token.reveal(), token.scopes) == ("backend", "t", ("publish", "read"))
    assert config.auth["fleet"] == StaticConfig(
        kind="static",
        secrets=(Secret("s1"), Secret("s2")),
        users={"000": Secret("u")},
        guilds={"123467": Secret("g")},
    )
    assert config.listeners == (
        ListenerConfig(
            name="bots",
            protocol="utilbot",
            bind=Bind(kind="systemd", name="bots"),
            auth="fleet",
            realm="fleet",
            heartbeat_interval=Seconds(45.0),
            heartbeat_tolerance=Seconds(7.0),
            identify_timeout=Seconds(11.0),
            resume_window=Seconds(0.0),
            resume_events=0,
            resume_bytes=10,
            rate_limit=Rate(120, 60.0),
            origins=("https://example.org", "http://localhost:3000"),
            trusted_proxies=("127.0.0.1", "10.0.0.0/8", "::1"),
            max_clients=3,
            options=FakeOptions(),
        ),
    )


@pytest.mark.parametrize(
    ("protocol", "interval", "tolerance", "identify", "window", "size", "rate"),
    [
        ("oxyl", 30, 30, 20, 60, 65536, None),
        ("rooms", 30, 5, None, 60, 65536, None),
        ("dmod", 30, 5, 20, 60, 1000, Rate(50, 5.0)),
        ("discodo", 15, 45, 20, 300, 65536, None),
        ("utilbot", 60, 5, 20, 60, 65536, None),
    ],
)
def test_a_listener_has_the_timings_of_its_protocol(
    protocol: str,
    interval: float,
    tolerance: float,
    identify: float | None,
    window: float,
    size: int,
    rate: Rate | None,
) -> None:
    got = listener(protocol)
    assert got.heartbeat_interval == interval
    assert got.heartbeat_tolerance == tolerance
    assert got.identify_timeout == identify
    assert got.resume_window == window
    assert got.max_message_bytes == size
    assert got.rate_limit == rate


def test_a_listener_judges_heartbeats_as_its_protocol_does_unless_it_says_otherwise() -> None:
    assert [listener(name).heartbeat for name in ("dmod", "utilbot")] == ["lenient", "strict"]
    assert listener("dmod", 'heartbeat = "strict"').heartbeat == "strict"
    assert listener("utilbot", 'heartbeat = "off"').heartbeat == "off"


def test_the_tolerance_follows_the_interval_that_the_file_sets() -> None:
    assert listener("oxyl", 'heartbeat_interval = "10s"').heartbeat_tolerance == 10.0
    assert listener("discodo", "heartbeat_interval = 20").heartbeat_tolerance == 40.0
    assert listener("discodo", "heartbeat_interval = 90\nheartbeat_tolerance = 1").heartbeat_tolerance == 1.0


def test_limits_go_from_the_node_to_the_listener() -> None:
    limits = "[limits]\n" + "\n".join(f"{name} = {7 + place}" for place, name in enumerate(LIMITS))
    got = listener("utilbot", "outbox_events = 3", limits)
    for place, name in enumerate(LIMITS):
        assert getattr(got, name) == (3 if name == "outbox_events" else 7 + place)


def test_the_size_of_messages_listener_then_protocol_then_limits() -> None:
    limits = "[limits]\nmax_message_bytes = 500"
    assert listener("dmod", "max_message_bytes = 7", limits).max_message_bytes == 7
    assert listener("dmod", "", limits).max_message_bytes == 1000
    assert listener("utilbot", "", limits).max_message_bytes == 500


def test_the_protocols_own_options() -> None:
    options = listener(
        "rooms",
        """[listeners.options]
        ad_hoc = true
        size = 4
        ratio = 1
        patience = "500ms"
        names = ["x", "y"]
        order = [2, 1]
        flags = ["f"]
        level = "high"
        key = "k"
        routes.CALL = { senders = ["sharder"], deliver = "all" }
        extra = { a = [1] }
        """,
    ).options
    assert options == FakeOptions(
        ad_hoc=True,
        size=4,
        ratio=1.0,
        patience=Seconds(0.5),
        names=("x", "y"),
        order=[2, 1],
        flags=frozenset({"f"}),
        level="high",
        key=Secret("k"),
        routes={"CALL": Route(senders=("sharder",), deliver="all")},
        extra={"a": [1]},
    )


def test_two_listeners_may_let_the_kernel_choose_their_ports() -> None:
    text = LISTENER.replace(":1", ":0")
    assert len(read(text + text.replace('"a"', '"b"')).listeners) == 2


def secret_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_secrets_from_files_and_credentials(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        secret_file(tmp_path / name, f"{name}\n")
    secret_file(tmp_path / "many", "m1\nm2\n")
    config = read(
        f"""
        [api]
        bind = "127.0.0.1:2"
        tokens = [
            {{ name = "a", file = "{tmp_path}/one", scopes = ["read"] }},
            {{ name = "b", token_file = "{tmp_path}/two", scopes = ["admin"] }},
            {{ name = "c", token = "credential:three", scopes = [] }},
            {{ name = "d", file = "credential:three", scopes = [] }},
        ]
        [auth.x]
        kind = "static"
        secrets = ["credential:one", "plain"]
        secrets_file = "{tmp_path}/many"
        users = {{ "1" = "credential:two" }}
        {LISTENER}
        [listeners.options]
        key_file = "{tmp_path}/three"
        """,
        CREDENTIALS_DIRECTORY=str(tmp_path),
    )
    assert config.api is not None
    assert [token.token.reveal() for token in config.api.tokens] == ["one", "two", "three", "three"]
    assert [secret.reveal() for secret in static(config).secrets] == ["one", "plain", "m1", "m2"]
    assert static(config).users["1"].reveal() == "two"
    assert config.listeners[0].options == FakeOptions(key=Secret("three"))


def test_tls_files_may_be_credentials(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    tls = f'tls_cert = "{tmp_path}/cert.pem"\ntls_key = "credential:key.pem"\n'
    got = read(LISTENER + tls, CREDENTIALS_DIRECTORY=str(tmp_path)).listeners[0]
    assert (got.tls_cert, got.tls_key) == (f"{tmp_path}/cert.pem", f"{tmp_path}/key.pem")


def test_load_reads_a_file_and_the_real_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    secret_file(tmp_path / "fleet", "hunter2")
    path = tmp_path / "gatewayd.toml"
    path.write_text('[auth.x]\nkind = "static"\nsecrets = ["credential:fleet"]\n' + LISTENER)
    assert static(load(path, PROTOCOLS)).secrets == (Secret("hunter2"),)


def test_load_names_the_file_in_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "gatewayd.toml"
    path.write_text(LISTENER + "x = 1\n")
    with pytest.raises(ConfigError) as caught:
        load(path, PROTOCOLS)
    assert caught.value.mistakes == [f"{path}:5: listeners[0].x: unknown key"]
    assert str(caught.value) == caught.value.mistakes[0]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# one\n# \xfc\n")
    for path, why in (
        (tmp_path / "missing", ": cannot be read: No such file or directory"),
        (tmp_path, ": cannot be read: Is a directory"),
        (Path("nul\0"), ": cannot be read: embedded null byte"),
        (tmp_path / "latin.toml", ":2: not UTF-8 text"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path, PROTOCOLS)
        assert caught.value.mistakes == [f"{path}{why}"]


def test_a_listener_is_in_the_realm_of_its_auth() -> None:
    text = "[auth.fleet]\nkind = 'open'\n" + LISTENER
    assert read(LISTENER).listeners[0].realm == "open"
    assert read(text + 'auth = "fleet"\n').listeners[0].realm == "fleet"
    assert read(text + 'auth = "fleet"\nrealm = "prod"\n').listeners[0].realm == "prod"
    for realm in ('""', '"a\\u0007"', f'"{"x" * 65}"'):
        (mistake,) = mistakes(LISTENER + f"realm = {realm}\n")
        assert mistake.endswith("listeners[0].realm: expected a name of 1 to 64 printable characters")
