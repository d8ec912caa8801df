"""The loss: CCC as the field defines it, blind to masked steps, finite on constants."""

from __future__ import annotations

import audmetric
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iaca.errors import InputError
from iaca.training.config import LossConfig
from iaca.training.loss import ccc_loss, concordance, training_loss, window_concordance

OPTIONS = [LossConfig(form=form, mse=mse) for form in ("pooled", "window") for mse in (0.0, 0.5)]
every_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda o: f"{o.form} {o.mse}")


def ccc(x: np.ndarray, y: np.ndarray) -> float:
    """The formula in float64, with biased moments."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return 2 * ((x - x.mean()) * (y - y.mean())).mean() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def both(values: list[float]) -> torch.Tensor:
    """One sequence, the same values for valence and arousal: (1, t, 2)."""
    return torch.tensor(values)[None, :, None].expand(1, -1, 2)


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ([0.0, 1.0, 2.0], [0.0, 1.0, 1.0], 2 / 3),
        ([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0], 0.976789),
        ([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], 0.714286),
        ([0.5, 0.5, 0.5], [0.0, 0.5, 1.0], 0.0),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -1.0),
    ],
)
def test_known_values(prediction: list[float], gold: list[float], expected: float) -> None:
    valid = torch.ones(1, len(gold), dtype=torch.bool)
    assert ccc_loss(both(prediction), both(gold), valid).item() == pytest.approx(1 - expected, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(3, 50), st.floats(0.01, 1.0), st.floats(-1.0, 1.0))
def test_it_is_the_float64_formula_pooled_over_valid_steps(
    seed: int, b: int, t: int, spread: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    prediction = (spread * rng.standard_normal((b, t, 2)) + offset).astype(np.float32)
    gold = rng.standard_normal((b, t, 2)).astype(np.float32)
    valid = rng.random((b, t)) < 0.7
    valid.flat[:3] = True
    found = concordance(*(torch.from_numpy(x) for x in (prediction, gold, valid)))
    expected = [ccc(prediction[valid][:, d], gold[valid][:, d]) for d in range(2)]
    assert found.tolist() == pytest.approx(expected, abs=2e-6)
    loss = ccc_loss(*(torch.from_numpy(x) for x in (prediction, gold, valid)))
    assert loss.item() == pytest.approx(1 - np.mean(expected), abs=2e-6)


@pytest.mark.parametrize("n", [2, 16, 300])
def test_a_sequence_agrees_fully_with_itself(n: int) -> None:
    x = torch.randn(1, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    assert ccc_loss(x, x, torch.ones(1, n, dtype=torch.bool)).item() == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.floats(0.05, 1.0), st.floats(-1.0, 1.0))
def test_it_is_the_ccc_of_audmetric(seed: int, steps: int, spread: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.uniform(-1, 1, (1, steps, 2))
    prediction = (spread * gold + spread * rng.standard_normal((1, steps, 2)) + offset).astype(np.float32)
    gold = gold.astype(np.float32)
    loss = ccc_loss(torch.from_numpy(prediction), torch.from_numpy(gold), torch.ones(1, steps, dtype=torch.bool))
    theirs = [audmetric.concordance_cc(gold[0, :, d], prediction[0, :, d]) for d in range(2)]
    assert loss.item() == pytest.approx(1 - np.mean(theirs), abs=5e-6)


@every_option
def test_masked_steps_have_exactly_zero_gradient_whatever_their_values(option: LossConfig) -> None:
    prediction = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 1]], dtype=torch.bool)
    gold = torch.where(valid[..., None], torch.randn(2, 6, 2), torch.nan)
    with_nan = torch.where(valid[..., None], prediction, torch.nan).requires_grad_()
    loss = training_loss(with_nan, gold, valid, option)
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(with_nan.grad[~valid], torch.zeros(5, 2))
    assert with_nan.grad[valid].all()


@every_option
@pytest.mark.parametrize("gold", [0.0, 0.3])
@pytest.mark.parametrize("prediction", [[0.3] * 4, [0.0, 0.1, 0.2, 0.9]])
def test_constant_targets_leave_loss_and_gradient_finite(
    gold: float, prediction: list[float], option: LossConfig
) -> None:
    guess = both(prediction).clone().requires_grad_()
    loss = training_loss(guess, both([gold] * 4), torch.ones(1, 4, dtype=torch.bool), option)
    loss.backward()
    squared = np.mean((np.array(prediction) - gold) ** 2)
    assert loss.item() == pytest.approx(1.0 + option.mse * squared, abs=1e-5)
    assert guess.grad.isfinite().all()


@every_option
def test_with_nothing_valid_the_loss_is_one_and_teaches_nothing(option: LossConfig) -> None:
    guess = torch.randn(1, 4, 2, requires_grad=True)
    loss = training_loss(guess, torch.full((1, 4, 2), torch.nan), torch.zeros(1, 4, dtype=torch.bool), option)
    loss.backward()
    assert loss.item() == 1.0
    assert not guess.grad.any()


@every_option
def test_it_is_computed_in_float32_under_autocast(option: LossConfig) -> None:
    prediction, gold = torch.randn(2, 200, 2), torch.randn(2, 200, 2)
    valid = torch.ones(2, 200, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, coarse = (training_loss(x, gold, valid, option) for x in (prediction, prediction.bfloat16()))
    assert inside.dtype == coarse.dtype == torch.float32
    assert inside.item() == training_loss(prediction, gold, valid, option).item()
    assert coarse.item() == training_loss(prediction.bfloat16().float(), gold, valid, option).item()


def some_windows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three windows with 12, 5 and 1 valid steps."""
    rng = torch.Generator().manual_seed(0)
    prediction, gold = torch.randn(3, 12, 2, generator=rng), torch.randn(3, 12, 2, generator=rng)
    valid = torch.arange(12)[None, :] < torch.tensor([12, 5, 1])[:, None]
    return prediction, gold, valid


def test_the_default_is_the_pooled_ccc_loss() -> None:
    prediction, gold, valid = some_windows()
    assert training_loss(prediction, gold, valid, LossConfig()).item() == ccc_loss(prediction, gold, valid).item()


def test_by_window_it_is_the_mean_over_windows_with_two_valid_steps() -> None:
    prediction, gold, valid = some_windows()
    each = [[ccc(prediction[i, :n, d].numpy(), gold[i, :n, d].numpy()) for d in range(2)] for i, n in ((0, 12), (1, 5))]
    found = window_concordance(prediction, gold, valid)
    assert found.tolist() == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    loss = training_loss(prediction, gold, valid, LossConfig(form="window"))
    assert loss.item() == pytest.approx(1 - np.mean(each), abs=1e-6)
    assert loss.item() != pytest.approx(ccc_loss(prediction, gold, valid).item(), abs=1e-2)


def test_a_single_valid_step_in_a_window_teaches_nothing_by_window() -> None:
    prediction, gold, valid = some_windows()
    prediction.requires_grad_()
    training_loss(prediction, gold, valid, LossConfig(form="window")).backward()
    assert not prediction.grad[2].any()
    assert prediction.grad[:2][valid[:2]].all()


def test_the_squared_error_is_added_by_its_weight_over_valid_steps() -> None:
    prediction, gold, valid = some_windows()
    squared = (prediction - gold)[valid].square().mean().item()
    for form in ("pooled", "window"):
        plain, mixed = (training_loss(prediction, gold, valid, LossConfig(form=form, mse=w)).item() for w in (0.0, 0.7))
        assert mixed - plain == pytest.approx(0.7 * squared, abs=1e-5)


def test_float32_is_enough_far_from_zero() -> None:
    """Moments taken as E[x^2] - E[x]^2 would lose every digit here."""
    x = torch.randn(1, 1000, 2, generator=torch.Generator().manual_seed(0)) + 1000
    y = x + 0.5 * torch.randn(1, 1000, 2, generator=torch.Generator().manual_seed(1))
    found = concordance(x, y, torch.ones(1, 1000, dtype=torch.bool))
    assert found.tolist() == pytest.approx([ccc(x[0, :, d].numpy(), y[0, :, d].numpy()) for d in range(2)], abs=1e-4)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"gold \(1, 4, 2\), valid \(1, 3\)"):
        ccc_loss(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), torch.ones(1, 3, dtype=torch.bool))
