"""The configuration's classes: nobody changes them, and nobody mixes up their fields."""

import attrs
import pytest

from gatewayd.config import model
from gatewayd.config.auth import KINDS
from gatewayd.config.values import Bind
from gatewayd.core.rate import Seconds

CLASSES = (
    model.GatewayConfig,
    model.AdminConfig,
    model.ApiToken,
    model.ApiConfig,
    model.LimitsConfig,
    *KINDS.values(),
    model.ListenerConfig,
    model.Config,
    Bind,
)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_is_given_by_its_name(cls: type[attrs.AttrsInstance]) -> None:
    assert all(field.kw_only for field in attrs.fields(cls))


def test_values_are_frozen() -> None:
    limits = model.LimitsConfig()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        limits.max_clients = 1  # type: ignore[misc]


def test_a_listener_made_without_the_loader_has_every_limit() -> None:
    listener = model.ListenerConfig(name="a", protocol="oxyl", bind=Bind.parse("127.0.0.1:0"))
    assert listener.outbox_bytes == model.LimitsConfig().outbox_bytes
    assert (listener.heartbeat_interval, listener.heartbeat_tolerance) == (30.0, 5.0)
    assert listener.resume_window == 60.0


def test_impossible_values_are_refused_without_the_loader_too() -> None:
    with pytest.raises(ValueError, match="must be more than 0, got -1"):
        model.LimitsConfig(outbox_age=Seconds(-1.0))
