"""The fusion model: two streams, a cross-attention, gates, a head. Start reading here.

A reconstruction of G. Rajasekhar and J. Alam, "Inconsistency-Aware Cross-Attention for Audio-Visual Fusion in
Dimensional Emotion Recognition" (arXiv 2405.12853), for which no code is public. Throughout the package, [paper] marks
what the paper states, [sibling] what the public code of its sibling papers (DCA, arXiv 2403.19554; GRJCA, arXiv
2503.12261) does, and [ours] what had to be filled in.

Letters: b batch, t steps, d width, D_a and D_v embedding widths, f width of the fused features (d per modality),
k ways of a gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.errors import InputError
from iaca.fusion.attention import ATTENTION, ChannelDropout, Masks, Past
from iaca.fusion.config import GATE_PARTS, NONE, TASK_WIDTHS, FusionConfig, weighing_gates
from iaca.fusion.gates import GATES, Features, Gate, LatentFusion
from iaca.fusion.iaca_plus import LABELS, ReadingGate, Readings, Reliability, Repair, gates_of
from iaca.fusion.temporal import UnitBiLSTM, temporal_encoder
from iaca.parameters import MODALITIES, Modality


class Fused(NamedTuple):
    """What the head reads, and what it was made from.

    Attributes:
        features: (b, t, f).
        masks: after reliability and repair.
        reliability: (b, t, modality), how far each counts.
        gates: name -> (b, t, k).
        latents: of `cold`, modality -> mean and log variance, (b, t, d) twice.
    """

    features: Tensor
    masks: Masks
    reliability: Tensor
    gates: dict[str, Tensor]
    latents: dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class FusionOutput:
    """What the model predicts for a batch.

    Attributes:
        prediction: (b, t, 2) valence, arousal in [-1, 1]; finite everywhere, meaningful where `observed`.
        gates: name -> (b, t, k) weights that sum to one over k; `FusionModel.gate_labels` names the k.
        observed: (b, t) bool, True where the step exists and at least one modality was observed.
        alone: of `cold` in training, for `iaca.training.loss.latent_loss`: modality -> (b, t, 3), valence and arousal
            by that modality alone and the log of the variance of its latent.
        tasks: of a model with `config.tasks`: `expression` (b, t, 8) and `action_units` (b, t, 12) logits.
    """

    prediction: Tensor
    gates: dict[str, Tensor]
    observed: Tensor
    alone: dict[str, Tensor] = field(default_factory=dict)
    tasks: dict[str, Tensor] = field(default_factory=dict)


class FusionModel(nn.Module):
    """Valence and arousal per step from the embeddings of a face and a voice.

    x_m -> h_m (`Stream`) -> c_m (`ATTENTION`) -> f_m and gates (`GATES`) -> `Head`. In `iaca_plus`, between the two
    halves of `Stream`, `Reliability` softens the masks and `Repair` fills the gaps, and `Head` corrects the late fusion
    of two ridge regressions (`Readings`). `late` and `ridge` are such regressions alone.

    A sequence gives the same answer alone and inside a padded batch. The input where a modality was not observed has no
    influence. Any t will do, except for `jca_fixed`.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.config = config
        self.readings = Readings(config) if config.reads else None
        if not config.has_network:
            return
        self.streams = nn.ModuleDict({m: Stream(config, m) for m in config.modalities})
        self.reliability = Reliability(config) if config.learns_reliability else None
        self.repair = Repair(config) if config.repair else None
        self.attention = None if config.attention == NONE else ATTENTION[config.attention](config)
        self.inner: Any = None if config.inner_gate == NONE else GATES[config.inner_gate](inner_config(config))
        self.gating: Any = None if config.gate == NONE else GATES[config.gate](config)
        self.head = Head(config)
        if self.readings is not None:
            self.reading_gate = ReadingGate(config)
            self.head.start_at_zero()
        if config.init == "xavier":
            self.apply(start_as_published)
        self.tasks = TaskHeads(config) if config.tasks else None  # last: all other weights start as without it
        if config.init == "xavier" and self.tasks is not None:
            self.tasks.apply(start_as_published)

    @property
    def gate_labels(self) -> dict[str, tuple[str, ...]]:
        """What the k weights of each gate weigh, in order."""
        labels: dict[str, tuple[str, ...]] = {}
        if self.readings is not None and not self.readings.joint:
            labels |= dict.fromkeys(("readings_valence", "readings_arousal"), tuple(MODALITIES))
        if not self.config.has_network:
            return labels
        if self.reliability is not None:
            labels |= dict.fromkeys(("reliability_audio", "reliability_visual"), LABELS)
        if self.inner is not None:
            labels |= {f"inner_{name}": options for name, options in self.inner.labels.items()}
        return labels if self.gating is None else labels | self.gating.labels

    @property
    def weighing_gates(self) -> Mapping[str, str]:
        """What is predicted -> the gate that says how far voice and face are believed for it; empty without one."""
        return weighing_gates(self.gate_labels)

    def forward(
        self,
        audio: Tensor,
        visual: Tensor,
        audio_present: Tensor | None = None,
        visual_present: Tensor | None = None,
        padding: Tensor | None = None,
        quality: Tensor | None = None,
        readings: Tensor | None = None,
        past: Past | None = None,
    ) -> FusionOutput:
        """Predict a batch.

        Args:
            audio: (b, t, D_a) embeddings.
            visual: (b, t, D_v) embeddings.
            audio_present, visual_present: (b, t) bool, True where that modality was observed; None is everywhere.
            padding: (b, t) bool, True where the step exists; None is everywhere. Padding follows the sequence.
            quality: (b, t, q) the cues named by `config.cues`, normalised, 0 where unknown; None is all unknown. Only
                members with a learned reliability read them.
            readings: (b, t, modality, 2) of the whole sequence that this is a part of, see `Readings`; None is 0, the
                middle of both scales. Only members with readings use them.

            past: of a causal model that is given a sequence in pieces: what it keeps from one piece to the next. Step s
                of the output then predicts step s - `lookahead`: the first outputs of a stream belong to no step. None
                takes the sequence as a whole, and the output has the steps of the input.

        Raises:
            InputError: shapes that do not fit each other or the configuration.
        """
        inputs = {"audio": audio, "visual": visual}
        self._check(inputs, quality, readings)
        masks = Masks.build(audio, audio_present, visual_present, padding, past)
        observed = masks.either > 0
        if self.readings is None:
            fused = self._features(inputs, quality, masks)
            prediction = self.head(fused.features, fused.masks)
            output = FusionOutput(prediction, fused.gates, observed, self._alone(fused), self._tasks(fused))
            return ahead(output, self.config.lookahead, masks.steps) if past is None else output
        presence = torch.stack([masks.audio, masks.visual], dim=-1)  # (b, t, modality)
        read = audio.new_zeros(*presence.shape, 2) if readings is None else readings
        if not self.config.has_network:
            prediction, gates = self.readings.weigh(read, None, presence)
            return FusionOutput(prediction.clamp(-1.0, 1.0), gates, observed)
        fused = self._features(inputs, quality, masks)
        prediction, weights = self.readings.weigh(read, self.reading_gate(fused.features, fused.reliability), presence)
        prediction = prediction + self.readings.get_buffer("share") * self.head(fused.features, fused.masks)
        gates, tasks = weights | fused.gates, self._tasks(fused)
        return FusionOutput(prediction.clamp(-1.0, 1.0), gates, observed, tasks=tasks)

    def read(self, parts: Iterable[Features], present: Tensor, rate: Tensor) -> Tensor:
        """The argument `readings` of `forward`, of whole sequences: (b, t, modality, 2); zeros without readings.

        Args:
            parts: of the sequences, one after the other: normalised embeddings (b, s, D_m), 0 where absent.
            present: (b, t, modality) bool.
            rate: (b,) steps per second.
        """
        if self.readings is None:
            return torch.zeros(*present.shape, 2, device=present.device)
        return self.readings(parts, present, rate)  # type: ignore[no-any-return]  # nn.Module.__call__ has no types

    def _features(self, inputs: dict[str, Tensor], quality: Tensor | None, masks: Masks) -> Fused:
        streams: dict[str, Stream] = dict(self.streams.items())  # type: ignore[arg-type]  # a ModuleDict forgets its types
        embedded = {m: stream.embed(inputs[m], masks) for m, stream in streams.items()}  # (b, t, d) per modality
        gates: dict[str, Tensor] = {}
        if self.reliability is not None:
            masks, trusted = self.reliability(embedded, quality, masks)
            gates = gates_of(trusted)
        reliability = torch.stack([masks.audio, masks.visual], dim=-1)  # (b, t, modality)
        if self.repair is not None:
            embedded, masks = self.repair(embedded, {m: stream.absent for m, stream in streams.items()}, masks)
        raw = {m: stream(embedded[m], masks) for m, stream in streams.items()}  # h_m (b, t, d)
        if isinstance(self.gating, LatentFusion):
            latents = self.gating.latents(raw)
            fused, weights = self.gating.weigh(latents, masks)
        else:
            latents = {}
            fused, weights = self._fuse(raw, masks)  # (b, t, d) per modality, or of both
        return Fused(torch.cat(list(fused.values()), dim=-1), masks, reliability, gates | weights, latents)

    def _fuse(self, raw: Features, masks: Masks) -> tuple[Features, dict[str, Tensor]]:
        layers = [raw] if self.attention is None else self._attend(raw, masks)
        crossed, gates = layers[-1], {}
        if self.inner is not None:
            crossed, inner = self._weigh(self.config.inner_gate, self.inner, raw, layers, masks)
            gates = {f"inner_{name}": weights for name, weights in inner.items()}
        if self.gating is None:
            return crossed, gates
        fused, weights = self._weigh(self.config.gate, self.gating, raw, [*layers[:-1], crossed], masks)
        return fused, gates | weights

    def _attend(self, raw: Features, masks: Masks) -> list[Features]:
        """What each layer of the attention gives, of those that a gate weighs; else what the last one gives."""
        if self.config.weighs_layers:
            pairs = self.attention.every_layer(raw["audio"], raw["visual"], masks)  # type: ignore[union-attr,operator]
        else:
            pairs = [self.attention(raw["audio"], raw["visual"], masks)]  # type: ignore[misc]
        return [dict(zip(MODALITIES, pair, strict=True)) for pair in pairs]

    @staticmethod
    def _weigh(
        name: str, gate: nn.Module, raw: Features, layers: list[Features], masks: Masks
    ) -> tuple[Features, dict[str, Tensor]]:
        fused: tuple[Features, dict[str, Tensor]] = gate(raw, layers if GATE_PARTS[name].layers else layers[-1], masks)
        return fused

    def _tasks(self, fused: Fused) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = {} if self.tasks is None else self.tasks(fused.features)
        return logits

    def _alone(self, fused: Fused) -> dict[str, Tensor]:
        """In training, what the head reads in each latent mean, and the log of that latent's total variance."""
        if not self.training:
            return {}
        return {
            m: torch.cat([self.head(mean, fused.masks), log_variance.logsumexp(dim=-1, keepdim=True)], dim=-1)
            for m, (mean, log_variance) in fused.latents.items()
        }

    def _check(self, inputs: dict[str, Tensor], quality: Tensor | None, readings: Tensor | None) -> None:
        for modality, dim in self.config.dims.items():
            x = inputs[modality]
            if x.ndim != 3 or x.shape[-1] != dim:
                raise InputError(f"{modality} is {tuple(x.shape)}, but the model was built for (b, t, {dim})")
            if x.shape[:2] != inputs["audio"].shape[:2]:
                raise InputError(
                    f"audio has (b, t) = {tuple(inputs['audio'].shape[:2])}, but {modality} has {tuple(x.shape[:2])}"
                )
        batch = inputs["audio"].shape[:2]
        if self.readings is not None and readings is not None and readings.shape != (*batch, len(MODALITIES), 2):
            raise InputError(
                f"readings are {tuple(readings.shape)}, but the model takes {(*batch, len(MODALITIES), 2)}"
            )
        cues = (*batch, len(self.config.cues))
        if self.config.learns_reliability and quality is not None and quality.shape != cues:
            raise InputError(f"quality is {tuple(quality.shape)}, but the model reads {list(self.config.cues)}: {cues}")


class Stream(nn.Module):
    """One modality, up to the point where the two meet.

    h_m = LN(temporal(p_m Linear(x_m) + (1 - p_m) token_m)) [paper: projection, TCN; token and LayerNorm: ours].

    In two halves, `embed` and `forward`, since `iaca_plus` judges between them how far the modality can be trusted and
    fills what is missing. The input where the modality was not observed has no influence, NaN included, neither on the
    output nor on any gradient.
    """

    def __init__(self, config: FusionConfig, modality: Modality):
        super().__init__()
        self.modality, self.normalisation, self.input_norm = modality, config.normalisation, config.input_norm
        self.soft = config.learns_reliability and not config.repair
        width = config.widths[modality]
        dropout = config.dropout if config.temporal_dropout is None else config.temporal_dropout
        self.project = nn.Linear(config.dims[modality], width)
        self.absent = nn.Parameter(torch.randn(width) * width**-0.5)
        self.temporal = temporal_encoder(config.model_copy(update={"width": width, "dropout": dropout}))
        self.norm = nn.LayerNorm(width) if config.normalisation == "layer" else nn.Identity()

    def embed(self, x: Tensor, masks: Masks) -> Tensor:
        """(b, t, D_m) -> (b, t, d): projected, and the token where the modality was not observed."""
        present = masks.of(self.modality)[..., None] > 0  # (b, t, 1)
        x = x.masked_fill(~present, 0.0)  # not only afterwards: 0 * NaN would reach the gradient of the weights
        x = F.normalize(x, dim=-1) if self.input_norm == "l2" else x
        return torch.where(present, self.project(x), self.absent)

    def forward(self, x: Tensor, masks: Masks) -> Tensor:
        """The result of `embed` (b, t, d) -> (b, t, d)."""
        presence = masks.of(self.modality)  # (b, t)
        if self.soft:  # a doubted step gives way to the token before its neighbours see it
            x = self.absent + presence[..., None] * (x - self.absent)
        x = self.norm(self.temporal(x, presence, masks))
        return F.normalize(x, dim=-1) if self.normalisation == "l2" else x


class Head(nn.Module):
    """From fused features to valence and arousal: y = tanh(regressor(context(f))).

    `joint`: one hidden layer for both dimensions [paper]. `separate`: a regressor of its own for each [sibling: DCA].
    `context`: a BiLSTM over the fused features before that [sibling: DCA, two layers without dropout]. `clip`: no tanh,
    but cut to [-1, 1] outside training [sibling: DCA].
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        fused, self.cuts = config.fused_width, config.bounds == "clip"
        self.context: Any = None
        if config.context == "lstm":
            over = config.model_copy(update={"temporal": "lstm", "width": fused, "temporal_layers": 1})
            self.context = temporal_encoder(over)
        elif config.context == "lstm_unit":
            self.context, fused = UnitBiLSTM(fused, config.width, 2, 0.0), config.width
        if config.head == "joint":
            regressors = [_regressor(fused, config.width, 2, config.dropout)]
        else:  # published: a quarter of d = 512
            regressors = [_regressor(fused, max(config.width // 4, 1), 1, config.dropout) for _ in range(2)]
        self.regressors = nn.ModuleList(regressors)

    def start_at_zero(self) -> None:
        """Make the prediction 0 until training says otherwise."""
        for regressor in self.regressors:
            last = regressor[-1]  # type: ignore[index]  # a ModuleList forgets its types
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, fused: Tensor, masks: Masks) -> Tensor:
        """(b, t, f) -> (b, t, 2) valence, arousal in [-1, 1]; with `clip`, any value in training."""
        x = fused
        if isinstance(self.context, UnitBiLSTM):
            x = self.context(fused, masks.steps)
        elif self.context is not None:
            x = self.context(fused, masks.either, masks)
        y = torch.cat([regressor(x) for regressor in self.regressors], dim=-1)
        if not self.cuts:
            return y.tanh()
        return y if self.training else y.clamp(-1.0, 1.0)


def ahead(output: FusionOutput, lookahead: int, steps: Tensor) -> FusionOutput:
    """The output of a causal model for the steps that it predicts: that of `lookahead` steps later, and at the end of
    a sequence that of its last step.

    Args:
        output: of a batch, step by step; what was observed stays where it is.
        lookahead: steps.
        steps: (b, t) bool, True where the step exists.
    """
    if lookahead == 0:
        return output
    last = (steps.sum(dim=1, keepdim=True) - 1).clamp(min=0)  # (b, 1)
    later = torch.minimum(torch.arange(steps.shape[1], device=steps.device) + lookahead, last)  # (b, t)

    def shifted(x: Tensor) -> Tensor:
        return x.gather(1, later[..., None].expand(-1, -1, x.shape[-1]))

    gates = {name: shifted(weights) for name, weights in output.gates.items()}
    alone = {name: shifted(x) for name, x in output.alone.items()}
    tasks = {name: shifted(x) for name, x in output.tasks.items()}
    return FusionOutput(shifted(output.prediction), gates, output.observed, alone, tasks)


class TaskHeads(nn.Module):
    """From fused features to the logits of expressions and action units, a hidden layer for each [ours].

    The buffer `thresholds` (12,) holds the probabilities from which on a unit counts as active: 0.5 until they are
    chosen on validation (`iaca.training.loss.unit_thresholds`).
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        fused, widths = config.fused_width, {task: TASK_WIDTHS[task] for task in config.tasks}
        self.heads = nn.ModuleDict()
        for task, width in widths.items():
            self.heads[task] = _regressor(fused, config.width, width, config.dropout)
        if "action_units" in widths:
            self.register_buffer("thresholds", torch.full((widths["action_units"],), 0.5))

    def forward(self, fused: Tensor) -> dict[str, Tensor]:
        """(b, t, f) -> by task (b, t, 8), (b, t, 12)."""
        return {task: head(fused) for task, head in self.heads.items()}


def inner_config(config: FusionConfig) -> FusionConfig:
    """Of the gate that `iaca` is wrapped around."""
    return config.model_copy(update={"gate": config.inner_gate, "stage2": "none"})


def start_as_published(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases of linear layers and convolutions [sibling]; undecided gates stay so."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Gate):  # `apply` comes to it after its linear layer
        module.start()


def _regressor(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), ChannelDropout(dropout), nn.Linear(hidden, outputs))
