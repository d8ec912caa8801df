"""The filters of the cues are those of SciPy, which inference does not install."""

from typing import Literal

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d, minimum_filter1d, percentile_filter, uniform_filter1d
from scipy.signal import sosfilt

from iaca.encoders.cues import k_weighting
from iaca.encoders.filters import filtered, running_mean, smoothed, windows

LENGTHS = [1, 3, 20, 1000]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize(("sigma", "beyond", "mode"), [(10.0, "edge", "nearest"), (15.2, "symmetric", "reflect")])
def test_a_gaussian_average_is_that_of_scipy_bit_for_bit(
    n: int, sigma: float, beyond: Literal["edge", "symmetric"], mode: str
) -> None:
    x = np.random.default_rng(n).standard_normal(n)
    np.testing.assert_array_equal(smoothed(x, sigma, beyond), gaussian_filter1d(x, sigma, mode=mode))


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("size", [3, 60, 61])
def test_a_running_mean_is_that_of_scipy_bit_for_bit(n: int, size: int) -> None:
    x = np.random.default_rng(n).standard_normal((6, n))
    np.testing.assert_array_equal(running_mean(x, size), uniform_filter1d(x, size, axis=1, mode="constant"))


@pytest.mark.parametrize("n", LENGTHS)
def test_floor_and_percentile_are_of_scipyswindows(n: int) -> None:
    rng = np.random.default_rng(n)
    x = np.where(rng.random(n) < 0.3, np.inf, rng.standard_normal(n))
    ordered = np.sort(windows(x, 20), axis=1)
    np.testing.assert_array_equal(ordered[:, 0], minimum_filter1d(x, 20, mode="nearest"))
    np.testing.assert_array_equal(ordered[:, 18], percentile_filter(x, 90, size=20, mode="nearest"))


def test_a_recursive_filter_is_that_of_scipy_in_pieces_of_any_length() -> None:
    x, sections = np.random.default_rng(0).normal(0, 0.1, 40_000), k_weighting(16_000)
    expected, _ = sosfilt(sections, x, zi=np.zeros((2, 2)))
    state, pieces = np.zeros((2, 2, 2)), []
    for part in np.split(x, [1, 2, 4, 7, 80, 81, 20_000]):
        piece, state = filtered(sections, part, state)
        pieces.append(piece)
    np.testing.assert_allclose(np.concatenate(pieces), expected, rtol=0, atol=1e-12)
