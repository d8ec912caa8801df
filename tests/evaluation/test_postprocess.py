"""Smoothing respects a clip's clock, ends and gaps, and is scored apart from the headline."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.ndimage import convolve1d, median_filter

from iaca.errors import InputError
from iaca.evaluation.config import EvaluationConfig, FilterStep
from iaca.evaluation.tables import POSTPROCESSING_COLUMNS, comparison, filtered, postprocess, postprocessing_table

WINDOWS = ("mean", "gaussian", "median")
TIMES = np.arange(60) / 25
NOISE = np.random.default_rng(0).normal(size=(60, 2))


def through(kind: str, width_s: float, values: np.ndarray, time_s: np.ndarray = TIMES) -> np.ndarray:
    return filtered(time_s, values, FilterStep(filter=kind, width_s=width_s))


def test_at_a_constant_rate_the_filters_are_the_textbook_ones_with_mirrored_ends() -> None:
    mean = convolve1d(NOISE, np.full(5, 0.2), axis=0, mode="mirror")
    np.testing.assert_allclose(through("mean", 0.16, NOISE), mean, atol=1e-12)  # 5 frames lie in +-0.08 s
    np.testing.assert_allclose(through("median", 0.16, NOISE), median_filter(NOISE, (5, 1), mode="mirror"), atol=1e-12)
    sigma = 0.2 / 2.354820045
    offsets = np.arange(-6, 7) / 25  # three standard deviations are 0.255 s
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    gaussian = convolve1d(NOISE, kernel / kernel.sum(), axis=0, mode="mirror")
    np.testing.assert_allclose(through("gaussian", 0.2, NOISE), gaussian, atol=1e-9)


@pytest.mark.parametrize("kind", WINDOWS)
def test_a_constant_stays_and_a_window_below_a_frame_changes_nothing(kind: str) -> None:
    np.testing.assert_allclose(through(kind, 1.0, np.full((60, 2), 0.3)), 0.3, atol=1e-12)
    np.testing.assert_allclose(through(kind, 0.02, NOISE), NOISE, atol=1e-12)
    np.testing.assert_allclose(through(kind, 1.0, NOISE[:1], TIMES[:1]), NOISE[:1])


@pytest.mark.parametrize("kind", ["mean", "gaussian"])
def test_a_stretch_of_more_frames_per_second_has_no_more_say(kind: str) -> None:
    """A step from 0 to 1 at 2 s: 50 frames per second before it, 10 after it."""
    times = np.concatenate([np.arange(0, 2, 0.02), np.arange(2, 4, 0.1)])
    smooth = through(kind, 1.0, (times >= 2).astype(float)[:, None], times)
    assert smooth[np.searchsorted(times, 2.0), 0] == pytest.approx(0.5, abs=0.1)  # frames alone would give a sixth
    assert smooth[0, 0] == 0
    assert smooth[-1, 0] == 1


@pytest.mark.parametrize("kind", WINDOWS)
def test_frames_without_prediction_stay_so_and_do_not_enter_others(kind: str) -> None:
    values = np.full((60, 2), 0.3)
    values[20:25, 0] = np.nan
    values[50:] = np.nan
    smooth = through(kind, 0.6, values)
    np.testing.assert_array_equal(np.isnan(smooth), np.isnan(values))
    np.testing.assert_allclose(smooth[np.isfinite(smooth)], 0.3, atol=1e-12)


@pytest.mark.parametrize("kind", WINDOWS)
def test_clips_are_filtered_apart_whatever_the_order_of_rows(kind: str, predictions: pd.DataFrame) -> None:
    step = FilterStep(filter=kind, width_s=0.5)
    before, smoothed = predictions.copy(), postprocess(predictions, step)
    pd.testing.assert_frame_equal(predictions, before)
    alone = postprocess(predictions[predictions["clip"] == "b"], step)
    pd.testing.assert_frame_equal(smoothed[smoothed["clip"] == "b"], alone)
    mixed = postprocess(predictions.sample(frac=1, random_state=0), step).sort_index()
    pd.testing.assert_frame_equal(mixed, smoothed)
    others = [name for name in predictions if name not in ("valence", "arousal")]
    pd.testing.assert_frame_equal(smoothed[others], predictions[others])


def test_long_clips_are_filtered_in_blocks_to_the_same_values() -> None:
    times = np.arange(5000) / 30
    values = np.sin(times)[:, None]
    smoothed = through("mean", 0.5, values, times)
    np.testing.assert_allclose(smoothed[1000:3000], through("mean", 0.5, values[900:3100], times[900:3100])[100:2100])


def test_clipping_limits_values_and_a_missing_time_is_named(predictions: pd.DataFrame) -> None:
    wild = predictions.assign(valence=predictions["valence"] * 5)
    assert postprocess(wild, FilterStep(filter="clip"))["valence"].abs().max() == 1
    with pytest.raises(InputError, match="clip a has no time"):
        postprocess(predictions.assign(time_s=np.nan), FilterStep(filter="mean", width_s=1))


def test_a_table_of_doubles_is_filtered_and_not_written_to() -> None:
    table = pd.DataFrame({"clip": "a", "time_s": TIMES, "valence": NOISE[:, 0], "arousal": NOISE[:, 1]}).copy()
    smooth = postprocess(table, FilterStep(filter="median", width_s=0.16))
    np.testing.assert_array_equal(smooth[["valence", "arousal"]], through("median", 0.16, NOISE))
    np.testing.assert_array_equal(table[["valence", "arousal"]], NOISE)


def test_the_table_has_the_headline_first_and_paired_differences(
    predictions: pd.DataFrame, labels: pd.DataFrame
) -> None:
    steps = (*EvaluationConfig().postprocessing, FilterStep(filter="clip"))
    table = postprocessing_table(predictions, labels, steps, replicates=200)
    assert tuple(table.columns) == POSTPROCESSING_COLUMNS
    assert table["partition"].unique().tolist() == ["train", "validation"]
    rows = table[table["partition"] == "validation"].set_index("step")
    assert rows.index.tolist() == ["none", "median 0.5 s", "mean 1.0 s", "clip"]
    official = comparison({"iaca": predictions}, labels, replicates=200).set_index("partition").loc["validation"]
    scores = ["ccc_valence", "ccc_arousal", "ccc_mean"]
    assert rows.loc["none", scores].tolist() == pytest.approx(official[scores].tolist(), abs=1e-12)
    assert rows.loc["none", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    smooth = rows.loc["median 0.5 s"]
    assert smooth["difference"] == pytest.approx(smooth["ccc_mean"] - rows.loc["none", "ccc_mean"], abs=1e-12)
    assert smooth["low"] <= smooth["difference"] <= smooth["high"]
    assert smooth["low"] > 0  # white noise on a slow curve: smoothing helps


@pytest.mark.parametrize(
    "wrong", [{"filter": "mean"}, {"filter": "clip", "width_s": 1}, {"filter": "mean", "width_s": 0}]
)
def test_a_filter_has_a_width_where_it_has_a_window(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FilterStep.model_validate(wrong)
