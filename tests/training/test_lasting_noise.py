"""Noise that lasts."""

from __future__ import annotations

import numpy as np
import pytest

from iaca.training.data import draw_reach, lasting_noise


@pytest.mark.parametrize("reach", [0.3, 5.0, 40.0])
def test_noise_has_unit_variance_and_the_reach_asked_for(reach: float) -> None:
    noise = lasting_noise(np.random.default_rng(0), (4000, 50), reach)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.std(), 1.0, atol=0.03)
    np.testing.assert_allclose(noise[0].std(), 1.0, atol=0.25)  # from the first step on
    neighbours = float(np.mean(noise[1:] * noise[:-1]))
    np.testing.assert_allclose(neighbours, np.exp(-1.0 / reach), atol=0.03)


def test_features_are_independent_and_the_seed_decides() -> None:
    noise = lasting_noise(np.random.default_rng(1), (20_000, 2), 5.0)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.05
    np.testing.assert_array_equal(noise, lasting_noise(np.random.default_rng(1), (20_000, 2), 5.0))


def test_the_reach_is_drawn_evenly_on_a_logarithmic_scale() -> None:
    rng = np.random.default_rng(2)
    drawn = np.log([draw_reach(rng, (0.5, 32.0)) for _ in range(4000)]) / np.log(2)
    assert drawn.min() >= -1
    assert drawn.max() <= 5
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), [0.5, 2.0, 3.5], atol=0.15)
