"""All runs of one scenario: medians, paired ratios, and its table."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.measure import Figures
from bench.scenario import LIMIT, OURS, Column, Scenario

BUSY = 90.0
"""Per cent of a core from which on the generator, and not the server, may be what was measured."""
OF_LIMIT = "of C"


@dataclass
class Outcome:
    """The runs in the order in which they were made."""

    scenario: Scenario
    settings: dict[str, object]
    runs: dict[str, list[Figures]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Server -> which run of the one that it is paired with goes with which of its own."""
    base: dict[str, str] = field(default_factory=dict)
    """Server -> the one that it is paired with, where that is not gatewayd."""
    failures: dict[str, str] = field(default_factory=dict)

    def pair(self, server: str, base: str) -> None:
        """The latest run of both belong together."""
        self.base[server] = base
        self.pairs.setdefault(server, []).append((len(self.runs[base]) - 1, len(self.runs[server]) - 1))

    def median(self, server: str, key: str) -> float:
        """The median of a figure over the server's runs."""
        return statistics.median(run[key] for run in self.runs[server])

    def ratio(self, server: str, column: Column) -> float | None:
        """How many times as good as this server the one is that it is paired with, in the median of the pairs.

        A row of gatewayd's own is the other way round: how many times as good as the row that it stands beside.
        """
        found = []
        for first, second in self.pairs.get(server, ()):
            base, own = (self.runs[self.base[server]][first][column.key], self.runs[server][second][column.key])
            above, below = (base, own) if column.less == (server in self.scenario.beside) else (own, base)
            if below:
                found.append(above / below)
        return statistics.median(found) if found else None

    def of_limit(self, server: str) -> float | None:
        """The CPU that the C loop takes, as a part of what this server takes; both paired with gatewayd."""
        cpu = next((column for column in self.scenario.compared if column.less), None)
        if cpu is None or LIMIT not in self.pairs:
            return None
        ours, theirs = self.ratio(LIMIT, cpu), 1.0 if server == OURS else self.ratio(server, cpu)
        return ours / theirs if ours and theirs and server != LIMIT else None

    def busy(self, server: str) -> bool:
        """Whether the generator may have been the slower one."""
        return any(run.get("generator", 0) > BUSY for run in self.runs[server])

    def table(self) -> str:
        """Rows of medians, as Markdown."""
        columns, compared = self.scenario.columns, self.scenario.compared if self.pairs else ()
        limit = LIMIT in self.pairs
        head = ["", *(column.label for column in columns), *(f"{column.compared} ×" for column in compared)]
        rows = [head + [OF_LIMIT] * limit]
        for server in sorted(self.runs, key=OURS.__ne__):
            cells = [f"{self.median(server, column.key):{column.form}}" for column in columns]
            cells = [
                cell + " !" * (col.key == "generator" and self.busy(server))
                for col, cell in zip(columns, cells, strict=True)
            ]
            ratios = [self.ratio(server, column) for column in compared] + [self.of_limit(server)] * limit
            name = f"**{server}**" if server == OURS else server
            rows.append([name, *cells, *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
        lines = [f"\n**{self.scenario.title}** [{self.scenario.name}]"]
        if self.scenario.note:
            lines.append(f"({self.scenario.note})")
        lines += ["", *markdown(rows)]
        return "\n".join(lines + [f"{server}: not measured: {why}" for server, why in self.failures.items()])

    def plain(self) -> dict[str, Any]:
        """Everything, for the JSON file: the raw runs of every server, and what is made of them."""
        names = list(self.runs)
        ratios = {
            name: {column.key: self.ratio(name, column) for column in self.scenario.compared} for name in self.pairs
        }
        return {
            "title": self.scenario.title,
            "note": self.scenario.note,
            "settings": self.settings,
            "columns": [asdict(column) for column in self.scenario.columns],
            "peers": [name for name in names if name in self.scenario.peers],
            "median": {name: {key: self.median(name, key) for key in self.runs[name][0]} for name in names},
            "ratio": ratios,
            "of_limit": {name: self.of_limit(name) for name in names},
            "generator_busy": [name for name in names if self.busy(name)],
            "runs": self.runs,
            "pairs": {name: {"with": self.base[name], "runs": found} for name, found in self.pairs.items()},
            "not_measured": self.failures,
        }


def markdown(rows: list[list[str]]) -> list[str]:
    """A table, its columns aligned for a terminal; the first row is its head."""
    wide = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    shown = []
    for row in rows:
        first, *rest = row
        cells = [first.ljust(wide[0]), *(cell.rjust(width) for cell, width in zip(rest, wide[1:], strict=True))]
        shown.append(f"| {' | '.join(cells)} |")
    rule = ["-" * max(wide[0], 3), *(f"{'-' * max(width - 1, 2)}:" for width in wide[1:])]
    return [shown[0], f"| {' | '.join(rule)} |", *shown[1:]]
