"""Figures over time: predicted against annotated traces, and the gates beside what really happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iaca.errors import InputError
from iaca.evaluation import style
from iaca.evaluation.events import ANY, event_mask, gate_auroc, has_modality_gates, modality_gate, spans, truth_masks
from iaca.evaluation.metrics import DIMENSIONS, ccc, valid_pairs
from iaca.modalities import MODALITIES


def traces(table: pd.DataFrame, clips: Sequence[str], finding: str) -> Figure:
    """Annotated and predicted valence and arousal over time, one row per clip.

    Args:
        table: joined predictions (clip, time_s, valence, arousal, valence_gold, arousal_gold); gaps where NaN.
        clips: which of the clips to draw, from top to bottom.
        finding: the title.

    Raises:
        InputError: if one of the clips is not in the table.
    """
    figure = style.new_figure(
        9.6, 1.15 + 1.75 * len(clips), finding, "Dark: annotated. Colour: predicted. CCC: of the clip alone."
    )
    grid = figure.subplots(len(clips), 2, sharey=True, squeeze=False)
    for axes_of_clip, clip in zip(grid, clips, strict=True):
        rows = _of_clip(table, clip).sort_values("time_s")
        for axes, name in zip(axes_of_clip, DIMENSIONS, strict=True):
            axes.plot(rows["time_s"], rows[f"{name}_gold"], color=style.INK, linewidth=1.4)
            axes.plot(rows["time_s"], rows[name], color=style.DIMENSION_COLOURS[name], linewidth=1.8)
            style.panel_title(style.dress(axes), f"{clip}  {name}", f"CCC {ccc(*valid_pairs(rows, name)):.2f}")
            axes.set(ylim=(-1.05, 1.05), yticks=[-1, 0, 1])
            axes.margins(x=0.01)
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    return figure


def gates_beside_events(predictions: pd.DataFrame, events: pd.DataFrame, clips: Sequence[str]) -> Figure:
    """Weights of voice and face over time above the events that truly happened, one pair of panels per clip.

    Args:
        predictions: clip, time_s, gate_modalities_audio, gate_modalities_visual; the AUROC in the title is over all.
        events: clip, modality, kind, start_s, end_s.
        clips: which of the clips to draw, from top to bottom.

    Raises:
        InputError: if the model has no gate across modalities, or a clip is not in the predictions.
    """
    if not has_modality_gates(predictions):
        raise InputError("these predictions hold no gate across modalities, so there are no weights to draw")
    figure = style.new_figure(
        9.6,
        1.1 + 2.35 * len(clips),
        _gate_finding(predictions, events),
        "Bands: share of voice and face in the prediction. Bars: what was really wrong with either of them.",
    )
    grid = figure.subplots(2 * len(clips), 1, squeeze=False, height_ratios=[3.4, 1.25] * len(clips))[:, 0]
    for clip, gates, truth in zip(clips, grid[::2], grid[1::2], strict=True):
        rows = _of_clip(predictions, clip).sort_values("time_s")
        style.panel_title(style.dress(gates, grid=""), clip)
        style.gate_bands(gates, rows["time_s"], rows[modality_gate("audio")], rows[modality_gate("visual")])
        _draw_events(
            gates, truth, events[events["clip"] == clip], float(rows["time_s"].min()), float(rows["time_s"].max())
        )
    style.legend(grid[0], loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2, reverse=True)
    grid[-1].set_xlabel("time (s)")
    return figure


def gate_distribution(predictions: pd.DataFrame, events: pd.DataFrame) -> Figure:
    """Weight of the corrupted modality in each kind of event against clean frames: median, quartiles, 5 to 95 %.

    Args:
        predictions: clip, time_s, gate_modalities_audio, gate_modalities_visual.
        events: clip, modality, kind, start_s, end_s.
    """
    scores = gate_auroc(predictions, events)
    scores = scores[scores["kind"] != ANY].iloc[::-1].reset_index(drop=True)
    figure = style.new_figure(
        9.6,
        1.75 + 0.52 * len(scores),
        _distribution_finding(scores),
        "Dot: median, thick: quartiles, thin: 5 to 95 % of the frames. Grey: clean frames, colour: during the event.",
    )
    axes = style.dress(figure.subplots(), grid="x")
    masks, clean = truth_masks(predictions, events), ~event_mask(predictions, events)
    for y, row in enumerate(scores.to_dict("records")):
        weight = predictions[modality_gate(row["modality"])].to_numpy(np.float64)
        _quantile_bar(axes, weight[clean], y + 0.17, style.MUTED)
        _quantile_bar(
            axes, weight[masks[row["modality"], row["kind"]]], y - 0.17, style.MODALITY_COLOURS[row["modality"]]
        )
        axes.text(1.03, y, f"AUROC {row['auroc']:.2f}", size=style.NORMAL, color=style.INK, va="center")
    names = [f"{style.MODALITY_NAMES[m]} {kind}" for m, kind in zip(scores["modality"], scores["kind"], strict=True)]
    axes.set(xlim=(0, 1), ylim=(-0.6, len(scores) - 0.4), yticks=range(len(scores)), yticklabels=names)
    axes.set(xlabel="weight of the corrupted modality", xticks=[0, 0.25, 0.5, 0.75, 1])
    axes.tick_params(axis="y", labelsize=style.NORMAL, labelcolor=style.INK)
    return figure


def _draw_events(gates: Axes, truth: Axes, events: pd.DataFrame, start_s: float, end_s: float) -> None:
    style.dress(truth, grid="")
    for axes in (gates, truth):
        axes.set_xlim(start_s, end_s)
    gates.tick_params(labelbottom=False)
    bars = []
    for modality in MODALITIES[::-1]:
        row, colour = f"{style.MODALITY_NAMES[modality]} truth", style.MODALITY_COLOURS[modality]
        for start, end, kind in spans(events, modality):
            bars.append((row, start, end, colour, kind))
            for edge in (start, end):
                gates.axvline(edge, color=style.INK, linewidth=0.9, linestyle=(0, (1, 2)))
    style.event_strip(truth, bars, [f"{style.MODALITY_NAMES[m]} truth" for m in MODALITIES[::-1]])


def _quantile_bar(axes: Axes, values: np.ndarray[tuple[int], np.dtype[np.float64]], y: float, colour: str) -> None:
    low, first, middle, third, high = np.nanquantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
    axes.plot([first, third], [y, y], color=colour, linewidth=6, alpha=0.45, solid_capstyle="butt")
    axes.plot(middle, y, "o", color=colour, markersize=7)


def _of_clip(table: pd.DataFrame, clip: str) -> pd.DataFrame:
    rows = table[table["clip"] == clip]
    if rows.empty:
        raise InputError(f"clip {clip} is not among the predictions")
    return rows


def _gate_finding(predictions: pd.DataFrame, events: pd.DataFrame) -> str:
    scores = gate_auroc(predictions, events)
    scores = scores[scores["kind"] != ANY].sort_values("auroc", kind="stable")
    if scores.empty:
        return "How the model weighs voice against face over time"
    (worst, best) = scores.iloc[[0, -1]].to_dict("records")
    return (
        f"Gates find '{style.MODALITY_NAMES[best['modality']]} {best['kind']}' best (AUROC {best['auroc']:.2f}), "
        f"'{style.MODALITY_NAMES[worst['modality']]} {worst['kind']}' least ({worst['auroc']:.2f})"
    )


def _distribution_finding(scores: pd.DataFrame) -> str:
    if scores.empty:
        return "No event to compare the gates with"
    found = int((scores["auroc"] >= 0.75).sum())
    return f"{found} of {len(scores)} kinds of corruption are told from clean frames (AUROC ≥ 0.75)"
