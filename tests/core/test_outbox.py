"""The outbox against a simple model: order, bounds, and what of its events is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.backlog import Backlog
from gatewayd.core.events import Event
from gatewayd.core.insync import UNTOLD, UNTOLD_BYTES
from gatewayd.core.outbox import BATCH_BYTES, PIECE_BYTES, Outbox
from gatewayd.core.retention import Policy, Retention
from gatewayd.core.settings import Settings
from gatewayd.core.source import NO_CLIENT


def event(number: int) -> Event:
    return Event("c", "E", number, 0.0)


def attached(box: Outbox, policy: Policy | None = None) -> Backlog:
    backlog = Backlog(policy or Policy(), max_events=1000, max_bytes=10**6)
    box.attach(backlog)
    return backlog


def missed(backlog: Backlog) -> list[Event]:
    return [event for _, event in backlog.entries(backlog.written)]


def outbox(*, max_bytes: int, max_events: int, max_age: float, **ways: Any) -> Outbox:
    settings = Settings(
        interval=1.0, patience=1.0, identify_timeout=None, resume_window=1.0, outbox_bytes=max_bytes,
        outbox_events=max_events, outbox_age=max_age,
    )  # fmt: skip
    return Outbox(settings, **ways)


class Tick:
    """One tick of the loop, in which each client may be written to at once one time."""

    number = 0
    held = False


class Socket:
    """Takes so many bytes of each frame that is said at once."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.took = b""

    def send(self, data: bytes) -> int:
        self.took += data[: self.takes]
        return min(self.takes, len(data))


def at_once(takes: int) -> tuple[Outbox, Socket, Tick]:
    socket, tick = Socket(takes), Tick()
    return outbox(max_bytes=100, max_events=10, max_age=5.0, send=socket.send, pace=tick), socket, tick


def test_bounds_by_bytes_count_and_age() -> None:
    box = outbox(max_bytes=10, max_events=3, max_age=5.0)
    assert box.push(b"12345", 0.0)
    assert not box.push(b"123456", 0.0)
    assert box.push(b"12345", 0.0)
    assert not box.push(b"1", 0.0)
    box.advance(10)
    assert [box.push(b"1", 1.0) for _ in range(4)] == [True, True, True, False]
    assert not box.stale(6.0)
    assert box.stale(6.1)
    box.advance(1)
    assert not box.push(b"1", 6.1)


def test_free_frames_count_against_no_bound_but_keep_their_place() -> None:
    box = outbox(max_bytes=4, max_events=1, max_age=5.0)
    backlog = attached(box)
    backlog.append(event(1))
    box.replay(b"free" * 10, 1, 0.0)
    assert box.give(b"paid", event(2), 0.0)
    assert not box.give(b"x", event(3), 0.0)
    assert (backlog.given, backlog.written) == (2, 0)  # what is refused is not given
    assert box.batch() == b"free" * 10 + b"paid"
    assert (box.size, box.charged, box.events, len(box)) == (44, 4, 1, 2)


def test_a_free_frame_may_take_as_long_as_its_bytes_would_and_what_is_behind_it_waits_for_it() -> None:
    box = outbox(max_bytes=10, max_events=3, max_age=5.0)
    box.push(b"free" * 10, 100.0, free=True)  # four times what the bound lets through in 5 seconds
    box.push(b"free", 100.0, free=True)
    assert box.push(b"paid", 101.0)
    assert not box.stale(125.0)
    assert box.stale(125.1)
    box.advance(40)
    assert not box.stale(127.0)
    assert box.stale(127.1)
    box.advance(4)
    assert not box.stale(127.0)
    assert box.stale(127.1)
    assert not box.push(b"paid", 127.1)
    box.advance(4)
    assert box.push(b"paid", 127.1)
    assert not box.stale(132.1)
    assert box.stale(132.2)


def test_a_refused_frame_leaves_an_empty_outbox_as_it_was() -> None:
    box = outbox(max_bytes=10, max_events=3, max_age=5.0)
    assert not box.push(b"x" * 11, 0.0)
    assert (len(box), box.batch(), box.stale(99.0)) == (0, b"", False)


def test_the_rest_of_a_frame_is_tried_piece_by_piece() -> None:
    box = outbox(max_bytes=10**7, max_events=3, max_age=5.0)
    frame = bytes(range(256)) * 4096
    box.push(frame, 0.0)
    wire = b""
    while data := box.batch():
        assert data is frame or len(data) <= PIECE_BYTES
        wire += data[:100_000]
        box.advance(min(len(data), 100_000))
    assert wire == frame


def test_nothing_follows_a_close_frame() -> None:
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    box.push(b"close", 0.0, free=True)
    box.finish()
    assert box.push(b"late", 0.0)
    assert box.batch() == b"close"


def test_an_event_behind_a_close_frame_is_there_for_the_next_client() -> None:
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    backlog = attached(box)
    box.finish()
    late = event(1)
    assert box.give(b"late", late, 0.0)
    assert missed(backlog) == [late]
    box.replay(b"late", 1, 0.0)
    assert (len(box), backlog.written) == (0, 0)


def test_a_batch_joins_whole_frames_up_to_its_size() -> None:
    box = outbox(max_bytes=10**7, max_events=100, max_age=5.0)
    assert box.batch() == b""
    for _ in range(3):
        box.push(b"x" * (BATCH_BYTES // 2), 0.0)
    assert len(box.batch()) == BATCH_BYTES
    box.advance(10)
    assert len(box.batch()) == BATCH_BYTES // 2 - 10


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=30),
    st.lists(st.integers(0, 700), max_size=30),
)
def test_what_is_written_and_what_is_cut_make_the_whole(sizes: list[int], writes: list[int]) -> None:
    """Whatever the socket took and when, the events written whole and those cut off are all, in order, once."""
    box = outbox(max_bytes=10**6, max_events=1000, max_age=5.0)
    backlog = attached(box)
    frames = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    events = [event(number) for number in range(len(frames))]
    for frame, item in zip(frames, events, strict=True):
        assert box.give(frame, item, 0.0)
    wire = b""
    for wanted in writes:
        batch = box.batch()
        taken = batch[: min(wanted, len(batch))]
        wire += taken
        before = backlog.written
        assert box.advance(len(taken)) == (backlog.written > before)
        assert (
            sum(sizes[: backlog.written]) <= len(wire) < sum(sizes[: backlog.written + 1]) + (len(wire) == sum(sizes))
        )
    assert box.size == sum(sizes) - len(wire)
    box.cut()
    left = missed(backlog)
    assert left == events[backlog.written :]
    # What is left is the rest of a frame that is half out, and with it the wire holds whole frames only.
    rest = box.batch()
    assert b"".join(frames).startswith(wire + rest)
    assert len(wire + rest) in {sum(sizes[:n]) for n in range(len(sizes) + 1)}
    box.advance(len(rest))
    assert missed(backlog) == (left[1:] if rest else left)
    assert (len(box), box.size, box.charged, box.events) == (0, 0, 0, 0)


def test_what_the_socket_has_taken_whole_is_written() -> None:
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    backlog = attached(box)
    box.give(b"12345", event(1), 0.0)
    box.push(b"pong", 0.0, free=True)
    box.give(b"12345", event(2), 0.0)
    assert box.next == 3
    assert [(box.advance(count), backlog.written) for count in (4, 5, 5)] == [(False, 0), (True, 1), (True, 2)]
    box.give(b"12345", event(3), 0.0)
    box.release()
    assert (box.next, box.advance(5), backlog.written) == (1, True, 2)


def test_what_leaves_at_once_is_written_at_once() -> None:
    box, socket, tick = at_once(100)
    backlog = attached(box, Policy(Retention.LATEST))
    first, second, third = event(1), event(2), event(3)
    assert box.give(b"first", first, 0.0)
    assert (backlog.given, backlog.written, backlog.entries()) == (1, 1, [(1, first)])
    assert box.give(b"second", second, 0.0)  # in the same tick
    assert (socket.took, box.batch(), backlog.given, backlog.written) == (b"first", b"second", 2, 1)
    box.advance(6)
    backlog.append(third)
    tick.number += 1
    box.replay(b"third", 3, 0.0)
    assert (socket.took, backlog.written, len(box)) == (b"firstthird", 3, 0)


def test_where_nothing_is_kept_what_leaves_at_once_leaves_nothing_behind() -> None:
    box, _, _ = at_once(100)
    backlog = attached(box)
    assert box.give(b"first", event(1), 0.0)
    assert (backlog.given, backlog.written, backlog.kept) == (1, 1, 0)


def written_at_once(count: int, policy: Policy, size: int = 1) -> tuple[Outbox, Backlog]:
    box, _, tick = at_once(100)
    backlog = Backlog(policy, max_events=1000, max_bytes=10**9)
    box.attach(backlog)
    for number in range(count):
        tick.number = number
        assert box.give(b"x", Event("c", "E", "x" * size, float(number)), float(number))
    return box, backlog


ASKED: dict[str, Callable[[Backlog], object]] = {
    "entries": lambda backlog: backlog.entries(),
    "kept": lambda backlog: backlog.kept,
    "floor": lambda backlog: backlog.floor,
    "whole_from": lambda backlog: backlog.whole_from(0, 0.0),
    "acknowledge": lambda backlog: backlog.acknowledge(1),
    "append": lambda backlog: backlog.append(event(9)),
}


@pytest.mark.parametrize("asked", ASKED)
def test_the_backlog_is_told_of_what_was_written_of_late_whatever_it_is_asked(asked: str) -> None:
    box, backlog = written_at_once(3, Policy(Retention.ACKNOWLEDGED))
    ASKED[asked](backlog)
    box.backlog = None  # whatever comes now, the outbox does not tell it
    backlog.attach(NO_CLIENT)
    first = 2 if asked == "acknowledge" else 1
    assert [sequence for sequence, _ in backlog.entries()] == [*range(first, 4), *([4] if asked == "append" else [])]


@pytest.mark.parametrize(
    ("count", "size", "untold"), [(UNTOLD - 1, 1, UNTOLD - 1), (UNTOLD + 9, 1, 9), (3, UNTOLD_BYTES, 0)]
)
def test_no_more_than_so_many_small_events_are_kept_beyond_the_bounds(count: int, size: int, untold: int) -> None:
    box, backlog = written_at_once(count, Policy(Retention.LATEST), size=size)
    box.backlog = None
    backlog.attach(NO_CLIENT)
    assert backlog.kept == count - untold


def test_of_a_frame_that_is_half_out_the_rest_waits() -> None:
    box, socket, _ = at_once(2)
    assert box.push(b"ready", 0.0)
    assert (socket.took, box.batch()) == (b"re", b"ady")


def test_of_an_event_that_is_half_out_the_rest_waits() -> None:
    box, socket, _ = at_once(2)
    backlog = attached(box)
    assert box.give(b"first", event(1), 0.0)
    assert (socket.took, box.batch(), backlog.given, backlog.written) == (b"fi", b"rst", 1, 0)
    box.advance(3)
    assert backlog.written == 1


def broken(data: bytes) -> int:
    raise OSError


def test_what_is_said_to_a_broken_socket_waits() -> None:
    box = outbox(max_bytes=100, max_events=10, max_age=5.0, send=broken, pace=Tick())
    assert box.push(b"ready", 0.0)
    assert box.batch() == b"ready"
    box = outbox(max_bytes=100, max_events=10, max_age=5.0, send=broken, pace=Tick())
    backlog = attached(box)
    assert box.give(b"first", event(1), 0.0)
    assert (box.batch(), backlog.written) == (b"first", 0)


def test_a_writer_that_writes_as_soon_as_it_is_told_finds_the_event_in_the_backlog() -> None:
    def wake() -> None:
        box.advance(len(box.batch()))

    box = outbox(max_bytes=100, max_events=10, max_age=5.0, wake=wake)
    backlog = attached(box)
    assert box.give(b"first", event(1), 0.0)
    assert (len(box), backlog.written) == (0, 1)


def half_out() -> tuple[Outbox, Backlog]:
    """A client that is cut off while the first of two events is half out."""
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    backlog = attached(box)
    for number in (1, 2):
        box.give(b"12345", event(number), 0.0)
    box.advance(2)
    box.cut()
    assert (box.batch(), len(backlog)) == (b"345", 2)
    return box, backlog


def test_an_event_that_was_half_out_when_its_client_was_cut_off_is_written_once_it_is_out() -> None:
    box, backlog = half_out()
    assert box.advance(3) == 1
    assert (backlog.written, len(backlog)) == (1, 1)


def test_an_event_that_has_given_way_before_it_was_out_changes_nothing_any_more() -> None:
    box, backlog = half_out()
    backlog.max_events = 1
    backlog.trim()
    box.cut()
    assert box.advance(3) == 1
    assert (backlog.written, len(backlog)) == (1, 1)


def test_what_an_older_client_still_takes_is_said_to_the_newer_one_all_the_same() -> None:
    box, backlog = half_out()
    newer = outbox(max_bytes=100, max_events=10, max_age=5.0)
    newer.attach(backlog)
    for sequence, _ in backlog.entries(backlog.written):
        newer.replay(b"12345", sequence, 0.0)
    box.advance(3)
    assert backlog.written == 0
    newer.advance(10)
    assert backlog.written == 2


def test_the_backlog_keeps_what_waits_once_anybody_asks_for_it() -> None:
    """Until then it is counted there, and costs nothing when the socket takes it at the end of the tick."""
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    backlog = attached(box)
    events = [event(number) for number in range(4)]
    for item in events[:3]:
        assert box.give(b"12345", item, 0.0)
    assert (backlog.given, backlog.written, len(backlog), backlog.kept, box.waiting) == (3, 0, 3, 3, 3)
    box.advance(5)
    assert (backlog.written, len(backlog), box.waiting) == (1, 2, 2)
    assert backlog.entries(1) == [(2, events[1]), (3, events[2])]
    assert (backlog.written, len(backlog), box.waiting) == (1, 2, 0)
    assert box.give(b"12345", events[3], 0.0)
    assert (backlog.written, len(backlog), box.waiting) == (1, 3, 1)
    box.advance(10)
    assert (backlog.written, len(backlog), box.waiting) == (3, 1, 1)
    box.advance(5)
    assert (backlog.written, len(backlog), box.waiting, backlog.entries()) == (4, 0, 0, [])


def test_what_waits_for_a_client_that_is_let_go_of_is_kept_for_the_next_one() -> None:
    """A client whose tasks were cancelled is let go of before its session learns that it is gone."""
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    book = attached(box)
    for number in range(2):
        assert box.give(b"x", event(number), 0.0)
    box.release()
    assert [number for number, _ in book.entries(book.written)] == [1, 2]


def test_what_does_not_fit_is_not_given() -> None:
    box = outbox(max_bytes=10, max_events=10, max_age=5.0)
    backlog = attached(box)
    assert box.give(b"1234567", event(1), 0.0)
    assert not box.give(b"1234567", event(2), 0.0)
    assert (backlog.given, backlog.written, box.waiting) == (1, 0, 1)


def test_what_is_given_beside_the_outbox_comes_behind_what_waits_there() -> None:
    """As what waited for a first receiver: it is kept by the backlog, and its frame is replayed."""
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    backlog = attached(box)
    assert box.give(b"12345", event(1), 0.0)
    backlog.append(event(2))
    box.replay(b"12345", backlog.given, 0.0)
    assert ([sequence for sequence, _ in backlog.entries()], box.waiting) == ([1, 2], 0)
    box.advance(5)
    assert (backlog.given, backlog.written) == (2, 1)
    box.advance(5)
    assert (backlog.given, backlog.written, backlog.entries()) == (2, 2, [])


def test_the_backlog_of_a_client_that_is_gone_holds_no_outbox() -> None:
    box = outbox(max_bytes=100, max_events=10, max_age=5.0)
    backlog = attached(box)
    assert box.give(b"12345", event(1), 0.0)
    box.release()
    assert backlog.source is not box
    assert (backlog.given, backlog.written, [sequence for sequence, _ in backlog.entries()]) == (1, 0, [1])
