"""What corruption teaches the gates: values by hand, and nothing where nothing is known."""

from __future__ import annotations

import math

import pytest
import torch

from iaca.training.config import LossConfig
from iaca.training.loss import RARE, gate_supervision, latent_loss, training_loss

FALSE, TRUE = False, True


def masks(*steps: tuple[bool, bool]) -> torch.Tensor:
    """Steps of one sequence, (audio, visual) each -> (1, t, 2)."""
    return torch.tensor(steps, dtype=torch.bool)[None]


def supervise(
    gates: dict[str, torch.Tensor],
    corrupted: torch.Tensor,
    present: torch.Tensor | None = None,
    padding: torch.Tensor | None = None,
) -> torch.Tensor:
    present = torch.ones_like(corrupted) if present is None else present
    padding = torch.ones_like(corrupted[..., 0]) if padding is None else padding
    return gate_supervision(gates, corrupted, present, padding)


def weights(*first: float) -> torch.Tensor:
    """(1, t, 2) from the first of two weights at each step."""
    column = torch.tensor(first)[None, :, None]
    return torch.cat([column, 1 - column], dim=-1)


def test_reliability_learns_what_was_corrupted_both_classes_weighing_the_same() -> None:
    gate = weights(0.8, 0.8, 0.8, 0.3)
    corrupted = masks((FALSE, FALSE), (FALSE, FALSE), (FALSE, FALSE), (TRUE, FALSE))
    loss = supervise({"reliability_audio": gate}, corrupted)
    assert loss.item() == pytest.approx((-math.log(0.8) - math.log(0.7)) / 2, rel=1e-6)
    assert supervise({"reliability_visual": gate}, corrupted).item() == pytest.approx(
        -(3 * math.log(0.8) + math.log(0.3)) / 8, rel=1e-6
    )


def test_a_rare_class_weighs_less_so_that_a_few_steps_never_steer_a_batch() -> None:
    steps = 200
    corrupted = torch.zeros(1, steps, 2, dtype=torch.bool)
    corrupted[0, 0, 0] = True
    trusted = torch.ones(steps)
    trusted[0] = 0.5
    loss = supervise({"reliability_audio": weights(*trusted)}, corrupted)
    assert loss.item() == pytest.approx(-math.log(0.5) / (RARE * steps) / 2, rel=1e-5)


def test_steps_that_were_not_observed_teach_reliability_nothing() -> None:
    gate = weights(0.8, 0.2).requires_grad_()
    loss = supervise(
        {"reliability_audio": gate}, masks((FALSE, FALSE), (TRUE, FALSE)), masks((TRUE, TRUE), (FALSE, TRUE))
    )
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(0.8) / 2, rel=1e-6)
    assert not gate.grad[0, 1].any()


def test_both_modalities_weigh_the_same() -> None:
    corrupted = masks((TRUE, FALSE), (FALSE, FALSE))
    gates = {"reliability_audio": weights(0.2, 0.9), "reliability_visual": weights(0.7, 0.8)}
    alone = [supervise({name: gate}, corrupted).item() for name, gate in gates.items()]
    assert supervise(gates, corrupted).item() == pytest.approx(sum(alone) / 2, rel=1e-6)


def test_gates_that_act_are_left_to_the_loss() -> None:
    gates = {"audio": weights(0.1), "modalities": weights(0.1), "valence_reliability_audio": weights(0.1)}
    assert supervise(gates, masks((TRUE, FALSE))).item() == 0.0


def test_where_no_step_qualifies_it_is_exactly_zero_with_a_gradient_of_zeros() -> None:
    gates = {
        name: torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], requires_grad=True)  # saturated, too
        for name in ("reliability_audio", "reliability_visual")
    }
    loss = supervise(gates, masks((TRUE, TRUE), (TRUE, TRUE)), masks((FALSE, FALSE), (FALSE, FALSE)))
    loss.backward()
    assert loss.item() == 0.0
    for gate in gates.values():
        assert torch.equal(gate.grad, torch.zeros(1, 2, 2))


def test_saturated_gates_leave_loss_and_gradient_finite() -> None:
    logits = torch.tensor([[[60.0, -60.0], [-200.0, 200.0]]], requires_grad=True)
    gates = dict.fromkeys(("reliability_visual", "reliability_audio"), torch.softmax(logits, dim=-1))
    loss = supervise(gates, masks((TRUE, FALSE), (FALSE, TRUE)))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_it_is_computed_in_float32_under_autocast() -> None:
    gate, corrupted = weights(0.9, 0.3), masks((TRUE, FALSE), (FALSE, TRUE))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = supervise({"reliability_audio": gate}, corrupted)
        coarse = supervise({"reliability_audio": gate.bfloat16()}, corrupted)
    assert inside.dtype == coarse.dtype == torch.float32
    assert inside.item() == supervise({"reliability_audio": gate}, corrupted).item()


def alone_of(audio: torch.Tensor, visual: torch.Tensor, *log_variance: torch.Tensor) -> dict[str, torch.Tensor]:
    """Predictions (1, t, 2) and log variances (1, t) of both modalities, as `FusionOutput.alone`."""
    both = zip(("audio", "visual"), (audio, visual), log_variance, strict=True)
    return {m: torch.cat([x, s[..., None]], dim=-1) for m, x, s in both}


def latents(seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What two modalities say alone, with log variances that are those of their errors; and the truth."""
    rng = torch.Generator().manual_seed(seed)
    gold, audio, visual = (torch.rand(1, 12, 2, generator=rng, dtype=torch.float64) - 0.5 for _ in range(3))
    scores = [(x - gold).square().mean(dim=-1).log() for x in (audio, visual)]
    return alone_of(audio, visual, *scores), gold


def divergence(alone: dict, gold: torch.Tensor, valid: torch.Tensor, present: torch.Tensor) -> float:
    """`latent_loss` without the losses of the two predictions."""
    own = [training_loss(x[..., :2], gold, valid & present[..., i], LossConfig()) for i, x in enumerate(alone.values())]
    return (latent_loss(alone, gold, valid, present, LossConfig()) - sum(own) / 2).item()


def test_variances_match_errors_up_to_one_factor() -> None:
    alone, gold = latents()
    valid, present = torch.ones(1, 12, dtype=torch.bool), torch.ones(1, 12, 2, dtype=torch.bool)
    assert divergence(alone, gold, valid, present) == pytest.approx(0, abs=1e-12)
    scaled = {m: torch.cat([x[..., :2], x[..., 2:] + 3.0], dim=-1) for m, x in alone.items()}
    assert divergence(scaled, gold, valid, present) == pytest.approx(0, abs=1e-12)
    swapped = dict(zip(alone, [torch.cat([x[..., :2], y[..., 2:]], -1) for x, y in _crosswise(alone)], strict=True))
    assert divergence(swapped, gold, valid, present) > 0.01


def _crosswise(alone: dict) -> list[tuple[torch.Tensor, torch.Tensor]]:
    audio, visual = alone.values()
    return [(audio, visual), (visual, audio)]


def test_latents_learn_nothing_where_nothing_was_observed_or_annotated() -> None:
    alone, gold = latents()
    valid, present = torch.ones(1, 12, dtype=torch.bool), torch.ones(1, 12, 2, dtype=torch.bool)
    valid[0, 3], present[0, 5, 0], gold[0, 3] = False, False, torch.nan
    level = torch.tensor([1.0, 1.0, 0.0])  # the same variance everywhere: not yet that of the errors
    leaves = {m: (x * level).requires_grad_() for m, x in alone.items()}
    latent_loss(leaves, gold, valid, present, LossConfig()).backward()
    assert not leaves["audio"].grad[0, [3, 5]].any()
    assert not leaves["visual"].grad[0, 3].any()
    assert leaves["visual"].grad[0, 5].all()


def test_without_any_observed_step_latents_have_a_gradient_of_zeros() -> None:
    alone, gold = latents()
    leaves = {m: x.clone().requires_grad_() for m, x in alone.items()}
    nothing = torch.zeros(1, 12, dtype=torch.bool)
    latent_loss(leaves, gold, nothing, torch.zeros(1, 12, 2, dtype=torch.bool), LossConfig()).backward()
    assert all(not x.grad.any() for x in leaves.values())
