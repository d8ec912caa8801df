"""Small models of every combination, and batches to put through them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from iaca.fusion import FusionConfig, FusionModel, FusionOutput

LENGTH = 9
SMALL = {"audio_dim": 3, "visual_dim": 5, "width": 8, "heads": 2, "temporal_layers": 2, "kernel": 3}


def combinations() -> list[FusionConfig]:
    """Every combination of parts that the configuration allows."""
    parts = product(
        ("tcn", "lstm", "transformer", "none"),
        ("none", "ca", "jca", "jca_fixed", "rjca", "mha"),
        ("none", "dca", "iaca"),
        ("modalities", "hierarchical", "none"),
        ("self", "raw"),
        (("audio", "visual"), ("audio",), ("visual",)),
    )
    configs = []
    for temporal, attention, gate, stage2, source, modalities in parts:
        length = LENGTH if attention == "jca_fixed" else None
        if gate == "dca" and source == "raw":
            continue  # the same model as without saying so
        given = {"temporal": temporal, "attention": attention, "gate": gate, "stage2": stage2, "length": length}
        try:
            configs.append(FusionConfig(**SMALL, **given, stage1_source=source, modalities=modalities))
        except ValidationError:
            continue
    return configs


def title(config: FusionConfig) -> str:
    parts = (config.temporal, config.attention, config.gate, config.stage2, config.stage1_source, *config.modalities)
    return "-".join(parts)


every_combination = pytest.mark.parametrize("config", combinations(), ids=title)


@dataclass(frozen=True)
class Inputs:
    """A batch, by the names of `FusionModel.forward`."""

    audio: Tensor
    visual: Tensor
    audio_present: Tensor
    visual_present: Tensor
    padding: Tensor

    def map(self, change) -> Inputs:
        return Inputs(*(change(tensor) for tensor in vars(self).values()))

    def through(self, model: FusionModel) -> FusionOutput:
        return model(**vars(self))


def some_inputs(batch: int = 3, steps: int = LENGTH, seed: int = 0) -> Inputs:
    """Random embeddings, a third of the steps of each modality absent, no padding."""
    rng = torch.Generator().manual_seed(seed)
    return Inputs(
        torch.randn(batch, steps, SMALL["audio_dim"], generator=rng),
        torch.randn(batch, steps, SMALL["visual_dim"], generator=rng),
        torch.rand(batch, steps, generator=rng) > 0.3,
        torch.rand(batch, steps, generator=rng) > 0.3,
        torch.ones(batch, steps, dtype=torch.bool),
    )


def some_model(config: FusionConfig, seed: int = 1) -> FusionModel:
    """A model in evaluation mode whose every parameter is off its initial value, zero-initialised gates included."""
    torch.manual_seed(seed)
    model = FusionModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def padded(inputs: Inputs, lengths: list[int]) -> Inputs:
    """The same batch with everything after each length declared padding, and rubbish put there."""
    padding = torch.arange(inputs.audio.shape[1])[None] < torch.tensor(lengths)[:, None]
    rubbish = {name: torch.where(padding[..., None], getattr(inputs, name), 1e6) for name in ("audio", "visual")}
    return replace(inputs, padding=padding, **rubbish)
