"""Small models of every combination, and batches to put through them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from iaca.fusion import FusionConfig, FusionModel, FusionOutput
from iaca.fusion.attention import ATTENTION
from iaca.fusion.gates import GATES
from iaca.fusion.temporal import TEMPORAL

LENGTH = 9
BEHIND = ("attention", "gate", "stage2", "stage1_source", "modalities")
CUES = ("sound_level", "mouth_motion", "face_score")
WIDTHS = {"attention": "jca_fixed", "length": LENGTH, "audio_width": 4}
SMALL = {"audio_dim": 3, "visual_dim": 5, "width": 8, "heads": 2, "temporal_layers": 2, "kernel": 3}


def combinations() -> list[FusionConfig]:
    """Every combination of parts that the configuration allows."""
    parts = product(
        tuple(TEMPORAL),
        ("none", *ATTENTION),
        ("none", *GATES),
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
        cues = CUES if gate == "iaca_plus" else ()
        try:
            configs.append(FusionConfig(**SMALL, **given, stage1_source=source, modalities=modalities, cues=cues))
        except ValidationError:
            continue
    return configs


def options() -> list[FusionConfig]:
    """What is chosen independently of the combination of parts, each once."""
    changes: list[dict] = [
        {"context": "lstm"}, {"head": "separate"}, {"input_norm": "l2"}, {"normalisation": "l2"},
        {"normalisation": "none"}, {"locality": False}, {"locality": False, "attention": "rjca"},
        {"context": "lstm", "head": "separate", "modalities": ("visual",)},
        {"repair": True}, {"repair": True, "modalities": ("audio",)}, {"repair": True, "attention": "none"},
        {"gate": "iaca_plus", "repair": False, "cues": CUES},
        {"context": "lstm_unit"}, {"bounds": "clip"}, {"init": "xavier"}, {"temporal_dropout": 0.4},
        {"attention": "ca", "inner_gate": "dca"}, {"attention": "rjca", "inner_gate": "grjca"},
        {"attention": "rjca", "inner_gate": "hgrjca"}, {"attention": "rjca", "inner_gate": "tagf"},
        {"attention": "rjca", "layers": 3, "gate": "grjca"}, {"attention": "rjca", "layers": 1, "gate": "tagf"},
        *({**WIDTHS, "gate": gate, "temporal": temporal} for gate in ("none", "dca", "grjca", "hgrjca", "tagf")
          for temporal in ("lstm_unit", "tcn")),
        {**WIDTHS, "gate": "dca", "context": "lstm_unit", "normalisation": "l2"},
    ]  # fmt: skip
    return [FusionConfig(**SMALL, **change) for change in changes]


def title(config: FusionConfig) -> str:
    parts = (config.temporal, config.attention, config.gate, config.stage2, config.stage1_source, *config.modalities)
    options = (
        config.input_norm,
        config.normalisation,
        config.context,
        config.head,
        f"locality {config.locality}",
        f"repair {config.repair}",
        f"bounds {config.bounds}",
        f"init {config.init}",
        f"inner {config.inner_gate}",
        f"layers {config.layers}",
        f"audio {config.audio_width}",
        f"temporal dropout {config.temporal_dropout}",
    )
    usual = ("none", "layer", "none", "joint", "locality True", f"repair {config.learns_reliability}")
    usual += ("bounds tanh", "init torch", "inner none", "layers 2", "audio None", "temporal dropout None")
    return "-".join(parts if options == usual else (*parts, *options))


def pairs(config: FusionConfig) -> set[tuple[str, str, object]]:
    """The temporal encoder beside each of the parts behind it."""
    return {(config.temporal, part, getattr(config, part)) for part in BEHIND}


def spread() -> list[FusionConfig]:
    """Every combination of the parts behind the temporal encoder, with the encoders in turn; every pair of both.

    An encoder works on each modality alone, before anything else: a fourth of the combinations finds what it can break.
    """
    families: dict[tuple[object, ...], list[FusionConfig]] = {}
    for config in combinations():
        families.setdefault(tuple(getattr(config, part) for part in BEHIND), []).append(config)
    chosen = [family[turn % len(family)] for turn, family in enumerate(families.values())]
    seen = set().union(*map(pairs, chosen))
    for config in combinations():
        if not pairs(config) <= seen:
            chosen.append(config)
            seen |= pairs(config)
    return chosen


every_combination = pytest.mark.parametrize("config", combinations() + options(), ids=title)
every_pair = pytest.mark.parametrize("config", spread() + options(), ids=title)


@dataclass(frozen=True)
class Inputs:
    """A batch, by the names of `FusionModel.forward`."""

    audio: Tensor
    visual: Tensor
    audio_present: Tensor
    visual_present: Tensor
    padding: Tensor
    quality: Tensor

    def map(self, change) -> Inputs:
        return Inputs(*(change(tensor) for tensor in vars(self).values()))

    def through(self, model: FusionModel) -> FusionOutput:
        """What a model says; one that reads no cues is given cues all the same, and has to leave them alone."""
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
        torch.randn(batch, steps, len(CUES), generator=rng),
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
    spoilt = ("audio", "visual", "quality")
    rubbish = {name: torch.where(padding[..., None], getattr(inputs, name), 1e6) for name in spoilt}
    return replace(inputs, padding=padding, **rubbish)
