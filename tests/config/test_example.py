"""The example file in config/: it loads with the real protocols, shows every key, and tells the defaults truly."""

from pathlib import Path

import attrs

from gatewayd.config.auth import KINDS
from gatewayd.config.embedded import embedded_default
from gatewayd.config.load import load, parse
from gatewayd.config.model import AdminConfig, BackendConfig, GatewayConfig, LimitsConfig, ListenerConfig
from gatewayd.config.structure import keys_of
from gatewayd.protocols.registry import PROTOCOLS

EXAMPLE = Path(__file__).parents[2] / "config" / "gatewayd.toml"


def test_the_example_file_loads_with_the_real_protocols() -> None:
    config = load(EXAMPLE, PROTOCOLS, environ={})
    assert [listener.protocol for listener in config.listeners] == list(PROTOCOLS)


def test_the_example_file_shows_every_key() -> None:
    text = EXAMPLE.read_text()
    classes = (GatewayConfig, AdminConfig, LimitsConfig, BackendConfig, ListenerConfig, *KINDS.values())
    missing = {key for cls in classes for key in keys_of(cls) if f"{key} = " not in text}
    assert missing - {"options"} == set()  # it is a table: [listeners.options]


def test_the_example_file_says_the_defaults() -> None:
    assert load(EXAMPLE, PROTOCOLS, environ={}).limits == LimitsConfig()


def test_the_commented_backend_loads_and_says_the_defaults() -> None:
    lines = EXAMPLE.read_text().partition("# [backend]")[2].partition("\n\n")[0].splitlines()[1:]
    table = "\n".join(line.removeprefix("# ") for line in lines if "handlers" not in line)
    listener = '\n[[listeners]]\nname = "a"\nprotocol = "utilbot"\nbind = "127.0.0.1:1"\n'
    config = parse(f"[backend]\n{table}{listener}", "example", PROTOCOLS, environ={}).backend
    assert config is not None
    assert attrs.evolve(config, url=None, secret=None) == BackendConfig()


def test_the_embedded_default_loads_with_the_real_protocols() -> None:
    config, _ = embedded_default(PROTOCOLS)
    assert len(config.listeners) == 6


def test_the_two_tenants_of_the_documents_share_nothing(tmp_path: Path) -> None:
    text = (EXAMPLE.parents[1] / "docs" / "realms.md").read_text().partition("```toml\n")[2]
    toml = text.partition("```")[0].replace("/etc/gatewayd", str(tmp_path))
    for name in ("prod", "staging"):
        (tmp_path / f"{name}.secrets").write_text("s\n")
        (tmp_path / f"{name}.secrets").chmod(0o600)
    config = parse(toml, "realms.md", PROTOCOLS, environ={})
    assert [listener.realm for listener in config.listeners] == ["prod", "staging"]
