"""An application inside the daemon: what it registers, what it is asked and told, and what its mistakes become."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from gatewayd.backend import Answer, App, Caller, Entry, Said
from gatewayd.backend.app import AppBackend, load
from gatewayd.backend.errors import BackendError
from gatewayd.core.behaviour import Counts, Unpublishable
from gatewayd.core.close import Cause
from gatewayd.core.ports import NoSuchRealm, SeveralRealms
from gatewayd.protocols import rooms, utilbot
from tests.backend.test_http import asked
from tests.backend.test_lifecycle import entry
from tests.hub.test_hub import book, numbers, ready
from tests.playbook import Playbook


async def test_a_command_is_answered_by_the_function_of_its_name() -> None:
    app = App()
    backend = AppBackend(app, timeout=5)

    @app.command("utilbot", "double")
    async def double(session: Caller, data: Any) -> Any:
        return {"who": session.identity, "twice": data * 2}

    @app.command("utilbot", "quiet")
    async def quiet(session: Caller, data: Any) -> None:
        await trio.lowlevel.checkpoint()

    @app.command("utilbot", 7)
    async def everything(session: Caller, data: Any) -> Answer:
        return Answer(reply=None, events=(Said(channel="c", event="E"),), disconnect="bye")

    assert await backend.ask(asked("double", 4)) == Answer(reply={"who": "a", "twice": 8})
    assert await backend.ask(asked("quiet")) == Answer()
    assert await backend.ask(asked(7)) == Answer(
        reply=None, events=(Said(channel="c", event="E", data={}),), disconnect="bye"
    )
    assert (await backend.ask(asked("other"))).unknown
    with pytest.raises(ValueError, match="utilbot has a function for 'double' already"):
        app.command("utilbot", "double")(double)


async def test_what_a_function_raises_is_logged_once_and_becomes_an_error(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    app = App()
    backend = AppBackend(app, timeout=5)

    @app.command("utilbot", "bad")
    async def bad(session: Caller, data: Any) -> None:
        raise ValueError("oops")

    @app.command("utilbot", "group")
    async def group(session: Caller, data: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            raise KeyError("oops")

    @app.command("utilbot", "odd")
    async def odd(session: Caller, data: Any) -> Any:
        return object()

    @app.command("utilbot", "slow")
    async def slow(session: Caller, data: Any) -> None:
        await trio.sleep(5.1)

    for name in ("bad", "group"):
        caplog.clear()
        with pytest.raises(BackendError) as caught:
            await backend.ask(asked(name))
        assert caught.value.slug == "handler"
        (record,) = caplog.records
        assert record.message.endswith(f"<locals>.{name} failed for session s1")
        assert "oops" in caplog.text
    with pytest.raises(BackendError, match="invalid: the answer has no form in JSON"):
        await backend.ask(asked("odd"))
    with pytest.raises(BackendError, match="timeout"):
        await backend.ask(asked("slow"))


async def test_what_becomes_of_sessions_is_told_in_order(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    backend = AppBackend(app, timeout=5)
    told: list[tuple[str, int]] = []
    fail = [True]

    async def note(item: Entry) -> None:
        told.append((item.kind, item.n))

    async def shy(item: Entry) -> None:
        if fail:
            fail.pop()
            raise ValueError("not now")
        await note(item)

    assert app.on_opened(note) is note
    app.on_detached(note)
    app.on_resumed(shy)
    app.on_ended(note)
    with pytest.raises(ValueError, match="there is a function for ended already"):
        app.on_ended(note)
    kinds = ("opened", "resumed", "detached", "ended")
    entries = [attrs.evolve(entry(n), kind=kind) for n, kind in enumerate(kinds, 1)]
    with pytest.raises(BackendError) as caught:
        await backend.tell(entries)
    assert (caught.value.slug, caught.value.taken) == ("handler", 1)
    await backend.tell(entries[1:])
    assert told == [("opened", 1), ("resumed", 2), ("detached", 3), ("ended", 4)]
    await AppBackend(App(), timeout=5).tell(entries)  # nobody listens: all are taken


async def test_an_application_may_name_a_realm() -> None:
    talk, app = book(), App()
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other", realm="other")
    app.bind(talk.hub)
    one, two = ready(talk), ready(other)
    assert await app.publish("user:a", "E", 1) == Counts(delivered=2)
    assert await app.publish("user:a", "E", 2, realm="other") == Counts(delivered=1)
    assert (numbers(one), numbers(two)) == ([1], [1, 2])
    with pytest.raises(SeveralRealms):
        await app.notify("a", 3)
    assert await app.notify("a", 3, realm="main") == Counts(delivered=1)
    with pytest.raises(NoSuchRealm):
        await app.publish("user:a", "E", 4, realm="nope")
    with pytest.raises(NoSuchRealm):  # a name that was meant to be filled in must not mean every realm
        await app.publish("user:a", "E", 4, realm="")
    caller = app.session(two.session.id)
    assert caller is not None
    assert caller.realm == "other"


async def test_an_application_acts_on_the_node() -> None:
    talk = book()
    Playbook(rooms.PROTOCOL, hub=talk.hub, listener="rooms")
    app = App()
    with pytest.raises(RuntimeError, match="not served by a daemon yet"):
        await app.publish("user:a", "E", 1)
    app.bind(talk.hub)
    one, two = ready(talk, "a"), ready(talk, "b")
    assert await app.publish("service:bot", "E", 1, besides=two.session.id) == Counts(delivered=1)
    assert await app.publish("service:bot", "E", 2, besides="gone") == Counts(delivered=2)
    assert (numbers(one), numbers(two)) == ([1, 2], [2])
    with pytest.raises(Unpublishable):
        await app.publish("room:1", "nonsense", {})
    assert await app.notify("nobody", 1) == Counts(buffered=1)
    deep: Any = 1
    for _ in range(101):
        deep = [deep]
    assert await app.publish("user:a", "E", deep[0]) == Counts(delivered=1)
    for refused in (app.publish("user:a", "E", deep), app.notify("nobody", deep)):
        with pytest.raises(Unpublishable, match="deeper than 100 levels"):
            await refused
    session = one.session.id
    assert await app.subscribe(session, "c")
    caller = app.session(session)
    assert caller is not None
    assert "c" in caller.channels
    assert await app.unsubscribe(session, "c")
    assert "c" not in one.session.channels
    assert await app.disconnect(session, "enough")
    assert one.closed == (4008, "enough")
    assert await app.disconnect(two.session.id)
    assert two.session.ended is not None
    assert (two.session.ended.cause, two.session.ended.reason) == (Cause.KICKED, "kicked")
    assert not await app.disconnect(session)
    assert not await app.subscribe(session, "c")
    assert not await app.unsubscribe(session, "c")
    assert app.session(session) is None


def test_handlers_are_loaded_by_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "handlers_of_mine.py").write_text(
        "from gatewayd.backend import App\napp = App()\nother = 5\nnone = None\n"
    )
    (tmp_path / "handlers_that_raise.py").write_text("1 / 0\n")
    (tmp_path / "handlers_that_exit.py").write_text("raise SystemExit('no')\n")
    assert isinstance(load("handlers_of_mine:app"), App)
    assert isinstance(load("handlers_of_mine:app"), App)
    assert sys.path.count(str(tmp_path)) == 1
    for name, words in {
        "handlers_of_mine:other": "handlers_of_mine.other is int, not a gatewayd.backend.App",
        "handlers_of_mine:none": "handlers_of_mine.none is nothing, not a gatewayd.backend.App",
        "handlers_of_mine:nobody": "handlers_of_mine.nobody is nothing, not a gatewayd.backend.App",
        "handlers_that_raise:app": "cannot import handlers_that_raise: ZeroDivisionError: division by zero",
        "handlers_that_exit:app": "cannot import handlers_that_exit: SystemExit: no",
        "no_such_handlers:app": "cannot import no_such_handlers: ModuleNotFoundError: No module named 'no_such_handlers'",
    }.items():
        with pytest.raises(ImportError) as caught:
            load(name)
        assert str(caught.value) == words
