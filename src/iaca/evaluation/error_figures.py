"""Figures of the error analysis: calibration, error over the plane, confusion of quadrants, and gates around events."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from iaca.errors import counted
from iaca.evaluation import style
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import NEUTRAL, QUADRANTS, region_name
from iaca.evaluation.metrics import DIMENSIONS, Array
from iaca.evaluation.style import signed

_ERROR = LinearSegmentedColormap.from_list("paper to wine", ["#fbf3f6", "#dba3bd", "#a84a7c", "#5f1d42"])

_BIAS = LinearSegmentedColormap.from_list("blue to orange", ["#1f5f99", "#a9c9e4", "#f7f7f5", "#f1bd92", "#b34f06"])

_SHARE = LinearSegmentedColormap.from_list("paper to ink", ["#f4f8fb", "#8fb8d8", "#2f6fa8", "#12304d"])

_PANELS = (("rmse", "RMSE"), ("bias_valence", "Bias of valence"), ("bias_arousal", "Bias of arousal"))
_COLUMNS = 3  # panels side by side

_COLUMNS = 3  # panels side by side


def calibration_plot(table: pd.DataFrame) -> Figure:
    """Plot mean annotation against mean prediction by bin, with quartiles; the diagonal is perfect.

    Args:
        table: `errors.calibration`; bins of few frames are hollow and grey.
    """
    figure = style.new_figure(
        9.6,
        4.9,
        _calibration_finding(table),
        "Dot: mean of a bin of predictions, larger = more frames. Bar: quartiles of the annotation. Grey: few frames.",
    )
    panels: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, DIMENSIONS, strict=True):
        style.panel_title(style.dress(axes, grid="both"), name.capitalize())
        axes.plot([-1, 1], [-1, 1], color=style.MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
        _bins(axes, table[table["dimension"] == name], style.DIMENSION_COLOURS[name])
        axes.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal", xlabel="predicted")
        axes.set(xticks=[-1, -0.5, 0, 0.5, 1], yticks=[-1, -0.5, 0, 0.5, 1])
    panels[0].set_ylabel("annotated")
    return figure


def _bins(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    most = float(rows["frames"].max()) if len(rows) else 1.0
    for row in rows.to_dict("records"):
        few = bool(row["few"])
        shade = style.MUTED if few else colour
        x = row["predicted"]
        axes.plot([x, x], [row["annotated_q25"], row["annotated_q75"]], color=shade, linewidth=4, alpha=0.3)
        size = 4 + 8 * float(np.sqrt(row["frames"] / most))
        axes.plot(x, row["annotated"], "o", color=shade, markersize=size, markerfacecolor="none" if few else shade)


def _calibration_finding(table: pd.DataFrame) -> str:
    gaps = []
    for name in DIMENSIONS:
        rows = table[table["dimension"] == name]
        if rows.empty:
            return "Annotation by predicted value"
        off: Array = (rows["annotated"] - rows["predicted"]).abs().to_numpy(np.float64)
        gaps.append(f"{np.average(off, weights=rows['frames']):.2f} in {name}")
    return f"Predictions are off from the mean annotation by {gaps[0]}, {gaps[1]}"


def region_plot(table: pd.DataFrame, config: AnalysisConfig) -> Figure:
    """Plot RMSE and bias of both dimensions over the annotated plane, each cell with its value and its frames.

    Args:
        table: `errors.region_errors`; cells of few frames are grey.
        config: of the analysis that computed the table.
    """
    figure = style.new_figure(
        10.4,
        4.3,
        _region_finding(table),
        f"Cells of the annotated plane: value, frames below it. Grey: fewer than {config.few_frames} frames. Bias: "
        "predicted minus annotated.",
    )
    panels: Sequence[Axes] = figure.subplots(1, 3, sharey=True)
    enough = table[~table["few"].astype(bool)]
    for axes, (name, title) in zip(panels, _PANELS, strict=True):
        largest = float(enough[name].abs().max()) if len(enough) else 1.0
        lowest, colours = (0.0, _ERROR) if name == "rmse" else (-largest, _BIAS)
        style.panel_title(style.dress(axes, grid=""), title)
        for row in table.to_dict("records"):
            _cell(axes, row, name, (row[name] - lowest) / max(largest - lowest, 1e-9), colours)
        axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="annotated valence")
        axes.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    panels[0].set_ylabel("annotated arousal")
    return figure


def _cell(axes: Axes, row: Mapping[Hashable, Any], name: str, shade: float, colours: Colormap) -> None:
    width, height = row["valence_high"] - row["valence_low"], row["arousal_high"] - row["arousal_low"]
    few = bool(row["few"])
    colour = colours(float(np.clip(shade, 0, 1)))
    _tile(axes, (row["valence_low"], row["arousal_low"], width, height), style.SHADE if few else colour)
    dark = not few and float(np.dot(colour[:3], [0.299, 0.587, 0.114])) < 0.55
    ink = style.MUTED if few else style.PAPER if dark else style.INK
    value = f"{row[name]:.2f}" if name == "rmse" else signed(row[name], 2)
    if width >= 0.25:  # smaller cells have no room for text
        middle = (row["valence_low"] + width / 2, row["arousal_low"] + height / 2)
        _write(axes, *middle, f"{value}\n{row['frames']:,}", ink)


def _region_finding(table: pd.DataFrame) -> str:
    enough = table[~table["few"].astype(bool)]
    if enough.empty:
        return "No region of the plane has enough frames"
    worst = enough.sort_values("rmse").to_dict("records")[-1]
    return f"The error is largest at {region_name(worst)}: RMSE {worst['rmse']:.2f}"


def quadrant_plot(table: pd.DataFrame, config: AnalysisConfig) -> Figure:
    """Plot the confusion matrix of the quadrants: share of the annotated quadrant, and frames.

    Args:
        table: `errors.quadrant_confusion`.
        config: of the analysis that computed the table.
    """
    figure = style.new_figure(
        9.6,
        5.2,
        _quadrant_finding(table),
        f"Share of each row, frames below it. Neutral: |valence| or |arousal| below {config.neutral_band:g}.",
    )
    axes = style.dress(figure.subplots(), grid="")
    for row in table.to_dict("records"):
        x, y, share = QUADRANTS.index(row["predicted"]), QUADRANTS.index(row["annotated"]), row["share"]
        known = np.isfinite(share)
        _tile(axes, (x - 0.5, y - 0.5, 1, 1), _SHARE(share) if known else style.SHADE)
        text = f"{100 * share:.0f} %\n{row['frames']:,}" if known else "–"
        _write(axes, x, y, text, style.PAPER if known and share > 0.45 else style.INK, bold=x == y)
    names = [name.replace(" ", "\n") for name in QUADRANTS]
    axes.set(xlim=(-0.5, 4.5), ylim=(4.5, -0.5), xticks=range(5), yticks=range(5), xticklabels=names)
    axes.set_yticklabels(QUADRANTS)
    axes.set(xlabel="predicted", ylabel="annotated")
    return figure


def _quadrant_finding(table: pd.DataFrame) -> str:
    named = table[(table["annotated"] != NEUTRAL) & (table["annotated"] == table["predicted"])]
    total = table.loc[table["annotated"] != NEUTRAL, "frames"].sum()
    if not total:
        return "Every annotated frame is in the neutral band"
    return f"{100 * named['frames'].sum() / total:.0f} % of the non-neutral frames are predicted in their quadrant"


def _tile(axes: Axes, box: tuple[float, float, float, float], colour: object) -> None:
    axes.bar(box[0], box[3], box[2], box[1], align="edge", color=colour, edgecolor=style.PAPER, linewidth=1.5)  # type: ignore[arg-type]


def _write(axes: Axes, x: float, y: float, text: str, colour: str, bold: bool = False) -> None:
    weight = "bold" if bold else "normal"
    axes.text(x, y, text, ha="center", va="center", size=style.SMALL, color=colour, weight=weight, linespacing=1.25)


def response_plot(table: pd.DataFrame) -> Figure:
    """Plot the weight of the corrupted modality around the start of its events, one panel per kind.

    Args:
        table: `events.event_response`.
    """
    kinds = list(dict.fromkeys(zip(table["modality"], table["kind"], strict=True)))
    lines = max(1, -(-len(kinds) // _COLUMNS))
    figure = style.new_figure(
        10.4,
        1.2 + 2.3 * lines,
        _response_finding(table),
        "Line: mean over events, thin if fewer than half remain. Band: one standard deviation. "
        "Shaded: mean duration of the event.",
    )
    grid = figure.subplots(lines, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (modality, kind) in zip(grid, kinds, strict=False):
        rows = table[(table["modality"] == modality) & (table["kind"] == kind)]
        _response_panel(axes, rows, str(modality), str(kind))
    for i, axes in enumerate(grid):
        axes.set_visible(i < len(kinds))
        if i >= len(kinds) - _COLUMNS:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("time after the start of the event (s)")
    for axes in grid[::_COLUMNS]:
        axes.set_ylabel("weight")
    return figure


def _response_panel(axes: Axes, rows: pd.DataFrame, modality: str, kind: str) -> None:
    colour, lag = style.MODALITY_COLOURS[modality], rows["lag_s"].to_numpy(np.float64)
    weight, spread = rows["weight"].to_numpy(np.float64), rows["sd"].fillna(0).to_numpy(np.float64)
    name = f"{style.MODALITY_NAMES[modality]} {kind}"
    style.panel_title(style.dress(axes), name, counted(rows["events"].max(), "event"))
    axes.axvspan(0, min(float(rows["duration_s"].iloc[0]), lag.max()), color=style.SHADE, alpha=0.5, linewidth=0)
    axes.axhline(0.5, color=style.MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    low, high = np.clip(weight - spread, 0, 1), np.clip(weight + spread, 0, 1)
    axes.fill_between(lag, low, high, color=colour, alpha=0.22, linewidth=0)
    axes.plot(lag, weight, color=colour, linewidth=1.0)
    axes.plot(lag, np.where(2 * rows["events"] >= rows["events"].max(), weight, np.nan), color=colour, linewidth=2.4)
    axes.axvline(0, color=style.INK, linewidth=1.1)
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0 %", "50 %", "100 %"])
    axes.set_xlim(np.floor(lag.min()), np.ceil(lag.max()))


def _response_finding(table: pd.DataFrame) -> str:
    changes = {}
    for (modality, kind), rows in table.groupby(["modality", "kind"]):
        during = (rows["lag_s"] > 0) & (rows["lag_s"] < rows["duration_s"])
        before, after = rows.loc[rows["lag_s"] < 0, "weight"], rows.loc[during, "weight"]
        if len(before) and len(after):
            changes[f"{style.MODALITY_NAMES[str(modality)]} {kind}"] = float(after.mean() - before.mean())
    if not changes:
        return "How the gate responds to events"
    low, high = min(changes, key=changes.__getitem__), max(changes, key=changes.__getitem__)
    finding = f"During '{low}' the weight changes by {signed(changes[low], 2)}"
    return finding if low == high else f"{finding}, during '{high}' by {signed(changes[high], 2)}"
