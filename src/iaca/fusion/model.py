"""The fusion model: two streams, a cross-attention, gates, a head. Start reading here.

A reconstruction of G. Rajasekhar and J. Alam, "Inconsistency-Aware Cross-Attention for Audio-Visual Fusion in
Dimensional Emotion Recognition" (arXiv 2405.12853), of which no code is public. Throughout the package, [paper] marks
what the paper states, [sibling] what the public code of its sibling papers (DCA, arXiv 2403.19554; GRJCA, arXiv
2503.12261) does, and [ours] what had to be filled in.

Letters: b batch, t steps, d width, D_a and D_v embedding widths, k ways of a gate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iaca.errors import InputError
from iaca.fusion.config import NONE, FusionConfig
from iaca.fusion.heads import Head
from iaca.fusion.masks import Masks
from iaca.fusion.registry import ATTENTION, GATES
from iaca.fusion.reliability import LABELS, Reliability, gates_of
from iaca.fusion.repair import Repair
from iaca.fusion.streams import Stream


@dataclass(frozen=True)
class FusionOutput:
    """What the model says about a batch.

    Attributes:
        prediction: (b, t, 2) valence, arousal in (-1, 1); finite everywhere, meaningful where `observed`.
        gates: name -> (b, t, k) weights that sum to one over k; `FusionModel.gate_labels` names the k.
        observed: (b, t) bool, True where the step exists and at least one modality was observed.
    """

    prediction: Tensor
    gates: dict[str, Tensor]
    observed: Tensor


class FusionModel(nn.Module):
    """Valence and arousal per step from the embeddings of a face and a voice.

    x_m -> h_m (`Stream`) -> c_m (`ATTENTION`) -> f_m and gates (`GATES`) -> `Head`. In `iaca_plus`, between the two
    halves of `Stream`, `Reliability` softens the masks and `Repair` fills the gaps.

    A sequence gives the same answer alone and inside a padded batch, and what stands in the input where a modality was
    not observed has no influence. Every t is taken, except by `jca_fixed`.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.config = config
        self.streams = nn.ModuleDict({m: Stream(config, m) for m in config.modalities})
        self.reliability = Reliability(config) if config.learns_reliability else None
        self.repair = Repair(config) if config.repair else None
        self.attention = None if config.attention == NONE else ATTENTION[config.attention].build(config)
        self.gating = None if config.gate == NONE else GATES[config.gate].build(config)
        self.head = Head(config)

    @property
    def gate_labels(self) -> dict[str, tuple[str, ...]]:
        """What the k weights of each gate weigh, in order."""
        labels: dict[str, tuple[str, ...]] = {}
        if self.reliability is not None:
            labels |= dict.fromkeys(("reliability_audio", "reliability_visual"), LABELS)
        return labels if self.gating is None else labels | self.gating.labels

    def forward(
        self,
        audio: Tensor,
        visual: Tensor,
        audio_present: Tensor | None = None,
        visual_present: Tensor | None = None,
        padding: Tensor | None = None,
        quality: Tensor | None = None,
    ) -> FusionOutput:
        """Predict a batch.

        Args:
            audio: (b, t, D_a) embeddings.
            visual: (b, t, D_v) embeddings.
            audio_present, visual_present: (b, t) bool, True where that modality was observed; None is everywhere.
            padding: (b, t) bool, True where the step exists; None is everywhere. Padding follows the sequence.
            quality: (b, t, q) the cues named by `config.cues`, normalised, 0 where unknown; None is all unknown. Only
                members with a learned reliability read them.

        Raises:
            InputError: shapes that do not fit each other or the configuration.
        """
        inputs = {"audio": audio, "visual": visual}
        self._check(inputs, quality)
        masks = Masks.build(audio, audio_present, visual_present, padding)
        observed = masks.either > 0
        streams: dict[str, Stream] = dict(self.streams.items())  # type: ignore[arg-type]  # a ModuleDict forgets its types
        embedded = {m: stream.embed(inputs[m], masks) for m, stream in streams.items()}  # (b, t, d) per modality
        gates: dict[str, Tensor] = {}
        if self.reliability is not None:
            masks, trusted = self.reliability(embedded, quality, masks)
            gates = gates_of(trusted)
        if self.repair is not None:
            embedded, masks = self.repair(embedded, {m: stream.absent for m, stream in streams.items()}, masks)
        raw = {m: stream(embedded[m], masks) for m, stream in streams.items()}  # h_m (b, t, d)
        fused, weights = self._fuse(raw, masks)  # (b, t, d) per modality
        prediction = self.head(torch.cat(list(fused.values()), dim=-1), masks)  # (b, t, 2)
        return FusionOutput(prediction, gates | weights, observed)

    def _fuse(self, raw: dict[str, Tensor], masks: Masks) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if self.attention is None:
            return raw, {}
        c_a, c_v = self.attention(raw["audio"], raw["visual"], masks)  # (b, t, d) twice
        crossed = {"audio": c_a, "visual": c_v}
        return (crossed, {}) if self.gating is None else self.gating(raw, crossed, masks)

    def _check(self, inputs: dict[str, Tensor], quality: Tensor | None) -> None:
        for modality, dim in self.config.dims.items():
            x = inputs[modality]
            if x.ndim != 3 or x.shape[-1] != dim:
                raise InputError(f"{modality} is {tuple(x.shape)}, but the model was built for (b, t, {dim})")
            if x.shape[:2] != inputs["audio"].shape[:2]:
                raise InputError(
                    f"audio has (b, t) = {tuple(inputs['audio'].shape[:2])}, but {modality} has {tuple(x.shape[:2])}"
                )
        cues = (*inputs["audio"].shape[:2], len(self.config.cues))
        if self.reliability is not None and quality is not None and quality.shape != cues:
            raise InputError(f"quality is {tuple(quality.shape)}, but the model reads {list(self.config.cues)}: {cues}")
