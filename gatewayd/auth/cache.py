"""Verdicts that may be given again for a while, bounded; the oldest give way."""

from __future__ import annotations

from attrs import evolve

from gatewayd.core.grant import Grant


class Verdicts:
    """Grants by key. Monotonic seconds, passed in."""

    def __init__(self, size: int, ttl: float) -> None:
        self.size = size
        self.ttl = ttl
        self._kept: dict[bytes, tuple[float, Grant]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, key: bytes, grant: Grant, now: float) -> None:
        """Keep a verdict, as of now."""
        if self.ttl > 0:
            self._kept.pop(key, None)
            self._kept[key] = (now, grant)
            if len(self._kept) > self.size:
                del self._kept[next(iter(self._kept))]

    def get(self, key: bytes, now: float) -> Grant | None:
        """The verdict, with what is left of its time; None when it is too old."""
        at, grant = self._kept.get(key, (now, None))
        age = now - at
        if grant is None:
            return None
        if age >= self.ttl or (grant.expires is not None and age >= grant.expires):
            del self._kept[key]
            return None
        return grant if grant.expires is None else evolve(grant, expires=grant.expires - age)
