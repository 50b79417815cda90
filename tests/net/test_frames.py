"""Client frames by their headers, and the frames that carry no event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.net import frames

KEY = b"\x01\x02\x03\x04"


@pytest.mark.parametrize(
    ("head", "size", "start"),
    [
        (b"\x81\x80", 0, 6),
        (b"\x81\xfd", 125, 6),
        (b"\x81\xfe\x00\x7e", 126, 8),
        (b"\x81\xfe\xff\xff", 65535, 8),
        (b"\x81\xff" + (65536).to_bytes(8, "big"), 65536, 14),
        (b"\x81\xff" + ((1 << 63) - 1).to_bytes(8, "big"), (1 << 63) - 1, 14),
    ],
)
def test_lengths(head: bytes, size: int, start: int) -> None:
    """RFC 6455 §5.2: three widths, each as short as can be."""
    whole = b"junk" + head + KEY
    found = frames.header(whole, 4)
    assert found == frames.Header(frames.TEXT, final=True, size=size, start=start, valid=True)
    for cut in range(4, len(whole)):
        assert frames.header(whole[:cut], 4) is None


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x81\x05", id="unmasked"),
        pytest.param(b"\xc1\x80", id="RSV1"),
        pytest.param(b"\xa1\x80", id="RSV2"),
        pytest.param(b"\x91\x80", id="RSV3"),
        *(pytest.param(bytes((0x80 | op, 0x80)), id=f"opcode {op}") for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        pytest.param(b"\x09\x80", id="ping in fragments"),
        pytest.param(b"\x89\xfe", id="ping of 126"),
        pytest.param(b"\x88\xff", id="close of 127"),
        pytest.param(b"\x81\xfe\x00\x7d", id="125 in two bytes"),
        pytest.param(b"\x81\xff" + (65535).to_bytes(8, "big"), id="65535 in eight bytes"),
        pytest.param(b"\x81\xff" + (1 << 63).to_bytes(8, "big"), id="2^63"),
    ],
)
def test_what_the_rfc_forbids_is_seen_before_the_mask(head: bytes) -> None:
    found = frames.header(head, 0)
    assert found is not None
    assert not found.valid


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmask(payload: bytes, mask: bytes) -> None:
    """RFC 6455 §5.3, octet by octet."""
    assert frames.unmask(payload, mask) == bytes(octet ^ mask[i % 4] for i, octet in enumerate(payload))


def test_our_own_control_frames() -> None:
    assert frames.control(frames.PONG, b"abc") == b"\x8a\x03abc"
    assert frames.close(None) == b"\x88\x00"
    assert frames.close(1001, "so long") == b"\x88\x09\x03\xe9so long"


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999])
def test_codes_that_may_be_said(code: int) -> None:
    assert frames.close_code(code.to_bytes(2, "big") + "wörds".encode()) == code


@pytest.mark.parametrize(
    "payload", [b"\x03", *(code.to_bytes(2, "big") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000))]
)
def test_codes_that_may_not(payload: bytes) -> None:
    """RFC 6455 §7.4."""
    assert frames.close_code(payload) is None
    assert frames.close_code(b"\x03\xe8\xff") is None
    assert frames.close_code(b"") == 1005


MASKED_FRAMES = st.builds(
    lambda first, size, mask, body: bytes((first, 0x80 | min(size, 127))) + mask + frames.unmask(body, mask),
    st.just(0x81) | st.integers(0, 255), st.integers(0, 127), st.binary(min_size=4, max_size=4),
    st.text(max_size=40).map(str.encode) | st.binary(max_size=130),
)  # fmt: skip
WHOLE = st.tuples(st.text(min_size=1, max_size=60), st.binary(min_size=4, max_size=4)).map(
    lambda said: (
        bytes((0x81, 0x80 | len(said[0].encode()))) + said[1] + frames.unmask(said[0].encode(), said[1])
        if len(said[0].encode()) < 126
        else b""
    )
)


@given(MASKED_FRAMES | WHOLE | WHOLE.map(lambda data: data[:-1]) | st.binary(max_size=20), st.integers(0, 130))
def test_a_small_frame_is_read_the_short_way_as_it_would_be_the_long_way(data: bytes, most: int) -> None:
    text, plain = frames.small(data, most), frames.plain(data, 0, most)
    if text is None:
        assert plain is None or plain[1] < len(data) or plain[0] == "" or len(data) > 131
    else:
        assert plain == (text, len(data))
