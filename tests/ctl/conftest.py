"""A fake daemon, and gatewayctl run against it in this process."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gatewayd.ctl.main import main

from .daemon import Daemon, running


class Terminal(io.StringIO):
    """What stdout is to a person."""

    def isatty(self) -> bool:
        return True


class Result(NamedTuple):
    """What one run of gatewayctl left behind."""

    code: int
    out: str
    err: str


class Ctl:
    """gatewayctl, with the fake daemon's socket in the environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *argv: str, stdin: bytes = b"") -> Result:
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            code = main(list(argv))
        out, err = self._capsys.readouterr()
        return Result(code, out, err)

    def on_terminal(self, *argv: str) -> Result:
        screen = Terminal()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            code = main(list(argv))
        return Result(code, screen.getvalue(), self._capsys.readouterr().err)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(tmp_path / "admin.sock") as daemon:
        yield daemon


@pytest.fixture
def ctl(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ctl:
    for name in ("NO_COLOR", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAYD_SOCKET", str(tmp_path / "admin.sock"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    return Ctl(capsys, monkeypatch)


@pytest.fixture
def as_nobody() -> Iterator[Callable[[], None]]:
    """Calling it gives up root until the test's end: root is never denied anything."""
    before = os.geteuid()
    yield lambda: os.seteuid(65534) if before == 0 else None
    os.seteuid(before)
