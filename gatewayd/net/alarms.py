"""Deadlines of the node's clients: one task sleeps for all of them.

A cancel scope of Trio's for each would take as much memory as all that a client's deadline task has besides it.

Law: an alarm that goes off wakes a task, or cancels its scope; it waits for nothing, and raises nothing.
"""

from __future__ import annotations

import trio

from gatewayd.hub.timers import Due, Timers


class Alarms(Timers):
    """One heap for the node. Keep `run` running."""

    async def run(self) -> None:
        """Let them go off when they are due, until cancelled."""
        while True:
            now = trio.current_time()
            while (call := self.pop_due(now)) is not None:
                call()
            woken = trio.Event()
            with trio.move_on_at(self.when_earlier(woken.set)):
                await woken.wait()


class Alarm:
    """What one task sleeps by. `stop` ends that, and any later sleep: the task can end without being cancelled."""

    __slots__ = ("_alarms", "_due", "_task", "stopped")

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._due: Due | None = None
        self._task: trio.lowlevel.Task | None = None
        self.stopped = False

    async def sleep_until(self, when: float) -> None:
        """Sleep until then, or until it is stopped."""
        if self.stopped:
            await trio.lowlevel.checkpoint()
            return
        self._task = trio.lowlevel.current_task()
        self._due = self._alarms.at(when, self._wake)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _wake(self) -> None:
        task, self._task, self._due = self._task, None, None
        assert task is not None
        trio.lowlevel.reschedule(task)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        assert self._due is not None
        self._due.cancel()
        self._task = self._due = None
        return trio.lowlevel.Abort.SUCCEEDED

    def stop(self) -> None:
        """Wake the task now, and let it sleep no more. Safe to call twice."""
        self.stopped = True
        if self._due is not None:
            self._due.cancel()
            self._wake()
