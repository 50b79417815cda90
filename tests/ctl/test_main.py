"""The way in and out: help, exit codes, broken pipes, Ctrl-C and start-up."""

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gatewayd.ctl.main import main, run

from .conftest import Ctl
from .daemon import Daemon

COMMAND = [sys.executable, "-c", "from gatewayd.ctl.main import run; run()"]


def environment(daemon: Daemon, **more: str) -> dict[str, str]:
    # Unbuffered, Python finds out early what it should find out at the flush.
    return os.environ | {"GATEWAYD_SOCKET": str(daemon.path), "PYTHONUNBUFFERED": ""} | more


def test_usage_errors_are_2_and_name_the_mistake(ctl: Ctl) -> None:
    for argv in ([], ["stats"], ["show"], ["sessions", "--limit", "0"], ["show", ""], ["doc", "set", "k"], ["doc"]):
        result = ctl(*argv)
        assert result.code == 2, argv
        assert "usage: gatewayctl" in result.err


def test_help_is_0(ctl: Ctl) -> None:
    assert ctl("--help").code == 0


def test_no_daemon_is_3_and_says_what_to_do(ctl: Ctl, tmp_path: Path) -> None:
    result = ctl("status")
    assert result.code == 3
    path = tmp_path / "admin.sock"
    assert result.err.splitlines() == [
        f"gatewayctl: no daemon at {path}: no such file",
        "gatewayctl: gatewayd run starts one; --socket or $GATEWAYD_SOCKET names its socket",
    ]


def test_a_daemon_that_hangs_is_3(ctl: Ctl, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(tmp_path / "admin.sock"))
        stuck.listen()
        result = ctl("--timeout", "50ms", "status")
    assert result.code == 3
    assert "did not answer within 0.05 s; is it stuck or stopped? (--timeout waits longer)" in result.err


@pytest.mark.parametrize("count", [1, 5000])
def test_a_reader_that_has_left_is_no_error(daemon: Daemon, count: int) -> None:
    rows = [{"id": f"{i:032}"} for i in range(count)]  # 1: it is found out by the flush; 5000: while printing
    daemon.answers("GET /v1/sessions?limit=50", {"sessions": rows, "cursor": None})
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, "sessions"], stdout=writing, stderr=subprocess.PIPE, env=environment(daemon), check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_told(daemon: Daemon) -> None:
    daemon.answers("GET /v1/status", {"node": "edge-1"})
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "status"], stdout=full, stderr=subprocess.PIPE, env=environment(daemon), text=True, check=False
        )
    assert done.stderr == "gatewayctl: cannot write the output: No space left on device\n"
    assert done.returncode == 1


class Failing(io.StringIO):
    """A stdout that cannot be written to."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BrokenPipeError(), 0, ""),
        (KeyboardInterrupt(), 130, ""),
        (OSError(28, "No space left on device"), 1, "gatewayctl: cannot write the output: No space left on device\n"),
    ],
)
def test_a_failing_stdout(
    daemon: Daemon,
    ctl: Ctl,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    daemon.answers("GET /v1/status", {})
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Failing(error))
        assert main(["status"]) == code
    assert capsys.readouterr().err == said


def test_run_takes_the_command_line(daemon: Daemon, ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gatewayctl", "show", "x"])
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == 1


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Children react to SIGINT, though a shell's background job, which this may be, and its children ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_is_130_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(path))
        stuck.listen()
        stuck.settimeout(30)
        with subprocess.Popen([*COMMAND, "--socket", str(path), "status"], stderr=subprocess.PIPE) as process:
            connection, _ = stuck.accept()
            with connection:
                assert connection.recv(1000).startswith(b"GET /v1/status ")
                while process.poll() is None:  # the first may fall between Python's last look and the system call
                    process.send_signal(signal.SIGINT)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(1)
            assert process.stderr is not None
            assert process.stderr.read() == b""
    assert process.returncode == 130


def test_a_terminal_that_is_not_utf8_gets_escapes(daemon: Daemon) -> None:
    daemon.answers("GET /v1/status", {"node": "høst→1"})
    done = subprocess.run(
        [*COMMAND, "status"],
        capture_output=True,
        env=environment(daemon, PYTHONIOENCODING="latin-1", PYTHONUTF8="0"),
        check=True,
    )
    assert "høst\\u21921, version".encode("latin-1") in done.stdout


@pytest.mark.parametrize("verb", ["status", "sessions"])
def test_a_plain_verb_imports_nothing_heavy(daemon: Daemon, verb: str) -> None:
    code = (
        "import sys; from gatewayd.ctl.main import main; code = main([sys.argv[1]]);"
        "print(code, sorted({'trio', 'rich', 'shtab', 'attrs', 'attr', 'cattrs', 'msgspec', 'starlette', 'h11'}"
        " & set(sys.modules)))"
    )
    daemon.answers("GET /v1/status", {})
    daemon.answers("GET /v1/sessions?limit=50", {"sessions": [], "cursor": None})
    done = subprocess.run(
        [sys.executable, "-c", code, verb], capture_output=True, text=True, env=environment(daemon), check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
