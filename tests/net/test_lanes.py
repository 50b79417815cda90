"""Both lanes and the plain library are given the same bytes, cut everywhere: same messages, same pongs, same end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed, wrap_server_stream

from gatewayd.config.limits import ClientLimits
from gatewayd.core.close import AnyCause, Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.quota import Intake
from gatewayd.core.settings import Settings
from gatewayd.net import frames
from gatewayd.net.websocket import WebSocket
from gatewayd.protocols import utilbot

CODES: dict[AnyCause, int] = {
    Cause.PROTOCOL_ERROR: 1002, Cause.INVALID_TEXT: 1007, Cause.FLOOD: 1008, Cause.TOO_BIG: 1009, Cause.PEER_GONE: 1006,
}  # fmt: skip
LIMITS = ClientLimits()
LIMIT = 1 << 20
KEY = b"\x01\x02\xf3\x04"

Outcome = tuple[list[str | bytes], list[bytes], int]
"""Messages, payloads of the pongs, and the code with which it ended."""


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    """One client frame."""
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    head = bytes((fin << 7 | rsv << 4 | opcode, mask << 7 | length[0])) + length[1:]
    return head + KEY + frames.unmask(payload, KEY) if mask else head + payload


class Source(trio.abc.Stream):
    """A peer that sends these pieces and hangs up; it hears what is sent to it."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.sent = b""
        self.request = b""
        self.upgraded = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.request:
            request, self.request = self.request, b""
            return request
        await self.upgraded.wait()  # the plain library loses what comes earlier
        return self.pieces.pop(0) if self.pieces else b""

    async def read(self, on_data: Callable[[bytes], bool]) -> None:
        while on_data(await self.receive_some()):
            pass

    async def send_all(self, data: Any) -> None:
        self.sent += bytes(data)
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@define
class Said:
    """Stands for the writer: what was said, in order."""

    frames: list[bytes] = field(factory=list)
    closing: bool = False

    def send_control(self, data: bytes) -> None:
        if not self.closing:
            self.frames.append(data)

    def hold(self) -> None:
        pass

    def send_close(self, data: bytes) -> None:
        self.send_control(data)
        self.closing = True


async def ours(pieces: Sequence[bytes], *, fast: bool, pipelined: bytes = b"", limit: int = LIMIT) -> Outcome:
    said: Any = Said()
    source: Any = Source(pieces)
    source.upgraded.set()
    messages: list[str | bytes] = []
    code: int | None = None
    settings = Settings(
        interval=1.0, patience=1.0, identify_timeout=None, resume_window=0.0, max_message_bytes=limit,
        intake=Intake(unidentified=1 << 30),
    )  # fmt: skip
    connection = Connection(utilbot.WIRE, settings, trio.current_time())
    socket = WebSocket(source, said, connection, LIMITS, pipelined=pipelined, fast=fast)
    async with trio.open_nursery() as nursery:
        try:
            await socket.read(nursery, messages.append)
        except Disconnect as verdict:
            nursery.cancel_scope.cancel()
            code = CODES.get(verdict.cause)
            if code is None:
                assert socket.controls.reply is not None
                code = int.from_bytes(socket.controls.reply[2:4], "big") or 1005
    assert code is not None, "it never ended"
    pongs = [item[2:] for item in said.frames if item[0] == 0x8A]
    return messages, pongs, code


async def plain(pieces: Sequence[bytes]) -> Outcome:
    """What trio-websocket alone makes of it."""
    source = Source(pieces)
    source.request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    messages: list[str | bytes] = []
    async with trio.open_nursery() as nursery:
        asked = await wrap_server_stream(nursery, source, max_message_size=LIMIT)
        connection = await asked.accept()
        source.sent = b""
        source.upgraded.set()
        try:
            while True:
                messages.append(await connection.get_message())
        except ConnectionClosed as closed:
            code = int(closed.reason.code) if closed.reason is not None else 1006
        nursery.cancel_scope.cancel()
    return messages, pongs_in(source.sent), code


def pongs_in(sent: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(sent):
        size = sent[at + 1]
        if sent[at] == 0x8A:
            found.append(sent[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
    async def main() -> Outcome:
        with trio.fail_after(10):
            result: Outcome = await function(*args, **kwargs)
            return result

    return trio.run(main)


def all_agree(pieces: Sequence[bytes]) -> Outcome:
    expected = run(plain, pieces)
    for fast in (True, False):
        assert run(ours, pieces, fast=fast) == expected, f"fast={fast}"
    return expected


# --- what is generated ----------------------------------------------------------------------------------------

texts = st.text(max_size=40).map(str.encode)
small = st.binary(max_size=20)
valid_codes = st.sampled_from([1000, 1001, 1003, 1007, 1011, 3000, 4000, 4999])
bad_codes = st.sampled_from([0, 999, 1004, 1005, 1006, 1015, 1100, 2000, 2999, 5000, 65535])


def closing(codes: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda code, why: frame(8, code.to_bytes(2, "big") + why), codes, texts.map(lambda x: x[:100]))


def in_fragments(opcode: int, parts: list[bytes], between: list[bytes]) -> bytes:
    out = b""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        out += frame(opcode if number == 0 else 0, part, fin=last)
        out += between[number] if number < len(between) and not last else b""
    return out


controls = st.one_of(st.builds(frame, st.just(9), small), st.builds(frame, st.just(10), small))
good = st.one_of(
    st.builds(frame, st.just(1), texts),
    st.builds(frame, st.just(1), st.text(min_size=120, max_size=140).map(str.encode)),
    st.builds(frame, st.just(1), st.just(b"x" * 70_000)),
    st.builds(frame, st.just(2), small),
    st.builds(in_fragments, st.just(1), st.lists(texts, min_size=2, max_size=4), st.lists(controls, max_size=2)),
    st.builds(in_fragments, st.just(2), st.lists(small, min_size=2, max_size=4), st.lists(controls, max_size=1)),
    st.builds(lambda text, at: in_fragments(1, [text[:at], text[at:]], []), texts, st.integers(0, 40)),
)
bad = st.one_of(
    st.builds(frame, st.sampled_from([1, 2]), st.just(b"hi"), mask=st.just(False)),
    st.builds(frame, st.integers(0, 15), small, rsv=st.integers(1, 7)),
    st.builds(frame, st.sampled_from([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), small),
    st.builds(frame, st.sampled_from([8, 9, 10]), st.just(b"x" * 126)),
    st.builds(frame, st.sampled_from([8, 9, 10]), st.just(b""), fin=st.just(False)),
    st.just(b"\x81\xfe\x00\x05" + KEY + b"hello"),
    st.just(b"\x81\xff" + (300).to_bytes(8, "big") + KEY + b"x" * 300),
    st.just(b"\x81\xff" + (1 << 63).to_bytes(8, "big") + KEY),
    st.builds(frame, st.just(1), st.binary(min_size=1, max_size=30)),
    st.builds(frame, st.just(1), st.sampled_from([b"\xff", b"ok\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])),
    st.builds(frame, st.just(0), small),
    st.just(frame(1, b"a", fin=False) + frame(1, b"b")),
    st.just(frame(1, b"\xc3", fin=False) + frame(0, b"(")),
    closing(valid_codes),
    closing(bad_codes),
    st.just(frame(8)),
    st.just(frame(8, b"\x03")),
    st.just(frame(8, b"\x03\xe8\xff")),
    st.binary(max_size=20),
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """A byte stream of a client in pieces: mostly sound, then perhaps not, cut anywhere, perhaps short."""
    raw = b"".join(draw(st.lists(good | controls, max_size=5)))
    if draw(st.booleans()):
        raw += draw(bad) + b"".join(draw(st.lists(good, max_size=2)))
    raw = raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 3)) == 0 else raw
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@settings(max_examples=int(os.environ.get("GATEWAYD_TEST_EXAMPLES", "300")), deadline=None)
@given(streams())
def test_any_stream(pieces: list[bytes]) -> None:
    all_agree(pieces)


SHORT = [
    frame(1, "héllo €".encode()) + frame(9, b"p") + frame(1, b""),
    frame(1, b"a", fin=False) + frame(9, b"1") + frame(0, b"b", fin=False) + frame(0, b"c") + frame(1, b"d"),
    frame(2, b"\x00\xff") + frame(1, b"x" * 126) + frame(8, b"\x03\xe8bye"),
    frame(1, b"one") + frame(1, b"\xf0\x9f\x98") + frame(1, b"two"),
    frame(1, b"one") + b"\x81\x03two",
    frame(1, b"one") + frame(8, b"\x03\xe7") + frame(1, b"two"),
]


@pytest.mark.parametrize("raw", SHORT)
def test_cut_at_every_byte(raw: bytes) -> None:
    whole = all_agree([raw])
    assert all_agree([raw[i : i + 1] for i in range(len(raw))]) == whole
    for at in range(len(raw)):
        for fast in (True, False):
            assert run(ours, [raw[:at], raw[at:]], fast=fast) == whole
            assert run(ours, [raw[at:]], fast=fast, pipelined=raw[:at]) == whole  # pipelined with the request


def test_text_that_cannot_become_utf8_is_refused_before_its_end() -> None:
    """Autobahn's 6.4, for a frame that follows another one in pieces."""
    first, second = frame(1, b"hello"), frame(1, b"12\xff4567890")
    for cut in range(9, len(second)):
        assert all_agree([first[:10], first[10:] + second[:7], second[7:cut]]) == (["hello"], [], 1007)
    assert all_agree([first[:10], first[10:] + second[:8]]) == (["hello"], [], 1006)


@pytest.mark.parametrize("fast", [True, False])
def test_bounds(fast: bool) -> None:
    many = frame(1, b"", fin=False) + frame(0, b"", fin=False) * 1_000_000
    assert run(ours, [many], fast=fast)[2] == 1008
    within = frame(1, b"", fin=False) + frame(0, b"", fin=False) * (LIMITS.fragments - 2) + frame(0, b"x")
    assert run(ours, [within], fast=fast) == (["x"], [], 1006)
    assert run(ours, [within[:-7] + frame(0, b"", fin=False) + frame(0, b"x")], fast=fast) == ([], [], 1008)
    endless = [frame(1, b"x" * 1000, fin=False)] + [frame(0, b"x" * 1000, fin=False)] * 200
    assert run(ours, endless, fast=fast, limit=100_000)[2] == 1009
    assert run(ours, [frame(1, b"x" * 101)], fast=fast, limit=100) == ([], [], 1009)
    assert run(ours, [frame(1, b"x" * 100)], fast=fast, limit=100) == (["x" * 100], [], 1006)
    assert run(ours, [b"\x81\xff" + (1 << 62).to_bytes(8, "big") + KEY], fast=fast)[2] == 1009
    assert run(ours, [frame(9, b"x") * 11 + frame(1, b"never")], fast=fast) == ([], [b"x"] * 10, 1008)
    assert run(ours, [frame(10, b"x") * 11], fast=fast)[2] == 1008


def test_close_1014_is_echoed() -> None:
    """The library does not know this code yet."""
    assert run(ours, [frame(8, (1014).to_bytes(2, "big"))], fast=True)[2] == 1014
