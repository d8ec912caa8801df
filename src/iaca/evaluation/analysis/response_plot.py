"""The event-triggered average of the gates as a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iaca.evaluation import style
from iaca.evaluation.benchmark.words import signed

COLUMNS = 3


def response_plot(table: pd.DataFrame) -> Figure:
    """Weight of the corrupted modality around the start of its events, one panel per kind.

    Args:
        table: of `event_response`.
    """
    kinds = list(dict.fromkeys(zip(table["modality"], table["kind"], strict=True)))
    lines = max(1, -(-len(kinds) // COLUMNS))
    figure = style.new_figure(
        10.4,
        1.2 + 2.3 * lines,
        _finding(table),
        "Line: mean over events, thin where fewer than half are left. Band: one standard deviation. "
        "Shaded: mean length of the event.",
    )
    grid = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (modality, kind) in zip(grid, kinds, strict=False):
        rows = table[(table["modality"] == modality) & (table["kind"] == kind)]
        _panel(axes, rows, str(modality), str(kind))
    for i, axes in enumerate(grid):
        axes.set_visible(i < len(kinds))
        if i >= len(kinds) - COLUMNS:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("time after the start of the event (s)")
    for axes in grid[::COLUMNS]:
        axes.set_ylabel("weight")
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, modality: str, kind: str) -> None:
    colour, lag = style.MODALITY_COLOURS[modality], rows["lag_s"].to_numpy(np.float64)
    weight, spread = rows["weight"].to_numpy(np.float64), rows["sd"].fillna(0).to_numpy(np.float64)
    name = f"{style.MODALITY_NAMES[modality]} {kind}"
    style.panel_title(style.dress(axes), name, f"{int(rows['events'].max())} events")
    axes.axvspan(0, min(float(rows["duration_s"].iloc[0]), lag.max()), color=style.SHADE, alpha=0.5, linewidth=0)
    axes.axhline(0.5, color=style.MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    low, high = np.clip(weight - spread, 0, 1), np.clip(weight + spread, 0, 1)
    axes.fill_between(lag, low, high, color=colour, alpha=0.22, linewidth=0)
    axes.plot(lag, weight, color=colour, linewidth=1.0)
    axes.plot(lag, np.where(2 * rows["events"] >= rows["events"].max(), weight, np.nan), color=colour, linewidth=2.4)
    axes.axvline(0, color=style.INK, linewidth=1.1)
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0 %", "50 %", "100 %"])
    axes.set_xlim(np.floor(lag.min()), np.ceil(lag.max()))


def _finding(table: pd.DataFrame) -> str:
    moves = {}
    for (modality, kind), rows in table.groupby(["modality", "kind"]):
        during = (rows["lag_s"] > 0) & (rows["lag_s"] < rows["duration_s"])
        before, after = rows.loc[rows["lag_s"] < 0, "weight"], rows.loc[during, "weight"]
        if len(before) and len(after):
            moves[f"{style.MODALITY_NAMES[str(modality)]} {kind}"] = float(after.mean() - before.mean())
    if not moves:
        return "How the gate answers to events"
    low, high = min(moves, key=moves.__getitem__), max(moves, key=moves.__getitem__)
    told = f"During '{low}' the weight moves by {signed(moves[low], 2)}"
    return told if low == high else f"{told}, during '{high}' by {signed(moves[high], 2)}"
