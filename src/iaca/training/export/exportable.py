"""A trained model as it leaves the project: raw embeddings in, flat and named outputs out.

Letters: b batch, t steps, D_a and D_v embedding widths, q cues, k ways of a gate.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from iaca.training.config import TARGETS
from iaca.training.cues import modalities_of
from iaca.training.model_file import TrainedModel

PRESENCE = ("audio_present", "visual_present")
ORIGIN = ("audio_encoder", "visual_encoder", "preset", "corpus", "data_fingerprint", "caveat")


class Exportable(nn.Module):
    """A trained model with its normalisation inside.

    What stands where a mask says that nothing was observed has no influence, NaN included.
    """

    def __init__(self, trained: TrainedModel):
        super().__init__()
        self.model = trained.build().requires_grad_(False)
        self.partial = trained.targets != TARGETS
        self.register_buffer("unlearned", torch.tensor([target not in trained.targets for target in TARGETS]))
        for name, values in vars(trained.normalisation).items():
            if values.size:  # without cues there is nothing to normalise, and torch.export can't save nothing
                self.register_buffer(name, torch.from_numpy(values))

    def forward(
        self,
        audio: Tensor,
        visual: Tensor,
        audio_present: Tensor,
        visual_present: Tensor,
        padding: Tensor,
        quality: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Predict a batch.

        Args:
            audio, visual: (b, t, D_a), (b, t, D_v) raw embeddings.
            audio_present, visual_present: (b, t) bool, True where that modality was observed.
            padding: (b, t) bool, True where the step exists.
            quality: (b, t, q) raw cues in the order of `config.cues`, NaN where unknown; for models that read any.

        Returns:
            prediction (b, t, 2) valence, arousal, NaN if it was not trained for; gate_<name> (b, t, k) for each gate;
            observed (b, t) bool.
        """
        present = {"audio": audio_present & padding, "visual": visual_present & padding}
        audio = self._normalised(audio, "audio", present["audio"][..., None])
        visual = self._normalised(visual, "visual", present["visual"][..., None])
        if quality is not None:
            quality = self._normalised(quality, "quality", self._known(present) & ~quality.isnan())
        said = self.model(audio, visual, audio_present, visual_present, padding, quality)
        gates = {f"gate_{name}": weights for name, weights in said.gates.items()}
        prediction = said.prediction
        if self.partial:
            prediction = prediction.masked_fill(self.get_buffer("unlearned"), torch.nan)
        return {"prediction": prediction, **gates, "observed": said.observed}

    def _known(self, present: dict[str, Tensor]) -> Tensor:
        """(b, t, q) bool: whether what each cue is about was there."""
        of = {**present, "both": present["audio"] & present["visual"]}
        return torch.stack([of[modality] for modality in modalities_of(self.model.config.cues)], dim=-1)

    def _normalised(self, x: Tensor, name: str, known: Tensor) -> Tensor:
        """(b, t, D), zero, the mean, where not `known`, (b, t, 1) or (b, t, D)."""
        mean, std = self.get_buffer(f"{name}_mean"), self.get_buffer(f"{name}_std")
        return torch.where(known, (x - mean) / std, 0.0)


def example(trained: TrainedModel, batch: int, steps: int, seed: int = 0) -> dict[str, Tensor]:
    """Inputs by name: random, a third of the steps not observed, the last sequence padded, NaN under every mask."""
    rng, config = torch.Generator().manual_seed(seed), trained.config
    inputs = {str(name): torch.randn(batch, steps, width, generator=rng) for name, width in config.dims.items()}
    masks = {name: torch.rand(batch, steps, generator=rng) > 0.3 for name in PRESENCE}
    padding = torch.ones(batch, steps, dtype=torch.bool)
    padding[-1, steps - steps // 3 :] = False
    for x, present in zip(inputs.values(), masks.values(), strict=True):
        x[~(present & padding)] = torch.nan
    cues = {"quality": torch.randn(batch, steps, len(config.cues), generator=rng)} if config.cues else {}
    return {**inputs, **masks, "padding": padding, **cues}


def facts(trained: TrainedModel) -> dict[str, str]:
    """What travels with an exported model, as plain strings.

    As JSON: config, gate_labels (what the k weights of each gate_<name> weigh), targets (the dimensions it was trained
    for). As they are: the names in `ORIGIN`, empty where the model file doesn't say.
    """
    labels = {f"gate_{name}": options for name, options in trained.build().gate_labels.items()}
    parts = {"gate_labels": json.dumps(labels), "targets": json.dumps(trained.targets)}
    return {
        "config": trained.config.model_dump_json(),
        **parts,
        **{name: trained.metadata.get(name, "") for name in ORIGIN},
    }
