"""The results as a whole: what the ratios mean, and the JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.outcome import BUSY, OF_LIMIT, Outcome
from bench.scenario import Scenario

RESULTS = Path(__file__).parent / "results"
FORMAT = 3
"""Of the JSON file; a file of another one is not added to."""

LEGEND = f"""
rate ×, CPU ×, KB ×: how many times as good as that server gatewayd was, the median over runs one right after the other;
  of a row of gatewayd's own: how many times as good as the row that it stands beside
{OF_LIMIT}: the CPU of the C loop, which does nothing but write, as a part of that server's
CPU: the server's whole process tree, by the scheduler's account; each: per frame, trip, beat, client or event
generator %: of one core; ! where it was above {BUSY:.0f} in a run, and the server could have done more"""


def _machine() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": named[0] if named else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def load(known: Iterable[Scenario], path: Path) -> dict[str, Outcome]:
    """The outcomes that a file has of these scenarios."""
    found = json.loads(path.read_text())
    if found["format"] != FORMAT:
        raise SystemExit(f"bench: {path} is of an older version of the benchmarks: measure again")
    stored, outcomes = found["scenarios"], dict[str, Outcome]()
    for scenario in known:
        if scenario.name in stored:
            kept = stored[scenario.name]
            pairs = {server: [(one, two) for one, two in each["runs"]] for server, each in kept["pairs"].items()}
            base = {server: each["with"] for server, each in kept["pairs"].items()}
            outcomes[scenario.name] = Outcome(
                scenario, kept["settings"], kept["runs"], pairs, base, kept["not_measured"]
            )
    return outcomes


def save(outcomes: list[Outcome], order: list[str], path: Path) -> dict[str, Any]:
    """Write the raw numbers to a file, and return them; scenarios that were not run keep what is there.

    What another machine has measured is not mixed with this one's.
    """
    machine, found = _machine(), {}
    if path.exists():
        before = json.loads(path.read_text())
        if before.get("format") == FORMAT and before["machine"] == machine:
            found = before["scenarios"]
    found |= {outcome.scenario.name: outcome.plain() for outcome in outcomes if outcome.runs}
    data = {"format": FORMAT, "machine": machine, "scenarios": {each: found[each] for each in order if each in found}}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return data
