"""The learning rate: one schedule at a time, a function of the step and of the scores."""

from __future__ import annotations

import numpy as np
import pytest

from iaca.training.config import TrainingConfig
from iaca.training.loss import learning_rate, reductions, warmup_cosine

PLATEAU = TrainingConfig(
    schedule="plateau",
    learning_rate=1.0,
    plateau_patience=2,
    plateau_factor=0.1,
    patience=9,
    warmup_epochs=2,
    epochs=10,
)
STEPS = 100  # of a run, 10 per epoch


def test_the_cosine_warms_up_and_comes_down() -> None:
    factors = [warmup_cosine(step, 100, 10.0) for step in range(101)]
    assert np.diff(factors[:11]).min() > 0
    assert factors[10] == pytest.approx(1.0)
    assert np.diff(factors[10:]).max() < 0
    assert factors[100] == pytest.approx(0.0)


def test_the_plateau_warms_up_and_stays_as_long_as_it_gets_better() -> None:
    rising = [0.01 * epoch for epoch in range(10)]
    rates = [learning_rate(PLATEAU, step, STEPS, rising[: step // 10]) for step in range(STEPS)]
    assert np.diff(rates[:21]).min() > 0
    assert rates[20:] == [1.0] * 80


@pytest.mark.parametrize(
    ("scores", "drops"),
    [
        ([], 0),
        ([0.5, 0.4], 0),
        ([0.5, 0.4, 0.3], 1),
        ([0.5, 0.5, 0.5], 1),  # an equal score is not better
        ([0.5, 0.4, 0.6, 0.5], 0),  # in a row
        ([0.5, 0.4, 0.4, 0.4, 0.4], 2),
        ([0.5, 0.4, 0.4, 0.4, 0.6, 0.5, 0.5], 2),
        ([float("nan"), float("nan")], 1),
    ],
)
def test_it_drops_after_epochs_in_a_row_without_a_better_score(scores: list[float], drops: int) -> None:
    assert reductions(scores, patience=2, warmup=0) == drops


def test_epochs_of_the_warm_up_do_not_count_but_their_scores_do() -> None:
    assert reductions([0.5, 0.4, 0.4, 0.4], patience=2, warmup=2) == 1
    assert reductions([0.5, 0.4, 0.4], patience=2, warmup=2) == 0


def test_a_plateau_multiplies_the_rate_from_the_next_epochs_first_step_on() -> None:
    assert learning_rate(PLATEAU, 39, STEPS, [0.5, 0.4, 0.4]) == 1.0
    assert learning_rate(PLATEAU, 40, STEPS, [0.5, 0.4, 0.4, 0.4]) == pytest.approx(0.1)
    assert learning_rate(PLATEAU, 90, STEPS, [0.5, *[0.4] * 5]) == pytest.approx(0.01)


def test_the_two_schedules_never_act_at_once() -> None:
    cosine = PLATEAU.model_copy(update={"schedule": "cosine"})
    bad, good = [0.5] * 9, [0.1 * epoch for epoch in range(9)]
    for step in range(STEPS):
        epoch = step // 10
        assert learning_rate(cosine, step, STEPS, bad[:epoch]) == learning_rate(cosine, step, STEPS, good[:epoch])
        assert learning_rate(PLATEAU, step, STEPS, good[:epoch]) in {1.0, *((s + 1) / 21 for s in range(20))}
