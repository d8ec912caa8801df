"""What do the voice alone and the face alone say? One ridge regression per modality, on embeddings and their averages.

The two readings are the plain baseline that a fusion model has to beat, and the two opinions whose disagreement is the
`inconsistency` of a prediction. They are fitted apart from the network, so neither disturbs the other.

Letters: t steps, D embedding width, c principal components, p columns, m a modality. Axes of a pair of readings:
(t, modality, dimension), in the order of `MODALITIES` and `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.parameters import MODALITIES, Modality
from iaca.training.loss import concordance
from iaca.training.sample import BoolArray, FloatArray, Normalisation

Array = NDArray[np.float64]

WINDOWS_S = (0.5, 2.0)
"""Lengths (s) of the centred averages that are columns beside the step itself."""
COMPONENTS = 128
"""At most this many principal components of a modality are used: it bounds the fit, whatever the encoder."""
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Tried for each modality and dimension; per row, on standardised embeddings."""
FOLDS = 5
LARGEST_SCALE = 2.0
"""Ridge regression shrinks towards the mean. Its spread is matched to the gold's, at most by this factor."""


@dataclass(frozen=True)
class Reader:
    """The reading of one modality.

    Attributes:
        components: (D, c) float32, of normalised embeddings.
        weights: (p, 2) float32, of `columns`, for valence and arousal.
        reliability: (2,) float32, CCC of valence and arousal on clips of subjects left out of the fit.
    """

    components: FloatArray
    weights: FloatArray
    reliability: FloatArray

    def read(self, x: FloatArray, present: BoolArray, rate: float) -> FloatArray:
        """Normalised embeddings (t, D), presence (t,), steps per second -> valence and arousal (t, 2).

        Where the modality is absent the averages around the step are used, and far from any observation the mean of the
        training annotation.
        """
        return np.asarray(columns(x @ self.components, present, rate) @ self.weights, np.float32)


@dataclass(frozen=True)
class Readers:
    """The readers of both modalities."""

    audio: Reader
    visual: Reader

    def read(self, clip: ClipEmbedding, normalisation: Normalisation) -> FloatArray:
        """Both readings of a clip, (t, 2, 2)."""
        readings = []
        for modality in MODALITIES:
            present = clip.present[modality]
            x = normalisation.apply(clip.features[modality], present, modality)
            readings.append(self.of(modality).read(x, present, rate_of(clip)))
        return np.stack(readings, axis=1)

    def of(self, modality: Modality) -> Reader:
        """The reader of one modality."""
        return self.audio if modality == "audio" else self.visual


class Readings(NamedTuple):
    """What a fit returns.

    Attributes:
        readers: fitted to all clips.
        out_of_fold: of each clip (t, 2, 2), by readers that have not seen its subject.
    """

    readers: Readers
    out_of_fold: dict[str, FloatArray]


def columns(x: NDArray[np.floating], present: BoolArray, rate: float) -> NDArray[np.float32]:
    """Components (t, c) -> columns (t, p): the step itself, its averages over `WINDOWS_S`, and a constant.

    Averages are over observed steps; a step or a window without any is 0, the mean.
    """
    x = np.where(present[:, None], x, 0.0)
    averages = [local_mean(x, present, rate * seconds) for seconds in WINDOWS_S]
    return np.concatenate([x, *averages, np.ones((len(x), 1))], axis=1, dtype=np.float32)


def local_mean(x: NDArray[np.floating], present: BoolArray, steps: float) -> Array:
    """(t, k) -> (t, k): the mean over the observed steps of a centred window of about `steps`; 0 where there is none.

    At the ends of a clip the window is cut.
    """
    half = round(steps) // 2
    start = np.clip(np.arange(len(x)) - half, 0, None)
    end = np.clip(np.arange(len(x)) + half + 1, None, len(x))
    sums = np.zeros((len(x) + 1, x.shape[1] + 1))
    np.cumsum(np.column_stack([np.where(present[:, None], x, 0.0), present]), axis=0, out=sums[1:])
    inside = sums[end] - sums[start]
    return np.asarray(inside[:, :-1] / np.maximum(inside[:, -1:], 1.0))


def rate_of(clip: ClipEmbedding) -> float:
    """Steps per second of a clip, by the median step; 1 for a clip of a single step."""
    gaps = np.diff(clip.time_s)
    gaps = gaps[gaps > 0]
    return float(1.0 / np.median(gaps)) if len(gaps) else 1.0


# --- the fit ---


def fit_readings(
    clips: Mapping[str, AnnotatedClip], subjects: Mapping[str, str], normalisation: Normalisation
) -> Readings | None:
    """Fit the readers, and read every clip by readers fitted without its subject.

    The penalty of each modality and dimension is the one with the best CCC on subjects left out.

    Args:
        clips: of the train partition.
        subjects: of the clips; a clip that is not listed is a subject of its own.
        normalisation: of the embeddings.

    Returns:
        None if fewer than two subjects have an annotated step with a face and one with sound: nobody can be left out.
    """
    names = sorted({subjects.get(name, name) for name in clips})
    fold_of = {name: names.index(subjects.get(name, name)) % FOLDS for name in clips}
    fits = {modality: _fit_modality(modality, clips, fold_of, normalisation) for modality in MODALITIES}
    if any(fit is None for fit in fits.values()):
        return None
    (audio, heard), (visual, seen) = (fit for fit in fits.values() if fit is not None)
    out_of_fold = {name: np.stack([heard[name], seen[name]], axis=1) for name in clips}
    return Readings(Readers(audio, visual), out_of_fold)


def _fit_modality(
    modality: Modality,
    clips: Mapping[str, AnnotatedClip],
    fold_of: Mapping[str, int],
    normalisation: Normalisation,
) -> tuple[Reader, dict[str, FloatArray]] | None:
    """The reader of a modality, and its reading (t, 2) of each clip by folds."""

    def prepared() -> Iterator[tuple[str, FloatArray, BoolArray, float]]:
        for name, clip in clips.items():
            present = clip.embedding.present[modality]
            x = normalisation.apply(clip.embedding.features[modality], present, modality)
            yield name, x, present, rate_of(clip.embedding)

    components = _principal((x[present] for _, x, present, _ in prepared()), normalisation, modality)
    sums: dict[int, _Sums] = {}
    for name, x, present, rate in prepared():
        rows = present & np.isfinite(clips[name].labels).all(axis=1)
        if rows.any():
            part = _Sums.of(columns(x @ components, present, rate)[rows], clips[name].labels[rows])
            fold = fold_of[name]
            sums[fold] = sums[fold] + part if fold in sums else part
    if len(sums) < 2:
        return None
    whole = _total(sums.values())
    solutions = {fold: _total(s for f, s in sums.items() if f != fold).solve() for fold in set(fold_of.values())}
    left_out = {  # (t, penalties, 2)
        name: np.einsum("tp,pad->tad", columns(x @ components, present, rate), solutions[fold_of[name]])
        for name, x, present, rate in prepared()
    }
    return _choose(modality, components, whole, left_out, clips)


def _choose(
    modality: Modality,
    components: FloatArray,
    whole: _Sums,
    left_out: Mapping[str, Array],
    clips: Mapping[str, AnnotatedClip],
) -> tuple[Reader, dict[str, FloatArray]]:
    """The best penalty for each dimension, with the spread of the held-out readings matched to that of the gold."""
    rows = {n: c.embedding.present[modality] & np.isfinite(c.labels).all(axis=1) for n, c in clips.items()}
    gold = np.concatenate([clips[name].labels[rows[name]] for name in clips]).astype(np.float64)
    predicted = np.concatenate([left_out[name][rows[name]] for name in clips])  # (n, penalties, 2)
    spread = np.maximum(predicted.std(axis=0), 1e-9)
    scale = np.minimum(gold.std(axis=0) / spread, LARGEST_SCALE)  # (penalties, 2)
    shift = gold.mean(axis=0) - scale * predicted.mean(axis=0)
    matched = scale * predicted + shift
    scores = np.array([_ccc(matched[:, a], gold) for a in range(len(PENALTIES))])  # (penalties, 2)
    best = np.nan_to_num(scores, nan=-1.0).argmax(axis=0)  # (2,)
    weights, dimension = whole.solve()[:, best, [0, 1]], [0, 1]
    chosen_scale, chosen_shift = scale[best, dimension], shift[best, dimension]
    weights = weights * chosen_scale
    weights[-1] += chosen_shift
    readings = {
        name: (values[:, best, dimension] * chosen_scale + chosen_shift).astype(np.float32)
        for name, values in left_out.items()
    }
    reliability = np.nan_to_num(scores[best, dimension], nan=0.0)
    return Reader(components, weights.astype(np.float32), reliability.astype(np.float32)), readings


def _ccc(prediction: Array, gold: Array) -> Array:
    everywhere = torch.ones(len(gold), dtype=torch.bool)
    return concordance(torch.from_numpy(prediction), torch.from_numpy(gold), everywhere).numpy()


def _principal(parts: Iterator[FloatArray], normalisation: Normalisation, modality: Modality) -> FloatArray:
    """The first principal components (D, c) of normalised embeddings, whose mean is 0."""
    width = len(getattr(normalisation, f"{modality}_mean"))
    products, rows = np.zeros((width, width)), 0
    for x in parts:
        products += x.T.astype(np.float64) @ x
        rows += len(x)
    _, vectors = np.linalg.eigh(products / max(rows, 1))  # in rising order
    vectors = vectors[:, ::-1][:, :COMPONENTS]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.asarray(vectors * signs, np.float32)


class _Sums(NamedTuple):
    """Sufficient statistics of n rows: n, products of the columns (p, p), and of columns and gold (p, 2)."""

    rows: int
    products: Array
    gold: Array

    @classmethod
    def of(cls, x: NDArray[np.float32], gold: FloatArray) -> _Sums:
        wide = x.astype(np.float64)
        return cls(len(x), wide.T @ wide, wide.T @ gold)

    def __add__(self, other: _Sums) -> _Sums:  # type: ignore[override]
        return _Sums(self.rows + other.rows, self.products + other.products, self.gold + other.gold)

    def solve(self) -> Array:
        """Weights (p, penalties, 2); the constant is not penalised."""
        free = np.ones(len(self.products))
        free[-1] = 0.0
        weights = [np.linalg.solve(self.products + np.diag(a * self.rows * free), self.gold) for a in PENALTIES]
        return np.stack(weights, axis=1)


def _total(parts: Iterable[_Sums]) -> _Sums:
    return reduce(lambda one, other: one + other, parts)
