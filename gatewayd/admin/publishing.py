"""Publishing over the admin API: one event, a list or NDJSON, each with an answer of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio
from attrs import define, field
from starlette.requests import Request
from starlette.responses import Response

from gatewayd.admin import views
from gatewayd.admin.http import ApiError, answer, body_of, fields, parse
from gatewayd.admin.node import NodeView, kept, lasting, marked
from gatewayd.admin.waiting import Wait, arrived, reached, too_many, watching
from gatewayd.core.behaviour import EventTooBig, Unpublishable
from gatewayd.hub.following import Followed, Goal, Watch

TEXT, ANYTHING = (str,), ()
EVENT = {"channel": TEXT, "event": TEXT, "data": ANYTHING, "id": TEXT, "except": TEXT}
LONGEST_NAME = 512


@define(eq=False)
class Answers:
    """What is answered to one request, and where the counts of those that are waited for belong."""

    watch: Watch | None
    items: list[dict[str, Any]] = field(factory=list)
    followed: list[tuple[str | None, dict[str, Any], Followed]] = field(factory=list)
    """With the publisher's id, where there is one."""


class Publishing:
    """The endpoints that say something to sessions."""

    def __init__(self, node: NodeView) -> None:
        self.node = node
        self.hub = node.hub

    async def publish(self, request: Request) -> Response:
        """One event, a list, or NDJSON; a list is answered by a list in the same order."""
        wait = Wait.of(request)
        body = await body_of(request)
        with watching(self.hub.following, wait) as watch:
            answers = Answers(watch)
            whole = await self._publish_body(request, body, answers)
            said = answers.items if whole else answers.items[0]
            durable = await lasting(self.node)
            if wait is not None and watch is not None:
                await arrived(request, watch, wait.timeout)
                self._add_progress(answers)
            return answer(marked(said, durable=durable))

    async def _publish_body(self, request: Request, body: bytes, answers: Answers) -> bool:
        """Publish all of it; whether it was a list."""
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/x-ndjson":
            await self._publish_all(body.split(b"\n"), answers)
            return True
        value = parse(body)
        if isinstance(value, list):
            await self._publish_all(value, answers)
            return True
        answers.items.append(self._publish(value, answers))
        return False

    async def _publish_all(self, items: Iterable[Any], answers: Answers) -> None:
        """Each item for itself: a bad one has its error in its place, and the others are published."""
        for index, item in enumerate(items):
            if isinstance(item, bytes) and not item.strip():
                continue
            try:
                answers.items.append(self._publish(parse(item) if isinstance(item, bytes) else item, answers))
            except ApiError as error:
                self.node.refused[error.code] += 1
                answers.items.append(error.body)
            if index % 50 == 49:
                await trio.lowlevel.checkpoint()

    def _publish(self, value: Any, answers: Answers) -> dict[str, Any]:
        item = fields(value, EVENT, ("channel", "event"))
        channel, name, key = item["channel"], item["event"], item.get("id")
        for text in (channel, name):
            if not text or len(text) > LONGEST_NAME or not text.isprintable():
                raise ApiError(400, "bad_request", f"a name has 1 to {LONGEST_NAME} printable characters")
        now, watch = self.hub.clock(), answers.watch
        known = self.node.remembered.get(key, now) if key is not None else None
        if known is not None:
            return _known(known, watch)
        if watch is not None and self.hub.following.full:
            raise too_many()
        besides = self.hub.sessions.get(item.get("except", ""))
        try:
            counts = views.counts(self.hub.post(channel, name, item.get("data", {}), besides=besides, watch=watch))
        except EventTooBig as exc:
            raise ApiError(413, "event_too_big", str(exc), limit=exc.limit) from None
        except Unpublishable as exc:
            raise ApiError(400, "unpublishable", str(exc)) from None
        if key is not None:
            self.node.remembered.put(key, counts, now)
        if watch is not None:
            answers.followed.append((key, counts, watch.followed[-1]))
        return counts

    def _add_progress(self, answers: Answers) -> None:
        """Say how far the events have got, now and to whoever sends the same id again."""
        for key, counts, followed in answers.followed:
            counts |= reached(followed)
            if key is not None:
                self.node.remembered.put(key, counts, self.hub.clock())

    async def notify(self, request: Request) -> Response:
        """Tell a user now, or keep it until one of its clients comes."""
        item = fields(parse(await body_of(request)), {"user": TEXT, "data": ANYTHING}, ("user", "data"))
        return await kept(self.node, views.counts(self.hub.notify(item["user"], item["data"])))


def _known(counts: dict[str, Any], watch: Watch | None) -> dict[str, Any]:
    """The answer that was given to this id; what was not waited for then is not known now."""
    unknown: dict[str, Any] = {}
    if watch is not None:
        unknown = {"written": None} | ({"acknowledged": None} if watch.goal is Goal.ACKNOWLEDGED else {})
    return unknown | counts
