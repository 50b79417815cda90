"""Runs every benchmark and shows the results: `python -m bench [--quick] [--only NAME ..]`."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from bench import report
from bench.measure import Figures
from bench.report import Outcome
from bench.scenarios import Scenario, scenarios
from bench.servers import Tools, Unavailable


def _once(scenario: Scenario, server: str, tools: Tools) -> Figures:
    sys.stderr.write(f"\r\x1b[K{scenario.name}: {server}" if sys.stderr.isatty() else "")
    sys.stderr.flush()
    return scenario.run(server, tools, scenario.work)


def _pair(outcome: Outcome, peer: str, runs: int, tools: Tools) -> None:
    """gatewayd and the peer in alternation, so that what else the machine does hits both."""
    for _ in range(runs):
        try:
            ours = _once(outcome.scenario, "gatewayd", tools)
        except (Unavailable, RuntimeError) as error:
            outcome.failures["gatewayd"] = str(error)
            return
        outcome.runs.setdefault("gatewayd", []).append(ours)
        try:
            theirs = _once(outcome.scenario, peer, tools)
        except (Unavailable, RuntimeError) as error:
            outcome.failures[peer] = str(error)
            return
        outcome.runs.setdefault(peer, []).append(theirs)
        outcome.pairs.setdefault(peer, []).append((ours, theirs))


def _measure(scenario: Scenario, peers: list[str] | None, runs: int, tools: Tools) -> Outcome:
    outcome = Outcome(scenario)
    for row in scenario.alone:
        try:
            outcome.runs[row] = [_once(scenario, row, tools) for _ in range(runs)]
        except RuntimeError as error:
            outcome.failures[row] = str(error)
    for peer in scenario.peers:
        if peers is None or any(peer.lower().startswith(wanted.lower()) for wanted in peers):
            _pair(outcome, peer, runs, tools)
    return outcome


def main() -> int:
    """Build, run, print, write."""
    known = [scenario.name for scenario in scenarios(0)]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of a second each")
    parser.add_argument("--only", nargs="+", choices=known, metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="only peers whose name begins so")
    parser.add_argument("--runs", type=int, help="runs of each pair, of which the median counts (3)")
    parser.add_argument("--seconds", type=float, help="seconds of each run (3)")
    args = parser.parse_args()
    runs = args.runs or (1 if args.quick else 3)
    seconds = args.seconds or (1.0 if args.quick else 3.0)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        try:
            tools = Tools.build(Path(folder))
        except Unavailable as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        for scenario in scenarios(seconds):
            if args.only is None or scenario.name in args.only:
                outcome = _measure(scenario, args.peers, runs, tools)
                sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "")
                print(outcome.table(), flush=True)
                outcomes.append(outcome)
    print(report.LEGEND)
    settings = {"runs": runs, "seconds": seconds, "took": round(time.monotonic() - began)}
    print(f"\n{settings['took']} s. Raw numbers: {report.save(outcomes, dict(settings)).name} in bench/results")
    if report.plot(outcomes) is None:
        print("matplotlib is not installed: no plot")
    return 0


if __name__ == "__main__":
    sys.exit(main())
