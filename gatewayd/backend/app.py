"""An application inside the daemon: functions for commands and for what becomes of sessions, on Trio.

    app = App()

    @app.command("utilbot", "whoami")
    async def whoami(session: Caller, data: Any) -> Any:
        return {"id": session.identity}

What a function returns is the reply's data; None replies nothing, and an `Answer` says everything there is to say.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import trio

from gatewayd.backend import errors
from gatewayd.backend.answer import Answer, checked
from gatewayd.backend.errors import BackendError
from gatewayd.backend.request import Caller, CommandRequest, Entry
from gatewayd.core.behaviour import Counts, Unpublishable
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.depth import TOO_DEEP, too_deep
from gatewayd.core.session import Session
from gatewayd.core.text import printable

OnCommand = Callable[[Caller, Any], Awaitable[Any]]
OnEntry = Callable[[Entry], Awaitable[None]]
C = TypeVar("C", bound=OnCommand)
E = TypeVar("E", bound=OnEntry)

log = logging.getLogger("gatewayd.backend")


class Node(Protocol):
    """What an application may do to the node; the hub is one."""

    @property
    def sessions(self) -> Mapping[str, Session]:
        """By id."""

    def post(
        self,
        channel: str,
        name: str,
        data: Any,
        *,
        realms: Collection[str] | None = None,
        besides: Session | None = None,
    ) -> Counts:
        """Publish."""

    def notify(self, user: str, data: Any, realms: Collection[str] | None = None) -> Counts:
        """Tell a user now or later."""

    def subscribe(self, session: Session, channel: str) -> None:
        """Let a session hear a channel."""

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Let it hear that channel no more."""

    def end(self, session: Session, verdict: Disconnect) -> None:
        """End a session."""


class App:
    """One application. Its functions are registered with decorators, before the daemon serves."""

    def __init__(self) -> None:
        self.commands: dict[tuple[str, str | int], OnCommand] = {}
        self.told: dict[str, OnEntry] = {}
        self._node: Node | None = None

    def bind(self, node: Node) -> None:
        """The daemon gives the application its node."""
        self._node = node

    # --- what the application says of itself ----------------------------------------------------------------

    def command(self, protocol: str, name: str | int) -> Callable[[C], C]:
        """Answer a command of a protocol by its name."""

        def register(function: C) -> C:
            if (protocol, name) in self.commands:
                raise ValueError(f"{protocol} has a function for {name!r} already")
            self.commands[protocol, name] = function
            return function

        return register

    def on_opened(self, function: E) -> E:
        """Be told of a session that has identified."""
        return self._on("opened", function)

    def on_detached(self, function: E) -> E:
        """Be told of a session that has lost its client, and waits for the next."""
        return self._on("detached", function)

    def on_resumed(self, function: E) -> E:
        """Be told of a session that a client has taken up again."""
        return self._on("resumed", function)

    def on_ended(self, function: E) -> E:
        """Be told of a session that is over."""
        return self._on("ended", function)

    def _on(self, kind: str, function: E) -> E:
        if kind in self.told:
            raise ValueError(f"there is a function for {kind} already")
        self.told[kind] = function
        return function

    # --- what it may do -------------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """The node, once the daemon has started."""
        if self._node is None:
            raise RuntimeError("this App is not served by a daemon yet")
        return self._node

    async def publish(
        self, channel: str, event: str, data: Any, *, besides: str | None = None, realm: str | None = None
    ) -> Counts:
        """Publish an event; `besides` is the id of a session that is left out.

        Without `realm` it goes to every realm where it is heard. Raises `Unpublishable`, `NoSuchRealm`, and
        `SeveralRealms` where nobody hears it and more than one realm could keep it.
        """
        await trio.lowlevel.checkpoint()
        _check_depth(data)
        left_out = self.node.sessions.get(besides or "")
        return self.node.post(channel, event, data, realms=_names(realm), besides=left_out)

    async def notify(self, user: str, data: Any, *, realm: str | None = None) -> Counts:
        """Tell a user now, or keep it until one of its clients comes.

        Without `realm` it is the one realm that has notifications. Raises `Unpublishable`, `NoSuchRealm`,
        `SeveralRealms`.
        """
        await trio.lowlevel.checkpoint()
        _check_depth(data)
        return self.node.notify(user, data, _names(realm))

    async def subscribe(self, session: str, channel: str) -> bool:
        """Let a session hear a channel; False where there is no such session."""
        return await self._to(session, lambda found: self.node.subscribe(found, channel))

    async def unsubscribe(self, session: str, channel: str) -> bool:
        """Let it hear that channel no more; False where there is no such session."""
        return await self._to(session, lambda found: self.node.unsubscribe(found, channel))

    async def disconnect(self, session: str, reason: str = "") -> bool:
        """End a session and its client; False where there is no such session."""
        verdict = Disconnect(Cause.KICKED, printable(reason, 120))
        return await self._to(session, lambda found: self.node.end(found, verdict))

    async def _to(self, session: str, act: Callable[[Session], None]) -> bool:
        await trio.lowlevel.checkpoint()
        found = self.node.sessions.get(session)
        if found is not None:
            act(found)
        return found is not None

    def session(self, session: str) -> Caller | None:
        """A session as it is now."""
        found = self.node.sessions.get(session)
        return None if found is None else Caller.of(found)


def _names(realm: str | None) -> tuple[str, ...] | None:
    return None if realm is None else (realm,)


class AppBackend:
    """An `App` as the backend of the node; `timeout` in seconds is for one call of one of its functions."""

    kind = "handlers"

    def __init__(self, app: App, *, timeout: float) -> None:
        self._app = app
        self._timeout = timeout

    async def ask(self, asked: CommandRequest) -> Answer:
        """The answer to a command. Raises `BackendError`."""
        function = self._app.commands.get((asked.session.protocol, asked.command))
        if function is None:
            return Answer(unknown=True)
        made = await self._call(function, (asked.session, asked.data), asked.session.id)
        return checked(made if isinstance(made, Answer) else Answer() if made is None else Answer(reply=made))

    async def tell(self, entries: Sequence[Entry]) -> None:
        """Call the functions for each entry in turn; the one that fails is called again later."""
        for taken, entry in enumerate(entries):
            function = self._app.told.get(entry.kind)
            if function is None:
                continue
            try:
                await self._call(function, (entry,), entry.session)
            except BackendError as error:
                raise BackendError(error.slug, error.detail, taken=taken) from None

    async def _call(self, function: Callable[..., Awaitable[Any]], args: tuple[object, ...], session: str) -> Any:
        done, made = False, None
        try:
            with trio.move_on_after(self._timeout):
                made = await function(*args)
                done = True
        except* Exception as group:  # whatever it raises is the application's: it must not reach a client's task
            name = getattr(function, "__qualname__", repr(function))
            log.exception("handler %s failed for session %s", name, session, exc_info=group)
            raise BackendError(errors.HANDLER, f"{name} raised") from None
        if not done:
            raise BackendError(errors.TIMEOUT, f"no answer in {self._timeout:g} s")
        return made


def _check_depth(data: Any) -> None:
    if too_deep(msgspec.json.encode(data)):
        raise Unpublishable(TOO_DEEP)


def load(name: str) -> App:
    """The `App` that "package.module:app" names. Raises `ImportError` with one sentence.

    What is in the working directory can be imported, behind all that is installed.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as exc:
        raise ImportError(f"cannot import {module_name}: {type(exc).__name__}: {exc}") from exc
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        what = "nothing" if app is None else type(app).__name__
        text = f"{module_name}.{attribute} is {what}, not a gatewayd.backend.App"
        raise ImportError(text)  # noqa: TRY004 - one kind of error for all that can be wrong with the name
    return app
