"""How a model predicts a clip: window by window, averaged where windows overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from iaca.encoders.config import mismatches
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError
from iaca.formats.affwild2 import EXPRESSIONS, UNITS
from iaca.fusion.config import TASK_WIDTHS
from iaca.fusion.model import FusionModel
from iaca.parameters import MODALITIES
from iaca.training.calibration import Calibration
from iaca.training.config import TARGETS, Target
from iaca.training.data import window_starts
from iaca.training.model_file import PerDimension, TrainedModel
from iaca.training.readings import rate_of, read_steps
from iaca.training.sample import FloatArray, Normalisation, WindowSpec, collate, cut, model_arguments, padded
from iaca.training.validation import THRESHOLDS

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
        window, hop: steps. A model whose weights fix the length (`jca_fixed`) uses that length as its window.

    Raises:
        InputError: embeddings of another width or other encoders; a hop above the window, which would skip steps;
            predictions that are not finite.
    """
    built = BuiltModel.of(model) if isinstance(model, TrainedModel) else model
    window = built.model.config.length or window
    _check(built, clip, window, hop)
    if len(clip) == 0:
        empty = {name: np.empty((0, len(labels)), np.float32) for name, labels in built.model.gate_labels.items()}
        none: dict[str, Any] = {task: np.empty((0, TASK_WIDTHS[task])) for task in built.model.config.tasks}
        more: dict[str, Any] = {"tasks": none, **_thresholds(built)}
        return ClipPrediction(np.empty((0, 2), np.float32), empty, np.empty(0, np.bool_), **more)
    averages = _average(_window_outputs(built, clip, window, hop), len(clip))
    if not all(np.isfinite(values).all() for values in averages.values()):
        raise InputError("the model's predictions are not finite: its weights are too large", remedy="train it again")
    prediction = averages.pop("prediction").clip(-1.0, 1.0)
    more = {"tasks": {task: averages.pop(TASK + task) for task in built.model.config.tasks}, **_thresholds(built)}
    if built.calibration is not None and built.calibration.recalibration is not None:
        prediction = built.calibration.recalibration.of(prediction)
    prediction[:, [target not in built.targets for target in TARGETS]] = np.nan
    if built.calibration is None:
        return ClipPrediction(prediction, averages, clip.observed, **more)
    judged = built.calibration.judge(clip, built.normalisation, prediction)
    return ClipPrediction(prediction, averages, clip.observed, judged.bounds, judged.inconsistency, **more)


def _thresholds(built: BuiltModel) -> dict[str, FloatArray]:
    """The thresholds of the model's action units; empty without any."""
    if "action_units" not in built.model.config.tasks:
        return {}
    return {"thresholds": built.model.get_buffer(THRESHOLDS).cpu().numpy()}


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
        tensors = {"prediction": output.prediction, **output.gates}
        for task, logits in output.tasks.items():
            tensors[TASK + task] = probabilities_of(task, logits)
        arrays = {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}
        for i, start in enumerate(batch_starts):
            yield start, {name: array[i] for name, array in arrays.items()}


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
    seen, unknown = prediction.observed[:, None], np.full(len(clip), np.nan, np.float32)
    values = np.where(seen, prediction.prediction, np.float32(np.nan))
    bounds = np.full((len(clip), 2, 2), np.nan, np.float32) if prediction.bounds is None else prediction.bounds
    bounds = np.where(seen[..., None], bounds, np.float32(np.nan))
    columns: dict[str, object] = {
        "clip": clip_name,
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
    return pd.DataFrame(columns, index=pd.RangeIndex(len(clip)))


def _task_columns(prediction: ClipPrediction) -> dict[str, object]:
    """The columns of expressions and action units."""
    columns: dict[str, object] = {}
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
