"""The fuzzing client of the Autobahn test suite, run against any ws:// URL, and its report in one table.

    python -m tests.autobahn.run                          # our transport, behind tests/autobahn/echo.py
    python -m tests.autobahn.run --compare                # and plain trio-websocket beside it
    python -m tests.autobahn.run --case '6.*' ws://127.0.0.1:9001/

The suite is a Python 2 program: it needs a Python 2.7 with pip (or ensurepip), a C compiler for two of its
dependencies, and at the first run a package index. It is installed once, into the cache, and nowhere else.

Exit code: 0, 1 when a case FAILED or `--compare` found us behind plain trio-websocket, 2 when the suite did not run
to its end, 3 when there is no Python 2.7 to run it with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

SUITE = "autobahntestsuite==25.10.1"
GROUPS = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*")
"""All but 12 and 13: those are about permessage-deflate. (There are no 8 and 11.)"""
COLUMNS = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "CLOSE", "FAILED")
SECONDS = 1800.0
"""How long the whole run may take."""


class Unavailable(Exception):
    """There is nothing to run the suite with."""


class Broken(Exception):
    """The suite, or a server under test, did not do its part."""


@frozen
class Result:
    """What the suite says of one case. `close` is its word on the closing handshake alone."""

    case: str
    behaviour: str
    close: str
    code: int | None
    seconds: float

    @property
    def group(self) -> int:
        """The number before the first dot."""
        return int(self.case.partition(".")[0])

    @property
    def verdict(self) -> str:
        """The column it counts in: the worse of the two words."""
        if "FAILED" in (self.behaviour, self.close):
            return "FAILED"
        if self.behaviour != "OK":
            return self.behaviour if self.behaviour in COLUMNS else "FAILED"
        return "OK" if self.close in ("OK", "INFORMATIONAL") else "CLOSE"


# --- the Python 2 environment -------------------------------------------------------------------------------


def find_python2(given: str | None) -> Path:
    """The first Python 2.7 there is: the one that was named, on the PATH, or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    named = [given] if given else ["python2.7", "python2", *map(str, sorted(pyenv.glob("versions/2.7*/bin/python2.7")))]
    for name in named:
        path = shutil.which(name)
        if path is not None and _says(path, "import sys; print(sys.version_info[:2])") == "(2, 7)":
            return Path(path).absolute()
    where = f"{given} is none" if given else "neither on the PATH nor among pyenv's versions is one"
    raise Unavailable(f"the Autobahn test suite needs a Python 2.7, and {where}: name one with --python2")


def _says(python: str, code: str) -> str | None:
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@frozen
class Suite:
    """The installed suite. `base` is a user base (PEP 370) of its own: no virtualenv of Python 2 is needed."""

    python: Path
    base: Path

    def install(self) -> None:
        """Install it, unless that has been done with the same interpreter."""
        mark = self.base / "installed"
        if mark.is_file() and mark.read_text() == f"{SUITE} {self.python}":
            return
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)
        print(f"installing {SUITE} into {self.base}", flush=True)
        if not self._try("pip", "--version") and not self._try("ensurepip", "--user"):
            raise Unavailable(f"{self.python} has neither pip nor ensurepip: name another with --python2")
        if not self._try("pip", "install", "--user", "--ignore-installed", "--no-warn-script-location", SUITE):
            raise Broken(f"{SUITE} could not be installed; see {self.base / 'install.log'}")
        mark.write_text(f"{SUITE} {self.python}")

    def _try(self, *module: str) -> bool:
        with (self.base / "install.log").open("a") as log:
            done = subprocess.run(
                [str(self.python), "-m", *module], env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                check=False,
            )  # fmt: skip
        return done.returncode == 0

    def _environment(self) -> dict[str, str]:
        ours = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {**kept, "PYTHONUSERBASE": str(self.base), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def fuzz(self, url: str, cases: Sequence[str], report: Path, timeout: float) -> list[Result]:
        """Run cases against a server; HTML and JSON for each are left in `report`."""
        shutil.rmtree(report, ignore_errors=True)
        report.mkdir(parents=True)
        agent = report.name
        spec = {"outdir": str(report), "servers": [{"agent": agent, "url": url}], "cases": list(cases)}
        (report / "spec.json").write_text(json.dumps(spec))
        command = [str(self.python), "-u", "-m", "autobahntestsuite.wstest", "-m", "fuzzingclient", "-s", "spec.json"]
        with (report / "run.log").open("w") as log:
            try:
                subprocess.run(
                    command, env=self._environment(), cwd=report, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    timeout=timeout, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise Broken(f"the suite was not done after {timeout:g} s; see {report / 'run.log'}") from None
        return _read(report, agent)


def _read(report: Path, agent: str) -> list[Result]:
    """The report, by case. A run that stopped half-way (a server that went) is no report."""
    log, index = report / "run.log", report / "index.json"
    lines = log.read_text(errors="replace").splitlines() or ["nothing"]
    planned = [line for line in lines if line.startswith("Cases = ")]
    if not planned or not index.is_file():
        raise Broken(f"the suite did not run; {log} ends with: {lines[-1]}")
    due = planned[0].count("'") // 2
    found: Mapping[str, Mapping[str, Mapping[str, object]]] = json.loads(index.read_text())
    results = [_result(case, said) for case, said in found.get(agent, {}).items()]
    if len(results) != due or not due:
        raise Broken(f"{len(results)} of {due} cases came to an end; {log} ends with: {lines[-1]}")
    return sorted(results, key=lambda result: [int(part) for part in result.case.split(".")])


def _result(case: str, said: Mapping[str, object]) -> Result:
    code, milliseconds = said.get("remoteCloseCode"), said.get("duration")
    return Result(
        case,
        str(said["behavior"]),
        str(said["behaviorClose"]),
        code if isinstance(code, int) else None,
        milliseconds / 1000 if isinstance(milliseconds, int | float) else 0.0,
    )


# --- the servers under test ---------------------------------------------------------------------------------


@contextmanager
def serving(module: str) -> Iterator[str]:
    """One of the echo servers beside this file, as a process; its URL."""
    command = [sys.executable, "-m", f"{__package__}.{module}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url.startswith("ws://"):
                raise Broken(f"{module}.py did not start")
            yield url
        finally:
            process.kill()


# --- the report ---------------------------------------------------------------------------------------------


def table(results: Iterable[Result]) -> str:
    """Counts by group; CLOSE is a case that went well until its closing handshake, which did not."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(str(result.group), []).append(result)
    groups["all"] = [result for group in groups.values() for result in group]
    lines = [["group", *COLUMNS, "seconds"]]
    for name, group in groups.items():
        counts = Counter(result.verdict for result in group)
        lines.append([name, *(str(counts[it]) for it in COLUMNS), f"{sum(result.seconds for result in group):.1f}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)


def exceptions(results: Iterable[Result]) -> str:
    """The cases that are not OK, one a line."""
    return "\n".join(
        f"  {it.case:<10} {it.behaviour}, close {it.close}{'' if it.code is None else f' ({it.code})'}"
        for it in results
        if it.verdict != "OK"
    )


def count(results: Iterable[Result], verdict: str) -> int:
    """How many cases have one verdict."""
    return sum(result.verdict == verdict for result in results)


def tell(name: str, results: Sequence[Result]) -> None:
    """Print what came out for one server."""
    print(f"\n{name}: {len(results)} cases\n\n{table(results)}\n")
    print(f"not OK:\n{exceptions(results)}" if count(results, "OK") < len(results) else "all OK", flush=True)


# --- the command --------------------------------------------------------------------------------------------


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(
        prog="python -m tests.autobahn.run", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="the echo server under test; without it, ours is started")
    parser.add_argument(
        "--case", action="append", metavar="PATTERN", help="such cases only ('1.*', '6.4.1'); repeatable"
    )
    parser.add_argument("--compare", action="store_true", help="demand no fewer OK than plain trio-websocket has")
    parser.add_argument("--python2", metavar="PATH", help="the Python 2.7 to run the suite with")
    parser.add_argument("--cache", type=Path, default=cache / "gatewayd-autobahn", metavar="DIRECTORY",
                        help="where the suite is installed and its reports are left (%(default)s)")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS",
                        help="how long one server's run may take (%(default)g)")  # fmt: skip
    return parser.parse_args(words)


def judge(options: argparse.Namespace) -> int:
    """Run what was asked for; the exit code."""
    cache: Path = options.cache.resolve()
    suite = Suite(find_python2(options.python2), cache / "suite")
    suite.install()
    cases = options.case or GROUPS

    def run(name: str, url: str | None) -> list[Result]:
        if url is None:
            with serving(name) as own:
                return run(name, own)
        results = suite.fuzz(url, cases, cache / "reports" / name, options.timeout)
        tell(f"{name} ({url})", results)
        return results

    results = run("echo" if options.url is None else "url", options.url)
    failed = count(results, "FAILED")
    if failed:
        print(f"\n{failed} FAILED", file=sys.stderr)
    behind = 0
    if options.compare:
        plain = run("plain", None)
        behind = max(0, count(plain, "OK") - count(results, "OK"))
        if behind:
            print(f"\n{behind} fewer OK than plain trio-websocket", file=sys.stderr)
    print(f"\nreports: {cache / 'reports'}")
    return 1 if failed or behind else 0


def main(words: Sequence[str] | None = None) -> int:
    """Judge, or say in one sentence why that cannot be done."""
    options = arguments(words)
    try:
        return judge(options)
    except Unavailable as exc:
        print(exc, file=sys.stderr)
        return 3
    except Broken as exc:
        print(exc, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
