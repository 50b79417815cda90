"""The example file in config/: it loads with the real protocols, shows every key, and tells the defaults truly."""

from pathlib import Path

from gatewayd.config.auth import KINDS
from gatewayd.config.embedded import embedded_default
from gatewayd.config.load import load
from gatewayd.config.model import AdminConfig, GatewayConfig, LimitsConfig, ListenerConfig
from gatewayd.config.structure import keys_of
from gatewayd.protocols.registry import PROTOCOLS

EXAMPLE = Path(__file__).parents[2] / "config" / "gatewayd.toml"


def test_the_example_file_loads_with_the_real_protocols() -> None:
    config = load(EXAMPLE, PROTOCOLS, environ={})
    assert [listener.protocol for listener in config.listeners] == ["oxyl", "rooms", "dmod", "discodo", "utilbot"]


def test_the_example_file_shows_every_key() -> None:
    text = EXAMPLE.read_text()
    classes = (GatewayConfig, AdminConfig, LimitsConfig, ListenerConfig, *KINDS.values())
    missing = {key for cls in classes for key in keys_of(cls) if f"{key} = " not in text}
    assert missing - {"options"} == set()  # it is a table: [listeners.options]


def test_the_example_file_says_the_defaults() -> None:
    assert load(EXAMPLE, PROTOCOLS, environ={}).limits == LimitsConfig()


def test_the_embedded_default_loads_with_the_real_protocols() -> None:
    config, _ = embedded_default(PROTOCOLS)
    assert len(config.listeners) == 5
