"""Publishing over the admin API: one event, a list or NDJSON, with an answer for each event.

Law: a long request runs in time slices, decoded and encoded event by event, so that clients are served in between.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import msgspec
import trio
from attrs import define, field
from starlette.requests import Request
from starlette.responses import Response

from gatewayd.admin import views
from gatewayd.admin.http import ApiError, answered, body_of, fields, header, json_of, parse
from gatewayd.admin.node import NodeView, answer_durably, marked_durable, wait_until_durable
from gatewayd.admin.reach import Reach, several
from gatewayd.admin.waits import Wait, arrived, reached, too_many, watching
from gatewayd.core.behaviour import EventTooBig, Unpublishable
from gatewayd.core.events import LONGEST_NAME
from gatewayd.core.ports import SeveralRealms
from gatewayd.hub.progress import Followed, Goal, Watch

TEXT, ANYTHING = (str,), ()
EVENT = {"channel": TEXT, "event": TEXT, "data": ANYTHING, "id": TEXT, "realm": TEXT, "except": TEXT}
_LIST = re.compile(rb"\s*+\[")


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

    async def checkpoint(self) -> None:
        """Await this between two steps: it yields to other tasks when the slice is used up."""
        if time.perf_counter() - self.began >= self.slices.share:
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
                items = _items(request, body, limits.events)
        else:
            items = _items(request, body, limits.events)
        reach = Reach.of(request, self.hub)
        if items is None and wait is None:
            return await answer_durably(self.node, self._publish(parse(body, limits.nested), Answers(reach, None)))
        with watching(self.hub.progress, wait, reach.limit) as watch:
            answers = Answers(reach, watch)
            if items is None:
                answers.items.append(self._publish(parse(body, limits.nested), answers))
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
        nested = self.limits.nested
        for item in items:
            self.node.hold()  # in each tick anew: without it every event to many clients would be a write of its own
            try:
                answers.items.append(self._publish(parse(item, nested), answers))
            except ApiError as error:
                self.node.refused[error.code] += 1
                answers.items.append(msgspec.Raw(msgspec.json.encode(error.body)))
            await time_slice.checkpoint()

    def _publish(self, value: Any, answers: Answers) -> dict[str, Any]:
        item = fields(value, EVENT, ("channel", "event"))
        channel, name, key = item["channel"], item["event"], item.get("id")
        for text in (channel, name):
            if not text or len(text) > LONGEST_NAME or not text.isprintable():
                raise ApiError(400, "bad_request", f"a name has 1 to {LONGEST_NAME} printable characters")
        longest = self.limits.publish_id_bytes
        if key is not None and len(key.encode()) > longest:
            raise ApiError(400, "bad_request", f"an id has at most {longest} bytes")
        now, watch, reach, realm = self.hub.clock(), answers.watch, answers.reach, item.get("realm")
        realms = reach.named(realm)
        scope = reach.scope(realm)
        known = None if key is None else self.node.remembered.get(key, now, scope)
        if known is not None:
            return _known(known, watch)
        if watch is not None and self.hub.progress.full(reach.limit):
            raise too_many()
        besides = reach.find(item.get("except", ""))
        try:
            posted = self.hub.post(channel, name, item.get("data", {}), realms=realms, besides=besides, watch=watch)
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
            await time_slice.checkpoint()
        return b"[" + b",".join(parts) + b"]"

    async def _add_progress(self, answers: Answers, time_slice: TimeSlice) -> None:
        """Add how far the events have got, to the answers and to what is remembered of them."""
        for key, scope, counts, followed in answers.followed:
            counts |= reached(followed)
            if key is not None:
                self.node.remembered.put(key, counts, self.hub.clock(), scope)
            await time_slice.checkpoint()

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


def _items(request: Request, body: bytes, most: int) -> Iterator[bytes | msgspec.Raw] | None:
    """The events of a list or of NDJSON, not decoded yet; None if the body is one event."""
    if header(request, b"content-type").partition(";")[0].strip() == "application/x-ndjson":
        _bound(body.count(b"\n"), most)
        return _lines(body)
    if not _LIST.match(body):
        return None
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise ApiError(400, "bad_json", f"not JSON: {exc}") from None
    _bound(len(items), most)
    return iter(items)


def _bound(count: int, most: int) -> None:
    if count > most:
        raise ApiError(413, "too_large", f"a body may have {most} events", limit=most)


def _lines(body: bytes) -> Iterator[bytes]:
    """The lines that are not blank, one by one: a list of them could take many times the memory of the body."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        if line := body[start:end].strip():
            yield line
        start = end + 1
