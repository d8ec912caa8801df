"""One network per dimension [sibling], and still one model to whoever predicts with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iaca.fusion.config import FusionConfig
from iaca.fusion.model import FusionModel, FusionOutput
from iaca.training.config import TARGETS


class PerDimension(nn.Module):
    """Two networks of one architecture: valence is taken from the one, arousal from the other.

    The gates of both come out, as `valence_<name>` and `arousal_<name>`.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.config = config
        self.valence = FusionModel(config)
        self.arousal = FusionModel(config)

    @property
    def gate_labels(self) -> dict[str, tuple[str, ...]]:
        """What the k weights of each gate of each network weigh, in order."""
        return {f"{target}_{name}": labels for target in TARGETS for name, labels in self.valence.gate_labels.items()}

    def forward(
        self,
        audio: Tensor,
        visual: Tensor,
        audio_present: Tensor | None = None,
        visual_present: Tensor | None = None,
        padding: Tensor | None = None,
        quality: Tensor | None = None,
    ) -> FusionOutput:
        """As `FusionModel.forward`."""
        inputs = (audio, visual, audio_present, visual_present, padding, quality)
        said: dict[str, FusionOutput] = {"valence": self.valence(*inputs), "arousal": self.arousal(*inputs)}
        prediction = torch.stack([said[target].prediction[..., i] for i, target in enumerate(TARGETS)], dim=-1)
        gates = {f"{target}_{name}": weights for target in TARGETS for name, weights in said[target].gates.items()}
        return FusionOutput(prediction, gates, said["valence"].observed)


def network(config: FusionConfig, per_dimension: bool) -> FusionModel | PerDimension:
    """The network of a model file, its weights not yet loaded."""
    return PerDimension(config) if per_dimension else FusionModel(config)
