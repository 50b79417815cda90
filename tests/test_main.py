"""The `gatewayd` command in process: what it prints, and its exit codes."""

from __future__ import annotations

import io
import logging
import queue
import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from gatewayd.__main__ import main
from gatewayd.daemon.log import BoundedHandler, JournalFormatter, logging_to_stderr
from gatewayd.protocols.registry import PROTOCOLS

ROOT = Path(__file__).parent.parent


def test_protocols(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protocols"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in PROTOCOLS)
    for name in PROTOCOLS:
        assert main(["protocols", name]) == 0
        text = capsys.readouterr().out
        assert "heartbeat interval" in text
        assert f"heartbeats are judged  {PROTOCOLS[name].timing.heartbeat}\n" in text
        assert "kicked" in text
        assert main(["protocols", name, "--diagram"]) == 0
        assert "greeted --> identifying: Identify" in capsys.readouterr().out
    assert main(["protocols", "nope"]) == 2
    assert "there are oxyl" in capsys.readouterr().err


def test_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "default"]) == 0
    listeners = tomllib.loads(capsys.readouterr().out)["listeners"]
    assert [listener.get("heartbeat") for listener in listeners] == [None, None, "lenient", None, None, None]
    example = str(ROOT / "config/gatewayd.toml")
    assert main(["config", "show", "--config", example]) == 0
    assert tomllib.loads(capsys.readouterr().out)["listeners"]


def test_check_says_what_shares_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    rows = (("a", "oxyl", "prod"), ("b", "utilbot", "stage"), ("c", "oxyl", "prod"), ("d", "dmod", "prod"))
    table = '[[listeners]]\nname = "{}"\nprotocol = "{}"\nrealm = "{}"\nbind = "127.0.0.1:0"\n'
    path.write_text("".join(table.format(*row) for row in rows[:2]))
    assert main(["check", "--config", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["realm prod: a (oxyl)", "realm stage: b (utilbot)"]
    path.write_text("".join(table.format(*row) for row in rows))
    assert main(["check", "--config", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "realm prod: a + c (oxyl), d (dmod)",
        "realm stage: b (utilbot)",
        "Listeners with a + between them share everything.",
        "Protocols in one realm share users, guilds, documents and notifications.",
    ]


def test_check_and_its_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        '[gateway]\nstate_dir = "/tmp"\n[[listeners]]\nname = "o"\nprotocol = "oxyl"\nbind = "0.0.0.0:1"\n'
        '[[listeners]]\nname = "d"\nprotocol = "dmod"\nbind = "127.0.0.1:2"\n'
    )
    assert main(["check", "--config", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == (
        f"{path}: ok, 2 listeners, 2 warnings\nrealm open: o (oxyl), d (dmod)\n"
        "Protocols in one realm share users, guilds, documents and notifications.\n"
    )
    assert f"{path}:7: warning: listeners[1]: shares the documents prefix ''" in err
    assert f"{path}:3: warning: listeners[0]: open to everyone who reaches 0.0.0.0:1" in err
    assert main(["check", "--strict", "--config", str(path)]) == 2
    path.write_text('[[listeners]]\nname = "o"\nprotocol = "oxyl"\nbind = "127.0.0.1:1"\n')
    assert main(["check", "--strict", "--config", str(path)]) == 0
    path.write_text("[[listeners]]\n")
    assert main(["check", "--config", str(path)]) == 2
    assert "missing" in capsys.readouterr().err


def test_a_start_logs_the_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        '[admin]\ngroup = "no-such-group"\n[[listeners]]\nname = "o"\nprotocol = "oxyl"\nbind = "127.0.0.1:0"\n'
    )
    assert main(["run", "--config", str(path)]) == 1
    assert f"WARNING gatewayd: {path}:2: admin.group: there is no group 'no-such-group' here" in capsys.readouterr().err


def test_only_dmod_lets_guests_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    text = '[auth.a]\nkind = "static"\n'
    for name in PROTOCOLS:
        text += f'[[listeners]]\nname = "{name}"\nprotocol = "{name}"\nbind = "127.0.0.1:0"\nauth = "a"\n'
    path.write_text(text)
    assert main(["check", "--config", str(path)]) == 0
    said = capsys.readouterr().err
    assert [name for name in PROTOCOLS if f"no client can ever connect: {name} asks" not in said] == ["dmod"]


def test_a_credential_is_no_mistake_outside_the_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    path = tmp_path / "a.toml"
    path.write_text(
        '[auth.a]\nkind = "static"\nsecrets = ["credential:fleet"]\n'
        '[[listeners]]\nname = "o"\nprotocol = "oxyl"\nbind = "127.0.0.1:0"\nauth = "a"\n'
    )
    assert main(["check", "--config", str(path)]) == 0
    assert ":3: warning: auth.a.secrets[0]: credential 'fleet' is not checked" in capsys.readouterr().err
    assert main(["run", "--config", str(path)]) == 2  # but the daemon cannot do without
    assert "needs $CREDENTIALS_DIRECTORY" in capsys.readouterr().err


def test_the_readers_of_its_output_may_leave() -> None:
    done = subprocess.run(
        f"{sys.executable} -m gatewayd protocols oxyl | true", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("gatewayd ")


def test_logging_never_waits(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(logging.INFO, 10_000):
        logging.getLogger("gatewayd.test").info("hello %s", "you")
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}(-\d\d){2} \d\d(:\d\d){2},\d{3} INFO    gatewayd.test: hello you\n", line)
    full = BoundedHandler(queue.SimpleQueue(), 1)
    record = logging.LogRecord("a", logging.WARNING, "", 0, "x", (), None)
    for _ in range(3):
        full.emit(record)
    assert (full.lines.qsize(), full.dropped) == (1, 2)
    assert JournalFormatter("%(message)s").format(record) == "<4>x"
    wrong = logging.LogRecord("a", logging.WARNING, "", 0, "%d", ("x",), None)
    BoundedHandler(queue.SimpleQueue(), 1).emit(wrong)  # a mistake in a line ends nothing
    assert "TypeError" in capsys.readouterr().err


class Pipe(io.StringIO):
    """What is read of it is one list item for each write; it blocks, as a full one does, until it is `free`."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.waited = threading.Event()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.waited.set()
        assert self.free.wait(10)
        self.writes.append(text)
        return len(text)


def test_lines_that_follow_each_other_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once, so that nothing waits for a second one; all of them, and in order."""
    monkeypatch.setattr(sys, "stderr", pipe := Pipe())
    log = logging.getLogger("gatewayd.test")
    with logging_to_stderr(logging.INFO, 100) as handler:
        log.info("0")
        assert pipe.waited.wait(10)
        for number in range(1, 103):
            log.info("%d", number)
        assert handler.dropped == 2
        pipe.free.set()
    assert len(pipe.writes) == 2
    assert [line.rpartition(" ")[2] for line in "".join(pipe.writes).splitlines()] == [str(n) for n in range(101)]


class NoReader(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_log_that_nobody_reads_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", NoReader())
    with logging_to_stderr(logging.INFO, 100) as handler:
        logging.getLogger("gatewayd.test").info("x")
    assert handler.lines.empty()


def test_logging_for_the_journal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with logging_to_stderr(logging.INFO, 10_000):
        logging.getLogger("gatewayd.test").error("x")
    assert capsys.readouterr().err == "<3>gatewayd.test: x\n"
