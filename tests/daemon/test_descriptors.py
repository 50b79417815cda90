"""Whoever comes in crowds takes no descriptor that is kept for others."""

from __future__ import annotations

import logging
import resource
import sys

import pytest

from gatewayd.config.load import parse
from gatewayd.config.model import LimitsConfig
from gatewayd.daemon import descriptors
from gatewayd.daemon.descriptors import Share, share_for, share_out
from gatewayd.protocols.registry import PROTOCOLS

LIMITS = LimitsConfig()
FULL = LIMITS.api.connections


@pytest.mark.parametrize(
    ("limit", "doors", "backends", "share"),
    [
        (sys.maxsize, 2, 0, Share(15000, FULL)),
        (20_000, 2, 64, Share(15000, FULL)),
        (16_384, 1, 0, Share(15000, FULL)),
        (16_384, 2, 0, Share(15000, 660)),
        (15_000, 2, 0, Share(14424, 256)),
        (1024, 1, 0, Share(900, 60)),
        (1024, 2, 0, Share(840, 60)),
        (256, 2, 0, Share(168, 12)),
        (256, 2, 1000, Share(168, 12)),
        (32, 2, 0, Share(22, 1)),
        (3, 2, 0, Share(1, 1)),
    ],
)
def test_shares(limit: int, doors: int, backends: int, share: Share) -> None:
    assert share_out(limit, LIMITS, doors=doors, backends=backends) == share


def test_no_more_than_there_are() -> None:
    for limit in range(64, 20_000, 37):
        for doors in (1, 2):
            for backends in (0, 96, 1000):
                share = share_out(limit, LIMITS, doors=doors, backends=backends)
                bounds = LIMITS.api.within(share.door)
                assert bounds.connections <= max(share.door, 3)
                assert bounds.strangers_each <= bounds.strangers
                assert bounds.known_each <= bounds.known
                rest = limit - share.clients - doors * share.door
                assert rest >= min(LIMITS.daemon.own_descriptors + backends, limit // LIMITS.daemon.own_part)


def test_a_node_counts_its_doors_and_backends(caplog: pytest.LogCaptureFixture) -> None:
    text = """
        [limits]
        max_clients = 800
        [api]
        bind = "127.0.0.1:1"
        tokens = [{ name = "a", token = "t", scopes = ["read"] }]
        [backend]
        url = "http://127.0.0.1:2/"
        max_concurrent = 10
        [auth.asked]
        kind = "http"
        url = "http://127.0.0.1:2/"
        max_connections = 6
        [[listeners]]
        name = "audio"
        protocol = "discodo"
        bind = "127.0.0.1:3"
        auth = "asked"
        options = { rest = "http://127.0.0.1:4" }
    """
    config = parse(text, "a.toml", PROTOCOLS, environ={})
    with caplog.at_level(logging.WARNING):
        own = LIMITS.daemon.own_descriptors + 64 + 10 + 6
        assert share_for(config, 800 + own + 200) == Share(800, 100)
        assert not caplog.records
        assert share_for(config, 600).clients < 800
    assert "max_clients is 800, but 600 descriptors" in caplog.text


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))
    try:
        assert descriptors.raise_limit() == (sys.maxsize if before[1] == resource.RLIM_INFINITY else before[1])
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
