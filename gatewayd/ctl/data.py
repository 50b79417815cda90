"""JSON that people type, pipe or keep in files: read, checked before anything is sent, and refused in one sentence."""

import json
import sys
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from typing import Any, NamedTuple, NoReturn, cast


class UsageError(Exception):
    """What was asked for cannot be meant: exit code 2."""


class Batch(NamedTuple):
    """Lines of NDJSON that go in one request, and the number of each in its file."""

    body: bytes
    numbers: list[int]


def argument(text: str | None) -> Any:
    """The value of JSON given on the command line: `-` reads standard input, nothing given is {}."""
    if text is None:
        return {}
    if text != "-":
        return check(text, "the JSON argument")
    return check(_stdin().read(), "standard input")


def changes(given: Sequence[str]) -> dict[str, Any]:
    """An object: one JSON text, `-`, or pairs of `key=value`, where a value that is no JSON is text."""
    if len(given) == 1 and (given[0] == "-" or given[0].lstrip().startswith("{")):
        value = argument(given[0])
        if not isinstance(value, dict):
            raise UsageError("what changes is a JSON object")
        return value
    found = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"{pair!r} is neither a JSON object nor a pair such as roomLocked=true")
        try:
            found[key] = check(text, key)
        except UsageError:
            found[key] = text
    return found


def encode(value: Any) -> bytes:
    """A value that `check` let through, as it goes into a request."""
    return json.dumps(value, separators=(",", ":")).encode()


def check(text: str | bytes, where: str) -> Any:
    """The value of one JSON text; UsageError names `where` and what is wrong with it."""
    try:
        value = json.loads(text.decode() if isinstance(text, bytes) else text, parse_constant=_no_constant)
        json.dumps(value, allow_nan=False)  # 1e999 is read as infinity, which JSON cannot say
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        hint = "" if error.pos else "; a string needs its quotes, as in '\"text\"'"
        raise UsageError(f"{where} is not JSON: {error}{hint}") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UsageError(f"{where} is not JSON that can be sent: {reason}") from error
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def batches(path: str, piece_bytes: int) -> Iterator[Batch]:
    """The lines of an NDJSON file, or of `-`, as requests; so many bytes are read at a time.

    A file is checked to its end before its first line goes out.  A pipe cannot be read twice: each batch of it is
    checked and sent as it comes, so that a producer that never ends is heard too.
    """
    if path == "-":
        yield from _checked_batches(_stdin(), "standard input", piece_bytes)
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the `with` below; here only its failure is meant
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield from _checked_batches(file, path, piece_bytes)


def _checked_batches(file: BufferedIOBase, where: str, piece_bytes: int) -> Iterator[Batch]:
    if file.seekable():
        start = file.tell()
        for _ in _read(file, where, piece_bytes):
            pass
        file.seek(start)
    yield from _read(file, where, piece_bytes)


def _read(file: BufferedIOBase, where: str, piece_bytes: int) -> Iterator[Batch]:
    number = 0
    rest = b""
    ended = False
    while not ended:
        try:
            piece = file.read1(piece_bytes)  # what there is now: a slow producer's line does not wait for the next ones
        except OSError as error:
            raise UsageError(f"cannot read {where}: {error.strerror}") from error
        ended = not piece
        lines = (rest + piece).split(b"\n")
        rest = b"" if ended else lines.pop()
        batch: list[bytes] = []
        numbers: list[int] = []
        for line in lines:
            number += 1
            if line.strip():
                batch.append(encode(_event(line, f"{where}, line {number}")))
                numbers.append(number)
        if batch:
            yield Batch(b"\n".join(batch) + b"\n", numbers)


def _event(line: bytes, where: str) -> Any:
    match value := check(line, where):
        case {"channel": str(), "event": str()}:
            return value
        case _:
            raise UsageError(f'{where} is not an event: expected {{"channel": "…", "event": "…", "data": …}}')


def _stdin() -> BufferedIOBase:
    return cast("BufferedIOBase", sys.stdin.buffer)  # typed as any BinaryIO, which has no read1
