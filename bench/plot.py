"""The plot: a bar chart a scenario, from the numbers of the JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.outcome import BUSY
from bench.scenario import LIMIT, OURS, PREPARED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 2
FAR = (LIMIT, PREPARED)
"""Whose bars may be cut."""
BLUE, GREY, PALE = "#1f6feb", "#a9b4c0", "#e3e7eb"
CLIPPED = 1.6
"""How far beyond everybody else these may reach; then a bar is cut, so that the others can be told apart."""


def plot(data: dict[str, Any], path: Path) -> bool:
    """The medians, with the range over the runs; False where matplotlib is missing."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return False
    shown = list(data["scenarios"].values())
    rows = [shown[at : at + ACROSS] for at in range(0, len(shown), ACROSS)]
    bars = [max(len(each["runs"]) for each in row) for row in rows]
    heights = [1.0 + 0.23 * most for most in bars]
    figure, axes = plt.subplots(
        len(rows),
        ACROSS,
        figsize=(7.2 * ACROSS, sum(heights) + 0.6),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    figure.suptitle(
        f"gatewayd (blue) beside other servers (grey): medians, lines from the least to the most of all runs\n"
        f"in brackets: how many times as good gatewayd is; !: the load generator used more than {BUSY:.0f} % of a core",
        fontsize=10,
    )
    for place, axis in enumerate(axes.flat):
        if place < len(shown):
            _chart(axis, shown[place], bars[place // ACROSS])
        else:
            axis.set_visible(False)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return True


def _chart(axis: Axes, scenario: dict[str, Any], room: int) -> None:
    """One scenario's first column, in the space of so many bars."""
    column, runs = scenario["columns"][0], scenario["runs"]
    key, servers = column["key"], sorted(runs, key=OURS.__ne__)
    middle = [scenario["median"][server][key] for server in servers]
    least = [min(run[key] for run in runs[server]) for server in servers]
    most = [max(run[key] for run in runs[server]) for server in servers]
    others = max((value for server, value in zip(servers, most, strict=True) if server not in FAR), default=0)
    clip = others * CLIPPED if others and max(most) > others * CLIPPED else max(most)
    for at, server in enumerate(servers):
        cut = middle[at] > clip
        colour = PALE if server == LIMIT else GREY if server in scenario["peers"] else BLUE
        axis.barh(at, min(middle[at], clip), color=colour, height=0.72)
        end = min(middle[at], clip)
        if not cut:
            end = min(most[at], clip)
            axis.plot([least[at], end], [at, at], color="#444444", linewidth=1.2, solid_capstyle="butt")
        axis.annotate(_label(scenario, server, middle[at], cut=cut), (end, at), (4, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axis.set_yticks(range(len(servers)), servers, fontsize=8)
    axis.set_ylim(room - 0.4, -0.6)
    axis.set_xlim(0, (clip or 1) * 1.28)
    axis.set_xticks([])
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    better = "less is better" if column["less"] else "more is better"
    axis.set_title(f"{scenario['title']}\n", fontsize=9, fontweight="bold", loc="left", pad=-2)
    axis.text(
        0, 1.0, f"{column['label']}, {better}", transform=axis.transAxes, fontsize=8, color="#555555", va="bottom"
    )


def _label(scenario: dict[str, Any], server: str, value: float, *, cut: bool) -> str:
    """What stands beside a bar."""
    ratio = next(iter(scenario["ratio"].get(server, {}).values()), None)
    return "".join((
        "→ " if cut else "",
        f"{value:{scenario['columns'][0]['form']}}",
        f"  ({ratio:.2f}x)" if ratio is not None else "",
        "  !" if server in scenario["generator_busy"] else "",
    ))  # fmt: skip
