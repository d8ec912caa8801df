"""Do mouth and sound belong together, and how much later is the sound?

The area of the mouth opening follows the envelope of the voice, most of all between 2 and 7 Hz (Chandrasekaran et al.,
*The natural statistics of audiovisual speech*, PLoS Computational Biology 2009). Both are correlated in sliding windows
at every lag, on a grid of 33 ms. That the peak over lags tells an offset is common to lip-sync detectors; the rest is
ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

RATE_HZ = 30.0
AGREEMENT_S, LAG_S = 2.0, 8.0
"""Windows: short for an agreement that ends where a contradiction begins, long for a lag, which seldom changes."""
REACH_S = 0.5
TRUSTED = 0.4
"""Peak of the correlation over `LAG_S` under which no lag is believed: unrelated streams seldom reach it."""
DRIFT_S = 0.5
EVIDENCE = 0.5
"""Share of a window in which both have to be known, or its correlation shrinks in proportion: two seconds of strangers
often agree at some lag."""
Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]


def synchrony(opening: FloatArray, level: FloatArray, times: Array, known: NDArray[np.bool_]) -> dict[str, FloatArray]:
    """Agreement of mouth and sound, and the sound's lag, at each step.

    Args:
        opening: (t,) `mouth_opening`.
        level: (t,) `sound_level`, dB.
        times: (t,) s, increasing.
        known: (t,) where there are both a face and sound. A value that is not finite is unknown too.

    Returns:
        `synchrony` (t,) in [-1, 1]: correlation over 2 s around the step, at the lag where one is known, else at 0; 0
        where either does not move. `synchrony_lag` (t,) in s within +-0.5: where the correlation over 8 s, slow drift
        removed, is highest, to less than a step by a parabola; positive if the sound is late; NaN where that is below
        0.4.
    """
    known = known & np.isfinite(opening) & np.isfinite(level)
    if len(times) < 3 or known.sum() < 3:
        return {"synchrony": np.zeros(len(times), np.float32), "synchrony_lag": np.full(len(times), np.nan, np.float32)}
    pair = Pair.of(opening, level, times, known)
    peak, lag = pair.without_drift().best(LAG_S)
    lag[peak < TRUSTED] = np.nan
    shift = np.nan_to_num(np.rint(lag * pair.rate)).astype(int)
    agreement = np.empty(len(lag))
    for value in np.unique(shift):
        agreement[shift == value] = pair.agreement(int(value), AGREEMENT_S)[shift == value]
    at = pair.places(times)
    return {"synchrony": agreement[at].astype(np.float32), "synchrony_lag": lag[at].astype(np.float32)}


@dataclass(frozen=True)
class Pair:
    """Opening of the mouth and amplitude of the sound (n,) on one grid of `rate` Hz from `start` (s), standardised;
    `known` (n,) is 1 where both are, 0 elsewhere."""

    mouth: Array
    sound: Array
    known: Array
    start: float
    rate: float

    @classmethod
    def of(cls, opening: FloatArray, level: FloatArray, times: Array, known: NDArray[np.bool_]) -> Pair:
        """From steps as in `synchrony`; values in between are interpolated, on a coarser grid where timestamps jump."""
        span = float(times[-1] - times[0])
        rate = min(RATE_HZ, 40 * len(times) / max(span, 1e-3))
        grid = times[0] + np.arange(int(span * rate) + 1) / rate
        mouth = np.interp(grid, times[known], opening[known].astype(np.float64))
        sound = np.interp(grid, times[known], 10 ** (level[known].astype(np.float64) / 20))
        both = (np.interp(grid, times, known.astype(np.float64)) > 0.5).astype(np.float64)
        return cls(_standard(mouth, both), _standard(sound, both), both, float(times[0]), rate)

    def places(self, times: Array) -> NDArray[np.intp]:
        """Index of the grid point nearest to each time (s)."""
        return np.clip(np.rint((times - self.start) * self.rate), 0, len(self.mouth) - 1).astype(np.intp)

    def without_drift(self) -> Pair:
        """Both less their mean over half a second, so that syllables count and neither smiles nor noise."""
        weight = np.maximum(gaussian_filter1d(self.known, DRIFT_S * self.rate), 1e-3)

        def fast(x: Array) -> Array:
            slow = gaussian_filter1d(x * self.known, DRIFT_S * self.rate) / weight
            return _standard(x - slow, self.known)

        return Pair(fast(self.mouth), fast(self.sound), self.known, self.start, self.rate)

    def agreement(self, shift: int, span_s: float) -> Array:
        """Correlation (n,) of the mouth with the sound `shift` grid steps later, over `span_s` around each point."""
        n, size = len(self.mouth), max(int(span_s * self.rate), 3)
        here = slice(max(0, -shift), max(0, n - max(0, shift)))
        there = slice(max(0, shift), max(0, n + min(0, shift)))
        x, y, w = self.mouth, np.zeros(n), np.zeros(n)
        y[here], w[here] = self.sound[there], self.known[there] * self.known[here]

        terms = w * np.stack([np.ones(n), x, y, x * x, y * y, x * y])
        share, *means = uniform_filter1d(terms, size, axis=1, mode="constant")
        mean_x, mean_y, xx, yy, xy = means / np.maximum(share, 1e-6)
        covariance, variances = xy - mean_x * mean_y, (xx - mean_x * mean_x, yy - mean_y * mean_y)
        moving = (variances[0] > 1e-4) & (variances[1] > 1e-4)
        r = np.where(moving, covariance / np.sqrt(np.maximum(variances[0] * variances[1], 1e-8)), 0.0)
        return np.asarray(np.clip(r, -1, 1) * np.minimum(share / EVIDENCE, 1.0))

    def best(self, span_s: float) -> tuple[Array, Array]:
        """The highest correlation (n,) over all lags in windows of `span_s`, and its lag (n,) in s."""
        reach = max(int(REACH_S * self.rate), 1)
        all_lags = np.stack([self.agreement(k, span_s).astype(np.float32) for k in range(-reach, reach + 1)])
        top, column = all_lags.argmax(axis=0), np.arange(len(self.mouth))
        inner = np.clip(top, 1, 2 * reach - 1)
        before, peak, after = (all_lags[inner + d, column].astype(np.float64) for d in (-1, 0, 1))
        bend = before - 2 * peak + after
        shift = np.where((top == inner) & (bend < 0), 0.5 * (before - after) / np.minimum(bend, -1e-9), 0.0)
        return all_lags[top, column].astype(np.float64), (top + np.clip(shift, -0.5, 0.5) - reach) / self.rate


def _standard(x: Array, weight: Array) -> Array:
    """Mean 0 and deviation 1 where known; zeros if it never moves."""
    total = max(float(weight.sum()), 1.0)
    x = x - float((x * weight).sum()) / total
    deviation = float(np.sqrt((x * x * weight).sum() / total))
    return x / deviation if deviation > 1e-9 else np.zeros_like(x)
