"""The command line: what stands in --help, options on both sides of the verb, shell completion."""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd import __version__
from gatewayd.admin import listing
from gatewayd.ctl.parser import SHELLS, SORTS, build, parse
from gatewayd.ctl.verbs import VERBS

from .conftest import Ctl
from .daemon import Daemon, running

NESTED = {"doc": {"get", "set", "delete"}, "room": {"create", "show", "set", "close"}}


def verbs_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str | None, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            for name, verb in action.choices.items():
                yield name, helps.get(name), verb


def test_every_verb_is_in_help_with_its_meaning_and_can_be_done(ctl: Ctl) -> None:
    shown = ctl("--help").out
    found = list(verbs_of(build()))
    assert {name for name, _, _ in found} == set(VERBS)
    for name, meaning, parser in found:
        assert meaning
        assert f"    {name} " in shown
        assert " ".join(meaning.split()[:4]) in shown
        assert {inner for inner, _, _ in verbs_of(parser)} == NESTED.get(name, set())
        assert all(inner for _, inner, _ in verbs_of(parser))


def test_every_argument_of_every_verb_has_help(ctl: Ctl) -> None:
    parsers = [("", build())] + [(name, verb) for name, _, verb in verbs_of(build())]
    parsers += [(f"{name} {inner}", verb) for name, outer in parsers for inner, _, verb in verbs_of(outer) if name]
    for name, parser in parsers:
        for action in parser._actions:
            assert action.help or isinstance(action, argparse._SubParsersAction), (name, action.dest)
        assert ctl(*name.split(), "--help").code == 0  # a stray % in a help text would raise


def test_every_help_fits_a_terminal(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name, _, _ in [("", "", None), *verbs_of(build())]:
        assert max(map(len, ctl(*name.split(), "--help").out.splitlines())) <= 80, name


def test_sorts_are_those_of_the_api() -> None:
    assert tuple(listing.SORTS) == SORTS


@pytest.mark.parametrize(
    "argv",
    [
        "--socket S --json doc get k",
        "doc --socket S --json get k",
        "doc get --socket S --json k",
        "doc get k --json --socket S",
        "--json doc get k --socket=S",
        "--socket wrong doc --json get k --socket S",
    ],
)
def test_socket_and_json_before_and_after_the_verb(argv: str) -> None:
    args = parse(argv.split())
    assert (args.socket, args.json, args.verb, args.action, args.key) == ("S", True, "doc", "get", "k")


def test_defaults() -> None:
    args = parse(["status"])
    assert (args.socket, args.json, args.timeout) == (None, False, None)


def test_a_sort_that_is_turned_around() -> None:
    assert parse(["sessions", "--sort", "-age"]).sort == "-age"
    assert parse(["sessions", "--sort=-age"]).sort == "-age"
    assert parse(["sessions", "--sort", "age", "--json"]).sort == "age"
    assert parse(["publish", "c", "E", "--", "--sort"]).data == "--sort"


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("500ms", 0.5), ("1m", 60), ("2.5", 2.5)])
def test_a_time(text: str, seconds: float) -> None:
    assert parse(["--timeout", text, "status"]).timeout == seconds
    assert parse(["status", "--timeout", text]).timeout == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "5 s", "soon", "1h", "٣s"])
def test_what_is_no_time(ctl: Ctl, text: str) -> None:
    result = ctl("status", f"--timeout={text}")
    assert result.code == 2
    assert "expected a time such as 5s, 500ms or 1m" in result.err


def test_columns(ctl: Ctl) -> None:
    assert parse(["sessions", "--columns", "ID,remote"]).columns == ["id", "remote"]
    assert "there is no column 'idd', did you mean 'id'?" in ctl("sessions", "--columns", "idd").err
    assert "there is no column 'x?'; there are id, listener" in ctl("sessions", "--columns", "id,x?").err


def test_the_version(ctl: Ctl) -> None:
    assert ctl("--version").out == f"gatewayctl {__version__}\n"


def test_negative_numbers_dashes_and_unabbreviated_options(ctl: Ctl) -> None:
    assert parse(["publish", "c", "E", "-5"]).data == "-5"
    assert parse(["publish", "c", "E", "-"]).data == "-"
    assert parse(["show", "--", "-abc"]).id == "-abc"
    assert ctl("sessions", "--stat", "ready").code == 2


def test_an_argument_that_is_not_utf8_is_a_usage_error(ctl: Ctl) -> None:
    result = ctl("show", "\udcff")
    assert result.code == 2
    assert "it is not UTF-8" in result.err


def test_the_socket_option_wins_over_the_environment(ctl: Ctl, tmp_path: Path) -> None:
    with running(tmp_path / "other.sock") as other:
        other.answers("GET /v1/status", {"node": "other"})
        for argv in (["--socket", str(other.path), "status"], ["status", "--socket", str(other.path)]):
            assert "other" in ctl(*argv).out


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_scripts_know_the_verbs(ctl: Ctl, shell: str) -> None:
    result = ctl("--print-completion", shell)
    assert result.code == 0
    for verb in VERBS:
        assert verb in result.out
    if checker := shutil.which(shell):
        subprocess.run([checker, "-n"], input=result.out, text=True, check=True)


def test_an_unknown_shell_is_a_usage_error(ctl: Ctl) -> None:
    assert ctl("--print-completion", "cmd.exe").code == 2


def test_bash_completes_verbs_and_options(ctl: Ctl, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = tmp_path / "gatewayctl.bash"
    script.write_text(ctl("--print-completion", "bash").out)
    ask = 'source "$1"; COMP_WORDS=(gatewayctl se); COMP_CWORD=1; _shtab_gatewayctl; echo "${COMPREPLY[@]}"'
    done = subprocess.run([bash, "-c", ask, "-", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["services", "sessions"]


def test_completion_runs_without_a_daemon() -> None:
    code = "from gatewayd.ctl.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--print-completion", "bash"], capture_output=True, text=True, check=True
    )
    assert "gatewayctl" in done.stdout


def test_the_fake_is_a_daemon(daemon: Daemon, ctl: Ctl) -> None:
    assert ctl("show", "nobody").code == 1
    assert daemon.asked == ["GET /v1/sessions/nobody"]
