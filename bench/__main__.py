"""Runs the benchmarks and shows the results.

    python -m bench                       everything, beside other servers
    python -m bench --goals               only what the goals need, and which of them are reached
    python -m bench --compare COMMIT      this version beside another one, without other servers
    python -m bench --interpreter PATH    this version on two interpreters

Every sample is of a fresh server, which has done the same work for a while before it is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import goals, pairs, report
from bench.outcome import Outcome
from bench.plot import plot
from bench.scenario import LIMIT, Scenario
from bench.scenarios import scenarios
from bench.tools import Tools, Unavailable, raise_files
from bench.version import Version, at_commit, on_interpreter

RUNS, SECONDS = 5, 1.0


def _measure(scenario: Scenario, args: argparse.Namespace, other: Version | None, tools: Tools) -> Outcome:
    """The scenario's pairs, of those that were asked for."""
    runs: int = args.runs or (1 if args.quick else RUNS)
    outcome, began = Outcome(scenario, {"runs": runs, "seconds": args.seconds}), time.monotonic()
    if other is not None:
        pairs.versions(outcome, other, runs, tools)
    else:
        wanted = goals.needed().get(scenario.name, set()) | {LIMIT} if args.goals else None
        rows = [row for row in scenario.alone if wanted is None or row in wanted | _beside(scenario, wanted)]
        pairs.alone(outcome, rows, runs, tools)
        pairs.with_peers(outcome, [peer for peer in scenario.peers if _asked(peer, args, wanted)], runs, tools)
    outcome.settings |= {
        "took": round(time.monotonic() - began),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return outcome


def _beside(scenario: Scenario, rows: set[str]) -> set[str]:
    """The rows that these are compared with."""
    return {scenario.beside[row] for row in rows if row in scenario.beside}


def _asked(peer: str, args: argparse.Namespace, wanted: set[str] | None) -> bool:
    if args.peers is not None:
        return any(peer.lower().startswith(name.lower()) for name in args.peers)
    return wanted is None or peer in wanted


def _arguments(given: Sequence[str] | None, known: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one run of each pair; results go to quick.*")
    parser.add_argument("--only", nargs="+", choices=known, metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="only peers whose name begins so")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--goals", action="store_true", help="the goals alone; results go to goals.*")
    other.add_argument(
        "--compare", metavar="COMMIT", help="pair with the gatewayd of a commit; results go to compare.*"
    )
    other.add_argument("--interpreter", metavar="PATH", help="pair with another Python; results go to interpreter.*")
    parser.add_argument("--show", action="store_true", help="run nothing, and show what was measured before")
    parser.add_argument("--runs", type=int, help=f"runs of each pair, of which the median counts ({RUNS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"seconds of each run at least ({SECONDS:g})")
    return parser.parse_args(given)


def _name(args: argparse.Namespace) -> str:
    """Of the results' files."""
    named = {"quick": args.quick, "goals": args.goals, "compare": args.compare, "interpreter": args.interpreter}
    return next((name for name, asked in named.items() if asked), "latest")


def main(given: Sequence[str] | None = None) -> int:
    """Build, run, print, write."""
    known = [scenario.name for scenario in scenarios(0)]
    args = _arguments(given, known)
    if args.show:
        stored = report.load(scenarios(SECONDS), report.RESULTS / f"{_name(args)}.json")
        print(*(outcome.table() for outcome in stored.values()), goals.table(stored), report.LEGEND, sep="\n")
        return 0
    other = at_commit(args.compare) if args.compare else on_interpreter(args.interpreter) if args.interpreter else None
    only = args.only or (list(goals.needed()) if args.goals else known)
    raise_files()
    began, outcomes = time.monotonic(), dict[str, Outcome]()
    with tempfile.TemporaryDirectory() as folder:
        try:
            tools = Tools.build(Path(folder))
        except Unavailable as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        for scenario in scenarios(args.seconds):
            if scenario.name in only:
                outcomes[scenario.name] = _measure(scenario, args, other, tools)
                print(outcomes[scenario.name].table(), flush=True)
                # now, lest a long run that is interrupted be lost
                data = report.save([*outcomes.values()], known, report.RESULTS / f"{_name(args)}.json")
    print(report.LEGEND)
    if other is None:
        print(goals.table(outcomes))
    drawn = plot(data, report.RESULTS / f"{_name(args)}.png")
    print(f"\n{time.monotonic() - began:.0f} s. Raw numbers and plot: {_name(args)}.json, .png in bench/results")
    if not drawn:
        print("matplotlib is not installed: no plot")
    return 0


if __name__ == "__main__":
    sys.exit(main())
