"""The outbox against a simple model: order, bounds, and what is taken back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.events import Event
from gatewayd.core.outbox import BATCH_BYTES, PIECE_BYTES, Outbox


def event(number: int) -> Event:
    return Event("c", "E", number, 0.0)


def test_bounds_by_bytes_count_and_age() -> None:
    box = Outbox(max_bytes=10, max_events=3, max_age=5.0)
    assert box.push(b"12345", None, 0.0)
    assert not box.push(b"123456", None, 0.0)
    assert box.push(b"12345", None, 0.0)
    assert not box.push(b"1", None, 0.0)
    box.advance(10)
    assert [box.push(b"1", None, 1.0) for _ in range(4)] == [True, True, True, False]
    assert not box.stale(6.0)
    assert box.stale(6.1)
    box.advance(1)
    assert not box.push(b"1", None, 6.1)


def test_free_frames_count_against_no_bound_but_keep_their_place() -> None:
    box = Outbox(max_bytes=4, max_events=1, max_age=5.0)
    assert box.push(b"free" * 10, event(1), 0.0, free=True)
    assert box.push(b"paid", event(2), 0.0)
    assert not box.push(b"x", event(3), 0.0)
    assert box.batch() == b"free" * 10 + b"paid"
    assert (box.size, box.charged, box.events, len(box)) == (44, 4, 1, 2)


def test_a_free_frame_may_take_as_long_as_its_bytes_would_and_what_is_behind_it_waits_for_it() -> None:
    box = Outbox(max_bytes=10, max_events=3, max_age=5.0)
    box.push(b"free" * 10, None, 100.0, free=True)  # four times what the bound lets through in 5 seconds
    box.push(b"free", None, 100.0, free=True)
    assert box.push(b"paid", event(1), 101.0)
    assert not box.stale(125.0)
    assert box.stale(125.1)
    box.advance(40)
    assert not box.stale(127.0)
    assert box.stale(127.1)
    box.advance(4)
    assert not box.stale(127.0)
    assert box.stale(127.1)
    assert not box.push(b"paid", event(2), 127.1)
    box.advance(4)
    assert box.push(b"paid", event(2), 127.1)
    assert not box.stale(132.1)
    assert box.stale(132.2)


def test_a_refused_frame_leaves_an_empty_outbox_as_it_was() -> None:
    box = Outbox(max_bytes=10, max_events=3, max_age=5.0)
    assert not box.push(b"x" * 11, None, 0.0)
    assert (len(box), box.batch(), box.stale(99.0)) == (0, b"", False)


def test_the_rest_of_a_frame_is_tried_piece_by_piece() -> None:
    box = Outbox(max_bytes=10**7, max_events=3, max_age=5.0)
    frame = bytes(range(256)) * 4096
    box.push(frame, None, 0.0)
    wire = b""
    while data := box.batch():
        assert data is frame or len(data) <= PIECE_BYTES
        wire += data[:100_000]
        box.advance(min(len(data), 100_000))
    assert wire == frame


def test_nothing_follows_a_close_frame() -> None:
    box = Outbox(max_bytes=100, max_events=10, max_age=5.0)
    box.push(b"close", None, 0.0, free=True)
    box.finish()
    assert box.push(b"late", None, 0.0)
    assert box.batch() == b"close"


def test_a_batch_joins_whole_frames_up_to_its_size() -> None:
    box = Outbox(max_bytes=10**7, max_events=100, max_age=5.0)
    assert box.batch() == b""
    for _ in range(3):
        box.push(b"x" * (BATCH_BYTES // 2), None, 0.0)
    assert len(box.batch()) == BATCH_BYTES
    box.advance(10)
    assert len(box.batch()) == BATCH_BYTES // 2 - 10


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=30),
    st.lists(st.integers(0, 700), max_size=30),
)
def test_what_is_written_and_what_is_taken_back_make_the_whole(sizes: list[int], writes: list[int]) -> None:
    """Whatever the socket took and when, the events written whole and those taken back are all, in order, once."""
    box = Outbox(max_bytes=10**6, max_events=1000, max_age=5.0)
    frames = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    events = [event(number) for number in range(len(frames))]
    for frame, item in zip(frames, events, strict=True):
        assert box.push(frame, item, 0.0)
    wire, done = b"", []
    for wanted in writes:
        batch = box.batch()
        taken = batch[: min(wanted, len(batch))]
        wire += taken
        done += box.advance(len(taken))
    assert box.size == sum(sizes) - len(wire)
    back = box.cut()
    assert done + back == events
    # What is left is the rest of a frame that is half out, and with it the wire holds whole frames only.
    rest = box.batch()
    assert b"".join(frames).startswith(wire + rest)
    assert len(wire + rest) in {sum(sizes[:n]) for n in range(len(sizes) + 1)}
    assert box.advance(len(rest)) == (back[:1] if rest else [])
    assert (len(box), box.size, box.charged, box.events) == (0, 0, 0, 0)


def test_whoever_follows_is_told_of_events_that_are_out_whole() -> None:
    box = Outbox(max_bytes=100, max_events=10, max_age=5.0)
    told: list[list[Event]] = []
    first, second = event(1), event(2)
    box.push(b"12345", first, 0.0)
    box.push(b"pong", None, 0.0, free=True)
    box.push(b"12345", second, 0.0)
    box.written = told.append
    box.advance(4)
    assert told == []
    box.advance(5)
    box.advance(5)
    assert told == [[first], [second]]
    box.release()
    assert box.written is None
