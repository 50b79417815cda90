"""A shown configuration: masked, complete, and readable again."""

import tomllib

import attrs

from gatewayd.config.load import parse
from gatewayd.config.show import dump

from .fakes import PROTOCOLS, read

TEXT = """
[gateway]
node = "edge-1"
shutdown_grace = 0.5
[admin]
mode = "0660"
[api]
bind = "[::1]:7100"
tokens = [{ name = "backend", token = "hunter2-token", scopes = ["read"] }]
[auth.fleet]
kind = "static"
secrets = ["hunter2-secret"]
users = { "000" = "hunter2-user" }
[[listeners]]
name = "bots"
protocol = "utilbot"
bind = "unix:/run/bots.sock"
auth = "fleet"
rate_limit = "120/1m"
heartbeat_interval = "1h"
[listeners.options]
key = "hunter2-option"
patience = "5m"
flags = ["b", "a"]
order = [2, 1]
routes = { X = { senders = ["sharder"] } }
extra = { any = [1, { thing = 1.5 }] }
"""


def test_no_secret_is_shown() -> None:
    text = dump(read(TEXT))
    assert "hunter2" not in text
    assert text.count('"********"') == 4


def test_the_effective_values_are_shown() -> None:
    data = tomllib.loads(dump(read(TEXT)))
    assert data["gateway"] == {
        "node": "edge-1",
        "state_dir": "",
        "journal_interval": "100ms",
        "shutdown_grace": "500ms",
        "fast_lane": True,
        "io_uring": "auto",
    }
    assert data["admin"] == {"mode": "0660"}
    assert data["api"] == {
        "bind": "[::1]:7100",
        "tokens": [{"name": "backend", "token": "********", "scopes": ["read"]}],
    }
    assert data["limits"]["outbox_age"] == "30s"
    assert data["auth"] == {
        "fleet": {"kind": "static", "secrets": ["********"], "users": {"000": "********"}, "guilds": {}}
    }
    (listener,) = data["listeners"]
    assert listener.pop("options") == {
        "ad_hoc": False,
        "path": "/",
        "documents": "",
        "size": 2,
        "ratio": 0.5,
        "patience": "300s",
        "names": [],
        "order": [2, 1],
        "flags": ["a", "b"],
        "level": "low",
        "key": "********",
        "routes": {"X": {"senders": ["sharder"], "deliver": "one"}},
        "extra": {"any": [1, {"thing": 1.5}]},
    }
    assert listener == {
        "durability": "batched",
        "reuse_port": False,
        "max_clients": 15000,
        "max_clients_per_ip": 256,
        "max_unidentified": 4096,
        "handshake_timeout": "10s",
        "unidentified_messages": 64,
        "unidentified_bytes": 65536,
        "bytes_per_second": 262144,
        "burst_bytes": 1048576,
        "max_message_bytes": 65536,
        "outbox_bytes": 1048576,
        "outbox_events": 1024,
        "outbox_age": "30s",
        "name": "bots",
        "protocol": "utilbot",
        "bind": "unix:/run/bots.sock",
        "auth": "fleet",
        "heartbeat": "strict",
        "realm": "fleet",
        "heartbeat_interval": "3600s",
        "heartbeat_tolerance": "5s",
        "identify_timeout": "20s",
        "resume_window": "60s",
        "resume_events": 1000,
        "resume_bytes": 1048576,
        "rate_limit": "120/60s",
        "trusted_proxies": [],
    }


def test_what_is_shown_loads_again() -> None:
    first = read(TEXT)
    again = parse(dump(first), "shown", PROTOCOLS, environ={})
    assert dump(again) == dump(first)
    assert again.limits == first.limits
    assert [attrs.evolve(listener, options=None) for listener in again.listeners] == [
        attrs.evolve(listener, options=None) for listener in first.listeners
    ]
