"""Whether a predicted value means what it says: annotations by bins of the prediction.

Where in the valence-arousal plane the errors are.

Confusion of the quadrants of the plane: is the kind of affect right, whatever its exact value?

What fails, in plain sentences made from the numbers by stated rules, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.metrics import DIMENSIONS, Array
from iaca.evaluation.style import MODALITY_NAMES, plain, signed
from iaca.parameters import MODALITIES

CALIBRATION_COLUMNS = (
    "dimension",
    "low",
    "high",
    "frames",
    "clips",
    "predicted",
    "annotated",
    "annotated_q25",
    "annotated_q75",
    "few",
)


def calibration(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """Mean annotation beside mean prediction, in bins of the predicted value.

    Args:
        table: joined predictions (clip, valence, arousal, valence_gold, arousal_gold).
        config: number of bins, and how many frames are few.

    Returns:
        One row per dimension and bin that holds a frame, from low to high: edges `low`, `high` of the bin (values
        beyond [-1, 1] count to the outermost), `frames`, `clips`, means `predicted` and `annotated`, quartiles
        `annotated_q25`, `annotated_q75`, and `few`: fewer frames than `few_frames`. A calibrated model has
        `annotated` = `predicted` in each of them.
    """
    rows = []
    for dimension in DIMENSIONS:
        known = table.dropna(subset=[dimension, f"{dimension}_gold"])
        place = cell_of(known[dimension].to_numpy(np.float64), config.bins)
        for k, inside in known.groupby(place, sort=True):
            gold = inside[f"{dimension}_gold"].to_numpy(np.float64)
            rows.append(
                {
                    "dimension": dimension,
                    **dict(zip(("low", "high"), edges_of(int(k), config.bins), strict=True)),  # type: ignore[call-overload]
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


def cell_of(values: Array, cells: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Which of `cells` equal parts of [-1, 1] each of (n,) values lies in; an upper edge belongs to the next part."""
    return np.clip(np.floor((values + 1) / 2 * cells + 1e-9), 0, cells - 1).astype(np.int64)


def edges_of(cell: int, cells: int) -> tuple[float, float]:
    """(low, high) of one of those parts, rounded where the division leaves dust."""
    return round(2 * cell / cells - 1, 6), round(2 * (cell + 1) / cells - 1, 6)


GOLD = tuple(f"{name}_gold" for name in DIMENSIONS)
REGION_COLUMNS = (
    "valence_low",
    "valence_high",
    "arousal_low",
    "arousal_high",
    "frames",
    "clips",
    "rmse",
    "rmse_valence",
    "rmse_arousal",
    "bias_valence",
    "bias_arousal",
    "few",
)


def region_errors(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """RMSE and bias in each cell of a grid over the plane of the *annotated* values.

    Args:
        table: joined predictions (clip, valence, arousal, valence_gold, arousal_gold); frames with all four count.
        config: cells along each side, and how many frames are few.

    Returns:
        One row per cell that holds a frame: its edges, `frames`, `clips`; `rmse_<dimension>`, `bias_<dimension>` (mean
        of predicted - annotated), `rmse` = sqrt((rmse_valence^2 + rmse_arousal^2) / 2); and `few`: fewer frames than
        `few_frames`. A model that shrinks towards the middle has a positive bias on the left and below, and a
        negative one on the right and above.
    """
    known = complete(table)
    valence, arousal = (cell_of(known[name].to_numpy(np.float64), config.cells) for name in GOLD)
    rows = []
    for place, inside in known.groupby(arousal * config.cells + valence, sort=True):
        row, column = divmod(int(place), config.cells)  # type: ignore[call-overload]
        edges = (*edges_of(column, config.cells), *edges_of(row, config.cells))
        few = len(inside) < config.few_frames
        rows.append(dict(zip(REGION_COLUMNS[:4], edges, strict=True)) | _errors(inside) | {"few": few})
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS))


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in which both dimensions are annotated and predicted."""
    return table.dropna(subset=[*DIMENSIONS, *GOLD])


def plane_rmse(table: pd.DataFrame) -> float:
    """`rmse` of `region_errors`, over all complete rows; NaN where there is none."""
    known = complete(table)
    error = known[list(DIMENSIONS)].to_numpy(np.float64) - known[list(GOLD)].to_numpy(np.float64)
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")


def _errors(inside: pd.DataFrame) -> dict[str, float | int]:
    found: dict[str, float | int] = {"frames": len(inside), "clips": int(inside["clip"].nunique())}
    for name in DIMENSIONS:
        error = inside[name].to_numpy(np.float64) - inside[f"{name}_gold"].to_numpy(np.float64)
        found[f"rmse_{name}"] = float(np.sqrt(np.mean(error**2)))
        found[f"bias_{name}"] = float(error.mean())
    return found | {"rmse": plane_rmse(inside)}


NEUTRAL = "neutral"
QUADRANTS = ("positive active", "negative active", "negative passive", "positive passive", NEUTRAL)
QUADRANT_COLUMNS = ("annotated", "predicted", "frames", "share")


def quadrant(valence: Array, arousal: Array, band: float) -> npt.NDArray[np.str_]:
    """Name of the quadrant of each of (n,) pairs, counted from the upper right against the clock.

    Args:
        valence, arousal: (n,) in [-1, 1].
        band: where |valence| or |arousal| is below it, the pair lies too close to an axis to have a quadrant: neutral.
    """
    side = np.where(valence >= 0, "positive", "negative")
    half = np.where(arousal >= 0, "active", "passive")
    named = np.char.add(np.char.add(side, " "), half)
    return np.where((np.abs(valence) < band) | (np.abs(arousal) < band), NEUTRAL, named)


def quadrant_confusion(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """How often each annotated quadrant was predicted as each.

    Args:
        table: joined predictions (valence, arousal, valence_gold, arousal_gold); frames with all four count.
        config: the neutral band.

    Returns:
        One row per pair of `QUADRANTS`, none where there is no frame: `annotated`, `predicted`, `frames`, and `share`,
        the frames over all of that annotated quadrant (NaN where it has none).
    """
    known = complete(table)
    if known.empty:
        return pd.DataFrame(columns=list(QUADRANT_COLUMNS))
    gold, predicted = (
        quadrant(known[v].to_numpy(np.float64), known[a].to_numpy(np.float64), config.neutral_band)
        for v, a in (GOLD, DIMENSIONS)
    )
    rows = []
    for annotated in QUADRANTS:
        counts = [int(((gold == annotated) & (predicted == other)).sum()) for other in QUADRANTS]
        total = sum(counts)
        rows += [
            (annotated, other, count, count / total if total else float("nan"))
            for other, count in zip(QUADRANTS, counts, strict=True)
        ]
    return pd.DataFrame(rows, columns=list(QUADRANT_COLUMNS))


UNIMODAL, BASELINE = MODALITIES, "concat"
RULES = {
    "videos": "Of the videos below the pooled mean CCC, the lowest.",
    "regions": "Of the cells of the plane with enough frames and an RMSE above that of all frames, the largest.",
    "quadrants": "Of the annotated quadrants with enough frames, those that are predicted as another one (not neutral) "
    "in at least a fifth of their frames, the most often mistaken first.",
    "events": "Kinds of event within which a model of one modality has a higher mean CCC than this one. Of a few clips "
    "such an interval is too narrow.",
    "baseline": f"Partitions in which the interval of the difference does not show this model ahead of {BASELINE}.",
}
"""What each rule lists, said on the page."""
MISTAKEN = 0.2
FAILURE_COLUMNS = ("rule", "where", "value", "reference", "low", "high", "frames", "clips", "sentence")


@dataclass(frozen=True)
class Results:
    """The tables that are looked through; any may be empty.

    Attributes:
        comparison: `tables.comparison`.
        videos: `tables.video_table`.
        regions, quadrants, event_scores: of the modules of those names.
        partition: the shown one.
        config: of the analysis that made them.
    """

    comparison: pd.DataFrame
    videos: pd.DataFrame
    regions: pd.DataFrame
    quadrants: pd.DataFrame
    event_scores: pd.DataFrame
    partition: str
    config: AnalysisConfig = field(default_factory=AnalysisConfig)


def failures(results: Results) -> pd.DataFrame:
    """What fails by each of `RULES`.

    Returns:
        One row per finding, `rule`, `where` (clip, cell, quadrant, kind of event or partition), the `value` found and
        the `reference` it is held against, the 95 % interval `low`, `high` of a difference where there is one, the
        `frames` and `clips` behind it, and a `sentence` that says so.
    """
    rows = [*_videos(results), *_regions(results), *_quadrants(results), *_events(results), *_baseline(results)]
    return pd.DataFrame(rows, columns=list(FAILURE_COLUMNS))


def _videos(results: Results) -> Iterator[dict[str, object]]:
    table, shown = results.comparison, results.partition
    pooled = table.loc[table["main"] & (table["partition"] == shown), "ccc_mean"]
    videos = results.videos[results.videos["partition"] == shown] if len(results.videos) else results.videos
    if videos.empty or pooled.empty or len(videos) < 2:
        return
    reference = float(pooled.iloc[0])
    below = videos[videos["ccc_mean"] < reference].sort_values("ccc_mean")
    for row in below.head(results.config.listed).to_dict("records"):
        yield _finding(
            "videos", row["clip"], row["ccc_mean"], reference, row["frames_valence"], 1,
            f"Clip {row['clip']}: mean CCC {plain(row['ccc_mean'])} (valence {plain(row['ccc_valence'])}, arousal "
            f"{plain(row['ccc_arousal'])}) over {row['frames_valence']} frames; all clips pooled reach "
            f"{plain(reference)}.",
        )  # fmt: skip


def _regions(results: Results) -> Iterator[dict[str, object]]:
    regions = results.regions
    if regions.empty:
        return
    whole = float(np.sqrt(np.average(regions["rmse"] ** 2, weights=regions["frames"])))
    enough = regions[~regions["few"].astype(bool) & (regions["rmse"] > whole)]
    for row in enough.sort_values("rmse", ascending=False).head(results.config.listed).to_dict("records"):
        where = region_name(row)
        drift = " and ".join(
            f"{name} {abs(row[f'bias_{name}']):.2f} too {'high' if row[f'bias_{name}'] > 0 else 'low'}"
            for name in ("valence", "arousal")
        )
        yield _finding(
            "regions", where, row["rmse"], whole, row["frames"], row["clips"],
            f"Annotated {where}: RMSE {plain(row['rmse'])} against {plain(whole)} over all frames; predicted "
            f"{drift} on average ({_counted(row)}).",
        )  # fmt: skip


def _quadrants(results: Results) -> Iterator[dict[str, object]]:
    table = results.quadrants
    wrong = table[(table["annotated"] != table["predicted"]) & (table["annotated"] != NEUTRAL)]
    wrong = wrong[(wrong["predicted"] != NEUTRAL) & (wrong["share"] >= MISTAKEN)]
    totals = table.groupby("annotated")["frames"].sum()
    wrong = wrong[wrong["annotated"].map(totals) >= results.config.few_frames]
    for row in wrong.sort_values("share", ascending=False).head(results.config.listed).to_dict("records"):
        right = table[(table["annotated"] == row["annotated"]) & (table["predicted"] == row["annotated"])]
        reference = float(right["share"].iloc[0])
        yield _finding(
            "quadrants", f"{row['annotated']} as {row['predicted']}", row["share"], reference, row["frames"], np.nan,
            f"Of the frames annotated {row['annotated']}, {100 * row['share']:.0f} % are predicted {row['predicted']} "
            f"({row['frames']} frames) and {100 * reference:.0f} % as annotated.",
        )  # fmt: skip


def _events(results: Results) -> Iterator[dict[str, object]]:
    table = results.event_scores
    mains = table[table["main"].astype(bool)].set_index(["modality", "kind"])["ccc_mean"]
    ahead = table[table["model"].isin(UNIMODAL) & (table["difference_ccc_mean"] > 0)]
    for row in ahead.sort_values("difference_ccc_mean", ascending=False).to_dict("records"):
        low, high = row["difference_ccc_mean_low"], row["difference_ccc_mean_high"]
        name = f"{MODALITY_NAMES[row['modality']]} {row['kind']}"
        yield _finding(
            "events", f"{name}: {row['model']}", row["ccc_mean"], float(mains[row["modality"], row["kind"]]),
            row["frames"], row["clips"],
            f"With {name}, {row['model']} alone is ahead by {signed(row['difference_ccc_mean'])} "
            f"{_spread(low, high)} in mean CCC: {_judged(low, row['clips'])} ({_counted(row)}).",
            low, high,
        )  # fmt: skip


def _baseline(results: Results) -> Iterator[dict[str, object]]:
    table = results.comparison
    for row in table[(table["model"] == BASELINE) & ~table["main"].astype(bool)].to_dict("records"):
        lead, low, high = (-row[f"difference_ccc_mean{end}"] for end in ("", "_high", "_low"))
        if low > 0:
            continue
        verdict = "behind" if high < 0 else "not shown to differ"
        yield _finding(
            "baseline", row["partition"], lead, 0.0, row["frames_valence"], row["clips"],
            f"On the {row['partition']} partition this model minus {BASELINE} is {signed(lead)} {_spread(low, high)} "
            f"in mean CCC: {verdict} ({row['clips']} clips).",
            low, high,
        )  # fmt: skip


def region_name(row: Mapping[Hashable, Any]) -> str:
    """`valence -1 to -0.6, arousal 0.2 to 0.6` of a row of `region_errors`."""
    parts = (f"{name} {row[f'{name}_low']:g} to {row[f'{name}_high']:g}" for name in ("valence", "arousal"))
    return ", ".join(parts).replace("-", "−")


def _finding(
    rule: str, where: object, value: float, reference: float, frames: float, clips: float, sentence: str,
    low: float = float("nan"), high: float = float("nan"),
) -> dict[str, object]:  # fmt: skip
    values = (rule, str(where), value, reference, low, high, frames, clips, sentence)
    return dict(zip(FAILURE_COLUMNS, values, strict=True))


def _spread(low: float, high: float) -> str:
    return f"(95 % interval {signed(low)} to {signed(high)})" if np.isfinite([low, high]).all() else "(no interval)"


def _judged(low: float, clips: int) -> str:
    if clips < 2 or not np.isfinite(low):
        return "one clip, so nothing is shown"
    return "the interval is above 0" if low > 0 else "the interval holds 0, so nothing is shown"


def _counted(row: Mapping[Hashable, Any]) -> str:
    return f"{row['frames']} frames of {row['clips']} clip{'s' if row['clips'] != 1 else ''}"
