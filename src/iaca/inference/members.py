"""The kinds of model that can predict, and how several of them are averaged into one prediction.

A zero-shot model (`zero_shot.py`), an adapted one, whose file holds weights as safetensors and the rest as JSON in the
header, or a trained network. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError, brief
from iaca.files import replacing
from iaca.inference.zero_shot import (
    INCONSISTENCY,
    OneSided,
    RunningZeroShot,
    ZeroShot,
    ZeroShotConfig,
    ZeroShotPast,
    durations,
    read_config,
    two_sided,
)
from iaca.parameters import MODALITIES, faults, text_table
from iaca.text import parse_json
from iaca.training.calibration import Calibration, Intervals
from iaca.training.config import TARGETS
from iaca.training.model_file import load_model
from iaca.training.predict import BuiltModel, ClipPrediction, RunningPrediction, predict_clip

Labels = Mapping[str, tuple[str, ...]]
FloatArray = NDArray[np.float32]
Array = NDArray[np.float64]


class Running(Protocol):
    """The predictions of a model for a stream."""

    def push(self, clip: ClipEmbedding) -> ClipPrediction:
        """The next steps arrive -> the prediction of the steps that are now determined, in order: fewer, or none, if
        the model looks ahead."""

    def finish(self) -> ClipPrediction | None:
        """The prediction of the steps that still wait, if there may be any."""


class Member(Protocol):
    """What a `Predictor` needs of a model."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The encoders it was made for; `preset`, `corpus`, `caveat`, and `kind` unless it is a trained model."""

    @property
    def gate_labels(self) -> Labels:
        """For each gate, the names of its weights."""

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """The inputs that valence and that arousal are read from."""

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """The prediction for a clip of t steps."""

    def stream(self) -> Running:
        """The predictions for a stream.

        Raises:
            InputError: the model reads later steps.
        """


def load_member(path: Path, device: torch.device) -> Member:
    """Read a model file: the rules of a zero-shot model (.json), an adapted model or a trained network (safetensors).

    Raises:
        InputError: it is none of these.
    """
    if path.suffix == ".json":
        return ZeroShot.read(path)
    if (adapted := AdaptedModel.load(path)) is not None:
        return adapted
    return FusionMember(BuiltModel.of(load_model(path), device))


def encoder_facts(path: Path) -> EmbeddingConfig | Mapping[str, str]:
    """The encoders that a model file needs, or metadata that name them; nothing is asked of their weights.

    Raises:
        InputError: as `load_member`.
    """
    if path.suffix == ".json":
        return read_config(path).embedding
    return load_member(path, torch.device("cpu")).metadata


@dataclass(frozen=True)
class FusionMember:
    """A trained fusion network."""

    built: BuiltModel

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of its file, and what its calibration rests on."""
        calibration = self.built.calibration
        return {**self.built.metadata, **(calibration.facts if calibration else {})}

    @property
    def gate_labels(self) -> Labels:
        """The labels of the network."""
        return self.built.model.gate_labels

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """All inputs of the network for both, the voice first."""
        inputs = self.built.model.config.modalities
        return dict.fromkeys(TARGETS, tuple(modality for modality in MODALITIES if modality in inputs))

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """Predict in overlapping windows, or step after step."""
        return predict_clip(self.built, clip)

    def stream(self) -> RunningPrediction:
        """The predictions for a stream, by a causal model alone."""
        return RunningPrediction(self.built)


# Several models


@dataclass(frozen=True)
class Joint:
    """The prediction of an ensemble for a clip of t steps.

    Attributes:
        prediction: mean over the members, of probabilities and thresholds, too. Gates, intervals, inconsistency and
            tasks that not all of them have are left out.
        labels: of those gates.
    """

    prediction: ClipPrediction
    labels: Labels


def join(members: Sequence[Member], predictions: Sequence[ClipPrediction]) -> Joint:
    """Average the members' predictions of one clip, and their bounds: the interval of a mean is narrower than that."""
    labels = _common([member.gate_labels for member in members])
    gates = {name: np.asarray(np.mean([p.gates[name] for p in predictions], axis=0), np.float32) for name in labels}
    values = np.stack([p.prediction for p in predictions])  # (members, t, 2)
    prediction = predictions[0].prediction if len(predictions) == 1 else _mean(values)
    bounds = _mean_if_all([p.bounds for p in predictions])
    inconsistency = _mean_if_all([p.inconsistency for p in predictions])
    thresholds = _mean_if_all([p.thresholds for p in predictions])
    known = {task: _mean_if_all([p.tasks.get(task) for p in predictions]) for task in predictions[0].tasks}
    tasks = {task: mean for task, mean in known.items() if mean is not None}
    joint = ClipPrediction(prediction, gates, predictions[0].observed, bounds, inconsistency, tasks, thresholds)
    return Joint(joint, labels)


def _mean_if_all(parts: Sequence[FloatArray | None]) -> FloatArray | None:
    known = [part for part in parts if part is not None]
    return np.asarray(np.mean(known, axis=0, dtype=np.float64), np.float32) if len(known) == len(parts) else None


def _common(labels: Sequence[Labels]) -> Labels:
    first, *others = labels
    return {name: parts for name, parts in first.items() if all(other.get(name) == parts for other in others)}


def _mean(values: FloatArray) -> FloatArray:
    trained = _trained(values)
    columns = [values[trained[:, d], :, d] for d in range(2)]
    empty = np.full(values.shape[1], np.nan, np.float32)
    means = [column.mean(axis=0, dtype=np.float64) if len(column) else empty for column in columns]
    return np.stack(means, axis=1).astype(np.float32)


def _trained(values: FloatArray) -> NDArray[np.bool_]:
    """(members, 2) whether the member was trained on the dimension; otherwise it is NaN at every step."""
    return np.asarray(np.isfinite(values).any(axis=1))


HALVED_AFTER_S = 1.0
"""A modality that was not observed for this long (s) has half of its share."""


def observed_shares(
    gates: Mapping[str, FloatArray], labels: Labels, clip: ClipEmbedding, near: Nearness | None = None
) -> dict[str, FloatArray]:
    """The gates of a clip of t steps; in those across voice and face, shares of what was observed.

        share_m(t) = w_m(t) 2^(-d_m(t) / 1 s) / sum over the modalities;   NaN where neither was observed

    w is the gate's weight and d_m the time (s) to the nearest step at which m was observed. A network gives some weight
    to a modality that is absent: there is nothing behind it but its neighbours in time, and soon nothing at all. With
    `near`, of a causal model, d_m is the time since that step.
    """
    if near is None:
        weight = np.stack([_nearness(clip.present[modality], clip.time_s) for modality in MODALITIES], axis=1)
    else:
        weight = near.of(clip)
    shares = dict(gates)
    for name, parts in labels.items():
        if parts == MODALITIES:
            weights = gates[name] * weight
            with np.errstate(invalid="ignore"):
                weights = weights / weights.sum(axis=1, keepdims=True)
            shares[name] = np.where(clip.observed[:, None], weights, np.nan).astype(np.float32)
    return shares


class Nearness:
    """`_nearness` without what comes later, for the steps of a clip that arrives in pieces."""

    def __init__(self) -> None:
        self._last_s = np.full(len(MODALITIES), -np.inf)

    def of(self, clip: ClipEmbedding) -> NDArray[np.float64]:
        """(t, modality) at the next steps."""
        present = np.column_stack([clip.present[modality] for modality in MODALITIES])
        seen = np.where(present, clip.time_s[:, None], -np.inf)
        before = np.maximum(np.maximum.accumulate(seen), self._last_s)
        self._last_s = before[-1] if len(before) else self._last_s
        return np.asarray(2.0 ** -((clip.time_s[:, None] - before) / HALVED_AFTER_S))


def _nearness(present: NDArray[np.bool_], time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """2^(-d / `HALVED_AFTER_S`) of each step, for the distance d (s) to the nearest one that is present."""
    before = np.maximum.accumulate(np.where(present, time_s, -np.inf))
    after = np.minimum.accumulate(np.where(present, time_s, np.inf)[::-1])[::-1]
    return np.asarray(2.0 ** -(np.minimum(time_s - before, after - time_s) / HALVED_AFTER_S))


# The adapted model: a zero-shot model with a linear correction

HEADER, VERSION, WEIGHTS, INTERVALS = "iaca_adapted", 3, "weights", "intervals."
KIND = "adapted heuristic"
REMEDY = "give a file written by the adaptation pipeline, or adapt again"
FIRST = 3  # columns of the correction before the embeddings


def columns_of(model: ZeroShot, clip: ClipEmbedding) -> Array:
    """(t, p) float64, finite, the inputs of the correction: p is 5 + the widths of both embeddings.

    1; zero-shot valence and arousal; then for sound and for face its presence and its embedding, both averaged over the
    same stretch of time as the zero-shot model averages, absent steps as zeros.
    """
    weighted = weighted_columns(clip, durations(clip.time_s, model.config.step_s))
    return joined_columns(model.predict(clip), two_sided(weighted, clip.time_s, model.config.smoothing_s))


def weighted_columns(clip: ClipEmbedding, seconds: Array) -> Array:
    """(t, p - 2): s that each step stands for, and presence and embedding of sound and face times these."""
    weights = seconds[:, None]
    masked = [
        np.where(clip.present[m][:, None], np.column_stack([clip.present[m], np.nan_to_num(clip.features[m])]), 0.0)
        for m in MODALITIES
    ]
    return np.concatenate([weights, *(weights * part for part in masked)], axis=1)


def joined_columns(zero_shot: ClipPrediction, around: Array) -> Array:
    """The inputs of the correction from the zero-shot prediction and the smoothed `weighted_columns`."""
    prediction, averages = zero_shot.prediction.astype(np.float64), around[:, 1:] / np.maximum(around[:, :1], 1e-9)
    return np.concatenate([np.ones((len(prediction), 1)), prediction, averages], axis=1)


def widths(audio: int, visual: int) -> tuple[slice, slice]:
    """Columns of the presence and embedding of sound, and of face."""
    return slice(FIRST, FIRST + 1 + audio), slice(FIRST + 1 + audio, FIRST + 2 + audio + visual)


def corrected(columns: Array, weights: Array) -> Array:
    """(t, p) and (p, 2) -> (t, 2) valence and arousal in [-1, 1]."""
    return np.asarray((columns[:, 1:3] + columns @ weights).clip(-1, 1))


@dataclass(frozen=True)
class AdaptedModel:
    """A zero-shot model with a linear correction.

    Attributes:
        zero_shot: rules of the model that is corrected.
        weights: (p, 2) float64, of the columns of `columns_of`.
        facts: encoders, corpus, chosen penalties and scores, as strings.
        intervals: None with too few annotated clips.
    """

    zero_shot: ZeroShotConfig
    weights: NDArray[np.float64]
    facts: Mapping[str, str]
    intervals: Intervals | None = None

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Its kind, and the encoders it needs."""
        return {"preset": "zero_shot, adapted", "kind": KIND, "inconsistency": INCONSISTENCY, **self.facts}

    @cached_property
    def base(self) -> ZeroShot:
        """The zero-shot part."""
        return ZeroShot(self.zero_shot)

    @property
    def gate_labels(self) -> Mapping[str, tuple[str, ...]]:
        """Those of the zero-shot part."""
        return self.base.gate_labels

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """The inputs whose columns have a weight, and those of the zero-shot readings that have one."""
        config = self.zero_shot.embedding
        columns = dict(zip(MODALITIES, widths(config.dim("audio"), config.dim("visual")), strict=True))
        effect = self.weights.copy()
        effect[1:FIRST] += np.eye(len(TARGETS))  # the correction is added to the zero-shot prediction
        read: dict[str, tuple[str, ...]] = {}
        for d, name in enumerate(TARGETS):
            used = {m for m, part in columns.items() if effect[part, d].any()}
            for own, sources in enumerate(self.base.sources[target] for target in TARGETS):
                used |= set(sources) if effect[1 + own, d] else set()
            read[name] = tuple(modality for modality in MODALITIES if modality in used)
        return read

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """The zero-shot prediction with valence and arousal corrected; gates and inconsistency are unchanged."""
        prediction = corrected(columns_of(self.base, clip), self.weights).astype(np.float32)
        bounds = None if self.intervals is None else self.intervals.of(prediction, self.base.cases(clip))
        return replace(self.base.predict(clip), prediction=prediction, bounds=bounds)

    def stream(self) -> RunningAdapted:
        """The predictions for a stream."""
        return RunningAdapted(self)

    def save(self, path: Path) -> None:
        """Write the file atomically; the same model gives the same bytes."""
        header = {"version": VERSION, "zero_shot": self._rules(), "facts": dict(self.facts)}
        arrays = {WEIGHTS: np.ascontiguousarray(self.weights)}
        if self.intervals is not None:
            arrays |= {INTERVALS + name: np.ascontiguousarray(array) for name, array in vars(self.intervals).items()}
        with replacing(path) as partial:
            partial.write_bytes(save(arrays, {HEADER: json.dumps(header, sort_keys=True)}))

    def _rules(self) -> dict[str, Any]:
        return self.zero_shot.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def load(cls, path: Path) -> AdaptedModel | None:
        """Read a model file; None if it is missing or is not the file of an adapted model.

        Raises:
            InputError: it has the header of an adapted model, but is damaged.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                text = (file.metadata() or {}).get(HEADER)
                if text is None:
                    return None
                weights = file.get_tensor(WEIGHTS)
                names = [name for name in file.keys() if name.startswith(INTERVALS)]  # noqa: SIM118, not a mapping
                arrays = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError):
            return None
        except TypeError as error:  # numpy lacks some types of safetensors
            raise InputError(f"the weights are not finite float64 ({error})", path, remedy=REMEDY) from error
        return cls(*_checked(text, weights, path), _checked_intervals(arrays, path))


class RunningAdapted:
    """The predictions of an adapted model for a stream: zero-shot part and averages read the past alone.

    Its intervals are left out: they were calibrated on averages over past and future.
    """

    def __init__(self, model: AdaptedModel):
        self._model, self._base = model, RunningZeroShot(model.base)
        self._past, self._around = ZeroShotPast(), OneSided()

    def push(self, clip: ClipEmbedding) -> ClipPrediction:
        """The prediction of the next steps."""
        config, zero_shot = self._model.zero_shot, self._base.push(clip)
        weighted = weighted_columns(clip, self._past.durations(clip.time_s, config.step_s))
        columns = joined_columns(zero_shot, self._around.of(weighted, clip.time_s, config.smoothing_s))
        return replace(zero_shot, prediction=corrected(columns, self._model.weights).astype(np.float32))

    def finish(self) -> ClipPrediction | None:
        """None: no step waits."""


def _checked_intervals(arrays: Mapping[str, NDArray[np.float32]], path: Path) -> Intervals | None:
    try:
        if any(array.dtype != np.float32 for array in arrays.values()):
            raise ValueError("an array is not float32")
        return Calibration.of_arrays(arrays, MODALITIES, {}, {}).intervals
    except ValueError as error:
        raise InputError(f"the intervals of the model are not valid: {error}", path, remedy=REMEDY) from error


def _checked(
    text: str, weights: NDArray[np.float64], path: Path
) -> tuple[ZeroShotConfig, NDArray[np.float64], dict[str, str]]:
    try:
        header = parse_json(text)
        version = header["version"]
        if version == VERSION:
            rules, facts = header["zero_shot"], text_table(header["facts"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"not the header of an adapted model ({brief(error)})", path, remedy=REMEDY) from error
    if version != VERSION:
        found = brief(repr(version))
        raise InputError(f"adapted model version {found}, this program reads {VERSION}", path, remedy=REMEDY)
    if facts is None:
        raise InputError("the header's facts are not a table of strings", path, remedy=REMEDY)
    try:
        config = ZeroShotConfig.model_validate(rules)
    except ValidationError as error:
        raise InputError(f"not the rules of a zero-shot model ({faults(error)})", path, remedy=REMEDY) from error
    expected = (FIRST + 2 + sum(config.embedding.dim(m) for m in MODALITIES), 2)
    if weights.shape != expected or weights.dtype != np.float64 or not np.isfinite(weights).all():
        found = f"{weights.dtype} {weights.shape}"
        raise InputError(f"the weights are {found}, not finite float64 {expected}", path, remedy=REMEDY)
    return config, weights, facts
