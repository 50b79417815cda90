"""The results: medians, paired ratios, the table and the JSON file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import Figures
from bench.scenarios import Scenario

RESULTS = Path(__file__).parent / "results"
WIDTH = 110
FORMAT = 2
"""Of the JSON file; a file of another one is not added to."""
BUSY = 90.0
"""Per cent of a core from which on the generator, and not the server, may be what was measured."""


@dataclass
class Outcome:
    """All runs of one scenario, in the order in which they were made."""

    scenario: Scenario
    settings: dict[str, object]
    runs: dict[str, list[Figures]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Server -> which run of the one that it is compared with goes with which of its own."""
    failures: dict[str, str] = field(default_factory=dict)

    def median(self, server: str, key: str) -> float:
        """The median of a figure over the server's runs."""
        return statistics.median(run[key] for run in self.runs[server])

    def ratio(self, server: str) -> float | None:
        """The first column's median over the pairs: gatewayd / peer, or with `gain` this row / the first row."""
        found = []
        for ours, theirs in self._paired(server):
            above, below = (theirs, ours) if self.scenario.gain else (ours, theirs)
            if below:
                found.append(above / below)
        return statistics.median(found) if found else None

    def beside(self, server: str) -> float | None:
        """The first column of gatewayd in its runs beside that server, of which each had a time of its own."""
        found = [ours for ours, _ in self._paired(server)]
        return statistics.median(found) if found else None

    def _paired(self, server: str) -> list[tuple[float, float]]:
        """The first column of what it is compared with, and of the server, pair by pair."""
        key = self.scenario.columns[0].key
        base = next(iter(self.runs)) if self.scenario.gain else "gatewayd"
        pairs = self.pairs.get(server, [])
        return [(self.runs[base][first][key], self.runs[server][second][key]) for first, second in pairs]

    def table(self) -> str:
        """Rows of medians."""
        columns = [(column, max(len(column.label) + 2, 10)) for column in self.scenario.columns]
        lines = [f"\n{self.scenario.title}  [{self.scenario.name}]"]
        if self.scenario.note:
            lines.append(f"  {self.scenario.note}")
        last = "gain" if self.scenario.gain else "ratio  gatewayd" if self.scenario.peers else ""
        lines.append(f"  {'':23}" + "".join(f"{column.label:>{wide}}" for column, wide in columns) + f"   {last}")
        for server in self.runs:
            cells = [f"{self.median(server, column.key):{column.form}}".rjust(wide) for column, wide in columns]
            ratio, beside = self.ratio(server), None if self.scenario.gain else self.beside(server)
            end = f"{ratio:7.2f}x" if ratio is not None else ""
            end += f"{beside:10{self.scenario.columns[0].form}}" if beside is not None else ""
            lines.append(f"  {server:23}" + "".join(cells) + end + ("  !" if self._busy(server) else ""))
        lines += [f"  {server:23}  not measured: {why}"[:WIDTH] for server, why in self.failures.items()]
        return "\n".join(lines)

    def _busy(self, server: str) -> bool:
        return any(run.get("generator", 0) > BUSY for run in self.runs[server])

    def plain(self) -> dict[str, Any]:
        """Everything, for the JSON file: the raw runs of every server, and what is made of them."""
        names = list(self.runs)
        return {
            "title": self.scenario.title,
            "note": self.scenario.note,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "settings": self.settings,
            "columns": [asdict(column) for column in self.scenario.columns],
            "peers": [name for name in names if name in self.scenario.peers],
            "median": {name: {key: self.median(name, key) for key in self.runs[name][0]} for name in names},
            "ratio": {name: self.ratio(name) for name in self.pairs},
            "beside": {name: self.beside(name) for name in self.pairs},
            "generator_busy": [name for name in names if self._busy(name)],
            "runs": self.runs,
            "pairs": self.pairs,
            "not_measured": self.failures,
        }


LEGEND = f"""
ratio: gatewayd / that server in the first column, the median of runs one right after the other
gatewayd: what it did in these runs; its own row is of all its runs, most of them beside other servers
  (below 1x is better for gatewayd where less is better: CPU %, KB per client; elsewhere above 1x is)
gain: that row / the first row, likewise
CPU: user and system time of the whole server process tree, each: per frame, trip, beat, client or event
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
