"""The tables of a result: models side by side with intervals, the headline, and every video by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from iaca.errors import InputError
from iaca.evaluation.bootstrap import SCORES, Interval, bootstrap_ccc, paired_difference
from iaca.evaluation.metrics import DIMENSIONS, join_labels, per_video, pooled_metrics, video_means

PARTITIONS = ("train", "validation", "test")


def comparison(
    predictions_by_model: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    main: str | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every model on every annotated partition, with intervals and the paired difference to the main model.

    Args:
        predictions_by_model: name of the model -> its predictions (clip, frame, valence, arousal, ...).
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.
        main: the model the others are compared with; by default the first one.
        replicates, seed: of the bootstrap over clips. All models see the same resamples.

    Returns:
        One row per model and partition: clips, the columns of `pooled_metrics`, `<ccc>_low` and `<ccc>_high` (95 %),
        `video_<ccc>` (mean over videos, a different number), and `difference_<ccc>`, `_low`, `_high`, the model minus
        the main one (exactly 0 for the main model). <ccc> is ccc_valence, ccc_arousal, ccc_mean.

    Raises:
        InputError: if there is no model, the main model is not among them, or nothing is annotated.
    """
    if not predictions_by_model:
        raise InputError("there are no predictions to compare")
    main = next(iter(predictions_by_model)) if main is None else main
    if main not in predictions_by_model:
        raise InputError(f"no predictions of the main model {main}; there are {', '.join(predictions_by_model)}")
    rows = []
    for partition in annotated_partitions(labels):
        gold = labels[labels["partition"] == partition]
        tables = {model: join_labels(table, gold) for model, table in predictions_by_model.items()}
        for model, table in tables.items():
            rows.append(
                {"model": model, "partition": partition, "main": model == main}
                | _row(table, tables[main], replicates, seed)
            )
    return pd.DataFrame(rows)


def annotated_partitions(labels: pd.DataFrame) -> list[str]:
    """Partitions with at least one annotated frame: train, validation, test, then any others by name.

    Raises:
        InputError: if no frame is annotated at all.
    """
    annotated = labels.loc[labels[list(DIMENSIONS)].notna().any(axis=1), "partition"].dropna().unique()
    if not len(annotated):
        raise InputError("no frame of the labels is annotated: there is nothing to evaluate against")
    return [name for name in PARTITIONS if name in annotated] + sorted(set(annotated) - set(PARTITIONS))


def headline(table: pd.DataFrame, model: str | None = None) -> dict[str, str | float | int | None]:
    """The main numbers of one model as a flat dictionary that JSON can hold (undefined is None).

    Args:
        table: a `comparison`.
        model: by default the main model.

    Returns:
        `model`, and for each partition `<partition>_<column>` of the pooled CCC with interval, PCC, RMSE, SAGR, the
        mean over videos and the numbers of clips and frames.
    """
    rows = table[table["main"]] if model is None else table[table["model"] == model]
    if rows.empty:
        raise InputError(f"the comparison holds no row of the model {model}")
    flat: dict[str, str | float | int | None] = {"model": str(rows["model"].iloc[0])}
    for row in rows.to_dict("records"):
        for name, value in row.items():
            if name not in ("model", "partition", "main") and not str(name).startswith("difference_"):
                flat[f"{row['partition']}_{name}"] = _plain(value)
    return flat


def video_table(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Every annotated clip by itself: clip, partition, its metrics and frame counts; best mean CCC first."""
    table = per_video(join_labels(predictions, labels))
    annotated = table[(table["frames_valence"] + table["frames_arousal"]) > 0]
    return annotated.sort_values(["ccc_mean", "clip"], ascending=[False, True], ignore_index=True)


def best_and_worst(videos: pd.DataFrame, partition: str, shown: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first and last clips of a partition by mean CCC, best and worst first; none is in both.

    Args:
        videos: a `video_table`; clips without a defined CCC are left out.
        partition: whose clips.
        shown: at most so many of either. Of an odd number of clips the middle one counts to the best.
    """
    if videos.empty:
        return videos, videos
    scored = videos[videos["partition"] == partition].dropna(subset=["ccc_mean"])
    scored = scored.sort_values("ccc_mean", ascending=False)
    best = scored.head(min(shown, (len(scored) + 1) // 2))
    return best, scored.iloc[len(best) :].tail(shown).iloc[::-1]


def _row(table: pd.DataFrame, main: pd.DataFrame, replicates: int, seed: int) -> dict[str, float]:
    intervals = bootstrap_ccc(table, replicates, seed)
    differences = paired_difference(table, main, replicates, seed)
    row: dict[str, float] = {"clips": int(table["clip"].nunique()), **pooled_metrics(table)}
    for score in SCORES:
        row |= {f"{score}_low": intervals[score].low, f"{score}_high": intervals[score].high}
        row |= _difference_columns(score, differences[score])
    means = video_means(per_video(table))
    return row | {name: means[name] for name in means if name != "videos"}


def _difference_columns(score: str, difference: Interval) -> dict[str, float]:
    return {
        f"difference_{score}": difference.estimate,
        f"difference_{score}_low": difference.low,
        f"difference_{score}_high": difference.high,
    }


def _plain(value: object) -> float | int | None:
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)  # type: ignore[arg-type]
    return number if np.isfinite(number) else None
