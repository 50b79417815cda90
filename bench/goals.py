"""The goals: how good each figure is to be, and whether it is.

CPU decides, since it says more on a machine that has other work than the rate does; the rate stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.outcome import Outcome, markdown
from bench.scenario import CPU, KB, LIMIT, OURS, Column


@dataclass(frozen=True)
class Goal:
    """One figure of one scenario."""

    what: str
    scenario: str
    row: str
    """The server that gatewayd is compared with, or the row of its own."""
    floor: float
    aim: float
    value: Callable[[Outcome, str, Column], float | None] = Outcome.ratio
    column: Column = CPU
    form: str = "{:.2f}×"
    less: bool = False
    """Less is better."""

    def reached(self, value: float, bound: float) -> bool:
        """Whether a value is at least as good as the bound."""
        return value <= bound if self.less else value >= bound


def _inverse(outcome: Outcome, row: str, column: Column) -> float | None:
    ratio = outcome.ratio(row, column)
    return 1 / ratio if ratio else None


def _own(outcome: Outcome, row: str, column: Column) -> float | None:
    return outcome.median(row, column.key) if row in outcome.runs else None


NODE, PICOWS, HTTP = "Node.js ws", "picows (uvloop)", "Node.js http"
GOALS = (
    Goal("single event to 1,000, against Node `ws`", "fanout", NODE, 1.4, 1.8),
    Goal("single event to 1,000, of the C loop", "fanout", LIMIT, 0.0, 0.9),
    Goal("single event to 1,000, against picows on uvloop", "fanout", PICOWS, 1.0, 1.3),
    Goal("bursts of 20, against Node `ws`", "burst", NODE, 6.0, 10.0),
    Goal("round trips, 100 clients, against Node `ws`", "requests", NODE, 1.0, 1.15),
    Goal("connect to READY, against Node `ws`", "idle", NODE, 0.75, 1.0),
    Goal("5,000 come back at once, against Node `ws`", "storm-5k", NODE, 0.6, 0.9),
    Goal("publish to nobody, of Node's bare HTTP just started", "nobody", HTTP, 3.0, 2.2, _inverse, less=True),
    Goal("publish to nobody, of Node's bare HTTP warmed up", "nobody-warm", HTTP, 3.0, 2.2, _inverse, less=True),
    Goal("`batched` against `none`, 1,000 away", "journal", "away: batched", 0.6, 0.75),
    Goal("memory of an idle, identified client", "idle", OURS, 14.5, 11.0, _own, KB, "{:.1f} KB", less=True),
)


def _verdict(goal: Goal, value: float) -> str:
    if goal.reached(value, goal.aim):
        return "aim"
    return "floor" if goal.floor and goal.reached(value, goal.floor) else "missed"


def needed() -> Mapping[str, set[str]]:
    """Scenario -> the servers or rows that the goals ask of it."""
    found: dict[str, set[str]] = {}
    for goal in GOALS:
        found.setdefault(goal.scenario, set()).add(goal.row)
    return found


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Each goal beside what was measured."""
    rows = [["", "CPU", "rate", "of C", "floor", "aim", ""]]
    for goal in GOALS:
        if goal.scenario not in outcomes:
            continue
        outcome = outcomes[goal.scenario]
        value = goal.value(outcome, goal.row, goal.column)
        if value is None:
            rows.append([goal.what, "", "", "", _bound(goal, goal.floor), _bound(goal, goal.aim), "not measured"])
            continue
        rate = next((column for column in outcome.scenario.compared if column.compared == "rate"), None)
        shown = goal.value(outcome, goal.row, rate) if rate is not None and goal.column is CPU else None
        if shown is not None and goal.less:
            shown = 1 / shown
        part = outcome.of_limit(OURS) if goal.row != LIMIT else None
        rows.append([
            goal.what,
            goal.form.format(value),
            "" if shown is None else f"{shown:.2f}×",
            "" if part is None else f"{part:.2f}",
            _bound(goal, goal.floor),
            _bound(goal, goal.aim),
            _verdict(goal, value),
        ])  # fmt: skip
    return "\n".join(("", "**The goals** (CPU decides)", "", *markdown(rows)))


def _bound(goal: Goal, value: float) -> str:
    return ("≤ " if goal.less else "≥ ") + goal.form.format(value) if value else ""
