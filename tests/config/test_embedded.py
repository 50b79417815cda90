"""The start without a file, and the text that `gatewayd config default` prints."""

import attrs

from gatewayd.config.embedded import BOT, NAMES, default_toml, embedded_default
from gatewayd.config.load import parse
from gatewayd.config.model import AdminConfig, LimitsConfig
from gatewayd.protocols.discord_forms import bot_id

from .fakes import PROTOCOLS, static


def test_six_listeners_on_loopback_in_their_order() -> None:
    config, _ = embedded_default(PROTOCOLS)
    assert [(listener.name, listener.protocol, str(listener.bind)) for listener in config.listeners] == [
        ("oxyl", "oxyl", "127.0.0.1:7101"),
        ("rooms", "rooms", "127.0.0.1:7102"),
        ("dmod", "dmod", "127.0.0.1:7103"),
        ("discodo", "discodo", "127.0.0.1:7104"),
        ("utilbot", "utilbot", "127.0.0.1:7105"),
        ("discord", "discord", "127.0.0.1:7106"),
    ]


def test_each_has_a_fresh_secret_of_its_own() -> None:
    config, keys = embedded_default(PROTOCOLS)
    _, again = embedded_default(PROTOCOLS)
    assert tuple(keys) == NAMES
    assert len({*keys.values(), *again.values()}) == 12
    for listener in config.listeners:
        assert listener.auth == listener.name
        auth = static(config, listener.name)
        assert auth.kind == "static"
        assert [secret.reveal() for secret in auth.secrets] == [keys[listener.name]]


def test_dmod_knows_one_user_and_one_guild() -> None:
    config, keys = embedded_default(PROTOCOLS)
    auth = static(config, "dmod")
    assert {uid: secret.reveal() for uid, secret in auth.users.items()} == {"1": keys["dmod"]}
    assert {gid: secret.reveal() for gid, secret in auth.guilds.items()} == {"1": keys["dmod"]}
    assert not static(config, "oxyl").users


def test_the_token_of_discord_names_a_bot() -> None:
    _, keys = embedded_default(PROTOCOLS)
    assert bot_id(keys["discord"]) == BOT
    assert bot_id("MTAw.change-me") == BOT


def test_protocols_that_share_a_realm_share_no_document() -> None:
    config, _ = embedded_default(PROTOCOLS)
    prefixes = {listener.name: getattr(listener.options, "documents", None) for listener in config.listeners}
    assert {name: prefix for name, prefix in prefixes.items() if prefix} == {"oxyl": "oxyl:", "discord": "discord:"}


def test_rooms_are_ad_hoc() -> None:
    config, _ = embedded_default(PROTOCOLS)
    ad_hoc = {listener.name: getattr(listener.options, "ad_hoc", None) for listener in config.listeners}
    assert ad_hoc == {name: name == "rooms" for name in NAMES}


def test_no_secret_in_the_repr() -> None:
    config, keys = embedded_default(PROTOCOLS)
    assert not any(key in repr(config) for key in keys.values())


def test_the_printed_default_is_the_embedded_one_but_for_its_secrets() -> None:
    config = parse(default_toml(), "default", PROTOCOLS)
    embedded, _ = embedded_default(PROTOCOLS)
    assert config.listeners == embedded.listeners
    assert attrs.evolve(config, auth={}) == attrs.evolve(embedded, auth={})
    secrets = [secret.reveal() for name in config.auth for secret in static(config, name).secrets]
    assert secrets == [*["change-me"] * 5, "MTAw.change-me"]


def test_the_printed_default_has_the_defaults_of_the_classes() -> None:
    config = parse(default_toml(), "default", PROTOCOLS)
    assert config.limits == LimitsConfig()
    assert config.admin == AdminConfig()
    assert "max_unidentified = 4096" in default_toml()
    assert 'outbox_age = "30s"' in default_toml()
    assert "node" not in default_toml()
