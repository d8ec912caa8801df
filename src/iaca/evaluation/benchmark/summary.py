"""The summary of a benchmark: one tidy table of means over seeds and of paired differences, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iaca.evaluation.benchmark.clip_intervals import clip_intervals
from iaca.evaluation.benchmark.collect import KEYS, Scores, results_table
from iaca.evaluation.benchmark.paired import OVER_SEEDS, over_seeds, paired_values
from iaca.evaluation.robustness.config import CLEAN, place

AREA, RELATIVE_AREA, RELATIVE = "area", "relative_area", "relative"
PLACE = ["corruption", "level", "measure"]
COLUMNS = [*PLACE[:2], "model", "minus", "measure", *OVER_SEEDS, "clips_low", "clips_high"]


def summarise(scores: Scores, main: Sequence[str], replicates: int) -> pd.DataFrame:
    """`benchmark_summary.csv`.

    Args:
        scores: of every run.
        main: models that the others are subtracted from.
        replicates: bootstrap resamples of the clips.

    Returns:
        One row per quantity. `minus` empty: a model by itself; else the difference model - minus, paired by seed.
        `measure`: ccc_valence, ccc_arousal, ccc_mean (their mean, or the one that was learned), relative (ccc_mean over
        that of the clean partition, same run); and per corruption, with an empty level, area (under ccc_mean, over the
        range of its levels) and relative_area. Then `seeds`, `mean`, `sd`, the 95 % t interval `low`, `high` over
        seeds, and for CCC the 95 % interval `clips_low`, `clips_high` over resamples of the clips, with the trained
        models as they are.
    """
    values = values_of_runs(results_table(scores))
    absolute = over_seeds(values, ["model", *PLACE]).assign(minus=None)
    compared = values[~values["measure"].isin([RELATIVE, RELATIVE_AREA])]
    differences = [paired_values(compared, name, ["seed", *PLACE]) for name in main]
    paired = over_seeds(pd.concat(differences, ignore_index=True), ["model", "minus", *PLACE])
    table = pd.concat([absolute, paired], ignore_index=True)
    intervals = clip_intervals(scores, main, replicates)
    return table.merge(intervals, on=["model", "minus", *PLACE], how="left")[COLUMNS]


def values_of_runs(results: pd.DataFrame) -> pd.DataFrame:
    """Every measure of every run: model, seed, corruption, level (NaN where it is over all levels), measure, value."""
    table = results.assign(ccc_mean=results[["ccc_valence", "ccc_arousal"]].mean(axis=1))  # of what was learned
    clean = table.loc[table["corruption"] == CLEAN.corruption, ["model", "seed", "ccc_mean"]]
    table = table.merge(clean.rename(columns={"ccc_mean": "clean"}), on=["model", "seed"])
    table[RELATIVE] = table["ccc_mean"] / table["clean"].where(table["clean"] > 0)
    areas = _areas(table)
    by_level = table.drop(columns="clean").melt(id_vars=KEYS, var_name="measure")
    return pd.concat([by_level, areas.melt(id_vars=KEYS, var_name="measure")], ignore_index=True)


def _areas(table: pd.DataFrame) -> pd.DataFrame:
    """Area under each run's curve, divided by the range of levels: the mean CCC over them, in [-1, 1].

    Over decibels it begins at the highest finite ratio; a factor counts by its logarithm.
    """
    rows = []
    curves = table[table["corruption"] != CLEAN.corruption].groupby(["model", "seed", "corruption"], sort=False)
    for (model, seed, corruption), curve in curves:
        clean = float(curve["clean"].iloc[0])
        curve = curve[np.isfinite(curve["level"])].sort_values("level")  # clean sound is infinitely far from any ratio
        level = np.array([place(str(corruption), value) for value in curve["level"]])
        span = level[-1] - level[0] if len(level) else 0.0
        area = float(np.trapezoid(curve["ccc_mean"].to_numpy(), level) / span) if span > 0 else float("nan")
        relative = area / clean if clean > 0 else float("nan")
        rows.append((model, seed, corruption, np.nan, area, relative))
    return pd.DataFrame(rows, columns=[*KEYS, AREA, RELATIVE_AREA])


def gate_summary(gates: pd.DataFrame) -> pd.DataFrame:
    """`benchmark_gates.csv`: how well each gate tells a corrupted modality from clean steps.

    Args:
        gates: of `collect.gates_of_runs`.

    Returns:
        One row per model, gate, modality, source and kind: `source` is `protocol` (kind and level say which) or `event`
        (kind of the corpus's own event, no level). Then of the AUROC over seeds `seeds`, `mean`, `sd`, `low`, `high`
        (95 %, t), and mean weights and numbers of steps in the event and outside. 1 = the weight is always lower when
        its modality is corrupted, 0.5 = chance.
    """
    clean = gates["corruption"] == CLEAN.corruption
    table = gates.assign(source=np.where(clean, "event", "protocol"), level=gates["level"].where(~clean))
    keys = ["model", "gate", "modality", "source", "kind", "level"]
    rest = ["weight_event", "weight_clean", "event_frames", "clean_frames"]
    means = table.groupby(keys, sort=False, dropna=False)[rest].mean().reset_index()
    return over_seeds(table, keys, "auroc").merge(means, on=keys)
