"""Settings of training: of fusion models, and of encoders that are fine-tuned.

Imports no torch, so that parameters are checked before it is loaded.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from iaca.encoders.config import ENCODERS, EmbeddingConfig, EncoderChoice
from iaca.errors import InputError
from iaca.parameters import DEVICE, Modality, Parameters, Seed

VERSION = "8"
"""Increase it when the code of a run computes something else: older models and checkpoints are then not reused."""
MACHINE = {"accelerator", "device", "devices", "strategy", "num_nodes", "threads", "loaders", "logger"}
"""Fields of `TrainingConfig` that describe the machine of a run and do not affect its result."""
CorruptionKind = Literal["absent", "zeros", "noise", "other"]
Bound = Annotated[float, Field(ge=0, le=1e6)]
Target = Literal["valence", "arousal"]
TARGETS: tuple[Target, ...] = ("valence", "arousal")  # in the order of the last axis of labels and predictions


class CorruptionConfig(Parameters):
    """How training windows are corrupted. In the project's study this mattered most of all settings, for every model.

    Attributes:
        share: share of windows that are corrupted, in one modality each.
        whole: share of those that are corrupted over their full length.
        shortest, longest: bounds of the other corrupted segments, as a share of the window.
        kinds: each equally likely. `absent` clears the presence mask: modality dropout, in contiguous segments; `zeros`
            keeps it set over mean features; `noise` adds Gaussian noise that is correlated over time; `other` inserts
            a segment of another clip.
        noise: bounds of the noise's standard deviation, in standard deviations of each feature.
        noise_reach: bounds of its correlation time, in steps; see `lasting_noise`.
    """

    share: float = Field(default=0.6, ge=0, le=1)
    whole: float = Field(default=1 / 3, ge=0, le=1)
    shortest: float = Field(default=0.1, gt=0, le=1)
    longest: float = Field(default=0.8, gt=0, le=1)
    kinds: tuple[CorruptionKind, ...] = Field(default=("absent", "zeros", "noise", "other"), min_length=1)
    noise: tuple[Bound, Bound] = (1.0, 3.0)
    noise_reach: tuple[Bound, Bound] = (0.3, 50.0)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest={self.shortest} is above longest={self.longest}")
        if not 0 <= self.noise[0] <= self.noise[1]:
            raise ValueError(f"noise={self.noise} must be two bounds in order, from 0 up")
        if not 0 < self.noise_reach[0] <= self.noise_reach[1]:
            raise ValueError(f"noise_reach={self.noise_reach} must be two numbers of steps in order, above 0")
        return self


class LossConfig(Parameters):
    """What is minimised, per dimension: 1 - CCC + `mse` * mean squared error, both over valid steps.

    Attributes:
        form: `pooled` takes the valid steps of a batch as one sequence; `window` takes the CCC of each window that has
            at least two of them and averages over windows, as published code does [sibling: GRJCA].
        mse: weight of the squared error.
        expression, action_units: weights of the losses of these tasks, for a model that has them (`fusion.tasks`):
            cross-entropy of the 8 classes, and of each unit, over the frames annotated with them.
        class_weights: `balanced` weighs classes, and active against inactive frames of a unit, by the inverse of how
            often the train partition has them, at most `MOST_WEIGHT` times.
    """

    LATER = frozenset({"expression", "action_units", "class_weights"})

    form: Literal["pooled", "window"] = "pooled"
    mse: float = Field(default=0.0, ge=0, le=1e6)
    expression: float = Field(default=0.2, ge=0, le=1e6)
    action_units: float = Field(default=0.2, ge=0, le=1e6)
    class_weights: Literal["none", "balanced"] = "none"


class TrainingConfig(Parameters):
    """Settings of one training run.

    Attributes:
        seed: of initial weights, order, dropout and corruption.
        length, hop: training windows, in steps [sibling: 300, 200]; the last window of a clip is right-aligned.
        batch_size: windows per batch and device.
        learning_rate, weight_decay: of AdamW.
        schedule: of the learning rate, after a linear warm-up: `cosine` falls to zero at the last epoch; `plateau` is
            multiplied by `plateau_factor` after every `plateau_patience` epochs in a row without a better validation
            score [sibling: warm-up 5, factor 0.1, patience 5].
        warmup_epochs, epochs: length of the warm-up, and of the run.
        patience: epochs without a better validation score before training stops.
        gradient_clip: largest norm of the gradient.
        loss: what is minimised.
        supervision: weight of the loss that compares the reliability gates of `iaca_plus` with the injected corruption,
            and of the one that trains the variances of `cold` (`loss.latent_loss`); no effect on other models.
        targets: the dimensions that are learned and scored; predictions of the other one are meaningless.
        selected_by: what the best epoch is best in: the CCC of `valence_arousal`, or `all_tasks`: the mean of that, the
            macro-F1 of expressions and the mean F1 of action units, of those that the model predicts.
        per_dimension: train two models, one per dimension, into one model file [sibling: one model per dimension].
        corruption: of training windows, and of the corrupted half of the validation score.
        folds: networks that are trained to calibrate the model, each without some of the subjects of the train
            partition; 0 calibrates on the validation clips alone. No effect on the model's predictions, except through
            `recalibrate`.
        recalibrate: give predictions the mean and spread of the annotation: scale and offset per dimension, from the
            validation clips and the clips that networks of folds have not seen. Not for a model of one dimension.
        precision, accelerator, devices, strategy, num_nodes: as in `lightning.Trainer`.
        device: where the run computes: `auto`, `cpu`, `cuda`, or one of several GPUs, `cuda:1`. In place of
            `accelerator`.
        threads: of torch on the CPU while training; None keeps the present number.
        loaders: processes that cut windows; None for 4 per GPU, and none on a CPU.
        tf32: on a GPU, products of float32 with ten bits of mantissa instead of 23: predictions within 1e-2.
        logger: also write each epoch into a local store for `tensorboard` or `mlflow`; no effect on the result.
    """

    LATER = frozenset({"device", "loaders", "tf32", "selected_by", "logger"})

    seed: Seed = 0
    length: int = Field(default=300, ge=2, le=100_000)
    hop: int = Field(default=200, ge=1)
    batch_size: int = Field(default=8, ge=1, le=4096)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=1e-3, ge=0, le=10)
    schedule: Literal["cosine", "plateau"] = "cosine"
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    plateau_patience: int = Field(default=5, ge=1, le=100_000)
    warmup_epochs: float = Field(default=1.0, ge=0, le=100_000)
    epochs: int = Field(default=30, ge=1, le=100_000)
    patience: int = Field(default=8, ge=1, le=100_000)
    gradient_clip: float = Field(default=1.0, gt=0, le=1e6)
    loss: LossConfig = LossConfig()
    supervision: float = Field(default=0.3, ge=0, le=1e6)
    targets: tuple[Target, ...] = TARGETS
    selected_by: Literal["valence_arousal", "all_tasks"] = "valence_arousal"
    per_dimension: bool = False
    folds: int = Field(default=0, ge=0, le=100)
    recalibrate: bool = False
    corruption: CorruptionConfig = CorruptionConfig()
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = 1
    strategy: str = Field(default="auto", pattern=r"^(auto|(ddp|fsdp|deepspeed|single|xla)(_[a-z0-9_]+)?)$")
    num_nodes: int = Field(default=1, ge=1, le=1024)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    threads: int | None = Field(default=None, ge=1, le=1024)
    loaders: int | None = Field(default=None, ge=0, le=64)
    tf32: bool = False
    logger: Literal["none", "tensorboard", "mlflow"] = "none"

    @field_validator("targets")
    @classmethod
    def _in_canonical_order(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"targets must be valence, arousal, or both, each once; got {list(targets)}")
        return tuple(target for target in TARGETS if target in targets)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.per_dimension and self.targets != TARGETS:
            raise ValueError(f"per_dimension=True trains a model for each dimension, but targets={list(self.targets)}")
        if self.schedule == "plateau" and self.patience <= self.plateau_patience:
            raise ValueError(
                f"patience={self.patience} stops training before plateau_patience={self.plateau_patience} lowers the "
                "learning rate"
            )
        return self

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.device != "auto" and self.accelerator not in ("auto", "cpu" if self.device == "cpu" else "gpu"):
            raise ValueError(f"device={self.device} is not on accelerator={self.accelerator}; give one of the two")
        if ":" in self.device and self.devices not in (1, "auto"):
            raise ValueError(f"device={self.device} is one GPU, but devices={self.devices}; leave out the number")
        return self

    def require_trainable(self, tasks: Collection[str]) -> None:
        """Check what no field shows by itself, before anything is read.

        Args:
            tasks: those of the model besides valence and arousal.

        Raises:
            InputError: two networks for one set of tasks, or the package of the logger is not installed.
        """
        require_installed(self.logger)
        if tasks and self.per_dimension:
            raise InputError(
                f"per_dimension=True trains two networks, but the model predicts {', '.join(tasks)} once",
                remedy="leave out one of training.per_dimension and fusion.tasks",
            )

    @field_validator("folds")
    @classmethod
    def _two_folds(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("folds=1 would leave everybody out; give 0, or 2 or more")
        return folds

    @model_validator(mode="after")
    def _windows_leave_no_gap(self) -> Self:
        if self.hop > self.length:
            raise ValueError(f"hop={self.hop} is above length={self.length}: steps between windows would be skipped")
        return self


MODEL_SUFFIX = ".safetensors"
LOW_MEMORY = (
    "train one model at a time (executor.workers=1), with smaller batches or windows (training.batch_size, "
    "training.length), a narrower model (fusion.width) or encoders with fewer columns"
)
LOW_MEMORY_OF_ENCODERS = "train with smaller batches (encoder_training.batch), or a smaller encoder"
"""What a user can do if there is not enough memory to train."""


class EncoderTrainingConfig(Parameters):
    """Settings of the fine-tuning of one encoder.

    Attributes:
        encoder: the name of an encoder with trainable weights, or a mapping {name, weights, changes}.
        start: `weights` starts from the published file, or from the checkpoint in `encoder.weights`; `random` from
            random weights.
        layers: the last layers of a transformer that are trained, with what follows them; None trains all weights.
        epochs: largest number of epochs.
        patience: epochs without a better validation CCC before training stops.
        batch: faces, clips of faces, or windows of sound in an optimiser step; the CCC is taken over them.
        learning_rate, weight_decay: of AdamW.
        every: every n-th annotated step with a face (with sound) is used, since neighbours are nearly the same.
        flip: probability of a mirrored face.
        jitter: largest change of brightness, contrast and saturation, as a share.
        crop: smallest side of the square that is cut out and enlarged, as a share of the picture's side.
        mask_time, mask_bands: longest part of a window of sound, and widest group of its bands, that is hidden, as a
            share of the window's length and of its bands.
        context_s: sound around a step (s), for encoders that attend over a full recording (`wavlm_base_plus`,
            `hubert_base`, `wavlm_large`, `hubert_large`, `wav2vec2_vad`, `emotion2vec_*`).
        seed: of all random numbers.
        device: `auto` uses a GPU if there is one.
    """

    LATER = frozenset({"layers"})

    encoder: EncoderChoice = EncoderChoice(name="resnet18")
    start: Literal["weights", "random"] = "weights"
    layers: int | None = Field(default=None, ge=1)
    epochs: int = Field(default=10, ge=1, le=1000)
    patience: int = Field(default=3, ge=1, le=1000)
    batch: int = Field(default=64, ge=4, le=4096)
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0, lt=1)
    every: int = Field(default=5, ge=1, le=10_000)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    crop: float = Field(default=0.9, gt=0.3, le=1)
    mask_time: float = Field(default=0.2, ge=0, lt=1)
    mask_bands: float = Field(default=0.2, ge=0, lt=1)
    context_s: float = Field(default=2.0, gt=0, le=20)
    seed: Seed = 0
    device: str = Field(default="auto", pattern=DEVICE)

    @field_validator("encoder", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("encoder")
    @classmethod
    def _learns(cls, choice: EncoderChoice) -> EncoderChoice:
        entry = choice.entry(modality_of(choice))
        if not entry.learned:
            raise ValueError(f"{choice.name} has nothing to learn")
        if entry.runtime:
            raise ValueError(f"{choice.name} can't be trained: it is not a network of torch")
        return choice

    @model_validator(mode="after")
    def _has_layers(self) -> Self:
        there = self.encoder.entry(self.modality).layers
        if self.layers is not None and self.layers > there:
            raise ValueError(f"layers={self.layers}, but {self.encoder.name} has {there or 'no'} layers to count")
        return self

    @property
    def modality(self) -> Modality:
        """What the encoder sees or hears."""
        return modality_of(self.encoder)

    @property
    def embedding(self) -> EmbeddingConfig:
        """Embeddings of the encoder as it is before training."""
        return EmbeddingConfig(**{self.modality: (self.encoder,)})


def modality_of(choice: EncoderChoice) -> Modality:
    """The modality of a named encoder.

    Raises:
        ValueError: there is no such encoder.
    """
    for modality, encoders in ENCODERS.items():
        if choice.name in encoders:
            return modality
    known = ", ".join(name for encoders in ENCODERS.values() for name in encoders)
    raise ValueError(f"there is no encoder named {choice.name!r}; choose one of {known}")


Bounded = Annotated[int, Field(ge=-(10**9), le=10**9)] | Annotated[float, Field(ge=-1e9, le=1e9)]


class Dimension(Parameters):
    """The values of one parameter among which a sweep searches: a range with both ends, or choices.

    Attributes:
        low, high: ends of the range; of integers, if both are.
        log: search on a logarithmic scale.
        choices: values in no order.
    """

    low: Bounded | None = None
    high: Bounded | None = None
    log: bool = False
    choices: tuple[bool | int | float | str | None, ...] | None = Field(default=None, min_length=2, max_length=100)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices have no low, high or log")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("give low below high, or choices")
        elif self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale begins above 0, but low={self.low}")
        return self

    @property
    def is_integer(self) -> bool:
        """Whether the range is one of integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are validated before a sweep begins."""
        return self.choices if self.choices is not None else (self.low, self.high)


FIXED = {"seed", "targets", "per_dimension", "folds", "recalibrate", "selected_by", *MACHINE}
"""Fields of `TrainingConfig` that a sweep does not search: they change what is scored, or do not change it."""


class SweepConfig(Parameters):
    """A search for settings of the main model, scored on the validation partition.

    Attributes:
        trials: settings that are tried; more of them continue a search.
        seed: of the search.
        startup: trials at random before the search follows what it has seen.
        seeds: seeds, other than `training.seed`, with which the best and the present settings are trained again.
        space: parameter -> where it is searched: `fusion.NAME`, `training.NAME`, `training.corruption.NAME`,
            `training.loss.NAME`.
    """

    trials: int = Field(default=20, ge=1, le=100_000)
    seed: Seed = 0
    startup: int = Field(default=8, ge=1, le=100_000)
    seeds: int = Field(default=3, ge=0, le=100)
    space: dict[str, Dimension] = Field(
        default={
            "training.learning_rate": Dimension(low=3e-4, high=3e-3, log=True),
            "training.corruption.share": Dimension(low=0.3, high=0.8),
            "fusion.width": Dimension(choices=(64, 128, 256)),
            "fusion.dropout": Dimension(low=0.1, high=0.5),
        },
        min_length=1,
        max_length=50,
    )

    @field_validator("space")
    @classmethod
    def _names_parameters(cls, space: dict[str, Dimension]) -> dict[str, Dimension]:
        for name in space:
            group, _, field = name.partition(".")
            if group not in ("fusion", "training") or not field:
                raise ValueError(f"{name}: begin with fusion. or training.")
            if group == "training" and field.split(".")[0] in FIXED:
                raise ValueError(f"{name} is not searched: it changes what is scored, or does not change it")
            for value in space[name].ends:
                if wrong := _fault_of(group, field, value):
                    raise ValueError(f"{name}={value}: {wrong}")
        return space


def _fault_of(group: str, field: str, value: Any) -> str | None:
    """Why a parameter can't have a value, whatever the others are; None if it can."""
    from iaca.fusion.config import FusionConfig  # its package imports torch: only who sweeps needs it

    *outer, last = field.split(".")
    given: dict[str, Any] = {last: value}
    for part in reversed(outer):
        given = {part: given}
    model: type[Parameters] = FusionConfig if group == "fusion" else TrainingConfig
    try:
        model.model_validate({"audio_dim": 1, "visual_dim": 1, **given} if group == "fusion" else given)
    except ValidationError as error:
        own = [e["msg"] for e in error.errors() if e["loc"] and e["loc"][0] == (outer or [last])[0]]
        return own[0] if own else None
    return None


def require_installed(logger: str) -> None:
    """Check that the package of a logger is there, without importing it.

    Raises:
        InputError: it is not.
    """
    if logger != "none" and importlib.util.find_spec(logger) is None:
        remedy = f"pip install -e '.[{logger}]', or leave training.logger out"
        raise InputError(f"training.logger needs the package {logger}", remedy=remedy)
