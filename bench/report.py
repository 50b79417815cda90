"""The results as a whole: what the ratios mean, and the JSON file."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from bench.outcome import BUSY, OF_LIMIT, Outcome

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


def save(outcomes: list[Outcome], order: list[str], name: str) -> dict[str, Any]:
    """Write the raw numbers to the results, and return them; scenarios that were not run keep what is there.

    What another machine has measured is not mixed with this one's.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine, found = _machine(), {}
    if path.exists():
        before = json.loads(path.read_text())
        if before.get("format") == FORMAT and before["machine"] == machine:
            found = before["scenarios"]
    found |= {outcome.scenario.name: outcome.plain() for outcome in outcomes if outcome.runs}
    data = {"format": FORMAT, "machine": machine, "scenarios": {each: found[each] for each in order if each in found}}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return data
