"""A signal ends the daemon with 0 from its first moment on: while it imports, binds, reads its journal, and later."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from gatewayd.config.load import parse
from gatewayd.core.record import Table
from gatewayd.daemon import stopping
from gatewayd.daemon.build import build
from gatewayd.daemon.run import Daemon
from gatewayd.protocols.registry import PROTOCOLS
from tests.daemon.test_run import command
from tests.server import free_port
from tests.site import Site, until


@contextmanager
def noted() -> Iterator[list[int]]:
    """Signals that stop a daemon are written down instead."""
    seen: list[int] = []
    before = {number: signal.signal(number, lambda number, _: seen.append(number)) for number in stopping.STOP_SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def catches(process: subprocess.Popen[str], number: int) -> bool:
    """Whether the process has a handler for a signal (proc(5))."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return bool(caught >> (number - 1) & 1)


def started(site: Site) -> subprocess.Popen[str]:
    """A daemon that begins to start, and takes a signal already."""
    process = command("run", "--config", site.path, cwd=site.directory)
    until(lambda: catches(process, signal.SIGTERM))
    return process


def test_at_any_moment_of_a_start(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write()
    process = started(site)
    begun = time.monotonic()
    assert process.stdout is not None
    until(lambda: process.stdout is not None and process.stdout.readline().startswith("admin socket"))
    whole = time.monotonic() - begun
    process.terminate()
    assert process.wait(20) == 0
    process.communicate()
    for step in range(8):
        process = started(site)
        time.sleep(whole * step / 7)
        process.send_signal((signal.SIGTERM, signal.SIGINT)[step % 2])
        _, log = process.communicate(timeout=20)
        assert (process.returncode, "Traceback" in log) == (0, False), log
        assert not (tmp_path / "admin.sock").exists()


def test_other_commands_leave_signals_alone() -> None:
    said = "import signal, gatewayd.__main__; assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL"
    subprocess.run([sys.executable, "-c", said], check=True, timeout=20)


def test_while_the_journal_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        f'[gateway]\nstate_dir = "{tmp_path / "state"}"\n'
        f'[[listeners]]\nname = "bots"\nprotocol = "utilbot"\nbind = "127.0.0.1:{free_port()}"\n'
    )
    ready: list[bool] = []
    with caplog.at_level("INFO"), noted() as seen, stopping.held():
        daemon = Daemon(build(parse(text, "x", PROTOCOLS), PROTOCOLS), tmp_path / "admin.sock")
        assert daemon.node.state is not None
        journal = daemon.node.state.journal
        for number in range(9):
            journal.put(Table.DOCUMENTS, ("main", f"k{number}"), b"1")
        journal.file.write(journal.pending.take())
        daemon.prepare({})
        signal.raise_signal(signal.SIGTERM)  # to this thread: those that earlier tests left hold nothing back
        trio.run(partial(daemon.run, lambda: ready.append(True)), clock=daemon.node.clock)
        assert not seen
    assert seen == [signal.SIGTERM]
    assert not ready
    assert not (tmp_path / "admin.sock").exists()
    assert "stopped while the journal was read" in caplog.text


def test_signals_that_are_held_come_when_they_are_released() -> None:
    with noted() as seen:
        with stopping.held():
            stopping.check()
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(stopping.Stopped):
                stopping.check()
            assert not seen
            stopping.release()
            assert seen == [signal.SIGINT]
            stopping.check()
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(stopping.STOP_SIGNALS)


def test_a_hangup_stops_only_what_has_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def signals() -> AsyncIterator[int]:
        yield signal.SIGHUP
        yield signal.SIGTERM

    with noted(), stopping.held():
        signal.raise_signal(signal.SIGHUP)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
        stopping.check()
        assert trio.run(stopping.told_to_stop, signals()) == "SIGTERM"
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        with pytest.raises(stopping.Stopped):
            stopping.check()
        assert trio.run(stopping.told_to_stop, signals()) == "SIGHUP"
