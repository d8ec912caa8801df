"""What fails, in plain sentences made from the numbers by stated rules, and from nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from iaca.evaluation.analysis.quadrants import NEUTRAL
from iaca.evaluation.benchmark.words import plain, signed
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.style import MODALITY_NAMES
from iaca.modalities import MODALITIES

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
