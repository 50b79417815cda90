"""Verdicts that are given again: how long, how many."""

from __future__ import annotations

from gatewayd.auth.cache import Verdicts
from gatewayd.core.behaviour import Grant

YES = Grant(granted=True)


def test_a_verdict_lives_for_its_time() -> None:
    cache = Verdicts(10, 5.0)
    cache.put(b"a", YES, 100.0)
    assert cache.get(b"a", 104.9) is YES
    assert cache.get(b"b", 104.9) is None
    assert cache.get(b"a", 105.0) is None
    assert len(cache) == 0


def test_what_expires_earlier_is_gone_earlier_and_never_prolonged() -> None:
    cache = Verdicts(10, 5.0)
    cache.put(b"a", Grant(granted=True, expires=3.0, channels=("x",)), 100.0)
    assert cache.get(b"a", 101.0) == Grant(granted=True, expires=2.0, channels=("x",))
    assert cache.get(b"a", 102.5) == Grant(granted=True, expires=0.5, channels=("x",))
    assert cache.get(b"a", 103.0) is None


def test_the_oldest_gives_way() -> None:
    cache = Verdicts(2, 5.0)
    for key in (b"a", b"b", b"a", b"c"):
        cache.put(key, YES, 100.0)
    assert [cache.get(key, 100.0) for key in (b"a", b"b", b"c")] == [YES, None, YES]
    assert len(cache) == 2


def test_no_time_no_cache() -> None:
    cache = Verdicts(2, 0.0)
    cache.put(b"a", YES, 100.0)
    assert cache.get(b"a", 100.0) is None
    assert len(cache) == 0
