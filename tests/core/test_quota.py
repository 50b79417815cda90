"""What one client may send in bytes: a bucket that is only looked at once it is empty."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.config.model import LimitsConfig
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.quota import FRAMING, Intake
from gatewayd.core.settings import Settings
from gatewayd.protocols.registry import installed


def test_a_bucket() -> None:
    intake = Intake(unidentified=10, burst=100, per_second=20)
    assert intake.refilled(-10, math.inf, identified=True) == 100  # the first look after identify
    assert intake.refilled(-10, 1.0, identified=True) == 10
    assert intake.refilled(-10, 1e9, identified=True) == 100
    with pytest.raises(Disconnect) as verdict:
        intake.refilled(-10, 0.4, identified=True)
    assert verdict.value.cause is Cause.RATE_LIMITED
    assert verdict.value.reason == "more than 100 bytes at once, or 20 a second"
    with pytest.raises(Disconnect) as verdict:
        intake.refilled(-1, math.inf, identified=False)
    assert (verdict.value.cause, verdict.value.reason) == (Cause.RATE_LIMITED, "more than 10 bytes before identify")


@given(
    st.integers(1, 1000), st.integers(1, 1000), st.lists(st.tuples(st.floats(0, 10), st.integers(1, 100)), max_size=50)
)
def test_who_keeps_to_the_rate_is_never_hit_and_nobody_gets_much_more(
    burst: int, rate: int, steps: list[tuple[float, int]]
) -> None:
    """Against a bucket that is filled at every read: no stricter, and more generous by a burst and one read."""
    intake = Intake(unidentified=0, burst=burst, per_second=rate)
    now, since, left, exact, sent = 0.0, -math.inf, 0.0, float(burst), 0
    for pause, size in steps:
        now += pause
        exact = min(burst, exact + pause * rate) - size
        sent += size
        left -= size
        if left < 0:
            try:
                left, since = intake.refilled(left, now - since, identified=True), now
            except Disconnect:
                assert exact < 1e-6
                return
        if exact < 0:
            exact = 0.0
    assert sent <= 2 * burst + now * rate + 100 + 1e-6


def test_one_message_of_the_largest_size_always_fits() -> None:
    assert Intake().holding(1000) == Intake()
    big = Intake().holding(4_000_000)
    assert (big.unidentified, big.burst, big.per_second) == (65536 + FRAMING, 4_000_000 + FRAMING, 262144)
    assert Intake(unidentified=100_000).holding(4_000_000).unidentified == 100_000
    settings = Settings(interval=1.0, patience=1.0, identify_timeout=None, resume_window=0.0)
    assert settings.intake.unidentified == settings.max_message_bytes + FRAMING


@pytest.mark.parametrize("name", installed())
def test_a_protocols_own_rate_fits_the_default_bounds(name: str) -> None:
    """Twice, since two of its periods may meet, and again, since heartbeats have a rate of the same size."""
    timing, limits = installed()[name].timing, LimitsConfig()
    if timing.rate_limit is not None:
        size = (timing.max_message_bytes or limits.max_message_bytes) + 14
        assert 2 * timing.rate_limit.count * size <= limits.burst_bytes
        assert timing.rate_limit.count * size / timing.rate_limit.period <= limits.bytes_per_second
