"""Which steps exist, and where each modality was really observed: the form in which every block is told."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iaca.errors import InputError

TINY = torch.finfo(torch.float32).tiny
PADDED = (
    -1e9
)  # finite, so that a sequence without one real step stays finite; exp() of it is exactly zero beside a real key


@dataclass(frozen=True)
class Masks:
    """Presence and padding of a batch.

    Attributes:
        audio, visual: (b, t) float in [0, 1], how far the modality counts: 1 observed, 0 absent or padded.
        steps: (b, t) bool, True where the step exists.
    """

    audio: Tensor
    visual: Tensor
    steps: Tensor

    @classmethod
    def build(
        cls, like: Tensor, audio_present: Tensor | None, visual_present: Tensor | None, padding: Tensor | None
    ) -> Masks:
        """Masks of a batch shaped as `like` (b, t, ...). None means: everything is there.

        Raises:
            InputError: a mask that is not (b, t).
        """
        given = {"audio_present": audio_present, "visual_present": visual_present, "padding": padding}
        for name, mask in given.items():
            if mask is not None and mask.shape != like.shape[:2]:
                raise InputError(f"{name} is {tuple(mask.shape)}, but the batch has (b, t) = {tuple(like.shape[:2])}")
        everything = torch.ones(like.shape[:2], dtype=torch.bool, device=like.device)
        audio, visual, steps = (everything if mask is None else mask.bool() for mask in given.values())
        return cls((audio & steps).to(like.dtype), (visual & steps).to(like.dtype), steps)

    def of(self, modality: str) -> Tensor:
        """(b, t) float of one modality."""
        return self.audio if modality == "audio" else self.visual

    @property
    def either(self) -> Tensor:
        """(b, t) float: how far at least one modality counts."""
        return torch.maximum(self.audio, self.visual)

    def key_bias(self, presence: Tensor) -> Tensor:
        """What attention adds to the score of each key: b = log max(p, tiny), and nothing left at all for padding.

        An absent key has no weight beside an observed one; where every key is absent they share it, and stay finite.

        Args:
            presence: (b, t) float in [0, 1].

        Returns:
            (b, 1, 1, t), broadcast over heads and queries.
        """
        bias = log_presence(presence).masked_fill(~self.steps, PADDED)  # (b, t)
        return bias[:, None, None, :]


def log_presence(presence: Tensor) -> Tensor:
    """log max(p, tiny), finite for p = 0: the bias that a gate or a key of a modality gets."""
    return presence.clamp(min=TINY).log()
