"""The loss: CCC as the field defines it, blind to masked steps, finite on constants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iaca.errors import InputError
from iaca.training.loss import ccc_loss, concordance


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


def test_masked_steps_have_exactly_zero_gradient_whatever_stands_there() -> None:
    prediction = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 1]], dtype=torch.bool)
    gold = torch.where(valid[..., None], torch.randn(2, 6, 2), torch.nan)
    spoilt = torch.where(valid[..., None], prediction, torch.nan).requires_grad_()
    loss = ccc_loss(spoilt, gold, valid)
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(spoilt.grad[~valid], torch.zeros(5, 2))
    assert spoilt.grad[valid].all()


@pytest.mark.parametrize("gold", [0.0, 0.3])
@pytest.mark.parametrize("prediction", [[0.3] * 4, [0.0, 0.1, 0.2, 0.9]])
def test_constant_targets_leave_loss_and_gradient_finite(gold: float, prediction: list[float]) -> None:
    guess = both(prediction).clone().requires_grad_()
    loss = ccc_loss(guess, both([gold] * 4), torch.ones(1, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-5)
    assert guess.grad.isfinite().all()


def test_with_nothing_valid_the_loss_is_one_and_teaches_nothing() -> None:
    guess = torch.randn(1, 4, 2, requires_grad=True)
    loss = ccc_loss(guess, torch.full((1, 4, 2), torch.nan), torch.zeros(1, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 1.0
    assert not guess.grad.any()


def test_it_is_computed_in_float32_under_autocast() -> None:
    prediction, gold = torch.randn(2, 200, 2), torch.randn(2, 200, 2)
    valid = torch.ones(2, 200, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, coarse = ccc_loss(prediction, gold, valid), ccc_loss(prediction.bfloat16(), gold, valid)
    assert inside.dtype == coarse.dtype == torch.float32
    assert inside.item() == ccc_loss(prediction, gold, valid).item()
    assert coarse.item() == ccc_loss(prediction.bfloat16().float(), gold, valid).item()


def test_float32_is_enough_far_from_zero() -> None:
    """Moments taken as E[x^2] - E[x]^2 would lose every digit here."""
    x = torch.randn(1, 1000, 2, generator=torch.Generator().manual_seed(0)) + 1000
    y = x + 0.5 * torch.randn(1, 1000, 2, generator=torch.Generator().manual_seed(1))
    found = concordance(x, y, torch.ones(1, 1000, dtype=torch.bool))
    assert found.tolist() == pytest.approx([ccc(x[0, :, d].numpy(), y[0, :, d].numpy()) for d in range(2)], abs=1e-4)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"gold \(1, 4, 2\), valid \(1, 3\)"):
        ccc_loss(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), torch.ones(1, 3, dtype=torch.bool))
