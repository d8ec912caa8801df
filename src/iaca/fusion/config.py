"""What a fusion model is made of, and the named members of the family. Imports no torch.

`TEMPORAL_PARTS`, `ATTENTION_PARTS` and `GATE_PARTS` name the parts and hold what the configuration must check about
them; the classes are in `temporal.TEMPORAL`, `attention.ATTENTION` and `gates.GATES`. `docs/guide/extending.md` adds
one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    RootModel,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from iaca.errors import InputError
from iaca.formats.labels import EXPRESSIONS, UNITS
from iaca.parameters import MODALITIES, UNKNOWN, Modality, Parameters, fault, listed, unknown_name

NONE = "none"
Task = Literal["expression", "action_units"]
TASK_WIDTHS: Mapping[Task, int] = MappingProxyType({"expression": len(EXPRESSIONS), "action_units": len(UNITS)})
"""Tasks that a model may learn besides valence and arousal, and how many numbers it predicts for each."""


@dataclass(frozen=True)
class Part:
    """What the configuration must know of a part.

    Attributes:
        heads: it splits the width into `FusionConfig.heads`.
        halves: it splits the width in two.
        odd_kernel: it is centred on a step, by a kernel of odd length.
        length: the number of steps is in its weights.
        layers: of an attention: it has `FusionConfig.layers` of them; of a gate: it weighs what each of them gives.
        depth: of such a gate: the number of layers that it is built for, if not any.
        widths: of an attention and of a gate: voice and face may differ in width.
        streams: of a gate: it makes one stream of the two, which have not met in any attention.
        stage2: of a gate: it has a second stage.
        own_features: of a gate: stage 1 weighs self-attended features, unless `stage1_source` is `raw`.
        reliability: of a gate: how far each modality is trusted is learned, from the features and quality cues.
        causal: it has a form that reads no later step.
    """

    heads: bool = False
    halves: bool = False
    odd_kernel: bool = False
    length: bool = False
    layers: bool = False
    depth: int | None = None
    widths: bool = False
    streams: bool = False
    stage2: bool = False
    own_features: bool = False
    reliability: bool = False
    causal: bool = True


TEMPORAL_PARTS: dict[str, Part] = {
    NONE: Part(),
    "tcn": Part(odd_kernel=True),
    "lstm": Part(halves=True),
    "lstm_unit": Part(halves=True, causal=False),
    "transformer": Part(heads=True),
}
ATTENTION_PARTS: dict[str, Part] = {
    NONE: Part(),
    "ca": Part(),
    "jca": Part(heads=True),
    "jca_fixed": Part(length=True, layers=True, widths=True, causal=False),
    "rjca": Part(heads=True, layers=True),
    "mha": Part(heads=True),
    "lfan": Part(),
}
GATE_PARTS: dict[str, Part] = {
    NONE: Part(widths=True),
    "dca": Part(widths=True),
    "grjca": Part(layers=True, widths=True),
    "hgrjca": Part(layers=True, depth=2, widths=True),
    "tagf": Part(layers=True, widths=True, halves=True),
    "cold": Part(streams=True),
    "raav": Part(streams=True, heads=True, causal=False),
    "iaca": Part(stage2=True, own_features=True),
    "iaca_plus": Part(stage2=True, own_features=True, reliability=True),
}


WEIGHING: tuple[Mapping[str, str], ...] = (
    {"valence": "readings_valence", "arousal": "readings_arousal"},
    {"valence": "valence_readings_valence", "arousal": "arousal_readings_arousal"},  # a network per dimension
    {"prediction": "modalities"},
    {"valence": "valence_modalities", "arousal": "arousal_modalities"},
)
"""What is predicted -> the gate whose weights say how far voice and face are believed for it. The first entry that a
model has all gates of holds: a model with readings weighs those, and `modalities` only acts within its correction."""


def weighing_gates(names: Collection[str]) -> Mapping[str, str]:
    """The entry of `WEIGHING` for a model with gates of these names; empty if it weighs no voice against a face."""
    return next((gates for gates in WEIGHING if set(gates.values()) <= set(names)), {})


LINEAR = ("late", "joint")
"""Values of `FusionConfig.readings` that need no network."""


def _default_attention(given: dict[str, Any]) -> str:
    both, linear = len(given.get("modalities", MODALITIES)) == 2, given.get("readings") in LINEAR
    return "jca" if both and not linear else NONE


def _default_gate(given: dict[str, Any]) -> str:
    return NONE if given.get("attention") == NONE else "iaca"


def _default_stage2(given: dict[str, Any]) -> Literal["modalities", "none"]:
    return "modalities" if GATE_PARTS.get(str(given.get("gate")), Part()).stage2 else "none"


def _learns_reliability(given: Mapping[str, Any]) -> bool:
    return GATE_PARTS.get(str(given.get("gate")), Part()).reliability


class FusionConfig(Parameters):
    """Architecture of a fusion model; the defaults are what measured best in the project's study.

    A field that does not apply takes the value that says so: one modality alone has no attention and no gate, no
    attention (concatenation) has no gate but `cold` or `raav`, and only `iaca` and `iaca_plus` have a second stage.
    Asking for them explicitly is refused.

    Attributes:
        audio_dim, visual_dim: width of the cached embeddings, D_a and D_v.
        modalities: what the model uses; one of them alone is a unimodal baseline.
        readings: what the ridge regressions of voice and face are used for [ours]. `none`: nothing. `late`: the
            prediction is their average, weighted per dimension by out-of-fold reliability. `joint`: it is that of one
            regression on both modalities. Neither has a network. `residual`: a network weighs the two step by step and
            adds a correction; untrained it is `late`.
        averages_s: lengths (s) of the averages over time that the regressions read in addition to the step itself.
        width: model width d.
        audio_width: width of the voice's stream where it is not d; only `jca_fixed` without a gate or with one of the
            siblings' takes it [sibling: GRJCA, 128 next to 256].
        input_norm: `l2` scales each embedding to unit length before anything else [sibling: DCA].
        temporal: per-modality encoder over time [paper: TCN]; `lstm` is a BiLSTM with a residual [ours], `lstm_unit`
            one concatenated to its input and scaled to unit length [sibling]; `none` leaves each step by itself.
        temporal_layers, kernel: its depth, and the odd kernel of the TCN (steps; dilation doubles per layer).
        temporal_dropout: its dropout; None is that of the rest [sibling: 0.1].
        normalisation: of each step before attention: LayerNorm [ours], unit length [sibling], or none.
        attention: `ca` [paper], `jca` (free of length) [ours], `jca_fixed`, `rjca` [sibling], `mha`, `lfan`, or `none`.
        layers: stacked layers of `rjca` and `jca_fixed`; the others have one. `grjca`, `hgrjca` and `tagf` weigh all.
        length: steps per sequence, fixed in the weights of `jca_fixed`, and of it alone.
        heads: of `mha`, of the temporal transformer, of the self-attention and, with `locality`, of `jca` and `rjca`;
            must divide `width`.
        locality: joint and self-attention prefer near steps, by a slope learned per head [ours].
        gate: `none` concatenates, `dca`, `grjca`, `hgrjca` [sibling], `tagf` [after TAGF], `iaca` [paper], `iaca_plus`
            [ours]; `cold` and `raav` fuse without attention [after COLD Fusion and RAAV].
        inner_gate: of `iaca`: `dca`, `grjca`, `hgrjca` or `tagf`, whose output takes the place of the cross-attended
            features: IACA over that sibling [paper: that it can be wrapped around any attention].
        stage1_source: what stage 1 weighs against the cross-attended features: self-attended ones, or the raw ones.
        stage2: of `iaca`: gate across the modalities, a second gate within each of them, or none.
        repair: fill gaps from what was observed around them, before the temporal encoder; on in `iaca_plus` [ours].
        cues: names of the per-step quality cues that `iaca_plus` reads, in the order of `forward`'s `quality`.
        temperature: T of every gate; published: 0.1.
        gate_init: `zero` starts every gate undecided; `default` starts it as other layers, which saturates at T = 0.1.
        init: of linear layers and convolutions: torch's own, or `xavier`, uniform with zero bias [sibling].
        context: over the fused features, before the head: `lstm` or `lstm_unit`, as in `temporal`, the latter two
            layers deep and from f to d [sibling: DCA]; or none.
        head: `joint` predicts valence and arousal from one hidden layer, `separate` from one each [sibling: DCA].
        bounds: how predictions are kept in [-1, 1]: by a tanh, or cut (`clip`), not in training [sibling: DCA].
        dropout: probability, in every residual branch and in the head.
        tasks: predicted besides valence and arousal, each by a head of its own on the fused features: `expression` (8
            classes), `action_units` (12) [ours].
        causal: read no later step than `lookahead` allows, so that the model can run live. An LSTM then reads forwards
            only, and a temporal transformer prefers near steps instead of having positions [ours].
        lookahead: of a causal model: steps that are awaited before a step is predicted.
        memory: of a causal model: steps that an attention, an average or a repair reaches back, its own step included.
    """

    LATER = frozenset({"causal", "lookahead", "memory", "tasks"})

    audio_dim: int = Field(ge=1, le=65536)
    visual_dim: int = Field(ge=1, le=65536)
    modalities: tuple[Modality, ...] = MODALITIES
    readings: Literal["none", "late", "joint", "residual"] = "none"
    averages_s: tuple[Annotated[float, Field(gt=0, le=3600)], ...] = Field(default=(0.5, 3.0, 10.0), max_length=8)
    width: int = Field(default=128, ge=1, le=4096)
    audio_width: int | None = Field(default=None, ge=1, le=4096)
    input_norm: Literal["none", "l2"] = "none"
    temporal: str = "tcn"
    temporal_layers: int = Field(default=3, ge=1, le=16)
    kernel: int = Field(default=5, ge=1, le=129)
    temporal_dropout: float | None = Field(default=None, ge=0, lt=1)
    normalisation: Literal["layer", "l2", "none"] = "layer"
    attention: str = Field(default_factory=_default_attention)
    layers: int = Field(default=2, ge=1, le=16)
    length: int | None = Field(default=None, ge=1, le=8192)
    heads: int = Field(default=4, ge=1, le=64)
    locality: bool = True
    gate: str = Field(default_factory=_default_gate)
    inner_gate: Literal["none", "dca", "grjca", "hgrjca", "tagf"] = "none"
    stage1_source: Literal["self", "raw"] = "self"
    stage2: Literal["modalities", "hierarchical", "none"] = Field(default_factory=_default_stage2)
    repair: bool = Field(default_factory=_learns_reliability)
    cues: tuple[str, ...] = Field(default=(), max_length=64)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gate_init: Literal["zero", "default"] = "zero"
    init: Literal["torch", "xavier"] = "torch"
    context: Literal["none", "lstm", "lstm_unit"] = "none"
    head: Literal["joint", "separate"] = "joint"
    bounds: Literal["tanh", "clip"] = "tanh"
    dropout: float = Field(default=0.2, ge=0, lt=1)
    causal: bool = False
    lookahead: int = Field(default=0, ge=0, le=1000)
    memory: int = Field(default=250, ge=1, le=10_000)
    tasks: tuple[Task, ...] = ()

    @field_validator("tasks", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return listed(given)

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        if len(set(tasks)) < len(tasks):
            raise ValueError(f"name each task once; got {list(tasks)}")
        return tuple(task for task in TASK_WIDTHS if task in tasks)

    @field_validator("temporal", "attention", "gate")
    @classmethod
    def _known(cls, name: str, info: Any) -> str:
        parts = {"temporal": TEMPORAL_PARTS, "attention": ATTENTION_PARTS, "gate": GATE_PARTS}[info.field_name]
        if name not in parts:
            raise ValueError(f"there is no {info.field_name} named {name!r}; choose one of {', '.join(parts)}")
        return name

    @field_validator("modalities")
    @classmethod
    def _in_canonical_order(cls, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if not modalities or len(set(modalities)) < len(modalities):
            raise ValueError(f"modalities must be audio, visual, or both, each once; got {list(modalities)}")
        return tuple(m for m in MODALITIES if m in modalities)

    @model_validator(mode="after")
    def _refuse_clashes(self) -> Self:
        found = (*self._clashing_parts(), *self._clashing_gates(), *self._clashing_sizes(), *self._not_causal())
        clashes = [message for clash, message in found if clash]
        if clashes:
            raise ValueError("; ".join(clashes))
        return self

    def _clashing_parts(self) -> list[tuple[bool, str]]:
        alone, attention, gate = len(self.modalities) == 1, f"attention={self.attention!r}", f"gate={self.gate!r}"
        part = GATE_PARTS[self.gate]
        raw, cues = self.stage1_source == "raw", f"cues={list(self.cues)}"
        readings, linear = f"readings={self.readings!r}", self.readings in LINEAR
        return [
            (alone and self.readings != NONE, f"{readings} needs both, but modalities={list(self.modalities)}"),
            (linear and self.attention != NONE, f"{readings} has no network, but {attention}"),
            (linear and bool(self.tasks), f"{readings} has no network, but tasks={list(self.tasks)}"),
            (alone and self.attention != NONE, f"{attention} needs both, but modalities={list(self.modalities)}"),
            (self.stage2 != "none" and not part.stage2, f"stage2={self.stage2!r} is a part of iaca, but {gate}"),
            (self.gate == NONE and raw, f"stage1_source='raw' feeds a gate, but {gate}"),
            (bool(self.cues) and not part.reliability, f"{cues} are read by iaca_plus, but {gate}"),
            (len(set(self.cues)) < len(self.cues), f"{cues} name one cue twice"),
        ]

    def _clashing_gates(self) -> list[tuple[bool, str]]:
        gate, part = f"gate={self.gate!r}", GATE_PARTS[self.gate]
        attention, attends = f"attention={self.attention!r}", self.attention != NONE
        layers, layered = f"layers={self.layers}", ATTENTION_PARTS[self.attention].layers
        weighing = {f"{field}={name!r}": GATE_PARTS[name] for field, name in self._gates() if GATE_PARTS[name].layers}
        wants = "weighs the layers of rjca or jca_fixed"
        return [
            (
                not attends and self.gate != NONE and not part.streams,
                f"{gate} weighs attended features, but {attention}",
            ),
            (attends and part.streams, f"{gate} fuses streams that have not met, but {attention}"),
            (len(self.modalities) == 1 and part.streams, f"{gate} needs both, but modalities={list(self.modalities)}"),
            (
                self.inner_gate != NONE and not part.own_features,
                f"inner_gate={self.inner_gate!r} is in iaca, but {gate}",
            ),
            *((not layered, f"{given} {wants}, but {attention}") for given in weighing),
            *(
                (
                    layered and one.depth not in (None, self.layers),
                    f"{given} has gates for {one.depth} layers, but {layers}",
                )
                for given, one in weighing.items()
            ),
            (
                self.init == "xavier" and (part.reliability or part.streams),
                f"init='xavier' is published, but not for {gate}",
            ),
        ]

    def _gates(self) -> list[tuple[str, str]]:
        return [("gate", self.gate), ("inner_gate", self.inner_gate)]

    def _clashing_sizes(self) -> list[tuple[bool, str]]:
        temporal, fixed = TEMPORAL_PARTS[self.temporal], ATTENTION_PARTS[self.attention].length
        encoder, attention = f"temporal={self.temporal!r}", f"attention={self.attention!r}"
        width, heads = f"width={self.width}", f"heads={self.heads}"
        sizes = self.widths.values()
        odd = any(size % 2 for size in sizes)
        apart = self.audio_width is not None
        if apart:
            width = f"{width} with audio_width={self.audio_width}"
        one_width = not (ATTENTION_PARTS[self.attention].widths and GATE_PARTS[self.gate].widths)
        halving = [f"{field}={name!r}" for field, name in self._gates() if GATE_PARTS[name].halves]
        return [
            (apart and one_width, f"audio_width={self.audio_width} needs jca_fixed and a gate of the siblings or none"),
            *((odd, f"{gate} halves the width, but {width} is odd") for gate in halving),
            (fixed and self.length is None, f"{attention} has the steps in its weights, but length is not given"),
            (not fixed and self.length is not None, f"length={self.length} is for jca_fixed, not {attention}"),
            (temporal.halves and odd, f"{encoder} halves the width, but {width} is odd"),
            (self.context != NONE and odd, f"context={self.context!r} halves the width, but {width} is odd"),
            (temporal.odd_kernel and self.kernel % 2 == 0, f"{encoder} is centred, but kernel={self.kernel} is even"),
            (self.uses_heads and any(size % self.heads for size in sizes), f"{heads} does not divide {width}"),
        ]

    def _not_causal(self) -> list[tuple[bool, str]]:
        parts = {
            f"temporal={self.temporal!r}": TEMPORAL_PARTS[self.temporal],
            f"attention={self.attention!r}": ATTENTION_PARTS[self.attention],
            f"gate={self.gate!r}": GATE_PARTS[self.gate],
            f"context={self.context!r}": Part(causal=self.context != "lstm_unit"),
            f"readings={self.readings!r}": Part(causal=self.readings == NONE),
        }
        delays = f"lookahead={self.lookahead} is of a causal model, but causal=False"
        return [
            (not self.causal and self.lookahead > 0, delays),
            *(
                (self.causal and not part.causal, f"causal=True, but {given} reads later steps")
                for given, part in parts.items()
            ),
        ]

    @property
    def reads(self) -> bool:
        """Whether the model starts from the readings of voice and face."""
        return self.readings != NONE

    @property
    def has_network(self) -> bool:
        """Whether anything is trained by gradients."""
        return self.readings not in LINEAR

    @property
    def self_attends(self) -> bool:
        """Whether self-attended features are made: in stage 1 of `iaca`, unless `stage1_source` is `raw`."""
        return GATE_PARTS[self.gate].own_features and self.stage1_source == "self"

    @property
    def learns_reliability(self) -> bool:
        """Whether the model learns how far each modality can be trusted."""
        return GATE_PARTS[self.gate].reliability

    @property
    def weighs_layers(self) -> bool:
        """Whether a gate weighs every layer of the attention."""
        return any(GATE_PARTS[name].layers for _, name in self._gates())

    @property
    def uses_heads(self) -> bool:
        """Whether any part has several attention heads."""
        parts = (TEMPORAL_PARTS[self.temporal], ATTENTION_PARTS[self.attention], GATE_PARTS[self.gate])
        return self.self_attends or any(part.heads for part in parts)

    @property
    def widths(self) -> dict[Modality, int]:
        """Width of each stream."""
        own = {"audio": self.audio_width or self.width, "visual": self.width}
        return {m: own[m] for m in self.modalities}

    @property
    def fused_width(self) -> int:
        """Width f of what the gates hand to the head: both streams side by side, or one made of them."""
        return self.width if GATE_PARTS[self.gate].streams else sum(self.widths.values())

    @property
    def dims(self) -> dict[Modality, int]:
        """Embedding width of each modality, whether or not the model uses it."""
        return {"audio": self.audio_dim, "visual": self.visual_dim}


# --- the named members of the family, each as its difference from the default ---
# The `_paper` members are published settings (sources, and what differs: `docs/reference/models.md`): heavy dropout,
# gates that saturate, and in most of them a length in the weights.

_PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {"width": 512, "dropout": 0.6, "normalisation": "none", "locality": False, "init": "xavier"}
)
_SPANS: Mapping[str, Any] = MappingProxyType(  # 16 spans of 32 frames each, read one after the other
    {**_PUBLISHED, "input_norm": "l2", "temporal": "lstm_unit", "temporal_layers": 2, "temporal_dropout": 0.1,
     "attention": "jca_fixed", "length": 16, "context": "lstm_unit", "head": "separate", "bounds": "clip"}
)  # fmt: skip
_PUBLISHED_GATE: Mapping[str, Any] = MappingProxyType({"temperature": 0.1, "gate_init": "default"})
_FRAMES: Mapping[str, Any] = MappingProxyType(  # windows of 300 frames
    {**_PUBLISHED, **_PUBLISHED_GATE, "width": 256, "audio_width": 128, "normalisation": "l2", "temporal_layers": 4,
     "temporal_dropout": 0.1, "attention": "jca_fixed", "length": 300}
)  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # baselines
        "audio": {"modalities": ("audio",)},
        "visual": {"modalities": ("visual",)},
        "concat": {"attention": "none"},
        "ridge": {"readings": "joint"},
        "late": {"readings": "late"},
        "lfan": {"attention": "lfan", "gate": "none"},
        # attention without gates
        "ca": {"attention": "ca", "gate": "none"},
        "jca": {"attention": "jca", "gate": "none"},
        "rjca": {"attention": "rjca", "gate": "none"},
        "mha": {"attention": "mha", "gate": "none"},
        # gated
        "dca": {"attention": "ca", "gate": "dca"},
        "grjca": {"attention": "rjca", "gate": "grjca"},
        "hgrjca": {"attention": "rjca", "gate": "hgrjca"},
        "tagf": {"attention": "rjca", "gate": "tagf"},
        "iaca": {},
        "iaca_ca": {"attention": "ca"},
        "iaca_rjca": {"attention": "rjca"},
        "iaca_dca": {"attention": "ca", "inner_gate": "dca"},
        "iaca_grjca": {"attention": "rjca", "inner_gate": "grjca"},
        "iaca_hierarchical": {"stage1_source": "raw", "stage2": "hierarchical"},
        "iaca_plus": {"gate": "iaca_plus", "readings": "residual"},
        # without attention across the modalities
        "cold": {"attention": "none", "gate": "cold"},
        "raav": {"attention": "none", "gate": "raav", "temporal": "none"},
        # published settings
        "jca_paper": {**_SPANS, "temporal": "none", "gate": "none", "layers": 1},
        "rjca_paper": {**_SPANS, "gate": "none"},
        "dca_paper": {**_SPANS, **_PUBLISHED_GATE, "gate": "dca"},
        "grjca_paper": {**_FRAMES, "gate": "grjca"},
        "hgrjca_paper": {**_FRAMES, "gate": "hgrjca"},
        "iaca_paper": {**_PUBLISHED, **_PUBLISHED_GATE, "input_norm": "l2", "attention": "ca"},
    }
)


def preset(name: str, audio_dim: int, visual_dim: int, cues: tuple[str, ...] = (), **changes: Any) -> FusionConfig:
    """The configuration of a named model, with `changes` applied.

    Args:
        name: a key of `PRESETS`.
        audio_dim, visual_dim: widths of the embeddings.
        cues: names of the quality cues that come with the embeddings; a model that reads none gets none.
        changes: fields of `FusionConfig`.

    Raises:
        InputError: there is no model of that name.
        pydantic.ValidationError: the changes clash with the model.
    """
    if name not in PRESETS:
        raise InputError(f"there is no model named {name!r}", remedy=f"choose one of {', '.join(PRESETS)}")
    fields = {**PRESETS[name], **changes}
    if cues and _learns_reliability(fields):
        fields = {"cues": cues, **fields}
    return FusionConfig(audio_dim=audio_dim, visual_dim=visual_dim, **fields)


# --- which models to train: a named member of the family and the fields that differ from it, and baselines ---

FIELDS = tuple(name for name in FusionConfig.model_fields if name not in ("audio_dim", "visual_dim"))
"""Fields of a preset that can be changed; the widths are those of the embeddings."""


class ModelChoice(Parameters):
    """A preset by name, with any of `FIELDS` changed: `ModelChoice(preset="iaca", temperature=0.1)`.

    All that does not depend on the embeddings is validated on construction.

    Attributes:
        preset: a key of `iaca.fusion.PRESETS`.
    """

    model_config = ConfigDict(extra="allow")

    preset: str = "iaca"

    @property
    def changes(self) -> dict[str, Any]:
        """The fields of `FusionConfig` that were changed, with their values."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _builds(self) -> Self:
        own = set(type(self).model_fields)
        if unknown := {name: value for name, value in self.changes.items() if name not in FIELDS}:
            known = [*own, *FIELDS]
            lines = [fault(UNKNOWN, unknown_name(name, known), (name,), value) for name, value in unknown.items()]
            raise ValidationError.from_exception_data(type(self).__name__, lines)
        self.build(1, 1)
        return self

    @model_serializer(mode="wrap")
    def _changes_apart(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The form that fingerprints of existing results were computed from."""
        fields = handler(self)
        return {name: value for name, value in fields.items() if name not in self.changes} | {
            "changes": {name: fields[name] for name in self.changes}
        }

    def build(self, audio_dim: int, visual_dim: int, cues: tuple[str, ...] = ()) -> FusionConfig:
        """The full configuration for embeddings of these widths with these quality cues.

        A model that reads no cues gets none; the field `cues` may select some of them.
        """
        return preset(self.preset, audio_dim, visual_dim, **{"cues": cues, **self.changes})


class Baselines(RootModel[tuple[str, ...]]):
    """Names of the presets that are trained for comparison with the main model, each once; also `a+b+c`, none: `[]`."""

    model_config = ConfigDict(frozen=True)

    @field_validator("root", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return listed(given)

    @field_validator("root")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in PRESETS:
                raise ValueError(f"there is no model named {name!r}; choose one of {', '.join(PRESETS)}")
        if len(set(names)) < len(names):
            raise ValueError(f"name each model once; got {list(names)}")
        return names
