"""What do the voice alone and the face alone say? One ridge regression per modality, on embeddings and their averages.

The two readings are the plain baseline that a fusion model has to beat, and the two opinions whose disagreement is the
`inconsistency` of a prediction. They are fitted apart from the network, so neither disturbs the other.

Letters: t steps, D embedding width, c principal components, p columns, m a modality. Axes of a pair of readings:
(t, modality, dimension), in the order of `MODALITIES` and `TARGETS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.fusion.config import FusionConfig
from iaca.fusion.gates import Features
from iaca.fusion.iaca_plus import Readings as ReadingWeights
from iaca.parameters import MODALITIES, Modality
from iaca.training.config import TARGETS, Target
from iaca.training.loss import EPSILON, concordance
from iaca.training.sample import BoolArray, FloatArray, ModelInput, Normalisation

Array = NDArray[np.float64]

WINDOWS_S = (0.5, 2.0)
"""Lengths (s) of the centred averages that are columns, in addition to the step itself."""
COMPONENTS = 128
"""At most this many principal components of a modality are used: it bounds the fit, whatever the encoder."""
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Tried for each modality and dimension; per row, on standardised embeddings."""
FOLDS = 5
MOST_STEPS = 500_000
"""What can't be summed up clip by clip is fitted to at most about this many steps of a corpus, evenly spaced: memory
does not grow with the corpus, and neighbours are nearly the same."""
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


def columns(
    x: NDArray[np.floating], present: BoolArray, rate: float, averages_s: Sequence[float] = WINDOWS_S
) -> NDArray[np.float32]:
    """Components (t, c) -> columns (t, p): the step itself, its averages over these lengths (s), and a constant.

    Averages are over observed steps; a step or a window without any is 0, the mean.
    """
    x = np.where(present[:, None], x, 0.0)
    averages = [local_mean(x, present, rate * seconds) for seconds in averages_s]
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


def stride(*corpora: Mapping[str, Sized]) -> int:
    """Every how many-th step to take, so that all clips together have at most `MOST_STEPS`: 1 for a smaller corpus."""
    return max(1, math.ceil(sum(len(clip) for clips in corpora for clip in clips.values()) / MOST_STEPS))


def every_nth(rows: BoolArray, n: int) -> BoolArray:
    """Every n-th of the steps (t,) that are True, from the first of them."""
    kept = np.zeros_like(rows)
    kept[np.flatnonzero(rows)[::n]] = True
    return kept


# --- the fit ---

Read = Callable[[ClipEmbedding], tuple[NDArray[np.float32], BoolArray]]
"""A clip of t steps -> columns (t, p), and where there is something to read (t,)."""


class _Fit(NamedTuple):
    """One regression: weights (p, 2) for all clips and by fold, CCC (2,) out of fold, and folds with annotation."""

    whole: Array
    by_fold: dict[int, Array]
    ccc: Array
    annotated: set[int]


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
    fold_of = _folds({name: subjects.get(name, name) for name in clips})
    spaces = _spaces(clips, normalisation)
    reads: dict[Modality, Read] = {m: _reading_of(m, spaces[m], normalisation, WINDOWS_S) for m in MODALITIES}
    everything = {m: _subsets([spaces[m].shape[1]], len(WINDOWS_S))[:1] for m in MODALITIES}
    fits = {m: _fit(reads[m], clips, fold_of, everything[m], np.zeros(2)) for m in MODALITIES}
    if any(len(fit.annotated) < 2 for fit in fits.values()):
        return None
    readers = {
        m: Reader(spaces[m], fit.whole.astype(np.float32), fit.ccc.astype(np.float32)) for m, fit in fits.items()
    }

    def out_of_fold(name: str) -> FloatArray:
        read = [reads[m](clips[name].embedding)[0] @ fits[m].by_fold[fold_of[name]] for m in MODALITIES]
        return np.stack(read, axis=1).astype(np.float32)

    return Readings(Readers(**readers), {name: out_of_fold(name) for name in clips})


def _folds(group: Mapping[str, str]) -> dict[str, int]:
    """The fold of each clip; clips of one group share it."""
    names = sorted(set(group.values()))
    return {name: names.index(of) % FOLDS for name, of in group.items()}


def _spaces(clips: Mapping[str, AnnotatedClip], normalisation: Normalisation) -> dict[Modality, FloatArray]:
    """The principal components (D, c) of each modality."""

    def observed(modality: Modality) -> Iterator[FloatArray]:
        for clip in clips.values():
            present = clip.embedding.present[modality]
            yield normalisation.apply(clip.embedding.features[modality], present, modality)[present]

    return {m: _principal(observed(m), normalisation, m) for m in MODALITIES}


def _reading_of(
    modality: Modality, components: FloatArray, normalisation: Normalisation, averages_s: Sequence[float]
) -> Read:
    def read(clip: ClipEmbedding) -> tuple[NDArray[np.float32], BoolArray]:
        present = clip.present[modality]
        x = normalisation.apply(clip.features[modality], present, modality) @ components
        return columns(x, present, rate_of(clip), averages_s), present

    return read


def _subsets(widths: Sequence[int], averages: int) -> list[NDArray[np.bool_]]:
    """Columns with all averages, and without the last: masks (p,)."""
    without = [np.repeat(np.arange(1 + averages) < averages, width) for width in widths]
    used = np.concatenate([*without, np.ones(1, np.bool_)])
    return [np.ones_like(used), used] if averages else [used]


def _fit(
    read: Read,
    clips: Mapping[str, AnnotatedClip],
    fold_of: Mapping[str, int],
    subsets: Sequence[NDArray[np.bool_]],
    mean: Array,
) -> _Fit:
    """A regression, with its spread matched to that of the gold out of fold."""
    sums: dict[int, _Sums] = {}
    for name, clip in clips.items():
        x, there = read(clip.embedding)
        rows = there & np.isfinite(clip.labels).all(axis=1)
        part = _Sums.of(x[rows], clip.labels[rows])
        fold = fold_of[name]
        sums[fold] = sums[fold] + part if fold in sums else part
    nothing = np.zeros((len(subsets[0]), len(subsets) * len(PENALTIES), 2))
    nothing[-1] = mean

    def solved(parts: list[_Sums]) -> Array:
        if not sum(part.rows for part in parts):
            return nothing
        total = _total(parts)
        return np.concatenate([total.solve(used) for used in subsets], axis=1)  # (p, candidates, 2)

    by_fold = {fold: solved([part for other, part in sums.items() if other != fold]) for fold in sums}
    annotated = {fold for fold, part in sums.items() if part.rows}
    if not annotated:
        weights = nothing[:, 0]
        return _Fit(weights, dict.fromkeys(sums, weights), np.zeros(2), annotated)
    spread, gold_spread, predicted_mean, gold_mean, covariance = _moments(sums, by_fold)  # (candidates, 2)
    scale = np.where(spread > 1e-6, np.minimum(gold_spread / np.maximum(spread, 1e-6), LARGEST_SCALE), 1.0)
    shift = gold_mean - scale * predicted_mean
    scores = _matched_ccc(scale, spread, gold_spread, covariance)
    # of equal ones the last: the largest penalty
    best, dimension = len(scores) - 1 - np.nan_to_num(scores[::-1], nan=-1.0).argmax(axis=0), [0, 1]

    def matched(weights: Array) -> Array:
        chosen = weights[:, best, dimension] * scale[best, dimension]
        chosen[-1] += shift[best, dimension]
        return np.asarray(chosen)

    ccc = np.nan_to_num(scores[best, dimension], nan=0.0)
    whole, by_fold = matched(solved(list(sums.values()))), {f: matched(w) for f, w in by_fold.items()}
    return _Fit(whole, by_fold, ccc, annotated)


def ccc_of(prediction: NDArray[np.floating], gold: NDArray[np.floating]) -> Array:
    """CCC (d,) of n predictions (n, d) with as many gold values."""
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
    """Sufficient statistics of n rows: all that a regression, its CCC and its spread need, whatever n is.

    Attributes:
        rows: n.
        products: (p, p) of the columns; the last column is the constant.
        gold: (p, 2) of columns and gold.
        squares: (2,) of the gold.
    """

    rows: int
    products: Array
    gold: Array
    squares: Array

    @classmethod
    def of(cls, x: NDArray[np.float32], gold: FloatArray) -> _Sums:
        wide = x.astype(np.float64)
        return cls(len(x), wide.T @ wide, wide.T @ gold, np.square(gold, dtype=np.float64).sum(axis=0))

    def __add__(self, other: _Sums) -> _Sums:  # type: ignore[override]
        squares = self.squares + other.squares
        return _Sums(self.rows + other.rows, self.products + other.products, self.gold + other.gold, squares)

    def solve(self, used: NDArray[np.bool_] | None = None) -> Array:
        """Weights (p, penalties, 2); the constant is not penalised. Columns that are not `used` (p,) weigh 0."""
        if used is not None:
            parts = _Sums(self.rows, self.products[np.ix_(used, used)], self.gold[used], self.squares).solve()
            weights = np.zeros((len(used), *parts.shape[1:]))
            weights[used] = parts
            return weights
        free = np.ones(len(self.products))
        free[-1] = 0.0
        solved = [np.linalg.solve(self.products + np.diag(a * self.rows * free), self.gold) for a in PENALTIES]
        return np.stack(solved, axis=1)


def _moments(sums: Mapping[int, _Sums], weights: Mapping[int, Array]) -> tuple[Array, Array, Array, Array, Array]:
    """Moments of predictions and gold over all folds, from the products of each fold and its weights (p, a, 2).

    Returns:
        Standard deviation of the predictions (a, 2) and of the gold (2,), mean of both, and their covariance (a, 2).
    """
    total = _total(sums.values())
    n, shape = max(total.rows, 1), next(iter(weights.values())).shape[1:]
    mean, square, cross = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for fold, part in sums.items():
        w = weights[fold]
        mean += np.einsum("p,pad->ad", part.products[-1], w)
        square += np.einsum("pad,pad->ad", w, np.tensordot(part.products, w, axes=1))
        cross += np.einsum("pad,pd->ad", w, part.gold)
    mean, gold_mean = mean / n, total.gold[-1] / n
    spread, gold_spread = (
        np.sqrt(np.maximum(s / n - m**2, 0.0)) for s, m in ((square, mean), (total.squares, gold_mean))
    )
    return spread, gold_spread, mean, gold_mean, cross / n - mean * gold_mean


def _matched_ccc(scale: Array, spread: Array, gold_spread: Array, covariance: Array) -> Array:
    """CCC (a, 2) of predictions whose spread was scaled, and whose mean is that of the gold."""
    return np.asarray(2 * scale * covariance / ((scale * spread) ** 2 + gold_spread**2 + EPSILON))


def _total(parts: Iterable[_Sums]) -> _Sums:
    return reduce(lambda one, other: one + other, parts)


# --- the readings that a fusion model starts from ---

Reads = Callable[[Iterable[Features], Tensor, Tensor], Tensor]
"""`FusionModel.read`, or `Readings` itself."""


def read_steps(
    reads: Reads, parts: Iterable[ModelInput], present: BoolArray, rate: float, device: torch.device | None = None
) -> FloatArray:
    """Readings (t, modality, 2) of t steps in a row.

    Args:
        reads: of a model, or of readers of one fold.
        parts: of these steps, one after the other.
        present: (t, modality), of all of them.
        rate: steps per second.
        device: of the readers; None is the CPU.
    """
    features: Iterable[Features] = (
        {str(m): torch.from_numpy(getattr(part, m))[None].to(device) for m in MODALITIES} for part in parts
    )
    with torch.inference_mode():
        steps_per_second = torch.tensor([rate], dtype=torch.float64, device=device)
        readings = reads(features, torch.from_numpy(present)[None].to(device), steps_per_second)
    return np.asarray(readings[0].float().cpu().numpy())


SHARPNESS = (4.0, 2.0)
"""Late fusion weighs by out-of-fold CCC to one of these powers."""
WORTH = 0.01
"""A second opinion has to be worth this much CCC out of fold. If it is not, the sharper weights are used: they lose
less where one modality no longer shows what it showed in training."""
LEAST = 1e-3
"""Smallest reliability."""


class FusionReadings(NamedTuple):
    """Buffers of `iaca.fusion.iaca_plus.Readings`, fitted to train clips.

    Attributes:
        whole: by readers fitted to all clips, with the weights of late fusion.
        of_clip: of each train clip, by readers that have not seen its subject; clips of a fold share them.
        ccc: (2,) of the late or joint prediction of valence and arousal, out of fold.
    """

    whole: dict[str, Tensor]
    of_clip: dict[str, dict[str, Tensor]]
    ccc: Array


def fit_fusion_readings(
    config: FusionConfig,
    clips: Mapping[str, AnnotatedClip],
    subjects: Mapping[str, str],
    normalisation: Normalisation,
    targets: Sequence[Target] = TARGETS,
) -> FusionReadings:
    """Fit the readings of a fusion model, and readings of each train clip that have not seen its subject.

    Penalty and averages of each regression and dimension are those with the best CCC on subjects left out.

    Args:
        config: of the model; its `averages_s` are used all, or without the longest.
        clips: of the train partition.
        subjects: of the clips; a clip that is not listed is a subject of its own. If there is one alone, clips are left
            out; of a single clip, nothing can be learned that holds for others, and its readings are constant.
        normalisation: of the embeddings.
        targets: the dimensions that are learned; the readings of the other one are 0.
    """
    learned = [target in targets for target in TARGETS]
    clips = {n: replace(c, labels=np.where(learned, c.labels, np.float32(0.0))) for n, c in clips.items()}
    group = {name: subjects.get(name, name) for name in clips}
    group = group if len(set(group.values())) > 1 else {name: name for name in clips}
    fold_of, spaces = _folds(group), _spaces(clips, normalisation)
    reads: dict[Modality, Read] = {m: _reading_of(m, spaces[m], normalisation, config.averages_s) for m in MODALITIES}

    def read_both(clip: ClipEmbedding) -> tuple[NDArray[np.float32], BoolArray]:
        (heard, audible), (seen, visible) = (reads[m](clip) for m in MODALITIES)
        return np.concatenate([heard[:, :-1], seen], axis=1), audible | visible

    gold = np.concatenate([c.labels[np.isfinite(c.labels).all(axis=1)] for c in clips.values()]).astype(np.float64)
    mean = gold.mean(axis=0) if len(gold) else np.zeros(2)
    widths = [spaces[m].shape[1] for m in MODALITIES]
    if config.readings == "joint":
        fit = _fit(read_both, clips, fold_of, _subsets(widths, len(config.averages_s)), mean)
        split = widths[0] * (1 + len(config.averages_s))

        def parts(weights: Array) -> list[Array]:
            return [np.vstack([weights[:split], np.zeros((1, 2))]), weights[split:]]

        of_fold = {fold: _buffers(spaces, parts(weights)) for fold, weights in fit.by_fold.items()}
        whole = _buffers(spaces, parts(fit.whole)) | {"mean": _tensor(mean)}
        return FusionReadings(whole, {name: of_fold[fold] for name, fold in fold_of.items()}, fit.ccc)
    fits = [
        _fit(reads[m], clips, fold_of, _subsets([spaces[m].shape[1]], len(config.averages_s)), mean) for m in MODALITIES
    ]
    whole = _buffers(spaces, [fit.whole for fit in fits]) | {"mean": _tensor(mean)}
    of_fold = {fold: _buffers(spaces, [fit.by_fold[fold] for fit in fits]) for fold in set(fold_of.values())}
    weighing, ccc = _fit_weights(config, fits, [reads[m] for m in MODALITIES], clips, fold_of, mean)
    return FusionReadings(whole | weighing, {name: of_fold[fold] for name, fold in fold_of.items()}, ccc)


def _fit_weights(
    config: FusionConfig,
    fits: Sequence[_Fit],
    reads: Sequence[Read],
    clips: Mapping[str, AnnotatedClip],
    fold_of: Mapping[str, int],
    mean: Array,
) -> tuple[dict[str, Tensor], Array]:
    """Weights of late fusion, and its CCC (2,), out of fold."""
    readings, presence, gold = list[Array](), list[BoolArray](), list[FloatArray]()
    apart = stride(clips)
    for name, clip in clips.items():
        seen = [read(clip.embedding) for read in reads]
        rows = every_nth(np.isfinite(clip.labels).all(axis=1) & np.any([there for _, there in seen], axis=0), apart)
        fold = fold_of[name]
        readings.append(np.stack([x[rows] @ fit.by_fold[fold] for (x, _), fit in zip(seen, fits, strict=True)], axis=1))
        presence.append(np.stack([there[rows] for _, there in seen], axis=1))
        gold.append(clip.labels[rows])
    read, there, truth = np.concatenate(readings), np.concatenate(presence), np.concatenate(gold)
    both = there.all(axis=1)
    correlation = np.zeros(2)
    for d in range(2):
        if both.any() and (read[both, :, d].std(axis=0) > 1e-6).all():
            correlation[d] = np.asarray(np.corrcoef(read[both, :, d].T))[0, 1].clip(0, 1)
    reliability = np.log(np.maximum([fit.ccc for fit in fits], LEAST))  # (modality, dimension)
    module = ReadingWeights(config)
    scores, candidates = [], []
    for power in SHARPNESS:
        buffers = {"prior": _tensor(power * reliability), "correlation": _tensor(correlation), "mean": _tensor(mean)}
        module.load_state_dict(buffers, strict=False)
        fused, _ = module.weigh(_tensor(read)[None], None, torch.from_numpy(there)[None])
        scores.append(np.nan_to_num(ccc_of(fused[0].double().numpy(), truth.astype(np.float64))))
        candidates.append(power * reliability)
    worthy = np.array(scores) >= np.max(scores, axis=0) - WORTH  # (powers, 2)
    first = worthy.argmax(axis=0)
    prior = np.stack([candidates[i][:, d] for d, i in enumerate(first)], axis=1)
    ccc = np.array([scores[i][d] for d, i in enumerate(first)])
    return {"prior": _tensor(prior), "correlation": _tensor(correlation)}, ccc


def _buffers(spaces: Mapping[Modality, FloatArray], weights: Sequence[Array]) -> dict[str, Tensor]:
    """Weights of components (p, 2) as weights of embeddings (D, 1 + n, 2), and the constants (modality, 2)."""
    buffers = {"constant": _tensor(np.stack([part[-1] for part in weights]))}
    for (modality, space), part in zip(spaces.items(), weights, strict=True):
        blocks = part[:-1].reshape(-1, space.shape[1], 2)  # (1 + n, c, 2)
        buffers[f"{modality}_weights"] = _tensor(np.einsum("dc,nck->dnk", space, blocks))
    return buffers


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
