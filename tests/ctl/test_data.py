"""JSON from the command line, a pipe and files: what is let through, and what is said of the rest."""

import io
import os
import sys
import threading
from pathlib import Path

import pytest

from gatewayd.ctl.data import UsageError, argument, batches, check
from gatewayd.ctl.limits import CtlLimits

PIECE = CtlLimits().piece_bytes
EVENT = b'{"channel":"c","event":"E"}'


@pytest.mark.parametrize("text", ["{}", "[1, 2.5]", '"é"', "null", "-5", "1e5", "\n {} \n", '"\\ud83d\\ude00"'])
def test_json_is_let_through(text: str) -> None:
    assert argument(text) == check(text, "it") == check(text.encode(), "it")


def test_nothing_given_is_an_empty_object() -> None:
    assert argument(None) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "it is not JSON: Expecting value: line 1 column 1 (char 0); a string needs its quotes"),
        ("", "it is not JSON: Expecting value"),
        ('{"a": 1 "b"}', "it is not JSON: Expecting ',' delimiter: line 1 column 9"),
        ("{} {}", "it is not JSON: Extra data"),
        ("NaN", "it is not JSON that can be sent: NaN is not a JSON value"),
        ("[1e999]", "it is not JSON that can be sent: Out of range float"),
        ("[" * 100_000, "it is not JSON that can be sent: nested too deeply"),
        ("9" * 5000, "it is not JSON that can be sent: Exceeds the limit"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(text, "it")
    assert str(caught.value).startswith(message)


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(UsageError, match="it is not UTF-8: invalid start byte at byte 1"):
        check(b'"\xff"', "it")


def test_a_file_is_cut_into_batches_with_line_numbers(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(b"\n" + EVENT + b"\r\n  \n" + EVENT)  # blank lines, CRLF, no line break at the end
    assert [n for b in batches(str(file), PIECE) for n in b.numbers] == [2, 4]
    assert b"".join(b.body for b in batches(str(file), PIECE)) == EVENT + b"\n" + EVENT + b"\n"


def test_a_line_longer_than_a_piece_stays_whole(tmp_path: Path) -> None:
    file = tmp_path / "events"
    long = b'{"channel":"c","event":"E","data":"%s"}' % (b"x" * (3 * PIECE))
    file.write_bytes(EVENT + b"\n" + long + b"\n" + EVENT + b"\n")
    assert b"".join(b.body for b in batches(str(file), PIECE)) == file.read_bytes()
    assert [n for b in batches(str(file), PIECE) for n in b.numbers] == [1, 2, 3]


def test_a_large_file_goes_in_several_batches(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes((EVENT + b"\n") * 20_000)
    found = list(batches(str(file), PIECE))
    assert len(found) > 1
    assert [n for b in found for n in b.numbers] == list(range(1, 20_001))
    assert max(len(b.body) for b in found) <= PIECE + len(EVENT)


@pytest.mark.parametrize("line", ["nope", "[]", '{"channel":"c"}', '{"channel":1,"event":"E"}', '{"event":"E"}'])
def test_a_bad_line_at_the_end_of_a_file_stops_all_of_it(tmp_path: Path, line: str) -> None:
    file = tmp_path / "events"
    file.write_bytes((EVENT + b"\n") * 10_000 + line.encode())
    with pytest.raises(UsageError, match=f"{file}, line 10001 is not"):
        next(batches(str(file), PIECE))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", "/proc/self/mem"):  # the last can be opened, and fails when read
        with pytest.raises(UsageError, match=f"cannot read {path}: "):
            next(batches(str(path), PIECE))


def test_a_pipe_is_sent_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin, open(writing, "wb", buffering=0) as producer:
        monkeypatch.setattr(sys, "stdin", stdin)
        found = batches("-", PIECE)

        def end() -> None:
            producer.write(EVENT[5:])
            producer.close()

        producer.write(EVENT + b"\n" + EVENT[:5])
        assert next(found).body == EVENT + b"\n"  # while the second line is not yet there
        rest = threading.Thread(target=end)
        rest.start()
        assert next(found).numbers == [2]
        rest.join()
        assert list(found) == []


def test_standard_input_that_was_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.BytesIO(b"a heading\n" + EVENT + b"\n")
    stdin.readline()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
    assert [b.body for b in batches("-", PIECE)] == [EVENT + b"\n"]
