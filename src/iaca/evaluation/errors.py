"""Where the main model is wrong: tables of its errors, the failures they show as plain sentences, and their figures.

`calibration` compares annotations with predictions by bins of the prediction, `region_errors` maps the error over the
valence-arousal plane, and `quadrant_confusion` counts confused quadrants. `failures` applies fixed `RULES` to these
tables and to nothing else.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from iaca.errors import counted
from iaca.evaluation import style
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.metrics import DIMENSIONS, GOLD, Array
from iaca.evaluation.style import MODALITY_NAMES, plain, signed
from iaca.parameters import MODALITIES

CALIBRATION_COLUMNS = (
    "dimension", "low", "high", "frames", "clips", "predicted", "annotated", "annotated_q25", "annotated_q75", "few",
)  # fmt: skip

REGION_COLUMNS = (
    "valence_low", "valence_high", "arousal_low", "arousal_high", "frames", "clips", "rmse", "rmse_valence",
    "rmse_arousal", "bias_valence", "bias_arousal", "few",
)  # fmt: skip

QUADRANT_COLUMNS = ("annotated", "predicted", "frames", "share")
NEUTRAL = "neutral"
QUADRANTS = ("positive active", "negative active", "negative passive", "positive passive", NEUTRAL)
BASELINE = "concat"

RULES = {
    "videos": "The videos with the lowest mean CCC, among those below the pooled mean CCC.",
    "regions": "The cells of the plane with the largest RMSE, among those with enough frames and an RMSE above that of "
    "all frames.",
    "quadrants": "Annotated quadrants with enough frames of which at least a fifth are predicted as another quadrant "
    "(not neutral), most confused first.",
    "events": "Kinds of event in which a model of one modality has a higher mean CCC than this model. An interval over "
    "few clips is too narrow.",
    "baseline": f"Partitions in which the interval of the difference does not show this model ahead of {BASELINE}.",
}
"""Name of each rule -> the text on the page that says what it lists."""

MISTAKEN = 0.2  # share of an annotated quadrant's frames

# Calibration


def calibration(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """Compute mean annotation and mean prediction in bins of the predicted value.

    Args:
        table: joined predictions (clip, valence, arousal, valence_gold, arousal_gold).
        config: number of bins, and the frames below which a bin counts as few.

    Returns:
        One row per dimension and non-empty bin, from low to high: edges `low`, `high` of the bin (values beyond [-1, 1]
        fall into the outermost bin), `frames`, `clips`, means `predicted` and `annotated`, quartiles `annotated_q25`,
        `annotated_q75`, and `few`: fewer frames than `few_frames`. A calibrated model has `annotated` = `predicted` in
        every bin.
    """
    rows = []
    for dimension in DIMENSIONS:
        known = table[["clip", dimension, f"{dimension}_gold"]].dropna()
        bin_of_frame = _cell_of(known[dimension].to_numpy(np.float64), config.bins)
        for k, inside in known.groupby(bin_of_frame, sort=True):
            gold = inside[f"{dimension}_gold"].to_numpy(np.float64)
            rows.append(
                {
                    "dimension": dimension,
                    **dict(zip(("low", "high"), _edges_of(int(k), config.bins), strict=True)),  # type: ignore[call-overload]
                    "frames": len(inside),
                    "clips": inside["clip"].nunique(),
                    "predicted": float(inside[dimension].to_numpy(np.float64).mean()),
                    "annotated": float(gold.mean()),
                    "annotated_q25": float(np.quantile(gold, 0.25)),
                    "annotated_q75": float(np.quantile(gold, 0.75)),
                    "few": len(inside) < config.few_frames,
                }
            )
    return pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS))


def _cell_of(values: Array, cells: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Index of the cell of each of (n,) values, with [-1, 1] cut into `cells`; an edge belongs to the cell above it."""
    return np.clip(np.floor((values + 1) / 2 * cells + 1e-9), 0, cells - 1).astype(np.int64)


def _edges_of(cell: int, cells: int) -> tuple[float, float]:
    """(low, high) of one of those parts, without the rounding error of the division."""
    return round(2 * cell / cells - 1, 6), round(2 * (cell + 1) / cells - 1, 6)


# Error over the plane


def region_errors(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """Compute RMSE and bias in each cell of a grid over the plane of the *annotated* values.

    Args:
        table: joined predictions (clip, valence, arousal, valence_gold, arousal_gold); only frames with all four values
            count.
        config: cells along each side, and the frames below which a cell counts as few.

    Returns:
        One row per non-empty cell: its edges, `frames`, `clips`; `rmse_<dimension>`, `bias_<dimension>` (mean of
        predicted - annotated), `rmse` = sqrt((rmse_valence^2 + rmse_arousal^2) / 2); and `few`: fewer frames than
        `few_frames`. A model that shrinks predictions towards the centre has a positive bias on the left and below,
        and a negative one on the right and above.
    """
    known = _complete(table)
    valence, arousal = (_cell_of(known[name].to_numpy(np.float64), config.cells) for name in GOLD)
    rows = []
    for cell, inside in known.groupby(arousal * config.cells + valence, sort=True):
        row, column = divmod(int(cell), config.cells)  # type: ignore[call-overload]
        edges = (*_edges_of(column, config.cells), *_edges_of(row, config.cells))
        few = len(inside) < config.few_frames
        rows.append(dict(zip(REGION_COLUMNS[:4], edges, strict=True)) | _errors(inside) | {"few": few})
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS))


def _errors(inside: pd.DataFrame) -> dict[str, float | int]:
    errors: dict[str, float | int] = {"frames": len(inside), "clips": int(inside["clip"].nunique())}
    for name in DIMENSIONS:
        error = inside[name].to_numpy(np.float64) - inside[f"{name}_gold"].to_numpy(np.float64)
        errors[f"rmse_{name}"] = float(np.sqrt(np.mean(error**2)))
        errors[f"bias_{name}"] = float(error.mean())
    return errors | {"rmse": plane_rmse(inside)}


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with annotation and prediction of both dimensions."""
    return table[[name for name in ("clip", *DIMENSIONS, *GOLD) if name in table]].dropna(subset=[*DIMENSIONS, *GOLD])


def plane_rmse(table: pd.DataFrame) -> float:
    """`rmse` of `region_errors` over all complete rows; NaN without any."""
    known = _complete(table)
    error = known[list(DIMENSIONS)].to_numpy(np.float64) - known[list(GOLD)].to_numpy(np.float64)
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")


def region_name(row: Mapping[Hashable, Any]) -> str:
    """The cell of a row of `region_errors`, such as `valence −1 to −0.6, arousal 0.2 to 0.6`."""
    parts = (f"{name} {row[f'{name}_low']:g} to {row[f'{name}_high']:g}" for name in ("valence", "arousal"))
    return ", ".join(parts).replace("-", "−")


# Quadrants


def quadrant_confusion(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """Count how often each annotated quadrant was predicted as each quadrant.

    Args:
        table: joined predictions (valence, arousal, valence_gold, arousal_gold); only frames with all four count.
        config: the neutral band.

    Returns:
        One row per pair of `QUADRANTS`: `annotated`, `predicted`, `frames`, and `share` of the annotated quadrant's
        frames (NaN if it has none). Empty if the table has no complete frame.
    """
    known = _complete(table)
    if known.empty:
        return pd.DataFrame(columns=list(QUADRANT_COLUMNS))
    gold, predicted = (
        quadrant(known[v].to_numpy(np.float64), known[a].to_numpy(np.float64), config.neutral_band)
        for v, a in (GOLD, DIMENSIONS)
    )
    pairs = np.bincount(gold * len(QUADRANTS) + predicted, minlength=len(QUADRANTS) ** 2)
    rows = []
    for annotated, counts in zip(QUADRANTS, pairs.reshape(len(QUADRANTS), -1).tolist(), strict=True):
        total = sum(counts)
        rows += [
            (annotated, other, count, count / total if total else float("nan"))
            for other, count in zip(QUADRANTS, counts, strict=True)
        ]
    return pd.DataFrame(rows, columns=list(QUADRANT_COLUMNS))


def quadrant(valence: Array, arousal: Array, band: float) -> npt.NDArray[np.int8]:
    """Place in `QUADRANTS` of each of (n,) pairs.

    Args:
        valence, arousal: (n,) in [-1, 1].
        band: a pair with |valence| or |arousal| below it is too close to an axis and counts as neutral.
    """
    active, passive = np.where(valence >= 0, 0, 1), np.where(valence >= 0, 3, 2)
    neutral = (np.abs(valence) < band) | (np.abs(arousal) < band)
    return np.where(neutral, QUADRANTS.index(NEUTRAL), np.where(arousal >= 0, active, passive)).astype(np.int8)


# Failures by rules


@dataclass(frozen=True)
class Results:
    """The tables to search for failures; any may be empty.

    Attributes:
        comparison: `tables.comparison`.
        videos: `tables.video_table`.
        regions, quadrants: `region_errors`, `quadrant_confusion`.
        event_scores: `events.event_scores`.
        partition: the partition of the tables and the headline.
        config: of the analysis that computed them.
    """

    comparison: pd.DataFrame
    videos: pd.DataFrame
    regions: pd.DataFrame
    quadrants: pd.DataFrame
    event_scores: pd.DataFrame
    partition: str
    config: AnalysisConfig = field(default_factory=AnalysisConfig)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A row of `failures`, whose columns are these fields.

    Attributes:
        rule: a name in `RULES`.
        where: clip, cell, quadrant, kind of event or partition.
        value, reference: the value, and what it is compared with.
        low, high: 95 % interval of a difference, else NaN.
        frames, clips: what it rests on.
        sentence: the finding in words.
    """

    rule: str
    where: str
    value: float
    reference: float
    low: float = float("nan")
    high: float = float("nan")
    frames: float
    clips: float
    sentence: str


FAILURE_COLUMNS = tuple(column.name for column in fields(Finding))


def failures(results: Results) -> pd.DataFrame:
    """List what fails by each of `RULES`.

    Returns:
        One row per `Finding`.
    """
    rows = [*_videos(results), *_regions(results), *_quadrants(results), *_events(results), *_baseline(results)]
    return pd.DataFrame([asdict(row) for row in rows], columns=list(FAILURE_COLUMNS))


def _videos(results: Results) -> Iterator[Finding]:
    table, shown = results.comparison, results.partition
    main = table[table["main"].astype(bool) & (table["partition"] == shown)]
    videos = results.videos[results.videos["partition"] == shown] if len(results.videos) else results.videos
    if videos.empty or main.empty or main["few"].iloc[0]:
        return
    reference = float(main["ccc_mean"].iloc[0])
    below = videos[videos["ccc_mean"] < reference].sort_values("ccc_mean")
    for row in below.head(results.config.listed).to_dict("records"):
        yield Finding(
            rule="videos", where=str(row["clip"]), value=row["ccc_mean"], reference=reference,
            frames=row["frames_valence"], clips=1,
            sentence=f"Clip {row['clip']}: mean CCC {plain(row['ccc_mean'])} (valence {plain(row['ccc_valence'])}, "
            f"arousal {plain(row['ccc_arousal'])}) over {counted(row['frames_valence'], 'frame')}; all clips pooled "
            f"reach {plain(reference)}.",
        )  # fmt: skip


def _regions(results: Results) -> Iterator[Finding]:
    regions = results.regions
    if regions.empty:
        return
    overall = float(np.sqrt(np.average(regions["rmse"] ** 2, weights=regions["frames"])))
    enough = regions[~regions["few"].astype(bool) & (regions["rmse"] > overall)]
    for row in enough.sort_values("rmse", ascending=False).head(results.config.listed).to_dict("records"):
        where = region_name(row)
        biases = " and ".join(_bias(name, row[f"bias_{name}"]) for name in DIMENSIONS)
        yield Finding(
            rule="regions", where=where, value=row["rmse"], reference=overall, frames=row["frames"], clips=row["clips"],
            sentence=f"Annotated {where}: RMSE {plain(row['rmse'])} against {plain(overall)} over all frames; "
            f"predicted {biases} on average ({_counted(row)}).",
        )  # fmt: skip


def _quadrants(results: Results) -> Iterator[Finding]:
    table = results.quadrants
    wrong = table[(table["annotated"] != table["predicted"]) & (table["annotated"] != NEUTRAL)]
    wrong = wrong[(wrong["predicted"] != NEUTRAL) & (wrong["share"] >= MISTAKEN)]
    totals = table.groupby("annotated")["frames"].sum()
    wrong = wrong[wrong["annotated"].map(totals) >= results.config.few_frames]
    for row in wrong.sort_values("share", ascending=False).head(results.config.listed).to_dict("records"):
        right = table[(table["annotated"] == row["annotated"]) & (table["predicted"] == row["annotated"])]
        reference = float(right["share"].iloc[0])
        yield Finding(
            rule="quadrants", where=f"{row['annotated']} as {row['predicted']}", value=row["share"],
            reference=reference, frames=row["frames"], clips=float("nan"),
            sentence=f"Of the frames annotated {row['annotated']}, {100 * row['share']:.0f} % are predicted "
            f"{row['predicted']} ({counted(row['frames'], 'frame')}) and {100 * reference:.0f} % as annotated.",
        )  # fmt: skip


def _events(results: Results) -> Iterator[Finding]:
    table = results.event_scores
    mains = table[table["main"].astype(bool)].set_index(["modality", "kind"])["ccc_mean"]
    ahead = table[table["model"].isin(MODALITIES) & (table["difference_ccc_mean"] > 0)]
    for row in ahead.sort_values("difference_ccc_mean", ascending=False).to_dict("records"):
        low, high = row["difference_ccc_mean_low"], row["difference_ccc_mean_high"]
        name = f"{MODALITY_NAMES[row['modality']]} {row['kind']}"
        yield Finding(
            rule="events", where=f"{name}: {row['model']}", value=row["ccc_mean"],
            reference=float(mains[row["modality"], row["kind"]]), low=low, high=high,
            frames=row["frames"], clips=row["clips"],
            sentence=f"With {name}, {row['model']} alone is ahead by {signed(row['difference_ccc_mean'])} "
            f"{_interval(low, high)} in mean CCC: {_verdict(low, row['clips'])} ({_counted(row)}).",
        )  # fmt: skip


def _baseline(results: Results) -> Iterator[Finding]:
    table = results.comparison
    for row in table[(table["model"] == BASELINE) & ~table["main"].astype(bool)].to_dict("records"):
        lead, low, high = (-row[f"difference_ccc_mean{end}"] for end in ("", "_high", "_low"))
        if low > 0:
            continue
        verdict = "too few clips or subjects" if row["few"] else "behind" if high < 0 else "not shown to differ"
        yield Finding(
            rule="baseline", where=row["partition"], value=lead, reference=0.0, low=low, high=high,
            frames=row["frames_valence"], clips=row["clips"],
            sentence=f"On the {row['partition']} partition this model minus {BASELINE} is {signed(lead)} "
            f"{_interval(low, high)} in mean CCC: {verdict} ({counted(row['clips'], 'clip')}).",
        )  # fmt: skip


def _bias(name: str, value: float) -> str:
    size = f"{abs(value):.2f}"
    return f"{name} {size} too {'high' if value > 0 else 'low'}" if float(size) else f"{name} without bias"


def _interval(low: float, high: float) -> str:
    return f"(95 % interval {signed(low)} to {signed(high)})" if np.isfinite([low, high]).all() else "(no interval)"


def _verdict(low: float, clips: int) -> str:
    if not np.isfinite(low):
        return f"{'one clip' if clips == 1 else counted(clips, 'clip')}, so nothing is shown"
    return "the interval is above 0" if low > 0 else "the interval includes 0, so nothing is shown"


def _counted(row: Mapping[Hashable, Any]) -> str:
    return f"{counted(row['frames'], 'frame')} of {counted(row['clips'], 'clip')}"


# The figures of these tables: calibration, error over the plane, confusion of quadrants, and gates around events

_ERROR = LinearSegmentedColormap.from_list("paper to wine", ["#fbf3f6", "#dba3bd", "#a84a7c", "#5f1d42"])
_BIAS = LinearSegmentedColormap.from_list("blue to orange", ["#1f5f99", "#a9c9e4", "#f7f7f5", "#f1bd92", "#b34f06"])
_SHARE = LinearSegmentedColormap.from_list("paper to ink", ["#f4f8fb", "#8fb8d8", "#2f6fa8", "#12304d"])
_PANELS = (("rmse", "RMSE"), ("bias_valence", "Bias of valence"), ("bias_arousal", "Bias of arousal"))
_COLUMNS = 3  # panels side by side


def calibration_plot(table: pd.DataFrame) -> Figure:
    """Plot mean annotation against mean prediction by bin, with quartiles; the diagonal is perfect.

    Args:
        table: `calibration`; bins of few frames are hollow and grey.
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
        table: `region_errors`; cells of few frames are grey.
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
        table: `quadrant_confusion`.
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
