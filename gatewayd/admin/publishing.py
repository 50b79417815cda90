"""Publishing over the admin API: one event, a list or NDJSON, with an answer for each event.

Law: a long request runs in time slices, decoded and encoded event by event, so that clients are served in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import msgspec
import trio
from attrs import define, field
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from gatewayd.admin import views
from gatewayd.admin.events import ANYTHING, TEXT, Publication, event_of, items_of
from gatewayd.admin.http import ApiError, answered, body_of, fields, json_of
from gatewayd.admin.node import NodeView, answer_durably, marked_durable, wait_until_durable
from gatewayd.admin.reach import Reach, several
from gatewayd.admin.waits import Wait, arrived, reached, too_many, watching
from gatewayd.core.behaviour import EventTooBig, Unpublishable
from gatewayd.core.events import LONGEST_NAME
from gatewayd.core.ports import SeveralRealms
from gatewayd.hub.progress import Followed, Goal, Watch


@define(eq=False)
class Answers:
    """The answers of one request, and where the counts of events that are waited for belong."""

    reach: Reach
    watch: Watch | None
    items: list[dict[str, Any] | msgspec.Raw] = field(factory=list)
    """Counts, or an encoded error."""
    followed: list[tuple[str | None, str, dict[str, Any], Followed]] = field(factory=list)
    """With the publisher's id, if there is one, and its scope."""


@define(eq=False)
class TimeSlices:
    """The loop runs requests for `seconds` in all, then everything else for one tick.

    Measured by the machine's clock: the daemon's own clock stands still within a tick, and a slice is a part of one.
    """

    seconds: float
    requests: int = 0
    parsing: trio.Lock = field(factory=trio.Lock)
    """Held while a large body is split into events, which is one step: one such step in a tick."""

    @property
    def share(self) -> float:
        """Seconds for each of the requests that run."""
        return self.seconds / max(1, self.requests)


@define(eq=False)
class TimeSlice:
    """One request's time slice; the request counts as running within the block."""

    slices: TimeSlices
    began: float = field(factory=time.perf_counter)

    def __enter__(self) -> Self:
        self.slices.requests += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.slices.requests -= 1

    @property
    def over(self) -> bool:
        """Whether other tasks are due: look between two steps, and then await `give_way`."""
        return time.perf_counter() - self.began >= self.slices.share

    async def give_way(self) -> None:
        """Everything else runs for one tick."""
        await trio.lowlevel.checkpoint()
        self.began = time.perf_counter()


class Publishing:
    """The endpoints that send something to sessions."""

    def __init__(self, node: NodeView) -> None:
        self.node = node
        self.hub = node.hub
        self.limits = node.limits
        self.slices = TimeSlices(node.limits.slice_seconds)

    async def publish(self, request: Request) -> Response:
        """One event, a list, or NDJSON; a list is answered by a list in the same order."""
        limits = self.limits
        wait = Wait.of(request, limits)
        body = await body_of(request, limits.body_bytes)
        if len(body) > limits.large_body_bytes:
            async with self.slices.parsing:
                items = items_of(request, body, limits.events)
        else:
            items = items_of(request, body, limits.events)
        reach = Reach.of(request, self.hub)
        if items is None and wait is None:
            return await answer_durably(self.node, self._publish(event_of(body, limits.nested), Answers(reach, None)))
        with watching(self.hub.progress, wait, reach.limit) as watch:
            answers = Answers(reach, watch)
            if items is None:
                answers.items.append(self._publish(event_of(body, limits.nested), answers))
            else:
                with TimeSlice(self.slices) as time_slice:
                    await self._publish_all(items, answers, time_slice)
            durable = await wait_until_durable(self.node)
            if wait is not None and watch is not None:
                await arrived(request, watch, wait.timeout)
            with TimeSlice(self.slices) as time_slice:
                await self._add_progress(answers, time_slice)
                text = await self._encoded(answers.items, time_slice, durable=durable, whole=items is not None)
                return answered(text)

    async def _publish_all(self, items: Iterator[bytes | msgspec.Raw], answers: Answers, time_slice: TimeSlice) -> None:
        """Each event by itself: an invalid one is answered with its error, and the others are published."""
        nested, hold, told = self.limits.nested, self.node.hold, answers.items.append
        hold()  # else every event to many clients would be a write of its own
        for item in items:
            try:
                told(self._publish(event_of(item, nested), answers))
            except ApiError as error:
                self.node.refused[error.code] += 1
                told(msgspec.Raw(msgspec.json.encode(error.body)))
            if time_slice.over:
                await time_slice.give_way()
                hold()

    def _publish(self, item: Publication, answers: Answers) -> dict[str, Any]:
        channel, name, watch, reach = item.channel, item.event, answers.watch, answers.reach
        for text in (channel, name):
            if not text or len(text) > LONGEST_NAME or not text.isprintable():
                raise ApiError(400, "bad_request", f"a name has 1 to {LONGEST_NAME} printable characters")
        key = None if item.id is UNSET else item.id
        realm = None if item.realm is UNSET else item.realm
        longest = self.limits.publish_id_bytes
        if key is not None and len(key.encode()) > longest:
            raise ApiError(400, "bad_request", f"an id has at most {longest} bytes")
        realms = reach.named(realm)
        scope, now = "", 0.0
        if key is not None:
            scope, now = reach.scope(realm), self.hub.clock()
            known = self.node.remembered.get(key, now, scope)
            if known is not None:
                return _known(known, watch)
        if watch is not None and self.hub.progress.full(reach.limit):
            raise too_many()
        besides = reach.find(item.besides) if item.besides else None
        try:
            posted = self.hub.post(channel, name, item.data, realms=realms, besides=besides, watch=watch)
        except SeveralRealms as exc:
            raise several(exc) from None
        except EventTooBig as exc:
            raise ApiError(413, "event_too_big", str(exc), limit=exc.limit) from None
        except Unpublishable as exc:
            raise ApiError(400, "unpublishable", str(exc)) from None
        counts = views.counts(posted)
        if key is not None:
            self.node.remembered.put(key, counts, now, scope)
        if watch is not None:
            answers.followed.append((key, scope, counts, watch.followed[-1]))
        return counts

    async def _encoded(
        self, items: Sequence[dict[str, Any] | msgspec.Raw], time_slice: TimeSlice, *, durable: bool, whole: bool
    ) -> bytes:
        """One answer, or the list of them, as JSON."""
        if not whole:
            return msgspec.json.encode(marked_durable(items[0], durable=durable))
        parts, in_a_row = [], self.limits.rows_in_a_row
        for start in range(0, len(items), in_a_row):
            parts.append(msgspec.json.encode(marked_durable(items[start : start + in_a_row], durable=durable))[1:-1])
            if time_slice.over:
                await time_slice.give_way()
        return b"[" + b",".join(parts) + b"]"

    async def _add_progress(self, answers: Answers, time_slice: TimeSlice) -> None:
        """Add how far the events have got, to the answers and to what is remembered of them."""
        for key, scope, counts, followed in answers.followed:
            counts |= reached(followed)
            if key is not None:
                self.node.remembered.put(key, counts, self.hub.clock(), scope)
            if time_slice.over:
                await time_slice.give_way()

    async def notify(self, request: Request) -> Response:
        """Notify a user now, or keep the notification until one of its clients connects."""
        known = {"user": TEXT, "data": ANYTHING, "realm": TEXT}
        item = fields(await json_of(request, self.limits), known, ("user", "data"))
        if len(f"user:{item['user']}") > LONGEST_NAME:
            raise ApiError(400, "bad_request", f"user: and its name have at most {LONGEST_NAME} characters")
        realms = Reach.of(request, self.hub).named(item.get("realm"))
        try:
            counts = self.hub.notify(item["user"], item["data"], realms)
        except SeveralRealms as exc:
            raise several(exc) from None
        return await answer_durably(self.node, views.counts(counts))


def _known(counts: dict[str, Any], watch: Watch | None) -> dict[str, Any]:
    """The remembered answer to this id; what was not waited for then is unknown."""
    unknown: dict[str, Any] = {}
    if watch is not None:
        unknown = {"written": None} | ({"acknowledged": None} if watch.goal is Goal.ACKNOWLEDGED else {})
    return unknown | counts
