"""How every model fades under every corruption: curves with their intervals, one panel per corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from iaca.evaluation import style
from iaca.evaluation.benchmark.findings import findings
from iaca.evaluation.benchmark.words import TITLES
from iaca.evaluation.robustness.config import BLUR, CLEAN, CLEAN_LEVELS, SNR, in_order

COLUMNS = 3
BASELINE = "concat"
SOLID, DASHED = "-", (0, (4, 1.6))
DASHES = (SOLID, (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)), (0, (2.5, 1.5)))
MAIN_COLOURS = (style.VALENCE, style.AROUSAL, "#2f8f4e", "#7a52a8")
X_LABELS = {
    "time_shift": "the voice comes late by (s)",
    "frame_drop": "probability of a drop",
    **dict.fromkeys(SNR, "signal-to-noise ratio (dB)"),
    BLUR: "fewer pixels to a side, by a factor of",
}


@dataclass(frozen=True)
class Look:
    """How a model is drawn; those with a band are the ones the figure is about."""

    colour: str
    width: float
    line: object = SOLID
    band: bool = False
    label: str | None = None


def looks(models: Sequence[str], main: Sequence[str]) -> dict[str, Look]:
    """Colour for the main models, ink for the baseline, the modalities' own for one alone, grey dashes for all others.

    In the order of a legend: main models, baseline, the rest.
    """
    known = {
        **{name: Look(colour, 2.7, band=True) for name, colour in zip(main, MAIN_COLOURS, strict=False)},
        BASELINE: Look(style.INK, 2.0, band=True),
        "audio": Look(style.AUDIO, 1.7, DASHED, label="audio alone"),
        "visual": Look(style.VISUAL, 1.7, DASHED, label="visual alone"),
    }
    others = [model for model in models if model not in known]
    known |= {model: Look(style.MUTED, 1.3, line) for model, line in zip(others, cycle(DASHES), strict=False)}
    return {model: look for model, look in known.items() if model in models}


def robustness_curves(summary: pd.DataFrame, main: Sequence[str], partition: str) -> Figure:
    """Mean CCC against the level of every corruption, one panel each.

    Args:
        summary: of `summary.summarise`.
        main: the models in colour.
        partition: the one that was scored.
    """
    own = summary[summary["minus"].isna() & (summary["measure"] == "ccc_mean")]
    names = [name for name in own["corruption"].unique() if name != CLEAN.corruption]
    lines = max(1, -(-len(names) // COLUMNS))
    figure = style.new_figure(
        12.8,
        1.55 + 2.75 * lines,
        curve_finding(summary, main),
        f"Pooled CCC, mean of valence and arousal, {partition} partition. Lines: mean of {own['seeds'].max()} seeds; "
        "bands: 95 % interval. Ahead, behind: the paired interval excludes 0.",
    )
    grid = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False).ravel()
    drawn = looks(list(own["model"].unique()), main)
    for axes, name in zip(grid, names, strict=False):
        _curves(axes, own[own["corruption"] == name], name, drawn)
    grid[0].set_ylim(own["mean"].min() - 0.05, own["mean"].max() + 0.05)  # a wide band of few seeds may leave the panel
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    for axes in grid[::COLUMNS]:
        axes.set_ylabel("CCC")
    figure.legend(
        *_legend(drawn), loc="outside lower center", ncols=len(drawn), frameon=False, fontsize=style.NORMAL,
        labelcolor=style.INK, handlelength=2.6, columnspacing=1.6,
    )  # fmt: skip
    return figure


def curve_finding(summary: pd.DataFrame, main: Sequence[str]) -> str:
    """For each main model, in how many conditions it is ahead of the baseline and in how many behind."""
    parts = []
    for name in main:
        against = {finding.other: finding for finding in findings(summary, name)}
        if found := against.get(BASELINE):
            parts.append(f"{name} in {found.counts['better']}, behind in {found.counts['worse']}")
            total = sum(found.counts.values())
    return (
        f"Of {total} conditions, ahead of {BASELINE}: {'; '.join(parts)}"
        if parts
        else "How models fade under corruption"
    )


def _curves(axes: Axes, rows: pd.DataFrame, name: str, drawn: Mapping[str, Look]) -> None:
    levels = in_order(name, rows["level"].unique())
    steps = name in X_LABELS and name != "frame_drop"  # levels at equal distances, each with its name
    place = np.arange(len(levels)) if steps else 100 * np.array(levels)
    for model, look in sorted(drawn.items(), key=lambda item: item[1].width):
        curve = rows[rows["model"] == model].set_index("level").loc[levels]
        if look.band:
            axes.fill_between(place, curve["low"], curve["high"], color=look.colour, alpha=0.16, linewidth=0)
        axes.plot(place, curve["mean"], color=look.colour, linewidth=look.width, linestyle=look.line)  # type: ignore[arg-type]
    style.panel_title(style.dress(axes), TITLES.get(name, name))
    axes.set_xlabel(X_LABELS.get(name, "share of the timeline"))
    axes.margins(x=0.02)
    if steps:
        names = {i: _tick(name, level) for i, level in enumerate(levels) if _ticked(name, level, levels)}
        axes.set_xticks(list(names), list(names.values()))
    else:
        axes.xaxis.set_major_formatter("{x:.0f} %")


def _ticked(name: str, level: float, levels: Sequence[float]) -> bool:
    """Shifts lie too close to each other for every one to be named."""
    some = {-8.0, -2.0, -0.5, 0.0, 0.5, 2.0, 8.0} & set(levels)
    return name != "time_shift" or not some or level in some


def _tick(name: str, level: float) -> str:
    if name in CLEAN_LEVELS:
        return "clean" if level == CLEAN_LEVELS[name] else f"{level:g}".replace("-", "−")
    return f"{level:+g}".replace("-", "−") if level else "0"


def _legend(drawn: Mapping[str, Look]) -> tuple[list[Line2D], list[str]]:
    """Handles and labels of every model."""
    handles = [Line2D([], [], color=k.colour, linewidth=k.width, linestyle=k.line) for k in drawn.values()]  # type: ignore[arg-type]
    return handles, [look.label or model for model, look in drawn.items()]
