"""The results: medians, paired ratios, the table, the JSON file and the plot."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Figures
from bench.scenarios import Scenario

RESULTS = Path(__file__).parent / "results"
WIDTH = 100
BUSY = 90.0
"""Per cent of a core from which on the generator, and not the server, may be what was measured."""


@dataclass
class Outcome:
    """All runs of one scenario. A pair is the peer's run and the run of gatewayd right before it."""

    scenario: Scenario
    runs: dict[str, list[Figures]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[Figures, Figures]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def median(self, server: str, key: str) -> float:
        """The median of a figure over the server's runs."""
        return statistics.median(run[key] for run in self.runs[server])

    def ratio(self, server: str) -> float | None:
        """gatewayd / peer of the first column: the median over the pairs."""
        key = self.scenario.columns[0].key
        found = [ours[key] / theirs[key] for ours, theirs in self.pairs.get(server, []) if theirs[key]]
        return statistics.median(found) if found else None

    def table(self) -> str:
        """Rows of medians, not wider than WIDTH."""
        columns = self.scenario.columns
        lines = [f"\n{self.scenario.title}  [{self.scenario.name}]"]
        if self.scenario.note:
            lines.append(f"  {self.scenario.note}"[:WIDTH])
        lines.append(f"  {'':21}" + "".join(f"{column.label:>14}" for column in columns) + f"{'ratio':>8}")
        for server in self.runs:
            cells = [f"{self.median(server, column.key):{column.form}}" for column in columns]
            ratio = self.ratio(server)
            busy = "  !" if self._busy(server) else ""
            end = f"{f'{ratio:.2f}x' if ratio is not None else '':>8}{busy}"
            lines.append(f"  {server:21}" + "".join(f"{cell:>14}" for cell in cells) + end)
        lines += [f"  {server:21}  not measured: {why}"[:WIDTH] for server, why in self.failures.items()]
        return "\n".join(lines)

    def _busy(self, server: str) -> bool:
        return any(run.get("generator", 0) > BUSY for run in self.runs[server])

    def plain(self) -> dict[str, object]:
        """Everything, for the JSON file."""
        return {
            "title": self.scenario.title,
            "runs": self.runs,
            "median": {
                server: {key: self.median(server, key) for key in runs[0]} for server, runs in self.runs.items()
            },
            "ratio": {server: self.ratio(server) for server in self.pairs},
            "compared": self.scenario.columns[0].key,
            "not_measured": self.failures,
        }


LEGEND = f"""
ratio: gatewayd / that server in the first column, the median of runs one right after the other
  (for CPU % and KB per client, less than 1x is better for gatewayd; for the others, more)
CPU: user and system time of the whole server process tree
!: the generator used more than {BUSY:.0f} % of a core, the server could have done more"""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def save(outcomes: list[Outcome], settings: dict[str, object]) -> Path:
    """Write the raw numbers."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "latest.json"
    machine = {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    data = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "settings": settings,
        "scenarios": {outcome.scenario.name: outcome.plain() for outcome in outcomes},
    }
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return path


def plot(outcomes: list[Outcome]) -> Path | None:
    """One bar chart a scenario, with the range over the runs; None where matplotlib is missing."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return None
    shown = [outcome for outcome in outcomes if outcome.runs]
    across = 2 if len(shown) > 1 else 1
    down = -(-len(shown) // across)
    figure, axes = plt.subplots(down, across, figsize=(6.5 * across, 2.6 * down), squeeze=False)
    for axis, outcome in zip(axes.flat, shown, strict=False):
        column, servers = outcome.scenario.columns[0], list(outcome.runs)
        middle = [outcome.median(server, column.key) for server in servers]
        every = [[run[column.key] for run in outcome.runs[server]] for server in servers]
        spread = [
            [value - min(runs) for value, runs in zip(middle, every, strict=True)],
            [max(runs) - value for value, runs in zip(middle, every, strict=True)],
        ]
        colours = ["#9aa5b1" if server in outcome.scenario.peers else "#1f6feb" for server in servers]
        bars = axis.barh(servers, middle, xerr=spread, color=colours, ecolor="#555555", capsize=2)
        axis.bar_label(bars, [f"{value:{column.form}}" for value in middle], padding=4, fontsize=8)
        axis.invert_yaxis()
        axis.margins(x=0.18)
        axis.set_title(outcome.scenario.title, fontsize=9)
        axis.set_xlabel(column.label, fontsize=8)
        axis.tick_params(labelsize=8)
    for axis in list(axes.flat)[len(shown) :]:
        axis.set_visible(False)
    figure.tight_layout()
    path = RESULTS / "latest.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
