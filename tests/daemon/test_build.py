"""What a listener's table says reaches the parts that go by it, and is shown to people."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from gatewayd.backend.errors import BackendError
from gatewayd.config.limits import AuthLimits, BackendLimits, BrakeLimits, DaemonLimits, JournalLimits
from gatewayd.config.load import ConfigError, parse
from gatewayd.core.events import Command
from gatewayd.core.grant import Claim
from gatewayd.core.quota import FRAMING, Intake
from gatewayd.core.record import Table
from gatewayd.daemon.build import build, hub_limits, settings_of
from gatewayd.daemon.view import listener_view, node_view, url
from gatewayd.net.fan import Fan
from gatewayd.net.ring_fan import RingFan
from gatewayd.protocols.registry import PROTOCOLS
from tests.hub.test_hub import book, ready

TEXT = """
[[listeners]]
name = "pages"
protocol = "dmod"
bind = "127.0.0.1:1"
[[listeners]]
name = "bots"
protocol = "utilbot"
bind = "127.0.0.1:2"
[[listeners]]
name = "quiet"
protocol = "utilbot"
bind = "127.0.0.1:3"
heartbeat = "off"
"""


def test_whose_silence_ends_a_connection_is_each_listeners_own(tmp_path: Path) -> None:
    node = build(parse(TEXT, "a.toml", PROTOCOLS, environ={}), PROTOCOLS)
    modes = {"pages": "lenient", "bots": "strict", "quiet": "off"}
    assert {item.config.name: item.settings.heartbeat for item in node.listeners} == modes
    views = [listener_view(item, node.gate, "") for item in node.listeners]
    assert {view.name: view.settings["heartbeat"] for view in views} == modes


def test_a_list_of_publishes_is_joined_by_the_turn_that_writes(tmp_path: Path) -> None:
    node = build(parse(TEXT, "a.toml", PROTOCOLS, environ={}), PROTOCOLS)
    assert not node.tick.held
    node_view(node, started=0.0).hold()
    assert node.tick.held


def test_how_events_are_written_is_a_setting_and_is_shown(tmp_path: Path) -> None:
    for setting, kind, way in (("auto", RingFan, "os.write (io_uring: not started)"), ("off", Fan, "os.write")):
        node = build(parse(f'[gateway]\nio_uring = "{setting}"\n{TEXT}', "a.toml", PROTOCOLS, environ={}), PROTOCOLS)
        assert type(node.fan) is kind
        assert node_view(node, started=0.0).writes() == way
    with pytest.raises(ConfigError, match=r"a\.toml:2: gateway\.io_uring: expected one of 'auto', 'off'"):
        parse(f'[gateway]\nio_uring = "on"\n{TEXT}', "a.toml", PROTOCOLS, environ={})


def test_one_address_does_not_hold_all_of_few_places(tmp_path: Path) -> None:
    for most, unidentified in ((10, 64), (500, 500), (15000, 4096)):
        config = parse(f"[limits]\nmax_clients = {most}\n{TEXT}", "a.toml", PROTOCOLS, environ={})
        gate = build(config, PROTOCOLS).gate
        assert (gate.max_clients, gate.max_unidentified) == (most, unidentified)


def test_an_oxyl_sharder_may_say_more_than_other_clients() -> None:
    text = """
        [[listeners]]
        name = "fleet"
        protocol = "oxyl"
        bind = "127.0.0.1:7101"
        [[listeners]]
        name = "small"
        protocol = "oxyl"
        bind = "127.0.0.1:7111"
        max_message_bytes = 1000
        bytes_per_second = 2000
        burst_bytes = 20000
    """
    fleet, small = (settings_of(item) for item in parse(text, "a.toml", PROTOCOLS).listeners)
    assert (fleet.max_message_bytes, fleet.intake) == (1 << 20, Intake(65536 + FRAMING, 16 << 20, 4 << 20))
    assert (small.max_message_bytes, small.intake) == (1000, Intake(65536, 20000, 2000))


def test_the_url_has_the_listeners_own_path() -> None:
    text = """
        [[listeners]]
        name = "rooms"
        protocol = "rooms"
        bind = "127.0.0.1:7102"
        [[listeners]]
        name = "elsewhere"
        protocol = "rooms"
        bind = "127.0.0.1:7112"
        options.path = "/talk"
        [[listeners]]
        name = "bots"
        protocol = "utilbot"
        bind = "unix:/run/bots"
    """
    config = parse(text, "a.toml", PROTOCOLS)
    assert [url(item, PROTOCOLS[item.protocol].path) for item in config.listeners] == [
        "ws://127.0.0.1:7102/gateway",
        "ws://127.0.0.1:7112/talk",
        "ws+unix:/run/bots:/?v=1",
    ]


def test_each_realm_has_an_equal_share_of_all_notifications() -> None:
    one = "[limits]\nnotifications_bytes = 1000\nnotifications_total_bytes = 30000\n" + TEXT
    for text, share in ((one, 30000), (one + 'realm = "staging"\n', 15000)):
        limits = hub_limits(parse(text, "a.toml", PROTOCOLS, environ={})).notifications
        assert (limits.bytes_per_user, limits.bytes) == (1000, share)


BOUNDED = """
[gateway]
state_dir = "{state}"
[limits]
max_clients = 2
[auth.signed]
kind = "jwt"
key_file = "{key}"
[backend]
url = "http://127.0.0.1:1/"
[[listeners]]
name = "bots"
protocol = "utilbot"
bind = "127.0.0.1:2"
auth = "signed"
"""


async def test_each_part_has_the_bounds_of_the_configuration(tmp_path: Path, autojump_clock: MockClock) -> None:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("k" * 32)
    text = BOUNDED.format(state=tmp_path / "state", key=tmp_path / "key")
    config = parse(text, "a.toml", PROTOCOLS, environ={})
    limits = evolve(
        config.limits,
        auth=AuthLimits(token_characters=3, wrong_keys=BrakeLimits(free=0, first_pause=0.5)),
        backend=BackendLimits(waiting=0),
        journal=JournalLimits(pending_bytes=1),
        daemon=DaemonLimits(few_unidentified=5),
    )
    node = build(evolve(config, limits=limits), PROTOCOLS)
    assert node.gate.max_unidentified == 5
    assert (await node.auths["signed"].verify(Claim("secret", "four"))).reason == "too large"
    start = trio.current_time()
    await node.brake.hold_back("a")
    assert trio.current_time() - start == 0.5
    assert node.backend is not None
    async with trio.open_nursery() as nursery:
        await nursery.start(node.backend.run)
        with pytest.raises(BackendError, match="0 commands wait already"):
            await node.backend.ask(ready(book()).session, Command(1, "echo"), pytest.fail)
        nursery.cancel_scope.cancel()
    await node.backend.close()
    assert node.state is not None
    node.state.journal.put(Table.META, "a", b"1")
    assert str(node.state.journal.degraded).startswith("the disk is too slow")
    node.state.journal.close()
