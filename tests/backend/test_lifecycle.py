"""Lifecycle events: kept in order, delivered at least once, at a bounded rate, past a backend that fails."""

from __future__ import annotations

import functools
import itertools
import logging
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gatewayd.backend.errors import BackendError
from gatewayd.backend.lifecycle import Deliveries, MemoryQueue, Pace, Recorder, deliver
from gatewayd.backend.request import Entry
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.rate import Rate
from gatewayd.protocols import oxyl
from tests.backend.conftest import Backend
from tests.hub.test_hub import book, ready, ready_again
from tests.playbook import Playbook, waiting


def entry(n: int, session: str = "s", sequence: int = 1) -> Entry:
    return Entry(
        n=n, session=session, generation=1, sequence=sequence, kind="opened", cause="", at=0.0, listener="main",
        protocol="utilbot", identity="a",
    )  # fmt: skip


COMMAND = {
    "command": "ping", "raw": "!ping", "ids": {"message": "1", "author": "2", "channel": "3", "guild": "4", "shard": "0"},
}  # fmt: skip
KINDS = ("opened", "detached", "resumed", "ended")


def queue_of(count: int, limit: int = 100_000) -> MemoryQueue:
    queue = MemoryQueue(limit)
    for n in range(1, count + 1):
        queue.append(entry(n))
    return queue


class Fake:
    """Takes batches, and writes down when; `trouble` is raised first, one for each call; None is none."""

    def __init__(self, trouble: Iterable[Exception | None] = ()) -> None:
        self.calls: list[tuple[float, list[int]]] = []
        self.trouble = list(trouble)
        self.start = trio.current_time()

    async def tell(self, entries: Sequence[Entry]) -> None:
        await trio.lowlevel.checkpoint()
        self.calls.append((round(trio.current_time() - self.start, 6), [item.n for item in entries]))
        if self.trouble and (trouble := self.trouble.pop(0)) is not None:
            raise trouble


async def run(queue: MemoryQueue, backend: Any, pace: Pace | None = None, chance: float = 1.0) -> Deliveries:
    totals = Deliveries()
    await deliver(queue, backend, pace or Pace(), totals, until_empty=True, chance=lambda: chance)
    return totals


# --- the queue ----------------------------------------------------------------------------------------------


def test_a_queue_keeps_what_is_not_done() -> None:
    queue = queue_of(3)
    assert [item.n for item in queue.peek(2)] == [1, 2]
    assert [item.n for item in queue.peek(9)] == [1, 2, 3]
    queue.done(2)
    assert [item.n for item in queue.peek(9)] == [3]
    queue.done(9)
    queue.done(9)
    assert (len(queue), queue.peek(1), queue.dropped) == (0, [], 0)


def test_the_realm_with_the_most_gives_way() -> None:
    queue = MemoryQueue(4)
    quiet = {1, 5}
    for n in range(1, 10):
        queue.append(attrs.evolve(entry(n), realm="prod" if n in quiet else "staging"))
    assert [item.n for item in queue.peek(9)] == [1, 5, 8, 9]
    assert queue.dropped == 5
    queue.done(5)
    assert [item.n for item in queue.peek(1)] == [8]
    queue.done(9)
    assert (len(queue), queue.peek(9)) == (0, [])


def test_a_full_queue_lets_the_oldest_go_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    queue = queue_of(12, limit=3)
    assert [item.n for item in queue.peek(9)] == [10, 11, 12]
    assert queue.dropped == 9
    assert [record.message for record in caplog.records] == [
        f"more than 3 lifecycle events wait: {count} were dropped" for count in (1, 2, 3, 5, 9)
    ]


# --- from the hub -------------------------------------------------------------------------------------------


def test_an_entry_says_all_of_it() -> None:
    queue = MemoryQueue(10)
    queue.last = 7
    talk = book(observers=[Recorder(queue, KINDS, wall=lambda: 12.5)])
    person = ready(talk)
    session = person.session
    person.leave()
    ready_again(talk)
    session.metadata["later"] = 1
    talk.hub.end(session, Disconnect(Cause.KICKED))
    common = {"session": session.id, "at": 12.5, "listener": "main", "protocol": "utilbot", "realm": "main",
              "identity": "a", "lost": {}}  # fmt: skip
    assert [attrs.asdict(item) for item in queue.peek(9)] == [
        {**common, "n": 8, "generation": 1, "sequence": 1, "kind": "opened", "cause": "", "metadata": {"type": "bot"}},
        {**common, "n": 9, "generation": 1, "sequence": 2, "kind": "detached", "cause": "peer_gone", "metadata": {"type": "bot"}},
        {**common, "n": 10, "generation": 2, "sequence": 3, "kind": "resumed", "cause": "", "metadata": {"type": "bot"}},
        {**common, "n": 11, "generation": 2, "sequence": 4, "kind": "ended", "cause": "kicked", "metadata": {"type": "bot", "later": 1}},
    ]  # fmt: skip


def test_what_a_session_loses_is_said() -> None:
    """When it is resumed, its client is told, too; what nobody can tell it any more is said when it ends."""
    queue = MemoryQueue(20)
    talk = book(observers=[Recorder(queue, KINDS)], resume_events=2)
    ready(talk).leave()
    for number in range(5):
        talk.publish("user:a", "E", number)
    person = ready_again(talk)
    assert person.heard()[1]["d"]["lost"] == 3
    person.leave()
    for number in range(5):
        talk.publish("user:a", "E", number)
    talk.hub.end(person.session, Disconnect(Cause.KICKED))
    assert [(item.kind, item.lost) for item in queue.peek(9)] == [
        ("opened", {}),
        ("detached", {}),
        ("resumed", {"resume_buffer_full": 3}),
        ("detached", {}),
        ("ended", {"resume_buffer_full": 3, "lost_with_session": 2}),
    ]
    assert talk.hub.totals.reasons == {"resume_buffer_full": 6, "lost_with_session": 2}


def test_what_gave_way_when_the_connection_was_lost_is_said_at_once() -> None:
    queue = MemoryQueue(20)
    talk = book(observers=[Recorder(queue, KINDS)], resume_events=2)
    person = ready(talk)
    person.reads = False
    for number in range(5):
        talk.publish("user:a", "E", number)
    person.leave()
    assert [(item.kind, item.lost) for item in queue.peek(9)][1:] == [("detached", {"resume_buffer_full": 3})]


def test_what_another_one_gets_is_not_lost() -> None:
    queue = MemoryQueue(20)
    talk = Playbook(oxyl.PROTOCOL, observers=[Recorder(queue, ("ended",))])
    person = talk.connect()
    person.say({"op": 0, "d": {"type": "commands", "compress": False, "secret": "s3cret"}})
    person.reads = False
    talk.publish("service:commands", "EXECUTE_COMMAND", COMMAND)
    person.leave()
    assert [(item.kind, item.lost) for item in queue.peek(9)] == [("ended", {})]
    assert len(waiting(talk.hub)) == 1


def test_kinds_that_nobody_wants_are_not_queued_and_leave_gaps() -> None:
    queue = MemoryQueue(10)
    talk = book(observers=[Recorder(queue, ("ended",))])
    ready(talk).leave(Cause.CLIENT_CLOSED)
    assert [(item.n, item.sequence, item.kind) for item in queue.peek(9)] == [(1, 2, "ended")]


# --- delivery -----------------------------------------------------------------------------------------------


async def test_batches_in_order_at_the_rate(autojump_clock: MockClock) -> None:
    backend = Fake()
    totals = await run(queue_of(25), backend, Pace(batch=10, rate=Rate(20, 2.0)))
    assert [(at, len(ns)) for at, ns in backend.calls] == [(0.0, 10), (1.0, 10), (2.0, 5)]
    assert functools.reduce(operator.iadd, (ns for _, ns in backend.calls), []) == list(range(1, 26))
    assert (totals.sent, totals.failed) == (25, {})


async def test_a_batch_is_never_larger_than_the_rate(autojump_clock: MockClock) -> None:
    backend = Fake()
    await run(queue_of(5), backend, Pace(batch=100, rate=Rate(2, 1.0)))
    assert [(at, len(ns)) for at, ns in backend.calls] == [(0.0, 2), (1.0, 2), (2.0, 1)]


async def test_a_storm_neither_floods_nor_drops(autojump_clock: MockClock) -> None:
    backend = Fake()
    queue = queue_of(10_000)
    totals = await run(queue, backend)
    assert totals.sent == 10_000
    assert queue.dropped == 0
    assert max(len(ns) for _, ns in backend.calls) == 100
    for second in range(10):
        assert sum(len(ns) for at, ns in backend.calls if second <= at < second + 1) <= 1000
    assert functools.reduce(operator.iadd, (ns for _, ns in backend.calls), []) == list(range(1, 10_001))


async def test_what_comes_while_nothing_waits_goes_at_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    backend, queue = Fake(), MemoryQueue(10)
    nursery.start_soon(deliver, queue, backend, Pace(), Deliveries())
    await trio.sleep(5)
    assert backend.calls == []
    queue.append(entry(1))
    await wait_all_tasks_blocked()
    assert backend.calls == [(5.0, [1])]


async def test_failures_are_followed_by_longer_and_longer_pauses(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend = Fake([BackendError("unreachable", "gone")] * 9)
    totals = await run(queue_of(1), backend)
    times = [at for at, _ in backend.calls]
    assert [round(b - a, 3) for a, b in itertools.pairwise(times)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert (totals.sent, totals.failed) == (1, {"unreachable": 9})
    assert [record.message for record in caplog.records] == [
        "lifecycle events cannot be delivered and will be sent again: unreachable: gone",
        "lifecycle events are delivered again, after 9 failures",
    ]


@pytest.mark.parametrize(("chance", "pauses"), [(0.0, [0.5, 0.5, 1, 2]), (0.5, [0.5, 0.75, 1.5, 3])])
def test_pauses_are_spread(chance: float, pauses: list[float]) -> None:
    assert [Pace().pause(failures, chance) for failures in (1, 2, 3, 4)] == pauses
    assert Pace(retry_max=9.0).pause(10_000, 1.0) == 9.0


async def test_a_success_begins_the_pauses_anew(autojump_clock: MockClock) -> None:
    failed = BackendError("status", "500")
    backend = Fake([failed, failed, failed, None, failed])
    await run(queue_of(2), backend, Pace(batch=1))
    assert [round(at, 3) for at, _ in backend.calls] == [0, 0.5, 1.5, 3.5, 3.501, 4.001]


async def test_what_is_rejected_is_sent_again_and_said_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    totals = await run(queue_of(1), Fake([BackendError("rejected", "HTTP status 400")] * 3))
    assert (totals.sent, totals.failed) == (1, {"rejected": 3})
    assert [record.message for record in caplog.records] == [
        "lifecycle events cannot be delivered and will be sent again: rejected: HTTP status 400",
        "lifecycle events are rejected again (2 times): rejected: HTTP status 400",
        "lifecycle events are rejected again (3 times): rejected: HTTP status 400",
    ]


async def test_what_was_taken_before_a_failure_is_not_sent_again(autojump_clock: MockClock) -> None:
    failed = [BackendError("handler", "raised", taken=2), BackendError("handler", "raised", taken=1)]
    backend = Fake(failed)
    totals = await run(queue_of(5), backend)
    assert [ns for _, ns in backend.calls] == [[1, 2, 3, 4, 5], [3, 4, 5], [4, 5]]
    assert [at for at, _ in backend.calls] == [0.0, 0.5, 1.0]  # some were taken: the pauses begin anew
    assert totals.sent == 5


async def test_a_fault_of_ours_does_not_stop_deliveries(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    totals = await run(queue_of(1), Fake([ValueError("ours")]))
    assert (totals.sent, totals.failed) == (1, {"fault": 1})
    assert "ValueError: ours" in caplog.text


# --- a real backend -----------------------------------------------------------------------------------------

QUICK = Pace(batch=10, rate=Rate(1000, 0.1), retry_min=0.01, retry_max=0.05)


async def settled(queue: MemoryQueue, done: int = 0) -> None:
    with trio.fail_after(10):
        while len(queue) > done:
            await trio.sleep(0.005)


async def test_a_backend_that_is_stopped_and_started_gets_everything_in_order(backend: Backend) -> None:
    client, queue, totals = backend.client(timeout=0.5), MemoryQueue(10_000), Deliveries()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver, queue, client, QUICK, totals)
        for n in range(1, 401):
            queue.append(entry(n, f"s{n % 7}", 1 + n // 7))
            match n:
                case 50:
                    await settled(queue)
                    backend.stop()
                case 150:
                    with trio.fail_after(10):
                        while not totals.failed:
                            await trio.sleep(0.005)
                    backend.start()
                case 200:
                    await settled(queue)
                    backend.mode("takes")  # and answers 500: told at least once, perhaps more often
                case 250:
                    with trio.fail_after(10):
                        while not totals.failed["status"]:
                            await trio.sleep(0.005)
                    backend.mode("slow")
                case 300:
                    with trio.fail_after(10):
                        while not totals.failed["timeout"]:
                            await trio.sleep(0.005)
                    backend.mode("ok")
        await settled(queue)
        nursery.cancel_scope.cancel()
    await client.aclose()
    heard = [event["n"] for event in backend.heard()]
    assert list(dict.fromkeys(heard)) == list(range(1, 401))  # each one came, and none before its turn
    assert totals.sent == 400
    assert len(heard) > 400
    assert {"status", "timeout"} < set(totals.failed)
