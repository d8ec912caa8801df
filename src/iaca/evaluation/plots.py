"""Figures of scores: how training went, which model agrees best, and where in the plane the predictions lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from iaca.evaluation import style
from iaca.evaluation.metrics import DIMENSIONS, Array, valid_pairs

_CURVES = {"valence": style.VALENCE, "arousal": style.AROUSAL, "mean": style.INK}
_PANELS = (("ccc_valence", "Valence"), ("ccc_arousal", "Arousal"), ("ccc_mean", "Mean of both"))
_DENSITY = LinearSegmentedColormap.from_list("paper to ink", ["#e4eef6", "#8fb8d8", "#2f6fa8", "#12304d"])


def learning_curve(history: pd.DataFrame) -> Figure:
    """Loss and validation CCC by epoch, the best epoch marked.

    Args:
        history: epoch and any of train_loss, validation_loss, validation_ccc_valence, validation_ccc_arousal,
            validation_ccc_mean; what is missing is not drawn.
    """
    epoch = history["epoch"].to_numpy() if "epoch" in history else np.arange(1, len(history) + 1)
    scores = _validation_scores(history)
    best = int(np.nanargmax(scores["mean"])) if np.isfinite(scores.get("mean", np.array([]))).any() else None
    finding = "Training history"
    if best is not None:
        finding = f"Validation CCC peaks at {scores['mean'][best]:.3f} in epoch {epoch[best]:g} of {epoch[-1]:g}"
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
            style.legend(axes, loc="upper right" if axes is left else "lower right")
    return figure


def comparison_dots(table: pd.DataFrame, partition: str = "validation") -> Figure:
    """Pooled CCC of every model with its 95 % interval over clips, the main model in colour.

    Args:
        table: `tables.comparison`.
        partition: which of its partitions to draw.
    """
    rows = table[table["partition"] == partition].sort_values("ccc_mean", na_position="first", ignore_index=True)
    figure = style.new_figure(
        9.6,
        1.75 + 0.42 * len(rows),
        _comparison_finding(rows),
        f"Pooled CCC, {partition} partition. Bars: 95 % bootstrap interval over {_clips(rows)} clips.",
    )
    panels: Sequence[Axes] = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, (score, title) in zip(panels, _PANELS, strict=True):
        _dots(axes, rows, score)
        style.panel_title(style.dress(axes, grid="x"), title)
        axes.set_xlabel("CCC")
    panels[0].set(yticks=range(len(rows)), yticklabels=rows["model"], ylim=(-0.6, len(rows) - 0.4))
    for label, main in zip(panels[0].get_yticklabels(), rows["main"], strict=True):
        label.set(color=style.INK, fontsize=style.NORMAL, fontweight="bold" if main else "normal")
    return figure


def affect_plane(table: pd.DataFrame) -> Figure:
    """Density of annotated and of predicted frames in the valence-arousal plane, on one colour scale.

    Args:
        table: joined predictions (valence, arousal, valence_gold, arousal_gold); frames with all four are drawn.
    """
    names = [*DIMENSIONS, *(f"{name}_gold" for name in DIMENSIONS)]
    complete = table.dropna(subset=names)
    figure = style.new_figure(
        9.6, 5.5, _spread_finding(complete), f"{len(complete):,} annotated frames; darker = more frames (log scale)."
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


def _dots(axes: Axes, rows: pd.DataFrame, score: str) -> None:
    for y, row in enumerate(rows.to_dict("records")):
        colour = style.VALENCE if row["main"] else style.MUTED
        axes.plot([row[f"{score}_low"], row[f"{score}_high"]], [y, y], color=colour, linewidth=2.2, alpha=0.55)
        axes.plot(row[score], y, "o", color=colour, markersize=8 if row["main"] else 6.5)
        if np.isfinite(row[score]):
            axes.annotate(
                f"{row[score]:.3f}",
                (row[score], y),
                (0, 7),
                textcoords="offset points",
                ha="center",
                size=style.SMALL,
                color=colour,
            )


def _mark_best(axes: Axes, epoch: float, value: float) -> None:
    axes.axvline(epoch, color=style.MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.plot(epoch, value, "o", color=style.INK, markersize=7)


def _validation_scores(history: pd.DataFrame) -> dict[str, Array]:
    scores = {
        name: history[f"validation_ccc_{name}"].to_numpy(np.float64)
        for name in ("valence", "arousal", "mean")
        if f"validation_ccc_{name}" in history
    }
    if "mean" not in scores and len(scores) == 2:
        scores["mean"] = (scores["valence"] + scores["arousal"]) / 2
    return scores


def _comparison_finding(rows: pd.DataFrame) -> str:
    scored = rows.dropna(subset=["ccc_mean"])
    if scored.empty:
        return "No model could be scored"
    best = scored.iloc[-1]
    if best["main"]:
        return f"{best['model']} agrees best with the annotation: mean CCC {best['ccc_mean']:.3f}"
    main = rows.loc[rows["main"], "model"].iloc[0]
    lead = f"{best['model']} is {best['difference_ccc_mean']:.3f} ahead of {main}"
    low = best["difference_ccc_mean_low"]
    if not np.isfinite(low):
        return lead
    return f"{lead}, the interval of the difference {'above' if low > 0 else 'reaching'} 0"


def _spread_finding(table: pd.DataFrame) -> str:
    shares = []
    for name in DIMENSIONS:
        x, y = valid_pairs(table, name)
        if not x.size or y.std() == 0:
            return "Annotated and predicted frames in the valence-arousal plane"
        shares.append(f"{100 * x.std() / y.std():.0f} % for {name}")
    return f"Predicted spread against annotated: {shares[0]}, {shares[1]}"


def _clips(rows: pd.DataFrame) -> int:
    return int(rows["clips"].max()) if len(rows) else 0
