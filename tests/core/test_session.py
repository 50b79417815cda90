"""What a session is, between its clients too, and what it goes on hearing."""

from __future__ import annotations

from gatewayd.core.backlog import Backlog
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.session import Session
from gatewayd.core.settings import Settings
from gatewayd.protocols import utilbot


def session(connection: Connection | None = None) -> Session:
    return Session(
        id="s", listener="main", protocol="utilbot", realm="main", remote="", opened=0.0, opened_wall=0.0,
        backlog=Backlog(max_events=10, max_bytes=1000), connection=connection,
    )  # fmt: skip


def test_its_state_is_that_of_its_client() -> None:
    settings = Settings(interval=10.0, patience=15.0, identify_timeout=None, resume_window=60.0)
    item = session(Connection(utilbot.WIRE, settings, 0.0))
    assert item.state == "opened"
    item.connection = None
    assert item.state == "detached"
    item.ended = Disconnect(Cause.EXPIRED)
    assert item.state == "ended"
