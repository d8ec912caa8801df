"""Means over seeds with Student's t intervals, and differences of two models paired by seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as student

OVER_SEEDS = ["seeds", "mean", "sd", "low", "high"]
COVERAGE = 0.95


def over_seeds(values: pd.DataFrame, by: list[str], value: str = "value") -> pd.DataFrame:
    """What the seeds of each group agree on.

    Args:
        values: one row per seed and group; rows without a value are left out.
        by: columns that make a group; they may hold NaN.
        value: the column that is averaged.

    Returns:
        One row per group, in order of first appearance: `by`, seeds (n), mean, sd (n - 1), and the 95 % interval of the
        mean, low and high, mean +- t(n - 1) sd / sqrt(n). NaN where fewer than two seeds leave it undefined.
    """
    groups = values.dropna(subset=[value]).groupby(by, sort=False, dropna=False)[value]
    table = groups.agg(seeds="count", mean="mean", sd="std").reset_index()
    n = table["seeds"].to_numpy(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = student.ppf(0.5 + COVERAGE / 2, n - 1) * table["sd"].to_numpy(np.float64) / np.sqrt(n)
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)[[*by, *OVER_SEEDS]]


def paired_values(values: pd.DataFrame, main: str, on: list[str]) -> pd.DataFrame:
    """`value` of the main model minus that of every other model, at the same place `on` (seed among it).

    Args:
        values: model, the columns `on`, value.
        main: which model the others are subtracted from.
        on: columns that say what is compared with what.

    Returns:
        model = main, minus = the other model, the columns `on`, value.
    """
    of_main = values.loc[values["model"] == main, [*on, "value"]]
    others = values[values["model"] != main]
    both = others.merge(of_main, on=on, suffixes=("", "_of_main"))
    difference = both["value_of_main"] - both["value"]
    return both.assign(minus=both["model"], model=main, value=difference)[["model", "minus", *on, "value"]]


def verdict(low: float, high: float) -> str:
    """`better`, `worse`, or `undecided` where the interval holds 0 or there is none."""
    return "better" if low > 0 else "worse" if high < 0 else "undecided"
