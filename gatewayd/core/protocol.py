"""What a protocol must say about itself: how it looks, its timings, and the class of its behaviour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from gatewayd.core.behaviour import Behaviour
from gatewayd.core.rate import Rate
from gatewayd.core.settings import Judging
from gatewayd.core.wire import Wire


@frozen(kw_only=True)
class Timing:
    """A protocol's own times in seconds, which a listener may override; `patience` is a function of the interval."""

    interval: float
    patience: Callable[[float], float]
    identify_timeout: float | None
    resume_window: float
    heartbeat: Judging = "strict"
    max_message_bytes: int | None = None
    bytes_per_second: int | None = None
    burst_bytes: int | None = None
    rate_limit: Rate | None = None


@frozen(kw_only=True, eq=False)
class Protocol:
    """One registered protocol: everything the daemon needs to serve it."""

    name: str
    wire: Wire
    timing: Timing
    options: type
    behaviour: type[Behaviour[Any]]
    summary: str = ""
    path: str = "/"
    """Path and query of the URL that people are shown."""
    login: str = ""
    """How to authenticate, for people; `{secret}` stands for one."""
    guests: bool = False
    """Some may come in without proving who they are, whatever the auth."""
