"""A publisher that waits until its events have got somewhere, for a while, as long as it is there itself.

Law: nothing here looks twice; the hub says when the last of it has arrived, and the connection when it is gone.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import trio
from attrs import frozen
from starlette.requests import Request

from gatewayd.admin.http import ApiError
from gatewayd.config.limits import ApiLimits
from gatewayd.hub.progress import Followed, Goal, Progress, Watch

PARAMETERS = ("wait", "timeout")

_SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(ms|s)?")


@frozen
class Wait:
    """What a publisher waits for, and how long at the most, in seconds."""

    goal: Goal
    timeout: float

    @classmethod
    def of(cls, request: Request, limits: ApiLimits) -> Wait | None:
        """Read it from the query; None where nobody waits."""
        if not request.scope["query_string"]:
            return None
        query = request.query_params
        for name in query:
            if name not in PARAMETERS:
                text = f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}"
                raise ApiError(400, "bad_request", text)
        if "wait" not in query:
            if "timeout" in query:
                raise ApiError(400, "bad_request", "timeout needs wait=written or wait=acknowledged")
            return None
        if query["wait"] not in set(Goal):
            raise ApiError(400, "bad_request", f"wait must be {' or '.join(Goal)}, not {query['wait']!r}")
        timeout = limits.wait_seconds
        if "timeout" in query:
            timeout = _seconds(query["timeout"], limits.longest_wait_seconds)
        return cls(Goal(query["wait"]), timeout)


def _seconds(text: str, longest: float) -> float:
    found = _SECONDS.fullmatch(text)
    seconds = float(found[1]) * (0.001 if found[2] == "ms" else 1.0) if found else longest + 1
    if seconds > longest:
        raise ApiError(400, "bad_request", f"timeout is a time up to {longest:g}s, such as 2s or 500ms")
    return seconds


@contextmanager
def watching(progress: Progress, wait: Wait | None, tenant: Hashable) -> Iterator[Watch | None]:
    """A watch for one request. Too many of one tenant's at a time are refused before anything is published."""
    if wait is None:
        yield None
        return
    watch = progress.start(wait.goal, tenant)
    if watch is None:
        raise too_many()
    try:
        yield watch
    finally:
        progress.stop(watch)


def too_many() -> ApiError:
    """Refused: each of those who wait holds a connection and a list of sessions."""
    return ApiError(503, "too_many_waits", "too many publishers wait already; publish without wait, or try again")


async def arrived(request: Request, watch: Watch, timeout: float) -> None:
    """Wait until all that is watched has arrived, for so long, or until the publisher says nothing more."""
    soon = (
        trio.lowlevel.current_trio_token().run_sync_soon
    )  # we are told at the end of a tick, where nobody can be woken

    async def look_for_the_end() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + timeout
        nursery.start_soon(look_for_the_end)
        while watch.left:
            done = trio.Event()
            watch.done = partial(soon, done.set)
            await done.wait()
        nursery.cancel_scope.cancel()


def reached(followed: Followed) -> dict[str, Any]:
    """How far an event has got; `acknowledged` is null where nobody that has it could say so."""
    counts: dict[str, Any] = {"written": followed.written}
    if followed.watch.goal is Goal.ACKNOWLEDGED:
        counts["acknowledged"] = followed.acknowledged if followed.answerable or not followed.written else None
    return counts
