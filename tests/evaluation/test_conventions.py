"""Every alternative to the official CCC is what it says it is, in numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from iaca.evaluation.metrics import CONVENTIONS, pooled_metrics

# x = (0, 1, 2), y = (0, 1, 1): sums of products 1, 2 and 2/3, means 1 and 2/3
HAND = {
    "unbiased": (2 * 1 / 2) / (2 / 2 + 2 / 6 + 1 / 9),
    "avec": (2 * 1 / 3) / (2 / 2 + 2 / 6 + 1 / 9),
    "numpy_mix": (2 * 1 / 2) / (2 / 3 + 2 / 9 + 1 / 9),
    "zero_filled": 2 / 3,
    "video_mean": 2 / 3,
}


def joined(prediction: list[float], gold: list[float], clip: list[str] | str = "a") -> pd.DataFrame:
    x, y = np.array(prediction), np.array(gold)
    return pd.DataFrame({"clip": clip, "valence": x, "arousal": -x, "valence_gold": y, "arousal_gold": -y})


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_short_sequence_gives_the_number_worked_out_by_hand(name: str) -> None:
    scores = CONVENTIONS[name](joined([0, 1, 2, 7], [0, 1, 1, np.nan]))
    assert scores == pytest.approx(dict.fromkeys(("ccc_valence", "ccc_arousal", "ccc_mean"), HAND[name]), abs=1e-12)
    assert HAND["unbiased"] == pytest.approx(9 / 13)
    assert HAND["avec"] == pytest.approx(6 / 13)
    assert HAND["numpy_mix"] == pytest.approx(1)


def test_the_unbiased_one_is_that_of_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.regression import concordance_corrcoef

    x, y = np.random.default_rng(0).normal(size=(2, 12))
    theirs = concordance_corrcoef(torch.tensor(x), torch.tensor(y))
    assert CONVENTIONS["unbiased"](joined(list(x), list(y)))["ccc_valence"] == pytest.approx(float(theirs), abs=1e-9)


def test_full_agreement_is_one_in_the_unmixed_ones_only() -> None:
    table = joined([0, 1, 2, 3], [0, 1, 2, 3])
    full = {name: CONVENTIONS[name](table)["ccc_mean"] for name in ("unbiased", "avec", "numpy_mix")}
    assert full == pytest.approx({"unbiased": 1, "avec": 3 / 4, "numpy_mix": 4 / 3}, abs=1e-12)


def test_zeros_for_missing_predictions_change_the_score() -> None:
    table = joined([0, 1, np.nan], [0, 1, 1])  # with 0: sums of products 1/3, 2/3, 2/3, means 1/3 and 2/3
    assert pooled_metrics(table)["ccc_valence"] == pytest.approx(1)
    assert CONVENTIONS["zero_filled"](table)["ccc_valence"] == pytest.approx((2 / 9) / (2 / 9 + 2 / 9 + 1 / 9))
    assert np.isnan(table["valence"].iloc[2])


def test_the_mean_over_videos_weighs_them_alike_and_leaves_out_what_is_undefined() -> None:
    table = joined([0, 1, 2, 0, 1, 0.5, 0.5], [0, 1, 1, 0, 1, 0.5, 0.5], [*"aaa", *"bb", *"cc"])
    assert CONVENTIONS["video_mean"](table)["ccc_valence"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize(("prediction", "expected"), [([1, 1, 1], 0), ([np.nan] * 3, np.nan)])
def test_what_is_constant_or_absent_is_as_in_the_headline(name: str, prediction: list[float], expected: float) -> None:
    score = CONVENTIONS[name](joined(prediction, [0, 1, 1]))["ccc_mean"]
    if name == "zero_filled":
        assert score == 0
    else:
        assert score == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize(("prediction", "gold"), [([1.0] * 3, [0.0] * 3), ([1.0], [0.0])], ids=["constants", "frame"])
def test_two_different_constants_and_a_single_frame_have_no_score(
    name: str, prediction: list[float], gold: list[float]
) -> None:
    assert np.isnan(CONVENTIONS[name](joined(prediction, gold))["ccc_mean"])
