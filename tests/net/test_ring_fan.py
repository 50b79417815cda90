"""A ring that is refused, odd, or fails in the middle of a write: no byte is lost, none is sent twice, and it is said."""

from __future__ import annotations

import errno
import logging
import os
import socket
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.net.fan import Fan
from gatewayd.net.ring_fan import FEWEST, RingFan, make_fan
from gatewayd.net.uring import ATTEMPTS
from tests.net.fake_kernel import FakeKernel, Fault, completes_late, fails, forgets, invents, takes
from tests.net.test_fan import FRAME, Members, drain

COUNT = 20
FATAL = (errno.EPERM, errno.EBADF, errno.EINVAL, errno.EFAULT, errno.ENOSYS, errno.EEXIST, errno.EOPNOTSUPP, errno.EIO)
PASSING = (errno.EINTR, errno.EAGAIN, errno.EBUSY)


@contextmanager
def ring_of(*faults: Fault, first: int = 5) -> Iterator[tuple[RingFan, FakeKernel]]:
    """A ring of eight entries in use, whose next calls go wrong like that; the first three were used by the start."""
    kernel = FakeKernel(8, first)
    with RingFan(lambda: kernel, fewest=1) as fan:
        assert fan.way == "io_uring"
        kernel.faults = list(faults)
        kernel.entered = 0
        yield fan, kernel


@pytest.fixture
def members() -> Iterator[Members]:
    with ExitStack() as stack:
        yield Members(stack, COUNT)


def write(fan: Fan, descriptors: array[int], *, each: bool) -> tuple[list[bytes], list[int]]:
    """Write the same to all or something else to each: what each was sent, and how much of it was taken."""
    if each:
        frames = [b"%d: " % index + FRAME * (index % 4) for index in range(len(descriptors))]
        taken = fan.write_each(descriptors, frames)
    else:
        frames = [FRAME] * len(descriptors)
        taken = fan.write(descriptors, FRAME)
    assert taken is None or len(taken) == len(frames)
    return frames, list(map(len, frames)) if taken is None else taken


# --- the start --------------------------------------------------------------------------------------------------


def test_the_setting_chooses() -> None:
    assert type(make_fan("auto")) is RingFan
    assert type(make_fan("off")) is Fan
    with make_fan("off") as fan:
        assert fan.way == "os.write"


def test_a_ring_is_for_many_sockets(members: Members) -> None:
    kernel = FakeKernel()
    with RingFan(lambda: kernel) as fan, ExitStack() as stack:
        entered = kernel.entered
        for each in (False, True):
            few = members.descriptors
            assert write(fan, few, each=each)[0] == members.heard()
            assert kernel.entered == entered
        more = Members(stack, FEWEST)
        assert fan.write(more.descriptors, FRAME) is None
        assert kernel.entered == entered + 1


def test_it_is_os_write_before_the_start_and_after_the_stop(members: Members) -> None:
    fan = RingFan(FakeKernel, fewest=1)
    assert fan.way == "os.write (io_uring: not started)"
    assert fan.write(members.descriptors, b"1") is None
    with fan:
        assert fan.way == "io_uring"
        assert fan.write(members.descriptors, b"2") is None
    assert fan.way == "os.write (io_uring: stopped)"
    assert fan.write(members.descriptors, b"3") is None
    assert members.heard() == [b"123"] * COUNT


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ENOMEM, errno.EINVAL, errno.EMFILE, errno.EFAULT]
)
def test_a_kernel_that_refuses_is_written_around(
    members: Members, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    class Refusing(FakeKernel):
        def setup(self, entries: int, params: array[int]) -> int:
            raise OSError(number, os.strerror(number))

    with caplog.at_level(logging.INFO), RingFan(Refusing, fewest=1) as fan:
        assert fan.way == f"os.write (io_uring: {os.strerror(number)})"
        assert fan.write(members.descriptors, FRAME) is None
    assert members.heard() == [FRAME] * COUNT
    assert caplog.messages == [f"io_uring is not used: {os.strerror(number)}"]


class Old(FakeKernel):
    """Linux 5.1 to 5.3: two mappings."""

    def setup(self, entries: int, params: array[int]) -> int:
        self.features = 0
        return super().setup(entries, params)


class Misplaced(FakeKernel):
    """Says that its queues are where no memory is."""

    def setup(self, entries: int, params: array[int]) -> int:
        number = super().setup(entries, params)
        params[26 - 1] = 1 << 31
        return number


class Unmappable(FakeKernel):
    """Its memory cannot be mapped."""

    def setup(self, entries: int, params: array[int]) -> int:
        super().setup(entries, params)
        return os.open("/dev/null", os.O_WRONLY)


class Ignorant(FakeKernel):
    """Knows no such operation, or flag."""

    def send(self, number: int, data: bytes) -> int:
        return -errno.EINVAL


class Waiting(FakeKernel):
    """Does not know MSG_DONTWAIT: the send to a full socket is kept for later."""

    def complete(self, index: int, result: int) -> None:
        if result != -errno.EAGAIN:
            super().complete(index, result)


class Repeating(FakeKernel):
    """Sends everything twice."""

    def send(self, number: int, data: bytes) -> int:
        super().send(number, data)
        return super().send(number, data)


class Partial(FakeKernel):
    """Sends less than it could."""

    def send(self, number: int, data: bytes) -> int:
        return super().send(number, data[:-1])


class Silent(FakeKernel):
    """Says that it has sent."""

    def send(self, number: int, data: bytes) -> int:
        return super().send(number, data) and len(data)


class Forbidden(FakeKernel):
    """May make a ring, and not use it."""

    def enter(self, descriptor: int, submit: int, flags: int) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")


class Deaf(FakeKernel):
    """Never does anything."""

    def enter(self, descriptor: int, submit: int, flags: int) -> int:
        return submit


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Old, "older than Linux 5.4"),
        (Misplaced, "Error"),
        (Unmappable, ""),
        (Ignorant, "sends are not what they should be: [-22, "),
        (Waiting, "1 of 3 sends were not completed"),
        (Repeating, "it sends other bytes"),
        (Partial, "sends are not what they should be: [19, "),
        (Silent, ""),
        (Forbidden, "io_uring_enter: Operation not permitted"),
        (Deaf, "3 of 3 sends were not completed"),
    ],
)
def test_an_odd_kernel_is_found_out_before_any_client_is_written_to(
    members: Members, kind: type[FakeKernel], why: str
) -> None:
    with RingFan(kind, fewest=1) as fan:
        assert fan.way.startswith("os.write (io_uring: ")
        assert why in fan.way
        assert fan.write(members.descriptors, FRAME) is None
    assert members.heard() == [FRAME] * COUNT


def test_a_python_without_ctypes_has_no_ring(members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ctypes", None)
    with RingFan(fewest=1) as fan:
        assert fan.way == "os.write (io_uring: ctypes cannot be imported)"
        assert fan.write(members.descriptors, FRAME) is None


def test_what_it_opened_is_closed_at_the_stop_and_on_exec() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with RingFan() as fan:
        if fan.way != "io_uring":
            pytest.skip(fan.way)
        rings = [int(name) for name in set(os.listdir("/proc/self/fd")) - before if is_open(int(name))]
        assert rings
        assert not any(map(os.get_inheritable, rings))
    assert not any(map(is_open, rings))


def is_open(number: int) -> bool:
    """Whether there is such a descriptor."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


# --- sends that fail --------------------------------------------------------------------------------------------


def test_a_send_that_fails_with_whatever_a_kernel_can_say_takes_nothing(members: Members) -> None:
    with ring_of() as (fan, kernel):
        for number in errno.errorcode:
            kernel.refused = {members.descriptors[3]: number, members.descriptors[17]: number}
            frames, taken = write(fan, members.descriptors, each=True)
            assert taken == [0 if index in (3, 17) else len(frame) for index, frame in enumerate(frames)]
            assert members.heard() == [frame[:count] for frame, count in zip(frames, taken, strict=True)]
        assert fan.way == "io_uring"


@pytest.mark.parametrize("each", [False, True])
def test_completions_come_in_any_order(members: Members, *, each: bool) -> None:
    members.fill(4)
    with ring_of() as (fan, kernel):
        kernel.reverse = True
        frames, taken = write(fan, members.descriptors, each=each)
        assert taken == [0 if index == 4 else len(frame) for index, frame in enumerate(frames)]
        assert fan.way == "io_uring"


# --- a ring that fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("number", FATAL)
def test_a_ring_that_fails_is_given_up_in_the_middle_of_a_write(
    members: Members, caplog: pytest.LogCaptureFixture, number: int, before: int, *, each: bool
) -> None:
    members.fill(0)
    members.fill(COUNT - 1)
    faults = [takes(8)] * before + [fails(number)]
    with ring_of(*faults) as (fan, kernel):
        frames, taken = write(fan, members.descriptors, each=each)
        assert taken == [0 if index in (0, COUNT - 1) else len(frame) for index, frame in enumerate(frames)]
        assert members.heard()[1:-1] == frames[1:-1]
        why = f"io_uring_enter: {os.strerror(number)}"
        assert fan.way == f"os.write (io_uring: {why})"
        entered = kernel.entered
        assert fan.write(members.descriptors, FRAME) is None
        assert kernel.entered == entered
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        f"io_uring failed, and is not used any more: {why}"
    ]


@pytest.mark.parametrize("fault", [*map(fails, PASSING), takes(0), takes(1), takes(7), completes_late(2, 5)])
def test_a_ring_that_asks_to_be_called_again_stays(members: Members, fault: Fault) -> None:
    with ring_of(fault, fault, takes(8), fault) as (fan, kernel):
        for each in (False, True):
            frames, taken = write(fan, members.descriptors, each=each)
            assert taken == list(map(len, frames))
            assert members.heard() == frames
        assert fan.way == "io_uring"
        assert kernel.paused <= 1


def test_a_ring_that_always_asks_to_be_called_again_is_given_up(members: Members) -> None:
    with ring_of(*[fails(errno.EAGAIN)] * 100) as (fan, kernel):
        frames, taken = write(fan, members.descriptors, each=True)
        assert taken == list(map(len, frames))
        assert members.heard() == frames
        assert kernel.entered == 1 + ATTEMPTS
        assert fan.way.endswith("8 of 8 sends were not completed: Resource temporarily unavailable)")


def test_a_send_of_which_nobody_knows_the_end_ends_the_connection(members: Members) -> None:
    with ring_of(takes(8), forgets(3, 2)) as (fan, _):
        frames, taken = write(fan, members.descriptors, each=True)
        lost = {11, 12}
        assert taken == [0 if index in lost else len(frame) for index, frame in enumerate(frames)]
        assert members.heard() == frames
        assert "2 of 8 sends were not completed" in fan.way
        for index in range(COUNT):
            if index in lost:
                assert members.far[index].recv(1) == b""  # the end: what would follow could be a repetition
                with pytest.raises(BrokenPipeError):
                    members.near[index].send(FRAME)
            else:
                assert members.near[index].send(FRAME) == len(FRAME)


def test_the_connection_of_an_unknown_send_may_be_at_its_end(members: Members) -> None:
    members.far[3].close()
    descriptors = members.descriptors
    members.near[4].close()
    with socket.socket() as unconnected, ring_of(forgets(3, 3)) as (fan, _):
        descriptors[5] = unconnected.fileno()
        descriptors[4] = -1
        assert fan.write(descriptors, FRAME) == [0 if index in (3, 4, 5) else len(FRAME) for index in range(COUNT)]


@pytest.mark.parametrize("index", [0, 7, 1 << 40])
def test_a_ring_that_says_something_twice_is_not_believed_any_more(members: Members, index: int) -> None:
    with ring_of(invents(index)) as (fan, _):
        frames, taken = write(fan, members.descriptors, each=True)
        assert taken == list(map(len, frames))
        assert members.heard() == frames
        assert "completed twice" in fan.way


def test_a_count_of_entries_that_cannot_be_is_not_believed(members: Members) -> None:
    def overshoots(kernel: FakeKernel, submit: int) -> int:
        forgets(0, 8)(kernel, submit)
        kernel.skip(5)
        return submit

    with ring_of(overshoots) as (fan, _):
        assert fan.write(members.descriptors, FRAME) == [0] * 8 + [len(FRAME)] * 12
        assert members.heard() == [FRAME] * COUNT
        assert "more entries than there are" in fan.way


FAULTS: st.SearchStrategy[tuple[Callable[..., Fault], tuple[int, ...]]] = st.one_of(
    st.tuples(st.just(fails), st.tuples(st.sampled_from(FATAL + PASSING), st.integers(0, 8))),
    st.tuples(st.just(takes), st.tuples(st.integers(0, 8))),
    st.tuples(st.just(completes_late), st.tuples(st.integers(0, 7), st.integers(1, 8))),
    st.tuples(st.just(forgets), st.tuples(st.integers(0, 7), st.integers(1, 8))),
    st.tuples(st.just(invents), st.tuples(st.integers(8, 12))),
)


@settings(max_examples=150, deadline=None)
@given(
    faults=st.lists(FAULTS, max_size=8),
    full=st.sets(st.integers(0, COUNT - 1), max_size=3),
    gone=st.sets(st.integers(0, COUNT - 1), max_size=3),
    each=st.lists(st.booleans(), min_size=1, max_size=4),
    first=st.sampled_from([0, 5, 0xFFFFFFFD]),
)
def test_whatever_fails_what_is_answered_is_what_was_received(
    faults: list[tuple[Callable[..., Fault], tuple[int, ...]]],
    full: set[int], gone: set[int], each: list[bool], first: int,
) -> None:  # fmt: skip
    with ExitStack() as stack, ring_of(*(make(*values) for make, values in faults), first=first) as (fan, _):
        members = Members(stack, COUNT)
        for index in full:
            members.fill(index)
        for index in gone - full:
            members.far[index].close()
        expected = [b""] * COUNT
        received = [b""] * COUNT
        for kind in each:
            frames, taken = write(fan, members.descriptors, each=kind)
            for index, (frame, count) in enumerate(zip(frames, taken, strict=True)):
                expected[index] += frame[:count]
        for index in set(range(COUNT)) - gone - full:
            received[index] = drain(members.far[index])
            if is_cut(members.near[index]):
                assert received[index].startswith(expected[index])  # nothing can follow, so that nothing is repeated
            else:
                assert received[index] == expected[index]


def is_cut(near: socket.socket) -> bool:
    """Whether the connection was shut down on this side."""
    try:
        near.send(b"x")
    except BrokenPipeError:
        return True
    return False
