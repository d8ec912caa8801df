"""What do the voice alone and the face alone say? One ridge regression per modality, on embeddings and their averages.

The two readings are the plain baseline that a fusion model has to beat, and the two opinions whose disagreement is the
`inconsistency` of a prediction. They are fitted apart from the network, so neither disturbs the other.

Letters: t steps, D embedding width, c principal components, p columns, m a modality. Axes of a pair of readings:
(t, modality, dimension), in the order of `MODALITIES` and `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from iaca.training.loss import concordance
from iaca.training.sample import BoolArray, FloatArray, ModelInput, Normalisation

Array = NDArray[np.float64]

WINDOWS_S = (0.5, 2.0)
"""Lengths (s) of the centred averages that are columns, in addition to the step itself."""
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
    scores = np.array([ccc_of(matched[:, a], gold) for a in range(len(PENALTIES))])  # (penalties, 2)
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

    def solve(self, used: NDArray[np.bool_] | None = None) -> Array:
        """Weights (p, penalties, 2); the constant is not penalised. Columns that are not `used` (p,) weigh 0."""
        if used is not None:
            parts = _Sums(self.rows, self.products[np.ix_(used, used)], self.gold[used]).solve()
            weights = np.zeros((len(used), *parts.shape[1:]))
            weights[used] = parts
            return weights
        free = np.ones(len(self.products))
        free[-1] = 0.0
        solved = [np.linalg.solve(self.products + np.diag(a * self.rows * free), self.gold) for a in PENALTIES]
        return np.stack(solved, axis=1)


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
        of_clip: of each train clip, by readers that have not seen its subject.
        ccc: (2,) of the late or joint prediction of valence and arousal, out of fold.
    """

    whole: dict[str, Tensor]
    of_clip: dict[str, dict[str, Tensor]]
    ccc: Array


class _Fit(NamedTuple):
    """One regression: weights (p, 2) for all clips and by fold, and CCC (2,) out of fold."""

    whole: Array
    by_fold: dict[int, Array]
    ccc: Array


Read = Callable[[ClipEmbedding], tuple[NDArray[np.float32], BoolArray]]
"""A clip of t steps -> columns (t, p), and where there is something to read (t,)."""


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
    names = sorted(set(group.values()))
    fold_of = {name: names.index(group[name]) % FOLDS for name in clips}
    spaces = {
        m: _principal(
            (
                normalisation.apply(c.embedding.features[m], p, m)[p]
                for c in clips.values()
                for p in [c.embedding.present[m]]
            ),
            normalisation,
            m,
        )
        for m in MODALITIES
    }

    def read(modality: Modality) -> Read:
        def columns_of(clip: ClipEmbedding) -> tuple[NDArray[np.float32], BoolArray]:
            present = clip.present[modality]
            x = normalisation.apply(clip.features[modality], present, modality) @ spaces[modality]
            return columns(x, present, rate_of(clip), config.averages_s), present

        return columns_of

    def read_both(clip: ClipEmbedding) -> tuple[NDArray[np.float32], BoolArray]:
        (heard, audible), (seen, visible) = (read(m)(clip) for m in MODALITIES)
        return np.concatenate([heard[:, :-1], seen], axis=1), audible | visible

    gold = np.concatenate([c.labels[np.isfinite(c.labels).all(axis=1)] for c in clips.values()]).astype(np.float64)
    mean = gold.mean(axis=0) if len(gold) else np.zeros(2)
    widths = [spaces[m].shape[1] for m in MODALITIES]
    if config.readings == "joint":
        fit = _fit(read_both, clips, fold_of, _subsets(widths, len(config.averages_s)), mean)
        split = widths[0] * (1 + len(config.averages_s))

        def parts(weights: Array) -> list[Array]:
            return [np.vstack([weights[:split], np.zeros((1, 2))]), weights[split:]]

        return FusionReadings(
            _buffers(spaces, parts(fit.whole)) | {"mean": _tensor(mean)},
            {name: _buffers(spaces, parts(fit.by_fold[fold])) for name, fold in fold_of.items()},
            fit.ccc,
        )
    fits = [
        _fit(read(m), clips, fold_of, _subsets([spaces[m].shape[1]], len(config.averages_s)), mean) for m in MODALITIES
    ]
    whole = _buffers(spaces, [fit.whole for fit in fits]) | {"mean": _tensor(mean)}
    of_clip = {name: _buffers(spaces, [fit.by_fold[fold] for fit in fits]) for name, fold in fold_of.items()}
    weighing, ccc = _fit_weights(config, fits, [read(m) for m in MODALITIES], clips, fold_of, mean)
    return FusionReadings(whole | weighing, of_clip, ccc)


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
    rows = {}
    for name, clip in clips.items():
        x, there = read(clip.embedding)
        rows[name] = there & np.isfinite(clip.labels).all(axis=1)
        part = _Sums.of(x[rows[name]], clip.labels[rows[name]])
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
    held = []
    for name, clip in clips.items():
        x = read(clip.embedding)[0][rows[name]]
        products = np.einsum("tp,pad->tad", x, by_fold[fold_of[name]])
        held.append((products.astype(np.float32), clip.labels[rows[name]]))  # of all clips: half the memory
    predicted, gold = np.concatenate([p for p, _ in held]), np.concatenate([g for _, g in held]).astype(np.float64)
    if not len(gold):
        weights = nothing[:, 0]
        return _Fit(weights, dict.fromkeys(sums, weights), np.zeros(2))
    spread = predicted.std(axis=0, dtype=np.float64)  # (candidates, 2)
    scale = np.where(spread > 1e-6, np.minimum(gold.std(axis=0) / np.maximum(spread, 1e-6), LARGEST_SCALE), 1.0)
    shift = gold.mean(axis=0) - scale * predicted.mean(axis=0, dtype=np.float64)
    scores = np.array([ccc_of(scale[a] * predicted[:, a] + shift[a], gold) for a in range(len(scale))])
    # of equal ones the last: the largest penalty
    best, dimension = len(scores) - 1 - np.nan_to_num(scores[::-1], nan=-1.0).argmax(axis=0), [0, 1]

    def matched(weights: Array) -> Array:
        chosen = weights[:, best, dimension] * scale[best, dimension]
        chosen[-1] += shift[best, dimension]
        return np.asarray(chosen)

    ccc = np.nan_to_num(scores[best, dimension], nan=0.0)
    return _Fit(matched(solved(list(sums.values()))), {f: matched(w) for f, w in by_fold.items()}, ccc)


def _fit_weights(
    config: FusionConfig,
    fits: Sequence[_Fit],
    reads: Sequence[Read],
    clips: Mapping[str, AnnotatedClip],
    fold_of: Mapping[str, int],
    mean: Array,
) -> tuple[dict[str, Tensor], Array]:
    """Weights of late fusion, and its CCC (2,), out of fold."""
    readings, presence, gold = [], [], []
    for name, clip in clips.items():
        seen = [read(clip.embedding) for read in reads]
        rows = np.isfinite(clip.labels).all(axis=1) & np.any([there for _, there in seen], axis=0)
        fold = fold_of[name]
        readings.append(np.stack([x[rows] @ fit.by_fold[fold] for (x, _), fit in zip(seen, fits, strict=True)], axis=1))
        presence.append(np.stack([there[rows] for _, there in seen], axis=1))
        gold.append(clip.labels[rows])
    read, there, truth = (np.concatenate(parts) for parts in (readings, presence, gold))
    both = there.all(axis=1)
    correlation = np.zeros(2)
    for d in range(2):
        if both.any() and (read[both, :, d].std(axis=0) > 1e-6).all():
            correlation[d] = np.corrcoef(read[both, :, d].T)[0, 1].clip(0, 1)
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
