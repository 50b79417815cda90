"""The parts of a backend together: over HTTP and in process, through a listener, with what the status shows."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gatewayd.backend import App
from gatewayd.backend.lifecycle import MemoryQueue, Recorder
from gatewayd.backend.service import Service, no_backend
from gatewayd.config.backend import BackendConfig
from gatewayd.config.values import Secret
from gatewayd.core.close import Cause
from gatewayd.core.events import Command
from gatewayd.core.ports import NoBackend
from gatewayd.core.rate import Seconds
from gatewayd.hub.effects import apply
from tests.backend.conftest import SECRET, Backend
from tests.hub.test_hub import book, ready

KINDS = ("opened", "detached", "resumed", "ended")
COMMAND = Command(1, "echo", {"x": 1})


async def test_nothing_configured() -> None:
    with pytest.raises(NoBackend):
        await no_backend(ready(book()).session, COMMAND, pytest.fail)


async def test_over_http_all_in_all(backend: Backend) -> None:
    queue = MemoryQueue(10)
    talk = book(observers=[Recorder(queue, KINDS)])
    config = BackendConfig(url=backend.url, secret=Secret(SECRET))
    service = Service(config, partial(apply, talk.hub), node=talk.hub, queue=queue)
    replies: list[Any] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        session = ready(talk).session
        await service.ask(session, COMMAND, replies.append)
        with pytest.raises(NoBackend):
            await service.ask(session, Command(1, "unknown"), replies.append)
        nursery.cancel_scope.cancel()
    talk.hub.end_all(Cause.SHUTDOWN)
    await service.finish(5.0)
    await service.close()
    assert replies[0]["data"] == {"x": 1}
    assert [(event["kind"], event["sequence"]) for event in backend.heard()] == [("opened", 1), ("ended", 2)]
    assert service.status() == {
        "kind": "http", "asked": 2, "answered": 1, "unknown": 1, "waiting": 0, "failed": {}, "unpublishable": 0,
        "lifecycle": {"waiting": 0, "sent": 2, "failures": {}, "dropped": 0},
    }  # fmt: skip


async def test_in_process_all_in_all(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    app, queue, told = App(), MemoryQueue(10), []
    talk = book(observers=[Recorder(queue, KINDS)])

    @app.command("utilbot", "echo")
    async def echo(session: Any, data: Any) -> Any:
        await app.publish("user:a", "E", data)
        return data

    @app.on_opened
    async def opened(entry: Any) -> None:
        told.append(entry.identity)

    service = Service(BackendConfig(handlers="a:b"), partial(apply, talk.hub), node=talk.hub, app=app, queue=queue)
    await nursery.start(service.run)
    person = ready(talk)
    await service.ask(person.session, COMMAND, lambda data: None)
    await wait_all_tasks_blocked()
    assert told == ["a"]
    assert [payload["d"] for payload in person.heard()] == [{"x": 1}]
    assert service.status()["kind"] == "handlers"
    await service.close()


async def test_a_backend_that_is_away_at_the_end_is_not_waited_for_longer(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app, queue = App(), MemoryQueue(10)
    talk = book(observers=[Recorder(queue, ("ended",))])

    @app.on_ended
    async def ended(entry: Any) -> None:
        raise ValueError("away")

    config = BackendConfig(handlers="a:b", timeout=Seconds(1.0))
    service = Service(config, partial(apply, talk.hub), node=talk.hub, app=app, queue=queue)
    ready(talk)
    talk.hub.end_all(Cause.SHUTDOWN)
    start = trio.current_time()
    await service.finish(3.0)
    assert trio.current_time() - start == 3.0
    assert len(queue) == 1
    assert caplog.records[-1].levelno == logging.ERROR
    assert caplog.records[-1].message == "1 lifecycle events could not be delivered before the end"
