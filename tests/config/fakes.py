"""Small protocols for the configuration's tests: no real one is needed to load a file."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

from gatewayd.config.auth import StaticConfig
from gatewayd.config.load import ConfigError, parse
from gatewayd.config.model import Config
from gatewayd.config.spec import ProtocolSpec
from gatewayd.config.values import Secret
from gatewayd.core.rate import Rate, Seconds
from gatewayd.core.settings import Judging


def _even(instance: object, attribute: "attrs.Attribute[Any]", value: int) -> None:
    if value % 2:
        raise ValueError("must be even")


@attrs.frozen(kw_only=True)
class Route:
    senders: tuple[str, ...]
    deliver: Literal["one", "all"] = "one"


@attrs.frozen(kw_only=True)
class FakeOptions:
    ad_hoc: bool = False
    path: str = "/"
    documents: str = ""
    size: int = attrs.field(default=2, validator=_even)
    ratio: float = 0.5
    patience: Seconds = attrs.field(default=Seconds(20.0))
    names: tuple[str, ...] = ()
    order: list[int] = attrs.field(factory=list)
    flags: frozenset[str] = frozenset()
    level: str = attrs.field(default="low", validator=attrs.validators.in_(("low", "high")))
    key: Secret | None = None
    routes: "Mapping[str, Route]" = attrs.field(factory=dict)
    extra: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.ad_hoc and self.path == "/closed":
            raise ValueError("ad_hoc does not go with this path")


@attrs.frozen(kw_only=True)
class FakeTiming:
    interval: float = 30.0
    patience: Callable[[float], float] = lambda interval: interval + 5
    identify_timeout: float | None = 20.0
    resume_window: float = 60.0
    heartbeat: Judging = "strict"
    max_message_bytes: int | None = None
    bytes_per_second: int | None = None
    burst_bytes: int | None = None
    rate_limit: Rate | None = None


@attrs.frozen
class FakeProtocol:
    name: str
    timing: FakeTiming = attrs.field(factory=FakeTiming)
    options: type = FakeOptions
    guests: bool = False


PROTOCOLS: Mapping[str, ProtocolSpec] = {
    "oxyl": FakeProtocol("oxyl", FakeTiming(patience=lambda interval: 2 * interval)),
    "rooms": FakeProtocol("rooms", FakeTiming(identify_timeout=None)),
    "dmod": FakeProtocol(
        "dmod", FakeTiming(heartbeat="lenient", max_message_bytes=1000, rate_limit=Rate(50, 5.0)), guests=True
    ),
    "discodo": FakeProtocol("discodo", FakeTiming(interval=15.0, patience=lambda interval: 60.0, resume_window=300.0)),
    "utilbot": FakeProtocol("utilbot", FakeTiming(interval=60.0)),
    "discord": FakeProtocol("discord", FakeTiming(interval=41.25)),
}

LISTENER = '[[listeners]]\nname = "a"\nprotocol = "utilbot"\nbind = "127.0.0.1:1"\n'
"""The shortest listener, four lines, for texts to put keys behind."""


def read(text: str, **environ: str) -> Config:
    """The configuration a text says, with the fake protocols and nothing of the real environment."""
    return parse(text, "bad.toml", PROTOCOLS, environ=environ)


def static(config: Config, name: str = "x") -> StaticConfig:
    """An auth that is static."""
    auth = config.auth[name]
    assert isinstance(auth, StaticConfig)
    return auth


def mistakes(text: str, **environ: str) -> list[str]:
    """All that is wrong with a text; empty where nothing is."""
    try:
        read(text, **environ)
    except ConfigError as error:
        return error.mistakes
    return []
