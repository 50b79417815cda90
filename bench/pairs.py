"""Runs in pairs, one right after the other, so that what else the machine does hits both."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace

from bench.outcome import Outcome
from bench.scenario import OURS
from bench.tools import Tools, Unavailable
from bench.version import Version


def once(outcome: Outcome, row: str, tools: Tools, name: str | None = None) -> bool:
    """Run, and keep what it gave under that name, or the row's; False where it failed."""
    scenario, name = outcome.scenario, name or row
    if name in outcome.failures:
        return False
    sys.stderr.write(f"\r\x1b[K{scenario.name}: {name}" if sys.stderr.isatty() else "")
    sys.stderr.flush()
    try:
        figures = scenario.run(row, tools, scenario.work)
    except (Unavailable, RuntimeError) as error:
        outcome.failures[name] = str(error)
        return False
    finally:
        sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "")
    outcome.runs.setdefault(name, []).append(figures)
    return True


def with_peers(outcome: Outcome, peers: Sequence[str], runs: int, tools: Tools) -> None:
    """gatewayd between two peers, again and again: one run of it makes a pair with each."""
    couples = [peers[at : at + 2] for at in range(0, len(peers), 2)]
    for couple, _ in itertools.product(couples, range(runs)):
        before = once(outcome, couple[0], tools)
        if not once(outcome, OURS, tools):
            return
        if before:
            outcome.pair(couple[0], OURS)
        if len(couple) > 1 and once(outcome, couple[1], tools):
            outcome.pair(couple[1], OURS)


def alone(outcome: Outcome, rows: Sequence[str], runs: int, tools: Tools) -> None:
    """The rows of gatewayd itself, in alternation too."""
    beside = outcome.scenario.beside
    for _ in range(runs):
        done = {row for row in rows if once(outcome, row, tools)}
        for row in rows:
            if row in done and beside.get(row) in done:
                outcome.pair(row, beside[row])


def versions(outcome: Outcome, other: Version, runs: int, tools: Tools) -> None:
    """Each row of gatewayd's own, of this version and the other one; there is no peer."""
    theirs = replace(tools, version=other)
    for row in outcome.scenario.rows:
        name = other.name if row == OURS else f"{row}, {other.name}"
        for _ in range(runs):
            if once(outcome, row, tools) and once(outcome, row, theirs, name):
                outcome.pair(name, row)
