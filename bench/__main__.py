"""Runs every benchmark and shows the results: `python -m bench [--quick] [--only NAME ..] [--peers NAME ..]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.measure import Figures
from bench.plot import plot
from bench.report import Outcome
from bench.scenarios import Scenario, scenarios
from bench.servers import BEFORE, COMMANDS, Tools, Unavailable, before, raise_files


def _once(outcome: Outcome, server: str, tools: Tools) -> int | None:
    """Run, and keep what it gave: its number among the server's runs, or None where it failed."""
    scenario = outcome.scenario
    sys.stderr.write(f"\r\x1b[K{scenario.name}: {server}" if sys.stderr.isatty() else "")
    sys.stderr.flush()
    try:
        figures: Figures = scenario.run(server, tools, scenario.work)
    except (Unavailable, RuntimeError) as error:
        outcome.failures[server] = str(error)
        return None
    finally:
        sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "")
    outcome.runs.setdefault(server, []).append(figures)
    return len(outcome.runs[server]) - 1


def _pair(outcome: Outcome, peer: str, runs: int, tools: Tools) -> None:
    """gatewayd and the peer in alternation, so that what else the machine does hits both."""
    for _ in range(runs):
        ours = _once(outcome, "gatewayd", tools)
        theirs = _once(outcome, peer, tools) if ours is not None else None
        if ours is None or theirs is None:
            return
        outcome.pairs.setdefault(peer, []).append((ours, theirs))


def _alone(outcome: Outcome, runs: int, tools: Tools) -> None:
    """The rows of gatewayd itself, in alternation too."""
    first = outcome.scenario.alone[0]
    for _ in range(runs):
        base = None
        for row in outcome.scenario.alone:
            done = _once(outcome, row, tools) if row not in outcome.failures else None
            if row == first:
                base = done
            elif outcome.scenario.gain and base is not None and done is not None:
                outcome.pairs.setdefault(row, []).append((base, done))


def _measure(scenario: Scenario, peers: list[str] | None, runs: int, seconds: float, tools: Tools) -> Outcome:
    outcome, began = Outcome(scenario, {"runs": runs, "seconds": seconds}), time.monotonic()
    if scenario.alone:
        _alone(outcome, runs, tools)
    for peer in (*scenario.peers, *((BEFORE,) if BEFORE in COMMANDS and scenario.peers else ())):
        if peers is None or peer == BEFORE or any(peer.lower().startswith(wanted.lower()) for wanted in peers):
            _pair(outcome, peer, runs, tools)
    outcome.settings["took"] = round(time.monotonic() - began)
    return outcome


def _arguments(given: Sequence[str] | None, known: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of a second each; results go to quick.*")
    parser.add_argument("--only", nargs="+", choices=known, metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="only peers whose name begins so")
    parser.add_argument("--before", type=Path, metavar="DIR", help="also pair with the gatewayd of this checkout")
    parser.add_argument("--runs", type=int, help="runs of each pair, of which the median counts (3)")
    parser.add_argument("--seconds", type=float, help="seconds of each run (3)")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Build, run, print, write."""
    known = [scenario.name for scenario in scenarios(0)]
    args = _arguments(given, known)
    runs = args.runs or (1 if args.quick else 3)
    seconds = args.seconds or (1.0 if args.quick else 3.0)
    name = "before" if args.before else "quick" if args.quick else "latest"
    if args.before:
        COMMANDS[BEFORE] = before(args.before.resolve())
    raise_files()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            tools = Tools.build(Path(folder))
        except Unavailable as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        outcomes = []
        for scenario in scenarios(seconds):
            if args.only is None or scenario.name in args.only:
                outcomes.append(_measure(scenario, args.peers, runs, seconds, tools))
                print(outcomes[-1].table(), flush=True)
                data = report.save(outcomes, known, name)  # now, lest a long run that is interrupted be lost
    print(report.LEGEND)
    drawn = plot(data, report.RESULTS / f"{name}.png")
    print(f"\n{time.monotonic() - began:.0f} s. Raw numbers and plot: {name}.json, {name}.png in bench/results")
    if not drawn:
        print("matplotlib is not installed: no plot")
    return 0


if __name__ == "__main__":
    sys.exit(main())
