"""How far the main models are from every other: clean, and over the whole curve of every corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from iaca.evaluation import style
from iaca.evaluation.benchmark.curves import Look, looks
from iaca.evaluation.benchmark.summary import AREA
from iaca.evaluation.benchmark.words import TITLES, signed
from iaca.evaluation.robustness.config import CLEAN

COLUMNS = 7
SHORT: Mapping[str, str] = MappingProxyType(
    {
        "frame_drop": "Steps dropped",
        "time_shift": "Voice shifted",
        "conflict": "Swapped",
        "feature_noise": "Noise on features",
        "audio_noise": "White noise",
        "audio_babble": "Babble",
    }
)
"""What a narrow panel calls a corruption whose title is too long for it."""


def difference_dots(summary: pd.DataFrame, main: Sequence[str], partition: str) -> Figure:
    """The main models minus every other: on the clean partition, and over the whole curve of every corruption.

    Args:
        summary: of `summary.summarise`.
        main: the models in colour.
        partition: the one that was scored.
    """
    paired = summary[summary["minus"].notna()]
    clean = paired[(paired["corruption"] == CLEAN.corruption) & (paired["measure"] == "ccc_mean")]
    areas = paired[paired["measure"] == AREA]
    subtracted = set(paired["minus"])
    others = [name for name in summary["model"].unique() if name in subtracted]
    panels = {CLEAN.corruption: clean, **dict(iter(areas.groupby("corruption", sort=False)))}
    lines = -(-len(panels) // COLUMNS)
    across = -(-len(panels) // lines)
    figure = style.new_figure(
        12.8,
        1.9 + lines * (0.4 * len(others) + (0.5 if lines > 1 else 0.0)),
        difference_finding(areas, main),
        f"Mean CCC over each curve, {partition} partition: model minus the one named on the left, paired over "
        f"{paired['seeds'].max()} seeds. Bars: 95 % interval; hollow: it holds 0.",
    )
    grid: list[Axes] = figure.subplots(lines, across, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    drawn = looks(main, main)
    limit = _limit(pd.concat(panels.values()))
    for axes, (name, rows) in zip(grid, panels.items(), strict=False):
        axes.set_xlim(-limit, limit)
        _dots(axes, rows, others, drawn)
        style.panel_title(style.dress(axes, grid="x"), _short(str(name)))
    grid[0].set(yticks=range(len(others)), yticklabels=others[::-1], ylim=(-0.6, len(others) - 0.4))
    for axes in grid[::across]:
        axes.tick_params(axis="y", labelsize=style.NORMAL, labelcolor=style.INK)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles = [Line2D([], [], color=look.colour, marker="o", linewidth=2.2, label=name) for name, look in drawn.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=style.NORMAL,
        labelcolor=style.INK,
    )  # fmt: skip
    return figure


def difference_finding(areas: pd.DataFrame, main: Sequence[str]) -> str:
    """How many of the comparisons over whole curves are decided, and for whom."""
    parts = []
    for name in main:
        rows = areas[areas["model"] == name]
        above, below = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
        parts.append(f"{name} {above} above 0, {below} below")
    return f"Of {len(areas) // max(len(main), 1)} comparisons over whole curves: {'; '.join(parts)}"


def _dots(axes: Axes, rows: pd.DataFrame, others: Sequence[str], drawn: Mapping[str, Look]) -> None:
    axes.axvline(0, color=style.INK, linewidth=1.1)
    limit = axes.get_xlim()[1]
    offsets = np.linspace(0.17, -0.17, len(drawn)) if len(drawn) > 1 else [0.0]
    for offset, (name, look) in zip(offsets, drawn.items(), strict=True):
        for row in rows[rows["model"] == name].to_dict("records"):
            y = len(others) - 1 - others.index(row["minus"]) + offset
            if abs(row["mean"]) > 0.9 * limit:
                _beyond(axes, row["mean"], y, look.colour)
                continue
            decided = row["low"] > 0 or row["high"] < 0
            axes.plot([row["low"], row["high"]], [y, y], color=look.colour, linewidth=2.0, alpha=0.6)
            axes.plot(row["mean"], y, "o", color=look.colour, markersize=6.5, fillstyle="full" if decided else "none")


def _beyond(axes: Axes, value: float, y: float, colour: str) -> None:
    """What lies outside the axis: an arrowhead at its edge, with the value."""
    above = value > 0
    edge = (0.97 if above else -0.97) * axes.get_xlim()[1]
    axes.plot(edge, y, ">" if above else "<", color=colour, markersize=6)
    axes.annotate(
        signed(value, 2), (edge, y), (-7 if above else 7, 0), textcoords="offset points", va="center",
        ha="right" if above else "left", size=style.SMALL, color=colour,
    )  # fmt: skip


def _limit(rows: pd.DataFrame) -> float:
    """Half the width of the axis: wide enough for most differences, narrow enough for the small ones to be seen."""
    bounds = rows[["low", "high", "mean"]].abs().max(axis=1).dropna()
    return max(0.03, 1.6 * float(bounds.median())) if len(bounds) else 1.0


def _short(name: str) -> str:
    return SHORT.get(name, TITLES.get(name, name))
