"""Adaptation: a zero-shot model with a linear correction, fitted to annotated clips.

`adapt` fits the correction and scores it on subjects it was not fitted to. `AdaptedModel` is the result and its file:
weights as safetensors, the rest as JSON in the header. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from iaca.corpora.check import require_subjects
from iaca.encoders.config import identity, mismatches
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.errors import InputError, brief, counted
from iaca.evaluation.metrics import DIMENSIONS
from iaca.files import replacing
from iaca.inference.ridge import (
    FIRST,
    AdaptationConfig,
    Fitter,
    Rows,
    annotated_rows,
    columns_of,
    corrected,
    joined_columns,
    leave_one_out,
    score_table,
    verdict,
    weighted_columns,
    widths,
)
from iaca.inference.zero_shot import (
    INCONSISTENCY,
    OneSided,
    RunningZeroShot,
    ZeroShot,
    ZeroShotConfig,
    ZeroShotPast,
)
from iaca.parameters import MODALITIES, faults, text_table
from iaca.text import parse_json
from iaca.training.calibration import Calibration, Errors, Intervals, fit_intervals, origin_of_intervals
from iaca.training.config import TARGETS
from iaca.training.predict import ClipPrediction

HEADER, VERSION, WEIGHTS, INTERVALS = "iaca_adapted", 2, "weights", "intervals."
KIND = "adapted heuristic"
REMEDY = "give a file written by the adaptation pipeline, or adapt again"

Clip = tuple[str, str, AnnotatedClip]
"""Subject, name, embeddings and annotation."""


def adapt(
    model: ZeroShot, clips: Iterable[Clip], card: Mapping[str, str], config: AdaptationConfig
) -> tuple[AdaptedModel, pd.DataFrame]:
    """Fit the correction to all annotated clips, and score it on each subject by a fit to the others.

    Args:
        model: the zero-shot model to correct.
        clips: read one by one; those without annotation are left out.
        card: name and caveat of the corpus.
        config: candidates, folds, resamples.

    Returns:
        The model, and the table of `score_table`.

    Raises:
        InputError: fewer than two subjects are annotated, or clips are not embedded with the encoders of the model.
    """
    embedding = model.config.embedding
    encoders, groups = identity(embedding), dict[str, list[Rows]]()
    for subject, name, clip in clips:
        _check_encoders(name, clip.embedding, encoders)
        rows = annotated_rows(subject, name, model, clip, config.every_s)
        if rows is not None:
            groups.setdefault(subject, []).append(rows)
    require_subjects(groups)
    fitter = Fitter(
        {name: groups[name] for name in sorted(groups)}, widths(embedding.dim("audio"), embedding.dim("visual")), config
    )
    held_out = leave_one_out(fitter)
    scores = score_table(held_out, config)
    intervals, sentence = _intervals(fitter, held_out)
    weights, choices = fitter.weights(list(fitter.groups))
    facts = {
        **encoders,
        "corpus": card.get("name", ""),
        "caveat": _caveat(fitter, scores, card),
        "data_fingerprint": "",
        "choices": json.dumps(choices),
        "scores": scores.iloc[-1].to_json(),
        "intervals": sentence,
    }
    return AdaptedModel(model.config, weights, facts, intervals), scores


def _intervals(fitter: Fitter, held_out: pd.DataFrame) -> tuple[Intervals | None, str]:
    """Intervals from the errors on subjects left out, whose rows are in the order of the fitter, and their origin."""
    errors = np.abs(held_out[list(DIMENSIONS)].to_numpy() - held_out[[f"{d}_gold" for d in DIMENSIONS]].to_numpy())
    clips = [clip for group in fitter.groups.values() for clip in group]
    ends = np.cumsum([len(clip.gold) for clip in clips])
    cases = [Errors(c.group, c.cases, part) for c, part in zip(clips, np.split(errors, ends[:-1]), strict=True)]
    intervals = fit_intervals(cases)
    return intervals, origin_of_intervals(intervals, cases)


def _check_encoders(name: str, clip: ClipEmbedding, encoders: Mapping[str, str]) -> None:
    if differences := mismatches(encoders, clip.metadata):
        raise InputError(
            f"clip {name} is embedded with other encoders than those of the zero-shot model: {'; '.join(differences)}",
            remedy="set embedding.visual and embedding.audio to those encoders, for zero_shot to their defaults, and "
            "embed again",
        )


def _caveat(fitter: Fitter, scores: pd.DataFrame, card: Mapping[str, str]) -> str:
    videos, subjects = counted(scores.iloc[-1]["clips"], "annotated video"), counted(len(fitter.groups), "subject")
    text = f"ADAPTED HEURISTIC: the zero-shot model, corrected by {videos} of {subjects} ({card.get('name', '')}). "
    text += "; ".join(verdict(scores))
    return f"{text}. {card['caveat']}" if card.get("caveat") else text


@dataclass(frozen=True)
class AdaptedModel:
    """A zero-shot model with a linear correction.

    Attributes:
        zero_shot: rules of the model that is corrected.
        weights: (p, 2) float64, of the columns of `ridge.columns_of`.
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
