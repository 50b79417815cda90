"""The tour, in the README and in docs/tour.md: every snippet as it stands, against the defaults that a newcomer starts."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gatewayd.config.embedded import FIRST_PORT, NAMES, default_toml
from tests.daemon.test_run import Running, running
from tests.server import free_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TOUR = README.partition("## Two minutes")[2].partition("\n## ")[0] + (ROOT / "docs" / "tour.md").read_text()
SNIPPETS = dict(
    zip(
        re.findall(r"^\*\*(\w+)\*\*", TOUR, re.MULTILINE),
        re.findall(r"```python\n(.*?)```", TOUR, re.DOTALL),
        strict=True,
    )
)


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    return {str(FIRST_PORT + place): str(free_port()) for place in range(len(NAMES))}


def moved(text: str, ports: dict[str, str]) -> str:
    """A text with the default ports replaced by free ones."""
    for port, free in ports.items():
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
    return text


@pytest.fixture
def daemon(tmp_path: Path, ports: dict[str, str]) -> Iterator[Running]:
    path = tmp_path / "gatewayd.toml"
    path.write_text(moved(default_toml(), ports))
    with running("--config", path, env={"RUNTIME_DIRECTORY": str(tmp_path)}) as daemon:
        assert daemon.table
        yield daemon


class Pasted:
    """A snippet that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def says(self, text: str) -> None:
        """Wait until it has printed this."""
        assert self.process.stdout is not None
        while text not in self.said:
            line = self.process.stdout.readline()
            assert line, f"it ended without {text!r}:\n{self.said}"
            self.said += line


@contextmanager
def pasted(name: str, ports: dict[str, str]) -> Iterator[Pasted]:
    code = moved(SNIPPETS[name], ports)
    # Where the tests run in the background, Ctrl-C is ignored by everything that they start.
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"
    assert re.search(rf"127\.0\.0\.1:({'|'.join(ports.values())})/", code)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdin is not None
        process.stdin.write("MTAw.change-me\n" if name == "discord" else "change-me\n")
        process.stdin.close()
        try:
            yield Pasted(process)
        finally:
            process.kill()


def test_it_is_short_and_the_two_commands_are_on_its_first_screen() -> None:
    first_screen = README.partition("![")[0]
    assert "pip install . && gatewayd run\n" in first_screen
    assert "pip install '.[test]' && pytest" in first_screen
    assert len(first_screen.splitlines()) < 35
    assert len(README.splitlines()) <= 200


def test_there_is_one_for_each_protocol_of_the_default() -> None:
    assert sorted(SNIPPETS) == sorted(NAMES)


def publish(tmp_path: Path, line: str) -> str:
    """Do what a snippet says is to be done elsewhere."""
    argv = shlex.split(line.partition("gatewayctl ")[2])
    code = "from gatewayd.ctl.main import run; run()"
    socket = str(tmp_path / "admin.sock")
    done = subprocess.run(
        [sys.executable, "-c", code, "--socket", socket, *argv], capture_output=True, text=True, check=True
    )
    return done.stdout.rpartition(",")[0]


def test_the_tour(daemon: Running, ports: dict[str, str], tmp_path: Path) -> None:
    for name, end in (("dmod", "CONNECT_GUILD"), ("discodo", "IDENTIFIED"), ("oxyl", "EXECUTE_COMMAND")):
        with pasted(name, ports) as snippet:
            snippet.says(f'{end}"')
            assert snippet.process.wait(10) == 0
    with pasted("utilbot", ports) as bot:
        bot.says('{"op":11}')
        line = bot.said.partition("now, elsewhere: ")[2].partition("\n")[0]
        assert publish(tmp_path, line) == "delivered 1, buffered 0, dropped 0"  # nobody else has its identity
        bot.says('"t":"GREETING"')
        bot.process.send_signal(signal.SIGINT)  # Ctrl-C
        bot.process.wait(10)
    assert publish(tmp_path, line) == "delivered 0, buffered 1, dropped 0"
    with pasted("utilbot", ports) as bot:
        bot.says('"t":"GREETING"')
        assert '"resumed":true' in bot.said
    with pasted("discord", ports) as bot:
        bot.says("elsewhere")
        assert publish(tmp_path, bot.said) == "delivered 1, buffered 0, dropped 0"
        bot.says('{"op":11}')
        assert "'s': 2" in bot.said
    with pasted("rooms", ports) as room:
        room.says("elsewhere")
        assert publish(tmp_path, room.said) == "delivered 2, buffered 0, dropped 0"
        room.says("ann receives")
        room.says("bob receives")
