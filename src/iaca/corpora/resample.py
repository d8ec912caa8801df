"""Rows over time brought to other times: labels by interpolation, features by the nearest row or a mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = 1.5  # of the rows: how far a labelled row may lie from a time where nothing else is said
ROUNDING_S = 1e-6  # times that were written with few decimals still meet each other

Times = NDArray[np.float64]
Values = NDArray[np.float32]


def labels_at(places: Times, values: Values, times: Times, tolerance_s: float | None = None) -> Values:
    """Labels (t, k) at times (t,) from rows (n, k) at rising places (n,), s; NaN where not annotated.

    Between two rows, neither farther away than the tolerance, labels are interpolated linearly; where only one is that
    near, its labels count. A NaN ends the annotation there: nothing is interpolated across it. By default the
    tolerance is one and a half median steps of the rows.
    """
    rows = values.astype(np.float64)
    reach = (STEPS * median_step(places) if tolerance_s is None else tolerance_s) + ROUNDING_S
    after = np.searchsorted(places, times - ROUNDING_S).clip(0, len(places) - 1)
    before = np.where(places[after] <= times + ROUNDING_S, after, (after - 1).clip(0))
    near_before, near_after = (np.abs(places[i] - times) <= reach for i in (before, after))
    span = np.where(after > before, places[after] - places[before], 1.0)
    share = np.where(near_before & near_after, ((times - places[before]) / span).clip(0, 1), near_after)[:, None]
    share = np.where((after == before)[:, None], 0.0, share)
    mixed = np.where(share == 0, rows[before], (1 - share) * rows[before] + share * rows[after])
    mixed = np.where(share == 1, rows[after], mixed)
    return np.where((near_before | near_after)[:, None], mixed, np.nan).astype(np.float32)


def grid(first: float, last: float, rate: float) -> Times:
    """Multiples of 1 / rate (s) from `first` to `last`, both included where they are multiples."""
    slack = ROUNDING_S * rate
    return np.arange(np.ceil(first * rate - slack), np.floor(last * rate + slack) + 1) / rate


def nearest_rows(places: Times, values: Values, times: Times) -> tuple[Times, Values]:
    """At each time the nearest row, if it lies within half the longer of the two median steps; else no row."""
    after = np.searchsorted(places, times).clip(0, len(places) - 1)
    before = (after - 1).clip(0)
    index = np.where(np.abs(times - places[before]) <= np.abs(places[after] - times), before, after)
    reach = max(median_step(places), median_step(times)) / 2 + ROUNDING_S
    kept = np.abs(places[index] - times) <= reach
    return times[kept], values[index[kept]]


def mean_rows(places: Times, values: Values, times: Times) -> tuple[Times, Values]:
    """At each time the mean of the rows less than half a median step before it or up to half a step after it.

    A row that lies between two times belongs to the earlier; where there is none, there is no row.
    """
    half = median_step(times) / 2
    low, high = (np.searchsorted(places, times + shift + ROUNDING_S, "right") for shift in (-half, half))
    kept = high > low
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    means = (sums[high[kept]] - sums[low[kept]]) / (high - low)[kept, None]
    return times[kept], means.astype(np.float32)


def median_step(places: Times) -> float:
    """The median distance of neighbours (s); 0 where there is only one."""
    return float(np.median(np.diff(places))) if len(places) > 1 else 0.0
