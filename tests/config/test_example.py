"""The example file in config/: it loads with the real protocols, shows every key, and tells the defaults truly."""

from pathlib import Path

import attrs

from gatewayd.config.embedded import embedded_default
from gatewayd.config.load import load
from gatewayd.config.model import AdminConfig, AuthConfig, GatewayConfig, LimitsConfig, ListenerConfig
from gatewayd.protocols.registry import PROTOCOLS

EXAMPLE = Path(__file__).parents[2] / "config" / "gatewayd.toml"


def test_the_example_file_loads_with_the_real_protocols() -> None:
    config = load(EXAMPLE, PROTOCOLS, environ={})
    assert [listener.protocol for listener in config.listeners] == ["oxyl", "rooms", "dmod", "discodo", "utilbot"]


def test_the_example_file_shows_every_key() -> None:
    text = EXAMPLE.read_text()
    classes = (GatewayConfig, AdminConfig, LimitsConfig, AuthConfig, ListenerConfig)
    missing = {field.name for cls in classes for field in attrs.fields(cls) if f"{field.name} = " not in text}
    assert missing == {"options"}  # it is a table: [listeners.options]


def test_the_example_file_says_the_defaults() -> None:
    assert load(EXAMPLE, PROTOCOLS, environ={}).limits == LimitsConfig()


def test_the_embedded_default_loads_with_the_real_protocols() -> None:
    config, _ = embedded_default(PROTOCOLS)
    assert len(config.listeners) == 5
