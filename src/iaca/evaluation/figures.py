"""The figures of a report, drawn from the same tables as its numbers: scores, training, traces, gates next to events.

The figures of the error analysis are in `errors`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from iaca.errors import InputError, counted
from iaca.evaluation import style
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import calibration_plot, quadrant_plot, region_plot, response_plot
from iaca.evaluation.events import ANY, believed, event_mask, gate_auroc, has_modality_gates, spans, truth_masks
from iaca.evaluation.metrics import DIMENSIONS, GOLD, Array, ccc, join_labels, valid_pairs
from iaca.evaluation.tables import SCORED_COLUMNS, best_and_worst, is_ranked, too_few, video_table
from iaca.parameters import MODALITIES

NOTICED = 0.6
"""An AUROC below this is called no detection: chance is 0.5."""
_CURVES = {"valence": style.VALENCE, "arousal": style.AROUSAL, "mean": style.INK}

_COMPARISON_PANELS = (("ccc_valence", "Valence"), ("ccc_arousal", "Arousal"), ("ccc_mean", "Mean of both"))

_DENSITY = LinearSegmentedColormap.from_list("paper to ink", ["#e4eef6", "#8fb8d8", "#2f6fa8", "#12304d"])


def report_figures(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    comparison: pd.DataFrame,
    partition: str = "validation",
    events: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    clips: Sequence[str] | None = None,
    shown_videos: int = 3,
) -> dict[str, Figure]:
    """Draw every figure that the tables allow, by the slots of `report.FIGURES`.

    Args:
        predictions: of the main model.
        labels: clip, frame, valence, arousal, partition.
        comparison: `tables.comparison`.
        partition: partition in the figures of scores and of traces.
        events: ground truth of corruption; without it, no figure of the gates.
        history: of the training; without it, no learning curve.
        clips: clips of the gate figure; by default the first three annotated ones, those with events first.
        shown_videos: number of best and of worst clips to draw.
    """
    gold = labels[labels["partition"] == partition]
    table = join_labels(predictions[[*SCORED_COLUMNS, "time_s"]], gold)
    figures = {
        "comparison": comparison_dots(comparison, partition),
        "affect_plane": affect_plane(table),
        **_extremes(video_table(predictions, gold), table, partition, shown_videos, is_ranked(comparison, partition)),
    }
    if history is not None and len(history):
        figures["learning_curve"] = learning_curve(history)
    if events is not None and len(events) and has_modality_gates(predictions):
        chosen = list(clips) if clips is not None else _clips_of(table, events)
        inside = predictions[predictions["clip"].isin(gold["clip"].unique())]
        figures["gates"] = gates_beside_events(inside, events, chosen)
        if len(gate_auroc(inside, events)):
            figures["gate_distribution"] = gate_distribution(inside, events)
    return figures


def analysis_figures(
    calibration: pd.DataFrame,
    regions: pd.DataFrame,
    quadrants: pd.DataFrame,
    event_response: pd.DataFrame,
    config: AnalysisConfig,
) -> dict[str, Figure]:
    """Draw the figures of the error analysis, by the slots of `report.FIGURES`; an empty table gives none."""
    figures = {}
    if len(calibration):
        figures["calibration"] = calibration_plot(calibration)
    if len(regions):
        figures["regions"] = region_plot(regions, config)
    if len(quadrants):
        figures["quadrants"] = quadrant_plot(quadrants, config)
    if len(event_response):
        figures["event_response"] = response_plot(event_response)
    return figures


def _extremes(videos: pd.DataFrame, table: pd.DataFrame, partition: str, shown: int, ranked: bool) -> dict[str, Figure]:
    """Traces of the clips with the best and the worst agreement, or of all clips if they are too few to rank."""
    figures = {}
    ends = best_and_worst(videos, partition, shown, ranked)
    for name, rows in zip(("best", "worst"), ends, strict=True):
        if len(rows):
            first = rows.iloc[0]
            finding = f"{name.capitalize()} agreement: {first['clip']}, mean CCC {style.plain(first['ccc_mean'], 2)}"
            clips = list(rows["clip"])
            figures[f"{name}_traces"] = traces(
                table, clips, finding if ranked else "Annotation and prediction over time"
            )
    return figures


def _clips_of(table: pd.DataFrame, events: pd.DataFrame | None, shown: int = 3) -> list[str]:
    """Clips with annotation and prediction, those with an event first, then by name."""
    usable = table.dropna(subset=["valence_gold", "valence"])["clip"].unique()
    eventful = set() if events is None else set(events["clip"])
    return sorted(map(str, usable), key=lambda clip: (clip not in eventful, clip))[:shown]


# Scores


def learning_curve(history: pd.DataFrame) -> Figure:
    """Plot loss and validation CCC by epoch, with the best epoch marked.

    Args:
        history: epoch and any of train_loss, validation_loss, validation_ccc_valence, validation_ccc_arousal,
            validation_ccc_mean; missing columns are not drawn.
    """
    epoch = history["epoch"].to_numpy() if "epoch" in history else np.arange(1, len(history) + 1)
    scores = _validation_scores(history)
    best = int(np.nanargmax(scores["mean"])) if np.isfinite(scores.get("mean", np.array([]))).any() else None
    finding = "Training history"
    if best is not None:
        finding = (
            f"Validation CCC peaks at {style.plain(scores['mean'][best])} in epoch {epoch[best]:g} of {epoch[-1]:g}"
        )
    figure = style.new_figure(
        9.6, 3.8, finding, "Left: loss. Right: pooled validation CCC, mean of clean and corrupted windows."
    )
    left, right = figure.subplots(1, 2)
    for name, colour in (("train_loss", style.INK), ("validation_loss", style.AROUSAL)):
        if name in history:
            left.plot(epoch, history[name], color=colour, linewidth=1.9, label=name.split("_")[0])
    for name, values in scores.items():
        right.plot(epoch, values, color=_CURVES[name], linewidth=2.4 if name == "mean" else 1.7, label=name)
    if best is not None:
        _mark_best(right, float(epoch[best]), float(scores["mean"][best]))
    for axes, title in ((left, "Loss"), (right, "Validation CCC")):
        style.panel_title(style.dress(axes), title)
        axes.set_xlabel("epoch")
        axes.margins(x=0.02)
        if axes.get_legend_handles_labels()[0]:
            style.legend(axes, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)  # above the curves, never over one
    return figure


def _validation_scores(history: pd.DataFrame) -> dict[str, Array]:
    scores = {
        name: history[f"validation_ccc_{name}"].to_numpy(np.float64)
        for name in ("valence", "arousal", "mean")
        if f"validation_ccc_{name}" in history
    }
    if "mean" not in scores and len(scores) == 2:
        scores["mean"] = (scores["valence"] + scores["arousal"]) / 2
    return scores


def _mark_best(axes: Axes, epoch: float, value: float) -> None:
    axes.axvline(epoch, color=style.MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.plot(epoch, value, "o", color=style.INK, markersize=7)


def comparison_dots(table: pd.DataFrame, partition: str = "validation") -> Figure:
    """Plot the pooled CCC of every model with its 95 % interval over clips, the main model in colour.

    Args:
        table: `tables.comparison`.
        partition: partition to draw.
    """
    rows = table[table["partition"] == partition]
    few = bool(rows["few"].any())
    rows = rows[::-1] if few else rows.sort_values("ccc_mean", na_position="first", ignore_index=True)
    figure = style.new_figure(
        9.6,
        1.75 + 0.42 * len(rows),
        _comparison_finding(rows),
        _comparison_method(rows, partition),
    )
    panels: Sequence[Axes] = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, (score, title) in zip(panels, _COMPARISON_PANELS, strict=True):
        _dots(axes, rows, score)
        style.panel_title(style.dress(axes, grid="x"), title)
        axes.set_xlabel("CCC")
        axes.margins(x=0.12)  # room for the value above the outermost dots
        axes.locator_params(axis="x", nbins=5)
    panels[0].set(yticks=range(len(rows)), yticklabels=rows["model"], ylim=(-0.6, len(rows) - 0.4))
    for label, main in zip(panels[0].get_yticklabels(), rows["main"], strict=True):
        label.set(color=style.INK, fontsize=style.NORMAL, fontweight="bold" if main else "normal")
    return figure


def _dots(axes: Axes, rows: pd.DataFrame, score: str) -> None:
    for y, row in enumerate(rows.to_dict("records")):
        colour = style.VALENCE if row["main"] else style.MUTED
        axes.plot([row[f"{score}_low"], row[f"{score}_high"]], [y, y], color=colour, linewidth=2.2, alpha=0.55)
        axes.plot(row[score], y, "o", color=colour, markersize=8 if row["main"] else 6.5)
        if np.isfinite(row[score]):
            axes.annotate(
                style.plain(row[score]),
                (row[score], y),
                (0, 7),
                textcoords="offset points",
                ha="center",
                size=style.SMALL,
                color=colour,
            )


def _comparison_method(rows: pd.DataFrame, partition: str) -> str:
    if rows.empty:
        return f"Pooled CCC, {partition} partition."
    row = rows.iloc[0].to_dict()
    bars = f"Bars: 95 % bootstrap interval over {counted(row['clips'], 'clip')}."
    chosen = ", which chose the epoch" if partition == "validation" else ""
    return too_few(row) or f"Pooled CCC, {partition} partition{chosen}. {bars}"


def _comparison_finding(rows: pd.DataFrame) -> str:
    scored = rows.dropna(subset=["ccc_mean"])
    if scored.empty:
        return "No model could be scored"
    if rows["few"].any():
        return "Too few clips or subjects to rank the models"
    best = scored.iloc[-1]
    if best["main"]:
        finding = f"{best['model']} agrees best with the annotation: mean CCC {style.plain(best['ccc_mean'])}"
        second = scored.iloc[-2] if len(scored) > 1 else None
        if second is None or not second["difference_ccc_mean_high"] >= 0:
            return finding
        return f"{finding}; the interval of its lead over {second['model']} includes 0"
    main = rows.loc[rows["main"], "model"].iloc[0]
    lead = f"{best['model']} is {best['difference_ccc_mean']:.3f} ahead of {main}"
    low = best["difference_ccc_mean_low"]
    if not np.isfinite(low):
        return lead
    return f"{lead}; the interval of the difference {'is above' if low > 0 else 'includes'} 0"


def affect_plane(table: pd.DataFrame) -> Figure:
    """Plot the density of annotated and of predicted frames in the valence-arousal plane, on one colour scale.

    Args:
        table: joined predictions (valence, arousal, valence_gold, arousal_gold); only frames with all four are drawn.
    """
    complete = table[[*DIMENSIONS, *GOLD]].dropna()
    figure = style.new_figure(
        9.6,
        5.5,
        _spread_finding(complete),
        f"{counted(len(complete), 'annotated frame')}; darker = more frames (log scale).",
    )
    panels: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
    bins = np.linspace(-1, 1, 41)
    counts = [np.histogram2d(complete[f"valence{s}"], complete[f"arousal{s}"], bins)[0].T for s in ("_gold", "")]
    norm = LogNorm(1, max(2, *(float(count.max()) for count in counts)))
    for axes, count, title in zip(panels, counts, ("Annotated", "Predicted"), strict=True):
        mesh = axes.pcolormesh(bins, bins, np.ma.masked_less(count, 1), cmap=_DENSITY, norm=norm, linewidth=0)
        _plane(axes, title)
    bar = figure.colorbar(mesh, ax=list(panels), shrink=0.8, pad=0.02, aspect=26)
    bar.ax.yaxis.set_major_formatter("{x:.0f}")
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("frames per cell", size=style.SMALL, color=style.MUTED)
    bar.ax.tick_params(labelsize=style.SMALL, labelcolor=style.MUTED, length=0)
    panels[0].set_ylabel("arousal")
    return figure


def _plane(axes: Axes, title: str) -> None:
    style.panel_title(style.dress(axes, grid=""), title)
    angle = np.linspace(0, 2 * np.pi, 181)
    axes.plot(np.cos(angle), np.sin(angle), color=style.GRID, linewidth=1.2, zorder=0)
    axes.axhline(0, color=style.GRID, linewidth=1.2, zorder=0)
    axes.axvline(0, color=style.GRID, linewidth=1.2, zorder=0)
    axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal", xlabel="valence")
    axes.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axes.xaxis.label.set(size=style.NORMAL, color=style.MUTED)


def _spread_finding(table: pd.DataFrame) -> str:
    shares = []
    for name in DIMENSIONS:
        x, y = valid_pairs(table, name)
        if not x.size or y.std() == 0:
            return "Annotated and predicted frames in the valence-arousal plane"
        shares.append(f"{100 * x.std() / y.std():.0f} % for {name}")
    return f"Predicted spread against annotated: {shares[0]}, {shares[1]}"


# Over time


def traces(table: pd.DataFrame, clips: Sequence[str], finding: str) -> Figure:
    """Plot annotated and predicted valence and arousal over time, one row per clip.

    Args:
        table: joined predictions (clip, time_s, valence, arousal, valence_gold, arousal_gold); NaN leaves a gap.
        clips: clips to draw, from top to bottom.
        finding: title of the figure.

    Raises:
        InputError: if a clip is not in the table.
    """
    figure = style.new_figure(
        9.6, 1.15 + 1.75 * len(clips), finding, "Dark: annotated. Colour: predicted. CCC: of this clip alone."
    )
    grid = figure.subplots(len(clips), 2, sharey=True, squeeze=False)
    for axes_of_clip, clip in zip(grid, clips, strict=True):
        rows = _of_clip(table, clip).sort_values("time_s")
        for axes, name in zip(axes_of_clip, DIMENSIONS, strict=True):
            axes.plot(rows["time_s"], rows[f"{name}_gold"], color=style.INK, linewidth=1.4)
            axes.plot(rows["time_s"], rows[name], color=style.DIMENSION_COLOURS[name], linewidth=1.8)
            style.panel_title(
                style.dress(axes), f"{clip}  {name}", f"CCC {style.plain(ccc(*valid_pairs(rows, name)), 2)}"
            )
            axes.set(ylim=(-1.05, 1.05), yticks=[-1, 0, 1])
            axes.margins(x=0.01)
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    return figure


def gates_beside_events(predictions: pd.DataFrame, events: pd.DataFrame, clips: Sequence[str]) -> Figure:
    """Plot the weights of voice and face over time above the true events, one pair of panels per clip.

    Args:
        predictions: clip, time_s, and the gates of `events.modality_gates`; the AUROC in the title covers all.
        events: clip, modality, kind, start_s, end_s.
        clips: clips to draw, from top to bottom.

    Raises:
        InputError: if the model has no gate across modalities, or a clip is not in the predictions.
    """
    if not has_modality_gates(predictions):
        raise InputError("these predictions have no gate across modalities, so there are no weights to draw")
    figure = style.new_figure(
        9.6,
        1.1 + 2.35 * len(clips),
        _gate_finding(predictions, events),
        "Bands: weights of voice and face in the prediction. Bars: true corruption of either modality.",
    )
    grid = figure.subplots(2 * len(clips), 1, squeeze=False, height_ratios=[3.4, 1.25] * len(clips))[:, 0]
    for clip, gates, truth in zip(clips, grid[::2], grid[1::2], strict=True):
        rows = _of_clip(predictions, clip).sort_values("time_s")
        style.panel_title(style.dress(gates, grid=""), clip)
        weights = believed(rows)
        style.gate_bands(gates, rows["time_s"], weights["audio"], weights["visual"])
        _draw_events(
            gates, truth, events[events["clip"] == clip], float(rows["time_s"].min()), float(rows["time_s"].max())
        )
    style.legend(grid[0], loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2, reverse=True)
    grid[-1].set_xlabel("time (s)")
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


def _gate_finding(predictions: pd.DataFrame, events: pd.DataFrame) -> str:
    scores = gate_auroc(predictions, events)
    scores = scores[scores["kind"] != ANY].sort_values("auroc", kind="stable")
    if scores.empty:
        return "How the model weighs voice against face over time"
    (worst, best) = scores.iloc[[0, -1]].to_dict("records")
    names = [f"'{style.MODALITY_NAMES[row['modality']]} {row['kind']}'" for row in (best, worst)]
    if best["auroc"] < NOTICED:
        return f"The gates detect no kind of corruption: at best {names[0]} (AUROC {best['auroc']:.2f}; chance is 0.5)"
    end = f"{names[1]} worst ({worst['auroc']:.2f})"
    if worst["auroc"] < NOTICED:
        end = f"but not {names[1]} ({worst['auroc']:.2f}; chance is 0.5)"
    return f"The gates detect {names[0]} best (AUROC {best['auroc']:.2f}), {end}"


def _of_clip(table: pd.DataFrame, clip: str) -> pd.DataFrame:
    rows = table[table["clip"] == clip]
    if rows.empty:
        raise InputError(f"clip {clip} is not among the predictions")
    return rows


def gate_distribution(predictions: pd.DataFrame, events: pd.DataFrame) -> Figure:
    """Plot the weight of the corrupted modality in each kind of event and in clean frames: median, quartiles, 5-95 %.

    Args:
        predictions: clip, time_s, and the gates of `events.modality_gates`.
        events: clip, modality, kind, start_s, end_s.
    """
    scores = gate_auroc(predictions, events)
    scores = scores[scores["kind"] != ANY].iloc[::-1].reset_index(drop=True)
    figure = style.new_figure(
        9.6,
        1.75 + 0.52 * len(scores),
        _distribution_finding(scores),
        "Dot: median. Thick: quartiles. Thin: 5 to 95 % of the frames. Grey: clean frames. Colour: during the event.",
    )
    axes = style.dress(figure.subplots(), grid="x")
    masks, clean, weights = truth_masks(predictions, events), ~event_mask(predictions, events), believed(predictions)
    for y, row in enumerate(scores.to_dict("records")):
        weight = weights[row["modality"]].to_numpy(np.float64)
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


def _quantile_bar(axes: Axes, values: np.ndarray[tuple[int], np.dtype[np.float64]], y: float, colour: str) -> None:
    low, first, middle, third, high = np.nanquantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
    axes.plot([first, third], [y, y], color=colour, linewidth=6, alpha=0.45, solid_capstyle="butt")
    axes.plot(middle, y, "o", color=colour, markersize=7)


def _distribution_finding(scores: pd.DataFrame) -> str:
    if scores.empty:
        return "No event to score the gates against"
    found = int((scores["auroc"] >= 0.75).sum())
    return f"The gates separate {found} of {len(scores)} kinds of corruption from clean frames (AUROC ≥ 0.75)"
