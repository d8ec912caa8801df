"""How sure is a prediction? What a trained model needs to say so: `Calibration`, which travels in the model file.

Intervals hold the truth in a stated share of the time, on clips never seen. They are made by hierarchical
conformal prediction (Lee, Barber and Willett, arXiv 2306.06342; Dunn, Wasserman and Ramdas, arXiv 1809.07441): the
frames of a clip resemble each other, clips do not, so each calibration clip counts once however long it is. With the
score s = |gold - y| / sigma of K clips of N_k annotated steps each,

    q = quantile 1 - alpha of sum_k sum_i delta(s_ki) / ((K + 1) N_k) + delta(infinity) / (K + 1)

and the interval is y +- q sigma, clipped to [-1, 1]. It needs K >= 1 / alpha - 1 clips: 9 for 90 %.

sigma is a log-linear function of circumstances: what is observed, how far voice and face disagree with the prediction
and with each other, and quality cues. It is fitted to the errors on the calibration clips, those of other subjects when
a clip is scored.

Calibration clips are the train clips, each predicted by a network trained without its subject (`TrainingConfig.folds`),
and the validation clips. Two things are lost against the theory: the validation clips also chose the epoch, so their
errors are slightly too small, and networks of folds learned from fewer clips, so theirs are slightly too large.

Letters: t steps, q circumstances, d dimensions (valence, arousal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.errors import brief
from iaca.parameters import MODALITIES, Modality
from iaca.training.config import TARGETS
from iaca.training.inconsistency import Inconsistency, fit_inconsistency
from iaca.training.readings import (
    WINDOWS_S,
    Reader,
    Readers,
    ccc_of,
    every_nth,
    fit_readings,
    local_mean,
    rate_of,
    stride,
)
from iaca.training.sample import FloatArray, Normalisation, read_cues

Array = NDArray[np.float64]

LEVEL = 0.9
"""Share of the time in which an interval holds the truth."""
CUES = ("snr_estimate", "voice_activity", "face_score", "face_sharpness")
SMALLEST_ERROR = 0.02
"""Errors below this are taken as this: the scale is fitted to their logarithm."""
CASES = 16 + 2 * len(CUES)
"""Number of circumstances."""
RIDGE = 0.1
"""Penalty of the fit of the scale, per row, on standardised circumstances."""
SCALE_FOLDS = 10


class Errors(NamedTuple):
    """A calibration clip: who is seen, circumstances (n, q) and errors (n, d) of its annotated steps."""

    subject: str
    circumstances: Array
    errors: Array


@dataclass(frozen=True)
class Intervals:
    """What intervals are computed with; every field is a float32 array.

    Attributes:
        centre, spread: (q,) of the circumstances on the calibration clips.
        weights: (q + 1, d), of standardised circumstances and a constant, for log sigma.
        bounds: (2, d), smallest and largest log sigma on the calibration clips; kept to on others.
        quantile: (d,), q of each dimension.
    """

    centre: FloatArray
    spread: FloatArray
    weights: FloatArray
    bounds: FloatArray
    quantile: FloatArray

    def of(self, prediction: FloatArray, circumstances: Array) -> FloatArray:
        """Prediction (t, d), circumstances (t, q) -> (t, 2, d), low and high in [-1, 1]."""
        half = self.quantile * np.exp(self._log_scale(circumstances))
        return np.stack([prediction - half, prediction + half], axis=1).clip(-1.0, 1.0).astype(np.float32)

    def scores(self, clip: Errors) -> Array:
        """(n, d) errors in units of sigma."""
        return np.asarray(clip.errors / np.exp(self._log_scale(clip.circumstances)))

    def _log_scale(self, circumstances: Array) -> Array:
        standard = (circumstances - self.centre) / self.spread
        return np.asarray(np.clip(standard @ self.weights[:-1] + self.weights[-1], *self.bounds))


PRESENCE_S = 1.0
"""Time (s) over which presence is averaged."""


class TrailingPresence:
    """Share of the steps of the last second with a voice, and with a face, for a clip that arrives in pieces."""

    def __init__(self) -> None:
        self._times, self._present = np.zeros(0), np.zeros((0, len(MODALITIES)))

    def of(self, clip: ClipEmbedding) -> Array:
        """(t, 2) at the next steps."""
        before = len(self._times)
        times = np.concatenate([self._times, clip.time_s])
        present = np.concatenate([self._present, np.column_stack([clip.present[m] for m in MODALITIES])])
        first, end = (
            np.searchsorted(times, times[before:] - PRESENCE_S + 1e-6, "right"),
            np.arange(before + 1, len(times) + 1),
        )
        sums = np.concatenate([np.zeros((1, len(MODALITIES))), present.cumsum(axis=0)])
        kept = first[-1] if len(first) else 0
        self._times, self._present = times[kept:], present[kept:]
        return np.asarray((sums[end] - sums[first]) / (end - first)[:, None])


def circumstances(
    clip: ClipEmbedding, prediction: FloatArray, readings: FloatArray, odds: Array, observed: Array | None = None
) -> Array:
    """What an error may depend on, (t, q), finite.

    Args:
        clip: of t steps.
        prediction: (t, d).
        readings: (t, modality, d), see `Readers.read`.
        odds: (t, 3), see `Inconsistency.log_odds`; NaN where unknown.
        observed: (t, 2), the share of the time around each step in which voice and face are present; None for the
            second around it.
    """
    presence = np.column_stack([clip.audio_present, clip.face_found]).astype(np.float64)
    if observed is None:
        observed = local_mean(presence, np.ones(len(clip), np.bool_), PRESENCE_S * rate_of(clip))
    apart = np.abs(readings - prediction[:, None]).reshape(len(clip), -1)
    cues = read_cues(clip, CUES).astype(np.float64)
    parts = [
        presence, observed, apart, np.abs(prediction), np.abs(readings[:, 0] - readings[:, 1]),
        np.tanh(np.nan_to_num(odds) / 4), np.isfinite(odds[:, :1]), np.nan_to_num(cues), np.isfinite(cues),
    ]  # fmt: skip
    return np.concatenate(parts, axis=1, dtype=np.float64)


def fit_intervals(clips: Sequence[Errors], level: float = LEVEL) -> Intervals | None:
    """Fit the error scale and the quantiles.

    Args:
        clips: that the model was not fitted to; clips without an annotated step do not count.
        level: 1 - alpha.

    Returns:
        None with fewer than 1 / alpha - 1 clips, or if they show fewer than two subjects.
    """
    clips = [clip for clip in clips if len(clip.errors)]
    subjects = sorted({clip.subject for clip in clips})
    if len(subjects) < 2:
        return None
    folds = [set(subjects[i::SCALE_FOLDS]) for i in range(min(SCALE_FOLDS, len(subjects)))]
    scores = []
    for fold in folds:
        scale = _fit_scale([clip for clip in clips if clip.subject not in fold])
        scores += [scale.scores(clip) for clip in clips if clip.subject in fold]
    quantile = np.array([conformal_quantile([s[:, d] for s in scores], level) for d in range(scores[0].shape[1])])
    if not np.isfinite(quantile).all():
        return None
    return Intervals(**{**vars(_fit_scale(clips)), "quantile": quantile.astype(np.float32)})


def conformal_quantile(scores: Sequence[Array], level: float) -> float:
    """q of the formula at the top: scores (N_k,) of K clips -> the quantile `level`; infinite with too few clips."""
    pooled = np.concatenate(scores)
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in scores]) / (len(scores) + 1)
    order = np.argsort(pooled, kind="stable")
    reached = np.cumsum(weights[order])
    first = int(np.searchsorted(reached, level - 1e-9))
    return float(pooled[order][first]) if first < len(pooled) else np.inf


def _fit_scale(clips: Sequence[Errors]) -> Intervals:
    """The error scale by ridge regression of log errors, every clip with the same weight; quantiles are left at 1."""
    x = np.concatenate([clip.circumstances for clip in clips])
    y = np.log(np.maximum(np.concatenate([clip.errors for clip in clips]), SMALLEST_ERROR))
    weight = np.concatenate([np.full(len(clip.errors), 1 / len(clip.errors)) for clip in clips]) / len(clips)
    centre = weight @ x
    x -= centre  # in place, as below: up to `MOST_STEPS` rows, of which a few copies would be most of the memory
    spread = np.sqrt(weight @ x**2)
    spread[spread < 1e-6] = 1.0
    x /= spread
    level, weighted = weight @ y, x * weight[:, None]
    products = weighted.T @ x + RIDGE * np.eye(x.shape[1])
    slopes = np.linalg.solve(products, weighted.T @ (y - level))
    bounds = np.quantile(x @ slopes + level, [0.01, 0.99], axis=0)
    fields = (centre, spread, np.vstack([slopes, level]), bounds, np.ones(y.shape[1]))
    return Intervals(*(np.asarray(field, np.float32) for field in fields))


# --- scale and offset ---

LARGEST_SCALE = 2.0
"""A spread is enlarged or reduced by this factor at most."""


@dataclass(frozen=True)
class Recalibration:
    """Two numbers per dimension that give predictions the mean and the spread of the annotation.

    For a given correlation that is where the CCC is largest. The order of predictions does not change.

    Attributes:
        scale, offset: (d,) float32.
    """

    scale: FloatArray
    offset: FloatArray

    def of(self, prediction: FloatArray) -> FloatArray:
        """(t, d) -> (t, d) in [-1, 1]."""
        return np.asarray((prediction * self.scale + self.offset).clip(-1.0, 1.0), np.float32)


def fit_recalibration(prediction: FloatArray, gold: FloatArray) -> Recalibration:
    """From predictions (n, d) of clips that the model was not fitted to, and their annotation."""
    spread = np.maximum(prediction.std(axis=0, dtype=np.float64), 1e-6)
    scale = np.clip(gold.std(axis=0, dtype=np.float64) / spread, 1 / LARGEST_SCALE, LARGEST_SCALE)
    offset = gold.mean(axis=0, dtype=np.float64) - scale * prediction.mean(axis=0, dtype=np.float64)
    return Recalibration(scale.astype(np.float32), offset.astype(np.float32))


# --- everything together ---


class Judgement(NamedTuple):
    """What a calibration says of a clip's prediction.

    Attributes:
        bounds: (t, 2, d) float32, low and high; NaN without intervals.
        inconsistency: (t,) float32 in [0, 1]; NaN where unknown.
    """

    bounds: FloatArray
    inconsistency: FloatArray


@dataclass(frozen=True)
class Calibration:
    """How sure a model is, and how far voice and face disagree.

    Attributes:
        modalities: that the model uses; what it does not use has no influence.
        readers: what voice and face say alone; None if they could not be fitted.
        inconsistency: None without readers.
        intervals: None with too few calibration clips.
        facts: what was calibrated on what, or why not, by `intervals`, `inconsistency` and `recalibration`.
        recalibration: of the predictions; None leaves them as they are.
        causal: that of the model: circumstances are those of the last second, and nothing is compared with the rest of
            the clip, so that there are no readers.
    """

    modalities: tuple[Modality, ...]
    readers: Readers | None
    inconsistency: Inconsistency | None
    intervals: Intervals | None
    facts: Mapping[str, str]
    recalibration: Recalibration | None = None
    causal: bool = False

    def judge(
        self,
        clip: ClipEmbedding,
        normalisation: Normalisation,
        prediction: FloatArray,
        presence: TrailingPresence | None = None,
    ) -> Judgement:
        """Bounds and inconsistency of a clip's prediction (t, d).

        Args:
            clip: of t steps, or a piece of one.
            normalisation: of its embeddings.
            prediction: of these steps.
            presence: of the pieces before, for a causal model.
        """
        clip = used(clip, self.modalities)
        observed = self._observed(clip, presence)
        readings, odds = self._opinions(clip, normalisation, prediction)
        shares = np.full(len(clip), np.nan, np.float32)
        if self.inconsistency is not None:
            shares = self.inconsistency.share(odds)
        if self.intervals is None:
            return Judgement(np.full((len(clip), 2, prediction.shape[1]), np.nan, np.float32), shares)
        return Judgement(
            self.intervals.of(prediction, circumstances(clip, prediction, readings, odds, observed)), shares
        )

    def errors(
        self, clip: AnnotatedClip, subject: str, normalisation: Normalisation, prediction: FloatArray, every: int = 1
    ) -> Errors:
        """The errors of a prediction at every n-th of the annotated steps, for `fit_intervals`."""
        embedding = used(clip.embedding, self.modalities)
        rows = every_nth(np.isfinite(clip.labels).all(axis=1) & embedding.observed, every)
        opinions = self._opinions(embedding, normalisation, prediction)
        cases = circumstances(embedding, prediction, *opinions, self._observed(embedding))
        return Errors(subject, cases[rows], np.abs(clip.labels - prediction)[rows].astype(np.float64))

    def _observed(self, clip: ClipEmbedding, presence: TrailingPresence | None = None) -> Array | None:
        return (presence or TrailingPresence()).of(clip) if self.causal else None

    def _opinions(
        self, clip: ClipEmbedding, normalisation: Normalisation, prediction: FloatArray
    ) -> tuple[FloatArray, Array]:
        """Readings (t, modality, d), and log-odds (t, 3); without readers the prediction itself, and unknown ones."""
        if self.readers is None or self.inconsistency is None:
            unknown = np.zeros((len(clip), 3))
            unknown[:, 0] = np.nan
            return np.repeat(prediction[:, None], len(MODALITIES), axis=1), unknown
        readings = self.readers.read(clip, normalisation)
        return readings, self.inconsistency.log_odds(clip, normalisation, self.readers, readings)

    def arrays(self) -> dict[str, FloatArray]:
        """Every array by a dotted name, for the model file."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in ("inconsistency", "intervals", "recalibration")}
        if self.readers is not None:
            parts |= {f"readers.{m}": self.readers.of(m) for m in MODALITIES}
        return {
            f"{name}.{field.name}": getattr(part, field.name)
            for name, part in parts.items()
            if part is not None
            for field in fields(part)
        }

    @classmethod
    def of_arrays(
        cls,
        arrays: Mapping[str, FloatArray],
        modalities: tuple[Modality, ...],
        dims: Mapping[Modality, int],
        facts: Mapping[str, str],
    ) -> Self:
        """The calibration that `arrays` came from; `dims` are the widths of the model's embeddings.

        Raises:
            ValueError: an array is missing, unknown, of another shape, or has values that no fit gives.
        """
        _check_arrays(arrays, dims)

        def part(kind: type[Any], name: str) -> Any:
            if not any(key.startswith(f"{name}.") for key in arrays):
                return None
            return kind(**{field.name: arrays[f"{name}.{field.name}"] for field in fields(kind)})

        audio, visual = (part(Reader, f"readers.{m}") for m in MODALITIES)
        readers = None if audio is None or visual is None else Readers(audio, visual)
        fitted = (part(Inconsistency, "inconsistency"), part(Intervals, "intervals"))
        return cls(modalities, readers, *fitted, dict(facts), part(Recalibration, "recalibration"))


SHAPES = {
    **{f"readers.{m}.components": (m, f"{m} components") for m in MODALITIES},
    **{f"readers.{m}.weights": (f"{m} columns", "d") for m in MODALITIES},
    **{f"readers.{m}.reliability": ("d",) for m in MODALITIES},
    "inconsistency.mean": ("pair",), "inconsistency.covariance": ("pair", "pair"), "inconsistency.evidence": ("three",),
    **{f"inconsistency.{m}_{name}": (f"{m} identity",) * 2 for m in MODALITIES for name in ("same", "other")},
    "inconsistency.quantiles": ("quantiles",),
    "intervals.centre": ("cases",), "intervals.spread": ("cases",), "intervals.weights": ("cases + 1", "d"),
    "intervals.bounds": ("d", "d"), "intervals.quantile": ("d",),
    "recalibration.scale": ("d",), "recalibration.offset": ("d",),
}  # fmt: skip
"""Of every array: its axes by name. Axes of one name have one length."""
PARTS = {"readers": {n for n in SHAPES if n.startswith(("readers", "inconsistency"))},
         **{part: {n for n in SHAPES if n.startswith(part)} for part in ("intervals", "recalibration")}}  # fmt: skip
"""Arrays that come together or not at all."""


def _check_arrays(arrays: Mapping[str, FloatArray], dims: Mapping[Modality, int]) -> None:
    if unknown := sorted(arrays.keys() - SHAPES.keys()):
        raise ValueError(f"there is no array {brief(unknown[0])}")
    for names in PARTS.values():
        if names & arrays.keys() and (missing := sorted(names - arrays.keys())):
            raise ValueError(f"the array {missing[0]} is missing")
    sizes = {"d": 2, "pair": 4, "three": 3, "cases": CASES, "cases + 1": CASES + 1}
    sizes |= {str(modality): width for modality, width in dims.items()}
    for name, array in arrays.items():
        axes = SHAPES[name]
        for axis, size in zip(axes, array.shape, strict=False):
            sizes.setdefault(axis, size)
            if axis.endswith(" components"):
                sizes.setdefault(axis.replace("components", "columns"), (1 + len(WINDOWS_S)) * size + 1)
        if array.shape != tuple(sizes.get(axis) for axis in axes):
            raise ValueError(f"{name} has the shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has values that are not finite")
        if axes[0].endswith("identity") and len(array) > arrays[f"readers.{axes[0].split()[0]}.components"].shape[1]:
            raise ValueError(f"{name} has more dimensions than there are components")
        positive = array if name in ("intervals.spread", "intervals.quantile", "recalibration.scale") else np.ones(1)
        if not (positive > 0).all():
            raise ValueError(f"{name} has values that are not above 0")
        if name.endswith(("covariance", "_same", "_other")) and not _positive_definite(array):
            raise ValueError(f"{name} is not a covariance")
    if (np.diff(arrays.get("inconsistency.quantiles", np.zeros(2))) < 0).any():
        raise ValueError("inconsistency.quantiles fall")


def _positive_definite(matrix: FloatArray) -> bool:
    try:
        np.linalg.cholesky(matrix.astype(np.float64))
    except np.linalg.LinAlgError:
        return False
    return bool(np.allclose(matrix, matrix.T))


def used(clip: ClipEmbedding, modalities: Sequence[Modality]) -> ClipEmbedding:
    """The clip as a model sees it that uses these modalities alone: the others are absent."""
    nowhere = np.zeros(len(clip), np.bool_)
    return clip.with_modalities(present={m: nowhere for m in MODALITIES if m not in modalities})


Predict = Callable[[ClipEmbedding], FloatArray]
"""A clip of t steps -> its prediction (t, d)."""


def calibrate(
    modalities: tuple[Modality, ...],
    normalisation: Normalisation,
    predict: Predict,
    train_clips: Mapping[str, AnnotatedClip],
    validation_clips: Mapping[str, AnnotatedClip],
    subjects: Mapping[str, str],
    folds: Sequence[tuple[frozenset[str], Predict]] = (),
    recalibrate: bool = False,
    causal: bool = False,
) -> Calibration:
    """Fit everything that a model needs to judge its predictions.

    Args:
        modalities: that the model uses.
        normalisation: of the model's embeddings.
        predict: of the model, for the validation clips.
        train_clips, validation_clips: by name.
        subjects: of the clips; a clip that is not listed is a subject of its own.
        folds: names of train clips, with the prediction of a model that has not seen their subjects.
        recalibrate: fit scale and offset too; everything else then describes recalibrated predictions.
        causal: that of the model.
    """
    facts = {}
    fits = len(modalities) == len(MODALITIES) and not causal
    readings = fit_readings(train_clips, subjects, normalisation) if fits else None
    judge = readings and fit_inconsistency(train_clips, subjects, readings, validation_clips, normalisation)
    readers = None if readings is None or judge is None else readings.readers
    if judge is None:
        reason = "voice and face were not observed together in two subjects of the train partition"
        if len(modalities) < len(MODALITIES):
            reason = "the model uses one modality"
        elif causal:
            reason = "a causal model does not compare a stretch with the rest of the clip"
        facts["inconsistency"] = f"none: {reason}"
    held_out = [
        (name, clip, prediction(clip.embedding))
        for clips, prediction in ((validation_clips, predict), *(({n: train_clips[n] for n in f}, p) for f, p in folds))
        for name, clip in sorted(clips.items())
    ]
    recalibration = _recalibrated(held_out, facts) if recalibrate else None
    draft = Calibration(modalities, readers, judge, None, facts, recalibration, causal)
    errors, every = [], stride({name: clip for name, clip, _ in held_out})
    for name, clip, prediction in held_out:
        final = prediction if recalibration is None else recalibration.of(prediction)
        found = draft.errors(clip, subjects.get(name, name), normalisation, final, every)
        if len(found.errors):
            errors.append(found)
    intervals = fit_intervals(errors)
    facts["intervals"] = origin_of_intervals(intervals, errors)
    return replace(draft, intervals=intervals, facts=facts)


def origin_of_intervals(intervals: Intervals | None, clips: Sequence[Errors]) -> str:
    """What intervals were calibrated on, or why there are none, in a sentence for people."""
    clips = [clip for clip in clips if len(clip.errors)]
    subjects = len({clip.subject for clip in clips})
    on = f"{len(clips)} annotated clips of {subjects} subjects that the model was not fitted to"
    if intervals is None:
        return f"none: calibration needs {clips_needed(LEVEL)} clips of 2 subjects or more, there are {on}"
    return f"{LEVEL:.0%} of the time, calibrated on {on}"


def _recalibrated(
    held_out: Sequence[tuple[str, AnnotatedClip, FloatArray]], facts: dict[str, str]
) -> Recalibration | None:
    """Scale and offset from held-out predictions, and what they change, into `facts`."""
    rows = [np.isfinite(clip.labels).all(axis=1) & clip.embedding.observed for _, clip, _ in held_out]
    prediction = np.concatenate([p[r] for (_, _, p), r in zip(held_out, rows, strict=True)])
    gold = np.concatenate([clip.labels[r] for (_, clip, _), r in zip(held_out, rows, strict=True)])
    if not len(gold):
        facts["recalibration"] = "none: no annotated step that the model was not fitted to"
        return None
    found = fit_recalibration(prediction, gold)
    before, after = (ccc_of(p, gold) for p in (prediction, found.of(prediction)))
    facts["recalibration"] = "; ".join(
        f"{target} x {s:.2f} {o:+.3f}, CCC on held-out clips {b:.3f} before and {a:.3f} after"
        for target, s, o, b, a in zip(TARGETS, found.scale, found.offset, before, after, strict=True)
    )
    return found


def clips_needed(level: float) -> int:
    """The smallest number of calibration clips for a finite interval: 9 for 90 %."""
    return int(np.ceil(1 / (1 - level) - 1 - 1e-9))
