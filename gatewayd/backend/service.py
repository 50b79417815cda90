"""The backend of the node, whichever it is: started, asked, told, stopped, and shown in the status."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from gatewayd.backend.app import App, AppBackend, Node
from gatewayd.backend.commands import Apply, Commands, Reply
from gatewayd.backend.http import HttpBackend
from gatewayd.backend.lifecycle import Deliveries, Pace, Queue, deliver
from gatewayd.config.limits import BackendLimits
from gatewayd.core.ports import NoBackend

if TYPE_CHECKING:
    from gatewayd.config.backend import BackendConfig
    from gatewayd.core.events import Command
    from gatewayd.core.session import Session

log = logging.getLogger("gatewayd.backend")


async def no_backend(session: Session, command: Command, reply: Reply) -> None:
    """What a node without a backend answers."""
    raise NoBackend


class Service:
    """`ask` is for the listeners' ports; `queue` holds the lifecycle events that wait for the backend."""

    def __init__(
        self,
        config: BackendConfig,
        apply: Apply,
        *,
        node: Node,
        queue: Queue,
        app: App | None = None,
        limits: BackendLimits = BackendLimits(),
    ) -> None:
        self.queue = queue
        self.deliveries = Deliveries()
        self._pace = Pace(
            batch=config.lifecycle_batch,
            rate=config.lifecycle_rate,
            retry_min=config.retry_min,
            retry_max=config.retry_max,
        )
        self._http: HttpBackend | None = None
        self._backend: AppBackend | HttpBackend
        if app is not None:
            app.bind(node)
            self._backend = AppBackend(app, timeout=config.timeout)
        else:
            self._backend = self._http = HttpBackend(
                config.url or "",
                None if config.secret is None else config.secret.reveal(),
                timeout=config.timeout,
                connections=config.max_concurrent + 1,
                max_answer_bytes=config.max_answer_bytes,
            )
        self.commands = Commands(
            self._backend, apply, timeout=config.timeout, max_concurrent=config.max_concurrent, limits=limits
        )

    async def ask(self, session: Session, command: Command, reply: Reply) -> None:
        """As `gatewayd.core.behaviour.Port.ask`."""
        await self.commands.ask(session, command, reply)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer and deliver until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.commands.run)
            nursery.start_soon(deliver, self.queue, self._backend, self._pace, self.deliveries)
            task_status.started()

    async def finish(self, seconds: float, *, journaled: bool = False) -> None:
        """Deliver what still waits, for so long at most, after `run` was cancelled. What is `journaled` can wait."""
        with trio.move_on_after(seconds):
            await deliver(self.queue, self._backend, self._pace, self.deliveries, until_empty=True)
        if len(self.queue) and not journaled:
            log.error("%d lifecycle events could not be delivered before the end", len(self.queue))

    async def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            await self._http.aclose()

    def status(self) -> dict[str, Any]:
        """What `/v1/status` shows."""
        totals = self.commands.totals
        return {
            "kind": self._backend.kind,
            "asked": totals.asked,
            "answered": totals.answered,
            "unknown": totals.unknown,
            "waiting": self.commands.waiting,
            "failed": totals.failed,
            "unpublishable": totals.unpublishable,
            "lifecycle": {
                "waiting": len(self.queue),
                "sent": self.deliveries.sent,
                "failures": self.deliveries.failed,
                "dropped": self.queue.dropped,
            },
        }
