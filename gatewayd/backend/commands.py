"""Commands on their way to the backend: bounded in number and time, counted, and done to their end.

Law 1: a client waits for its own command alone, and never longer than the timeout.
Law 2: a command that has been sent is seen through, even when its client goes: its events are for others too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import trio
from attrs import define, field

from gatewayd.backend import errors
from gatewayd.backend.answer import Answer
from gatewayd.backend.errors import BackendError
from gatewayd.backend.fair_limiter import FairLimiter
from gatewayd.backend.request import CommandRequest
from gatewayd.config.limits import BackendLimits
from gatewayd.core.close import Disconnect
from gatewayd.core.ports import BackendFailed, NoBackend
from gatewayd.core.sampled import Sampled
from gatewayd.core.text import printable

if TYPE_CHECKING:
    from gatewayd.core.connection import Connection
    from gatewayd.core.events import Command
    from gatewayd.core.session import Session

Reply = Callable[[Any], None]
Apply = Callable[["Session", Answer, Reply | None], int]

log = logging.getLogger("gatewayd.backend")


class Asks(Protocol):
    """Whoever answers commands."""

    async def ask(self, asked: CommandRequest) -> Answer:
        """The answer. Raises `BackendError`, or `NoBackend` where the command is not known."""


@define
class CommandTotals:
    """What has become of commands, in plain integers; `failed` by slug."""

    asked: int = 0
    answered: int = 0
    unknown: int = 0
    unpublishable: int = 0
    failed: Counter[str] = field(factory=Counter)


@define(eq=False)
class _Waiting:
    """One command at the backend. `reply` is taken away when its client stops waiting; `failure` when it is done."""

    session: Session
    client: Connection | None
    asked: CommandRequest
    reply: Reply | None
    failure: Exception | None
    done: trio.Event = field(factory=trio.Event)


class Commands:
    """Asks the backend, at most `max_concurrent` commands at a time; `apply` does what an answer says."""

    def __init__(
        self,
        backend: Asks,
        apply: Apply,
        *,
        timeout: float,
        max_concurrent: int,
        limits: BackendLimits = BackendLimits(),
    ) -> None:
        self.totals = CommandTotals()
        self.waiting = 0
        self._backend = backend
        self._apply = apply
        self._timeout = timeout
        self._slots = FairLimiter(max_concurrent)
        self._most = max_concurrent * limits.waiting
        self._nursery: trio.Nursery | None = None
        self._lines = Sampled(trio.current_time, period=limits.log_seconds)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold what is under way; cancelled, it all ends."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def ask(self, session: Session, command: Command, reply: Reply) -> None:
        """As `gatewayd.core.behaviour.Port.ask`. Raises `NoBackend`, `BackendFailed`, the client's `Disconnect`."""
        if self._nursery is None:
            raise _stopped()
        waiting = _Waiting(session, session.connection, CommandRequest.of(session, command), reply, _stopped())
        self.totals.asked += 1
        self._nursery.start_soon(self._see_through, waiting)
        try:
            await waiting.done.wait()
        finally:
            waiting.reply = None
        if waiting.failure is not None:
            raise waiting.failure

    async def _see_through(self, waiting: _Waiting) -> None:
        self.waiting += 1
        try:
            answer = await self._answer(waiting.asked)
            here = waiting.reply is not None and waiting.session.connection is waiting.client
            self.totals.unpublishable += self._apply(waiting.session, answer, waiting.reply if here else None)
            waiting.failure = None
        except* Exception as group:  # noqa: BLE001 - the client's own task raises it, and ends as that has to end
            waiting.failure = _only(group)
            self._note(waiting)
        finally:
            self.waiting -= 1
            waiting.done.set()

    async def _answer(self, asked: CommandRequest) -> Answer:
        """Raises `BackendError` and `NoBackend`, and whatever a bug of ours raises."""
        placed = False
        if self.waiting > self._most:
            raise BackendError(errors.BUSY, f"{self._most} commands wait already")
        with trio.move_on_after(self._timeout):
            async with self._slots.slot(asked.session.realm):
                placed = True
                answer = await self._backend.ask(asked)
            if answer.unknown:
                self.totals.unknown += 1
                raise NoBackend
            self.totals.answered += 1
            return answer
        if placed:
            raise BackendError(errors.TIMEOUT, f"no complete answer within {self._timeout:g} s")
        raise BackendError(errors.BUSY, f"no free place in {self._timeout:g} s; backend.max_concurrent are taken")

    def _note(self, waiting: _Waiting) -> None:
        failure = waiting.failure
        if not isinstance(failure, BackendFailed):
            if waiting.reply is None and not isinstance(failure, NoBackend | Disconnect):
                log.error("fault while answering session %s, which has gone", waiting.session.id, exc_info=failure)
            return
        self.totals.failed[failure.slug] += 1
        # As text: a line that is left out is remembered, and the error itself would keep the session alive.
        what = printable(str(waiting.asked.command), 64), waiting.session.id, str(failure)
        self._lines.log(log, logging.WARNING, "command %s of session %s: %s", *what, kind=failure.slug, first=1)


def _stopped() -> BackendError:
    return BackendError(errors.STOPPED, "the daemon is stopping")


def _only(group: BaseException) -> Exception:
    """The first exception of a group, however deep."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    assert isinstance(group, Exception)
    return group
