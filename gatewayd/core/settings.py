"""What one client's side of the talk must know of its listener's settings."""

from __future__ import annotations

from typing import Literal

from attrs import Factory, frozen

from gatewayd.core.quota import Intake
from gatewayd.core.rate import Rate

Judging = Literal["off", "lenient", "strict"]
"""Whose silence ends a connection: nobody's, that of clients that have sent a heartbeat on it, everybody's."""


@frozen(kw_only=True)
class Settings:
    """Times in seconds, sizes in bytes. `patience` is the silence after which a client is dead."""

    interval: float
    patience: float
    identify_timeout: float | None
    resume_window: float
    heartbeat: Judging = "strict"
    resume_events: int = 1000
    resume_bytes: int = 1048576
    rate_limit: Rate | None = None
    unidentified_messages: int = 64
    max_message_bytes: int = 65536
    intake: Intake = Factory(lambda self: Intake().holding(self.max_message_bytes), takes_self=True)
    outbox_bytes: int = 1048576
    outbox_events: int = 1024
    outbox_age: float = 30.0
    answers_apart: float = 1.0
    """Between two answers to a client that asks whether we are alive: it may ask because we answered."""
    look_again: float = 1.0
    """Between two looks at a client that was late while we did not listen."""
    ask_again: float = 1.0
    """Between two beats, at the least, where one is said out of turn."""
    durable: bool = True
    """Whether the journal keeps the sessions, where there is one."""
    always: bool = False
    """Whether a publish is answered when it is on disk."""
