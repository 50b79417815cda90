"""Commands under way: in number, in time, beside clients that go, and past failures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gatewayd.backend.answer import Answer, Said
from gatewayd.backend.commands import Commands
from gatewayd.backend.errors import BackendError
from gatewayd.backend.request import CommandRequest
from gatewayd.config.limits import BackendLimits
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.events import Command
from gatewayd.core.ports import NO_REPLY, NoBackend
from gatewayd.core.session import Session
from gatewayd.hub.effects import apply
from tests.hub.test_hub import book, numbers, ready
from tests.playbook import Playbook


class Fake:
    """Answers after `seconds` of the data with what the data says, or raises it."""

    def __init__(self) -> None:
        self.busy = self.most = 0

    async def ask(self, asked: CommandRequest) -> Answer:
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await trio.sleep(asked.data.get("seconds", 0))
        finally:
            self.busy -= 1
        made = asked.data["answer"]
        if isinstance(made, Exception):
            raise made
        assert isinstance(made, Answer)
        return made


class Desk:
    """Commands over a fake backend, and a hub of one listener."""

    def __init__(self, nursery: trio.Nursery, talk: Playbook, **more: Any) -> None:
        self.talk = talk
        self.backend = Fake()
        self.apply: Callable[..., int] = lambda *args: apply(talk.hub, *args)
        limits = {"timeout": 5.0, "max_concurrent": 2, **more}
        self.commands = Commands(self.backend, lambda *args: self.apply(*args), **limits)
        self.replies: list[Any] = []
        self.nursery = nursery

    async def ask(self, session: Session, answer: Any, seconds: float = 0.0) -> None:
        await self.commands.ask(
            session, Command(1, "name", {"answer": answer, "seconds": seconds}), self.replies.append
        )


async def desk(nursery: trio.Nursery, **more: Any) -> Desk:
    made = Desk(nursery, book(), **more)
    await nursery.start(made.commands.run)
    return made


async def test_an_answer_is_done_and_counted(nursery: trio.Nursery) -> None:
    here = await desk(nursery)
    person = ready(here.talk)
    await here.ask(person.session, Answer(reply=1, events=(Said(channel="user:a", event="E", data=2),)))
    await here.ask(person.session, Answer())
    assert here.replies == [1, NO_REPLY]
    assert numbers(person) == [2]
    totals = here.commands.totals
    assert (totals.asked, totals.answered, here.commands.waiting) == (2, 2, 0)


async def test_what_the_backend_does_not_know_is_as_without_one(nursery: trio.Nursery) -> None:
    here = await desk(nursery)
    with pytest.raises(NoBackend):
        await here.ask(ready(here.talk).session, Answer(unknown=True))
    assert here.commands.totals.unknown == 1
    assert not here.commands.totals.failed


async def test_a_late_answer_is_a_timeout_and_only_so_many_are_asked_at_a_time(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    here = await desk(nursery)
    person = ready(here.talk)
    failed: list[tuple[float, str, str]] = []

    async def ask(seconds: float) -> None:
        try:
            await here.ask(person.session, Answer(reply=seconds), seconds)
        except BackendError as error:
            failed.append((trio.current_time(), error.slug, error.words))

    start = trio.current_time()
    async with trio.open_nursery() as asking:
        for seconds in (4, 7, 3, 9, 9):
            asking.start_soon(ask, seconds)
            await wait_all_tasks_blocked()
        assert here.commands.waiting == 5
    assert here.replies == [4]
    assert [at - start for at, *_ in failed] == [5.0] * 4  # waiting for a place is part of it
    assert sorted(slug for _, slug, _ in failed) == ["busy", "busy", "timeout", "timeout"]
    assert {words for _, _, words in failed} == {"the backend did not answer in time", "the backend is busy"}
    assert here.backend.most == 2
    assert here.commands.totals.failed == {"timeout": 2, "busy": 2}
    assert here.commands.waiting == 0


async def test_a_command_is_seen_through_when_its_client_goes(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    here = await desk(nursery)
    person, other = ready(here.talk), ready(here.talk, "b")
    session = person.session
    answer = Answer(reply=1, subscribe=("c",), events=(Said(channel="user:b", event="E", data=2),))
    with trio.move_on_after(1):
        await here.ask(session, answer, 3)
    person.leave()
    assert session.state == "detached"
    await trio.sleep(3)
    assert here.replies == []
    assert numbers(other) == [2]
    assert here.talk.realm.subscribers("c") == [session]


async def test_the_reply_is_not_for_the_next_client_of_the_session(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    here = await desk(nursery)
    person = ready(here.talk)
    session = person.session
    nursery.start_soon(here.ask, session, Answer(reply=1), 3)
    await trio.sleep(1)
    person.leave()
    assert ready(here.talk).session is session
    await trio.sleep(3)
    assert here.replies == []
    assert here.commands.totals.answered == 1


async def test_what_is_raised_while_the_answer_is_done_ends_its_client(nursery: trio.Nursery) -> None:
    here = await desk(nursery)
    session = ready(here.talk).session
    for trouble in (Disconnect(Cause.SLOW_CONSUMER), ValueError("ours")):

        def fail(*args: object, trouble: Exception = trouble) -> int:
            raise trouble

        here.apply = fail
        with pytest.raises(type(trouble)):
            await here.ask(session, Answer())
    assert not here.commands.totals.failed


async def test_a_fault_of_ours_is_seen_though_the_client_has_gone(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    here = await desk(nursery)
    session = ready(here.talk).session
    for answer in (ValueError("ours"), Answer(unknown=True)):
        with trio.move_on_after(1):
            await here.ask(session, answer, 3)
    await trio.sleep(9)
    assert [record.message for record in caplog.records] == [
        f"fault while answering session {session.id}, which has gone"
    ]
    assert "ValueError: ours" in caplog.text


async def test_a_repeated_failure_is_logged_once_in_five_seconds(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    here = await desk(nursery)
    session = ready(here.talk).session
    for pause in (0, 0, 5, 0):
        await trio.sleep(pause)
        for slug in ("status", "invalid"):
            with pytest.raises(BackendError):
                await here.ask(session, BackendError(slug, "why"))
    first, again = (
        [f"command name of session {session.id}: {slug}: why{left_out}" for slug in ("status", "invalid")]
        for left_out in ("", " (the last of 1 such lines that were left out)")
    )
    assert caplog.messages == [*first, again[0], first[0], again[1], first[1]]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert here.commands.totals.failed == {"status": 4, "invalid": 4}


async def test_when_the_daemon_stops(autojump_clock: MockClock) -> None:
    here = Desk(None, book())  # type: ignore[arg-type]
    session = ready(here.talk).session
    with pytest.raises(BackendError, match="stopped"):
        await here.ask(session, Answer())
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            await nursery.start(here.commands.run)

            async def client() -> None:
                with pytest.raises(BackendError, match="stopped"):
                    await here.ask(session, Answer(), 100)

            clients.start_soon(client)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    with pytest.raises(BackendError, match="stopped"):
        await here.ask(session, Answer())
    assert here.replies == []


async def test_so_many_commands_may_wait_and_no_more(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Those of clients that have gone are seen through, so their number is no bound."""
    here = await desk(nursery, max_concurrent=1, limits=BackendLimits(waiting=2))
    person = ready(here.talk)
    slugs: list[str] = []

    async def ask() -> None:
        try:
            await here.ask(person.session, Answer(), 1.0)
        except BackendError as error:
            slugs.append(str(error))

    async with trio.open_nursery() as asking:
        for _ in range(4):
            asking.start_soon(ask)
        await wait_all_tasks_blocked()
        assert slugs == ["busy: 2 commands wait already"] * 2
    assert here.commands.totals.answered == 2
