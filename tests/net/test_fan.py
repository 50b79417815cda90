"""Many sockets written to in one go: what each took, whatever state it is in, and that nothing is ever raised."""

from __future__ import annotations

import os
import resource
import socket
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gatewayd.net.fan import Fan
from gatewayd.net.ring_fan import RingFan
from tests.net.fake_kernel import FakeKernel

FRAME = b"an event for all of them"


WAYS: dict[str, Callable[[], Fan]] = {
    "os.write": Fan,
    "io_uring": lambda: RingFan(fewest=1),
    "io_uring, a fake": lambda: RingFan(FakeKernel, fewest=1),
    "io_uring, a small fake": lambda: RingFan(lambda: FakeKernel(8, first=0xFFFFFFF0), fewest=1),
}


@pytest.fixture(params=WAYS)
def fan(request: pytest.FixtureRequest) -> Iterator[Fan]:
    """Each way of writing."""
    with WAYS[request.param]() as made:
        if request.param == "io_uring" and made.way != "io_uring":
            pytest.skip(made.way)
        yield made
        assert made.way == request.param.partition(",")[0], "it was given up"


class Members:
    """Socket pairs: the ends that are written to, and those of the peers."""

    def __init__(self, stack: ExitStack, count: int) -> None:
        self.near: list[socket.socket] = []
        self.far: list[socket.socket] = []
        for _ in range(count):
            near, far = (stack.enter_context(end) for end in socket.socketpair())
            for end in (near, far):
                end.setblocking(False)
            self.near.append(near)
            self.far.append(far)

    @property
    def descriptors(self) -> array[int]:
        return array("i", [end.fileno() for end in self.near])

    def heard(self) -> list[bytes]:
        """What each peer has received and not read yet."""
        return [drain(end) for end in self.far]

    def fill(self, index: int) -> None:
        """Fill the buffers of one, which takes nothing then."""
        with pytest.raises(BlockingIOError):
            while True:
                self.near[index].send(bytes(1000))


def drain(end: socket.socket) -> bytes:
    """All that was received."""
    data = b""
    try:
        while more := end.recv(1 << 20):
            data += more
    except (BlockingIOError, ConnectionResetError):
        pass
    return data


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 300])
def test_all_of_them_get_the_same_bytes(fan: Fan, stack: ExitStack, count: int) -> None:
    members = Members(stack, count)
    for round_ in range(5):
        frame = b"%d %b" % (round_, FRAME)
        assert fan.write(members.descriptors, frame) is None
        assert members.heard() == [frame] * count


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 300])
def test_each_of_them_gets_its_own_bytes(fan: Fan, stack: ExitStack, count: int) -> None:
    members = Members(stack, count)
    for round_ in range(5):
        frames = [b"%d of round %d " % (index, round_) + FRAME * (index % 3) for index in range(count)]
        assert fan.write_each(members.descriptors, frames) is None
        assert members.heard() == frames


def test_who_takes_nothing_or_fails_keeps_nobody_from_the_rest(fan: Fan, stack: ExitStack) -> None:
    members = Members(stack, 300)
    full, gone, shut, closed, nothing = 0, 100, 128, 255, 299
    members.fill(full)
    members.far[gone].close()
    members.near[shut].shutdown(socket.SHUT_WR)
    descriptors = members.descriptors
    members.near[closed].close()
    descriptors[nothing] = -1
    odd = {full, gone, shut, closed, nothing}
    plain = [index for index in range(300) if index not in odd]
    for _ in range(2):
        expected = [0 if index in odd else len(FRAME) for index in range(300)]
        assert fan.write(descriptors, FRAME) == expected
        heard = [drain(members.far[index]) for index in plain]
        assert heard == [FRAME] * len(plain)
        frames = [b"%d" % index for index in range(300)]
        assert fan.write_each(descriptors, frames) == [0 if i in odd else len(frames[i]) for i in range(300)]
        assert [drain(members.far[index]) for index in plain] == [frames[index] for index in plain]


def test_all_of_them_fail(fan: Fan, stack: ExitStack) -> None:
    members = Members(stack, 200)
    descriptors = members.descriptors
    for end in members.far:
        end.close()
    assert fan.write(descriptors, FRAME) == [0] * 200
    assert fan.write_each(descriptors, [FRAME] * 200) == [0] * 200


@pytest.mark.parametrize("each", [False, True])
def test_a_frame_of_which_a_part_is_taken(fan: Fan, stack: ExitStack, *, each: bool) -> None:
    members = Members(stack, 20)
    members.near[7].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    big = os.urandom(30_000)
    taken = fan.write_each(members.descriptors, [big] * 20) if each else fan.write(members.descriptors, big)
    assert taken is not None
    assert 0 < taken[7] < len(big)
    assert taken == [taken[7] if index == 7 else len(big) for index in range(20)]
    assert members.heard() == [big[:count] for count in taken]


def test_descriptors_above_the_soft_limit_that_was(fan: Fan, stack: ExitStack) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip("so many descriptors are not allowed here")
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    members = Members(stack, 4)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    high = array("i")
    for number, end in zip((1023, 1024, 1025, 2999), members.near, strict=True):
        os.dup2(end.fileno(), number)
        stack.callback(os.close, number)
        high.append(number)
    assert fan.write(high, FRAME) is None
    assert fan.write_each(high, [FRAME] * 4) is None
    assert members.heard() == [FRAME * 2] * 4


def test_a_number_that_is_used_again_is_another_socket_at_once(fan: Fan, stack: ExitStack) -> None:
    members, others = Members(stack, 30), Members(stack, 1)
    descriptors = members.descriptors
    assert fan.write(descriptors, b"to the first") is None
    number = descriptors[5]
    old = stack.enter_context(socket.socket(fileno=os.dup(number)))
    os.dup2(others.near[0].fileno(), number)
    assert fan.write(descriptors, b" and to whoever has the number now") is None
    assert drain(members.far[5]) == b"to the first"
    assert drain(others.far[0]) == b" and to whoever has the number now"
    assert fan.write(array("i", [old.fileno()]), b", and the first is still the first") is None
    assert drain(members.far[5]) == b", and the first is still the first"


def test_a_member_that_left_is_not_written_to(fan: Fan, stack: ExitStack) -> None:
    members = Members(stack, 30)
    descriptors = members.descriptors
    assert fan.write(descriptors, FRAME) is None
    descriptors[3] = descriptors.pop()
    assert fan.write(descriptors, FRAME) is None
    assert [index for index, data in enumerate(members.heard()) if data != FRAME * 2] == [3]


def test_the_base_says_how_it_writes() -> None:
    assert Fan().way == "os.write"
