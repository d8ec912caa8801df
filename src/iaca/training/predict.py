"""How a model predicts a clip: window by window, averaged where windows overlap; a causal model piece by piece.

And the validation windows of a run. The score of an epoch is the mean of clean and corrupted validation CCC, pooled
over the partition; the epoch with the best one is kept. `held_back` then decides how much of the network of `iaca_plus`
is used, against late fusion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from iaca.encoders.config import mismatches
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError
from iaca.formats.labels import EXPRESSIONS, UNITS
from iaca.fusion.attention import Past
from iaca.fusion.config import TASK_WIDTHS, FusionConfig
from iaca.fusion.model import FusionModel, FusionOutput
from iaca.parameters import MODALITIES
from iaca.training.calibration import Calibration, TrailingPresence
from iaca.training.config import TARGETS, Target
from iaca.training.data import Loader, window_starts
from iaca.training.loss import CONDITIONS, THRESHOLDS, concordance
from iaca.training.model_file import PerDimension, TrainedModel
from iaca.training.readings import rate_of, read_steps
from iaca.training.sample import FloatArray, Normalisation, Window, WindowSpec, collate, cut, model_arguments, padded

ENDS = ("low", "high")
TASK = "task "  # begins the name of a task where gates have names, too: a gate's has no blank
BATCH = 16  # windows; bounds the memory that a long clip takes
PART = 4096  # steps; likewise


@dataclass(frozen=True)
class ClipPrediction:
    """The predictions of a model for a clip of t steps.

    Attributes:
        prediction: (t, 2) float32 valence, arousal in [-1, 1]; finite everywhere. A dimension that the model was not
            trained for is NaN.
        gates: name -> (t, k) float32 weights that sum to one.
        observed: (t,) bool, at least one modality was present.
        bounds: (t, 2, 2) float32, low and high of valence and arousal: calibrated intervals; None without any.
        inconsistency: (t,) float32 in [0, 1], how unusual the disagreement of voice and face is; NaN where they were
            not both observed nearby; None for a model that does not judge it.
        tasks: of a model with more tasks: `expression` (t, 8) and `action_units` (t, 12) float32 probabilities.
        thresholds: (12,) float32, the probability from which on a unit counts as active.
    """

    prediction: FloatArray
    gates: dict[str, FloatArray]
    observed: NDArray[np.bool_]
    bounds: FloatArray | None = None
    inconsistency: FloatArray | None = None
    tasks: Mapping[str, FloatArray] = field(default_factory=dict)
    thresholds: FloatArray | None = None

    def part(self, steps: slice) -> ClipPrediction:
        """Some steps in a row."""
        gates = {name: weights[steps] for name, weights in self.gates.items()}
        bounds, inconsistency = (None if x is None else x[steps] for x in (self.bounds, self.inconsistency))
        tasks = {task: values[steps] for task, values in self.tasks.items()}
        parts = (self.prediction[steps], gates, self.observed[steps], bounds, inconsistency, tasks)
        return ClipPrediction(*parts, self.thresholds)


@dataclass(frozen=True)
class BuiltModel:
    """A model ready to predict many clips, on the device it was built for."""

    model: FusionModel | PerDimension
    normalisation: Normalisation
    device: torch.device
    targets: tuple[Target, ...] = TARGETS
    metadata: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None

    @classmethod
    def of(cls, trained: TrainedModel, device: str | torch.device = "cpu") -> BuiltModel:
        """Build a trained model on a device."""
        network, where = trained.build().to(device), torch.device(device)
        return cls(network, trained.normalisation, where, trained.targets, trained.metadata, trained.calibration)


def predict_clip(
    model: TrainedModel | BuiltModel, clip: ClipEmbedding, window: int = 300, hop: int = 200
) -> ClipPrediction:
    """Predict every step of a clip; where windows overlap, predictions and gate weights are averaged.

    Args:
        model: trained, or built once for many clips.
        clip: embeddings of t steps, of the widths the model was trained on. The model gets the quality cues that it
            reads, by name; a cue that the clip lacks is unknown at every step.
        window, hop: steps. A model whose weights fix the length (`jca_fixed`) uses that length as its window. A causal
            model has no windows.

    Raises:
        InputError: embeddings of another width or other encoders; a hop above the window, which would skip steps;
            predictions that are not finite.
    """
    built = BuiltModel.of(model) if isinstance(model, TrainedModel) else model
    if built.model.config.causal:
        return _predict_causal(built, clip)
    window = built.model.config.length or window
    _check(built, clip, window, hop)
    if len(clip) == 0:
        return _nothing(built)
    return _judged(built, clip, _average(_window_outputs(built, clip, window, hop), len(clip)))


def _judged(
    built: BuiltModel, clip: ClipEmbedding, averages: dict[str, FloatArray], presence: TrailingPresence | None = None
) -> ClipPrediction:
    """The prediction of the steps of a clip, from the outputs of the network by name, with all that is known of it."""
    if not all(np.isfinite(values).all() for values in averages.values()):
        raise InputError("the model's predictions are not finite: its weights are too large", remedy="train it again")
    prediction = averages.pop("prediction").clip(-1.0, 1.0)
    more: dict[str, Any] = {
        "tasks": {task: averages.pop(TASK + task) for task in built.model.config.tasks},
        **_thresholds(built),
    }
    if built.calibration is not None and built.calibration.recalibration is not None:
        prediction = built.calibration.recalibration.of(prediction)
    prediction[:, [target not in built.targets for target in TARGETS]] = np.nan
    if built.calibration is None:
        return ClipPrediction(prediction, averages, clip.observed, **more)
    judged = built.calibration.judge(clip, built.normalisation, prediction, presence)
    return ClipPrediction(prediction, averages, clip.observed, judged.bounds, judged.inconsistency, **more)


def _thresholds(built: BuiltModel) -> dict[str, FloatArray]:
    """The thresholds of the model's action units; empty without any."""
    if "action_units" not in built.model.config.tasks:
        return {}
    return {"thresholds": built.model.get_buffer(THRESHOLDS).cpu().numpy()}


PIECE = 512
"""Steps of a clip that a causal model is given at a time."""


def _predict_causal(built: BuiltModel, clip: ClipEmbedding) -> ClipPrediction:
    running = RunningPrediction(built)
    starts = range(0, max(len(clip), 1), PIECE)
    parts = [running.push(clip.part(slice(start, start + PIECE))) for start in starts]
    return joined_predictions([*parts, running.finish()])


class RunningPrediction:
    """The predictions of a causal model for a clip that arrives in pieces.

    What is kept from piece to piece does not grow. A step is predicted when `lookahead` more have arrived.

    Raises:
        InputError: the model is not causal.
    """

    def __init__(self, built: BuiltModel):
        if not built.model.config.causal:
            raise InputError(
                "this model reads later steps, so it can't run on a stream",
                remedy="train a causal one (docs/guide/live.md), or use zero_shot",
            )
        self._built, self._past, self._presence = built, Past(), TrailingPresence()
        self._early = built.model.config.lookahead  # outputs that belong to no step
        self._waiting: list[ClipEmbedding] = []  # steps that are not predicted yet
        self._last: dict[str, FloatArray] = {}  # the last output

    def push(self, clip: ClipEmbedding) -> ClipPrediction:
        """The prediction of the steps that the next steps complete, fewer or more than those.

        Raises:
            InputError: as `predict_clip`.
        """
        _check(self._built, clip, 1, 1)
        if not len(clip):
            return _nothing(self._built)
        output = self._output(clip)
        self._last = {name: x[-1:] for name, x in output.items()}
        self._waiting.append(clip)
        skipped = min(self._early, len(clip))
        self._early -= skipped
        return self._next({name: x[skipped:] for name, x in output.items()}, len(clip) - skipped)

    def finish(self) -> ClipPrediction:
        """The prediction of the steps that still wait: the last output, since nothing else arrives."""
        steps = sum(map(len, self._waiting))
        if not self._last:
            return _nothing(self._built)
        return self._next({name: np.repeat(x, steps, axis=0) for name, x in self._last.items()}, steps)

    def _next(self, output: dict[str, FloatArray], steps: int) -> ClipPrediction:
        """The prediction of the first of the steps that wait."""
        if not steps:
            return _nothing(self._built)
        waiting = ClipEmbedding.joined(self._waiting)
        clip, rest = waiting.part(slice(steps)), waiting.part(slice(steps, None))
        self._waiting = [rest]
        return _judged(self._built, clip, output, self._presence)

    def _output(self, clip: ClipEmbedding) -> dict[str, FloatArray]:
        config = self._built.model.config
        batch = collate([cut(clip, 0, WindowSpec(len(clip), self._built.normalisation, config.cues))])
        on_device = {name: tensor.to(self._built.device) for name, tensor in batch.items()}
        with torch.inference_mode():
            arguments = model_arguments(on_device, reads_cues=bool(config.cues))
            output = self._built.model(*arguments, past=self._past)
        return {name: values[0] for name, values in _arrays(output).items()}


def _nothing(built: BuiltModel) -> ClipPrediction:
    """The prediction of no step."""
    empty = {name: np.empty((0, len(labels)), np.float32) for name, labels in built.model.gate_labels.items()}
    none: dict[str, Any] = {task: np.empty((0, TASK_WIDTHS[task])) for task in built.model.config.tasks}
    more: dict[str, Any] = {"tasks": none, **_thresholds(built)}
    return ClipPrediction(np.empty((0, 2), np.float32), empty, np.empty(0, np.bool_), **more)


def joined_predictions(parts: Sequence[ClipPrediction]) -> ClipPrediction:
    """Predictions of consecutive parts of a clip as one."""
    parts = [part for part in parts if len(part.observed)] or [parts[0]]

    def joined(arrays: Sequence[FloatArray | None]) -> FloatArray | None:
        known = [array for array in arrays if array is not None]
        return np.concatenate(known) if known else None

    return ClipPrediction(
        np.concatenate([part.prediction for part in parts]),
        {name: np.concatenate([part.gates[name] for part in parts]) for name in parts[0].gates},
        np.concatenate([part.observed for part in parts]),
        joined([part.bounds for part in parts]),
        joined([part.inconsistency for part in parts]),
        {task: np.concatenate([part.tasks[task] for part in parts]) for task in parts[0].tasks},
        parts[0].thresholds,
    )


def _check(built: BuiltModel, clip: ClipEmbedding, window: int, hop: int) -> None:
    if clip.dims != built.model.config.dims:
        raise InputError(
            f"the clip's embeddings have widths {clip.dims}, but the model was trained on {built.model.config.dims}",
            remedy="embed the clip with the encoders that the model was trained with",
        )
    if differences := mismatches(built.metadata, clip.metadata):
        raise InputError(
            f"the clip's embeddings are from other encoders than the model's: {'; '.join(differences)}",
            remedy="embed the clip with the encoders that the model was trained with, or train again",
        )
    if not 1 <= hop <= window:
        raise InputError(
            f"hop={hop} must be between 1 and window={window}, or steps are skipped",
            remedy="choose a hop between 1 and the window",
        )


def _window_outputs(
    built: BuiltModel, clip: ClipEmbedding, window: int, hop: int
) -> Iterator[tuple[int, dict[str, FloatArray]]]:
    """Of each window its first step, and name -> (window, k); the last window may extend beyond the clip."""
    config = built.model.config
    starts = window_starts(len(clip), window, hop)
    length = window if config.length else min(window, len(clip))
    spec = WindowSpec(length, built.normalisation, config.cues)
    readings = _readings(built, clip) if config.reads else None
    for first in range(0, len(starts), BATCH):
        batch_starts = starts[first : first + BATCH]
        inputs = [cut(clip, start, spec) for start in batch_starts]
        if readings is not None:
            own = (readings[start : start + length] for start in batch_starts)
            inputs = [replace(x, readings=padded(part, length)) for x, part in zip(inputs, own, strict=True)]
        batch = collate(inputs)
        on_device = {name: tensor.to(built.device) for name, tensor in batch.items()}
        with torch.inference_mode():
            output = built.model(*model_arguments(on_device, reads_cues=bool(config.cues)))
        arrays = _arrays(output)
        for i, start in enumerate(batch_starts):
            yield start, {name: array[i] for name, array in arrays.items()}


def _arrays(output: FusionOutput) -> dict[str, FloatArray]:
    """What a model gives for a batch, by name (b, t, k)."""
    tensors = {"prediction": output.prediction, **output.gates}
    for task, logits in output.tasks.items():
        tensors[TASK + task] = probabilities_of(task, logits)
    return {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}


def probabilities_of(task: str, logits: torch.Tensor) -> torch.Tensor:
    """Of classes, which sum to one; of action units, each on its own."""
    return logits.softmax(dim=-1) if task == "expression" else logits.sigmoid()


def _readings(built: BuiltModel, clip: ClipEmbedding) -> FloatArray:
    """What voice and face say alone in the clip, (t, modality, dimension); read in parts, to bound the memory."""
    starts, cues = range(0, len(clip), PART), built.model.config.cues
    parts = (cut(clip, i, WindowSpec(min(PART, len(clip) - i), built.normalisation, cues)) for i in starts)
    present = np.stack([clip.present[m] for m in MODALITIES], axis=1)
    return read_steps(built.model.read, parts, present, rate_of(clip), built.device)


def _average(outputs: Iterator[tuple[int, dict[str, FloatArray]]], steps: int) -> dict[str, FloatArray]:
    """Mean over windows, per step: name -> (steps, k)."""
    sums: dict[str, NDArray[np.float64]] = {}
    counts = np.zeros((steps, 1))
    for start, output in outputs:
        for name, values in output.items():
            total = sums.setdefault(name, np.zeros((steps, values.shape[1])))
            total[start : start + len(values)] += values[: steps - start]
        counts[start : start + len(values)] += 1
    return {name: (total / counts).astype(np.float32) for name, total in sums.items()}


def prediction_table(
    clip_name: str, clip: ClipEmbedding, prediction: ClipPrediction, gate_labels: Mapping[str, tuple[str, ...]]
) -> pd.DataFrame:
    """The predictions of a clip, one row per decoded frame.

    Columns: clip, frame (0-based), time_s, valence, arousal (float32, NaN where neither modality was present),
    {valence,arousal}_{low,high} (float32, NaN without an interval), inconsistency (float32 in [0, 1], NaN where
    unknown), face_found, audio_present, and gate_<name>_<label> (float32) for every gate weight. Of a model with more
    tasks, empty where neither modality was present: expression (0 to 7) and its probabilities
    expression_<class> (float32); au<number> (0 or 1) and au<number>_probability.
    """
    columns = prediction_columns(clip, prediction, gate_labels)
    return pd.DataFrame({"clip": clip_name, **columns}, index=pd.RangeIndex(len(clip)))


def prediction_columns(
    clip: ClipEmbedding, prediction: ClipPrediction, gate_labels: Mapping[str, tuple[str, ...]]
) -> dict[str, NDArray[Any]]:
    """The columns (t,) of `prediction_table` behind the clip, by name."""
    seen, unknown = prediction.observed[:, None], np.full(len(clip), np.nan, np.float32)
    values = np.where(seen, prediction.prediction, np.float32(np.nan))
    bounds = np.full((len(clip), 2, 2), np.nan, np.float32) if prediction.bounds is None else prediction.bounds
    bounds = np.where(seen[..., None], bounds, np.float32(np.nan))
    columns: dict[str, NDArray[Any]] = {
        "frame": np.arange(len(clip), dtype=np.int32),
        "time_s": clip.time_s,
        "valence": values[:, 0],
        "arousal": values[:, 1],
        **{f"{target}_{end}": bounds[:, j, i] for i, target in enumerate(TARGETS) for j, end in enumerate(ENDS)},
        "inconsistency": unknown if prediction.inconsistency is None else prediction.inconsistency,
        "face_found": clip.face_found,
        "audio_present": clip.audio_present,
    }
    for name, labels in gate_labels.items():
        columns |= {f"gate_{name}_{label}": prediction.gates[name][:, i] for i, label in enumerate(labels)}
    columns |= _task_columns(prediction)
    return columns


def _task_columns(prediction: ClipPrediction) -> dict[str, Any]:
    """The columns of expressions and action units."""
    columns: dict[str, Any] = {}
    if (expressions := prediction.tasks.get("expression")) is not None:
        columns["expression"] = _decided(expressions.argmax(axis=1), prediction.observed)
        seen = np.where(prediction.observed[:, None], expressions, np.float32(np.nan))
        columns |= {f"expression_{name}": seen[:, i] for i, name in enumerate(EXPRESSIONS)}
    if (units := prediction.tasks.get("action_units")) is not None:
        active = units >= (0.5 if prediction.thresholds is None else prediction.thresholds)
        seen = np.where(prediction.observed[:, None], units, np.float32(np.nan))
        columns |= {name: _decided(active[:, i], prediction.observed) for i, name in enumerate(UNITS)}
        columns |= {f"{name}_probability": seen[:, i] for i, name in enumerate(UNITS)}
    return columns


def _decided(values: NDArray[np.generic], observed: NDArray[np.bool_]) -> pd.arrays.IntegerArray:
    """(t,) integers, missing where nothing was observed."""
    return pd.arrays.IntegerArray(values.astype(np.int8), ~observed)


# Validation windows, and how far the network of `iaca_plus` is believed there

SHARE = "readings.share"
"""The buffer in a model's weights that says how much of its network is used, per dimension."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
DOUBT, FEWEST = 0.05, 5
CPU = torch.device("cpu")
Scored = dict[str, list[tuple[Tensor, Tensor, Tensor]]]
"""By condition: prediction and gold (b, t, k) and valid steps (b, t), batch by batch."""


def validation_row(
    model: FusionModel, loaders: Sequence[Loader], targets: Sequence[Target], device: torch.device = CPU
) -> dict[str, float]:
    """The scores of a model on the validation loaders."""
    return score_row(predicted_windows(model, loaders, targets, device), targets)


def predicted_windows(
    model: FusionModel, loaders: Sequence[Loader], targets: Sequence[Target], device: torch.device = CPU
) -> Scored:
    """What a model predicts for the windows of the validation loaders, in their order; computed on a device, to which
    the model moves, and kept on the CPU."""
    columns, scored = [TARGETS.index(target) for target in targets], Scored()
    model.to(device).eval()
    with torch.inference_mode():
        for condition, loader in zip(CONDITIONS, loaders, strict=True):
            for batch in loader:
                there = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
                prediction = model(*model_arguments(there, reads_cues=bool(model.config.cues))).prediction.cpu()
                both = (x[..., columns].double() for x in (prediction, batch["labels"]))
                scored.setdefault(condition, []).append((*both, batch["valid"]))  # type: ignore[arg-type]
    return scored


def score_row(scored: Scored, targets: Sequence[Target]) -> dict[str, float]:
    """The scores of one epoch."""
    cccs = {}
    for condition, batches in scored.items():
        prediction, gold, valid = (torch.cat(column) for column in zip(*batches, strict=True))
        cccs[condition] = dict(zip(targets, concordance(prediction, gold, valid).tolist(), strict=True))
    means = {target: sum(each[target] for each in cccs.values()) / len(cccs) for target in targets}
    row = {"score": sum(means.values()) / len(means)}
    row |= {f"{condition}_{target}": ccc for condition, each in cccs.items() for target, ccc in each.items()}
    return row | {f"validation_ccc_{target}": mean for target, mean in means.items()}


def held_back(
    fusion: FusionConfig,
    weights: dict[str, Tensor],
    loaders: Sequence[Loader],
    targets: Sequence[Target],
    subjects: Mapping[str, str],
    device: torch.device = CPU,
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Hold the network of `iaca_plus` back per dimension, as far as validation says; at 0 the model is `late`.

    A share of `SHARES` is a candidate if it loses to `late` neither on clean nor on corrupted validation windows. Of
    the candidates that is taken whose gain over `late`, the mean of both, has the largest lower bound, one-sided at
    `DOUBT`, by the jackknife over subjects: what a few subjects alone speak for is not believed. With fewer than
    `FEWEST` subjects no distribution-free test can reach `DOUBT` (the sign test: 2^-n), and the model is `late`.

    Returns:
        The weights, and the scores of that model.
    """
    from scipy.special import stdtrit  # not installed where a model is only run

    model = FusionModel(fusion)
    model.load_state_dict(weights)
    share = model.to(device).get_buffer(SHARE)
    scored = []
    for value in SHARES:
        share.fill_(value)
        scored.append(predicted_windows(model, loaders, targets, device))
    windows: Sequence[Window] = loaders[0].dataset.windows  # type: ignore[attr-defined]
    people = np.array([subjects.get(window.clip, window.clip) for window in windows])
    everybody = np.ones(len(people), np.bool_)
    rows = [
        [_ccc_of(each, targets, keep) for each in scored]
        for keep in (everybody, *(people != p for p in sorted(set(people))))
    ]
    for i, target in enumerate(targets):
        each = np.array(rows)[..., i]  # (1 + subjects, shares, conditions)
        sound = (each[0] >= each[0, 0]).all(axis=1)  # (shares,)
        gain = each.mean(axis=2) - each[:, :1].mean(axis=2)  # (1 + subjects, shares)
        others = len(gain) - 2  # degrees of freedom
        if others + 1 >= FEWEST:
            error = np.sqrt(others * gain[1:].var(axis=0))
            sure = np.where(sound, gain[0] - stdtrit(others, 1 - DOUBT) * error, -np.inf)
            share[TARGETS.index(target)] = SHARES[int(sure.argmax())]
        else:
            share[TARGETS.index(target)] = 0.0
    return {**weights, SHARE: share.cpu().clone()}, validation_row(model, loaders, targets, device)


def _ccc_of(scored: Scored, targets: Sequence[Target], keep: NDArray[np.bool_]) -> list[list[float]]:
    """CCC on some of the windows, by condition and target."""
    kept = {c: [tuple(torch.cat(x)[torch.from_numpy(keep)] for x in zip(*b, strict=True))] for c, b in scored.items()}
    row = score_row(kept, targets)  # type: ignore[arg-type]  # tuples of three
    return [[row[f"{condition}_{target}"] for target in targets] for condition in scored]
